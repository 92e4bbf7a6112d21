"""Generated frames: what is burned in, what the stamp says, and what each fault does, on a clock with hands."""

from itertools import islice, pairwise
from typing import Any

import numpy as np
import pytest

from syncsvc import barcode
from syncsvc.capture.source import Shot
from syncsvc.capture.spec import RingPlan, SyntheticSpec
from syncsvc.capture.synthetic import SyntheticSource
from syncsvc.pictures import planes_i420
from syncsvc.testing import MS, T0, ManualClock, ManualStop, S


def spec_of(pixels: str, **more: Any) -> SyntheticSpec:
    return SyntheticSpec(name="a", pixels=pixels, ring=RingPlan(S), **{"width": 320, "height": 180} | more)


class Made:
    """Frames of one source, each with the moment at which it was delivered."""

    def __init__(self, count: int = 50, pixels: str = "i420", begin_ns: int = 0, **options: Any) -> None:
        self.clock = ManualClock()
        self.clock.advance(begin_ns)
        spec = spec_of(pixels, **options)
        source = SyntheticSource(spec, self.clock, lambda position: None, ManualStop(self.clock))
        assert source.fps == spec.fps
        self.shots: list[Shot] = []
        self.delivered_ns: list[int] = []
        self.codes: list[barcode.Barcode] = []
        for shot in islice(source.shots(), count):
            assert isinstance(shot, Shot)
            assert shot.seen.arrival_mono_ns == self.clock.monotonic_ns()
            assert shot.seen.utc_less_mono_ns == T0 - 1000 * S, "by which clock it was placed"
            self.shots.append(shot)
            self.delivered_ns.append(self.clock.utc_ns())
            code = barcode.read(self.luma(shot))
            assert code is not None
            self.codes.append(code)

    @staticmethod
    def luma(shot: Shot) -> np.ndarray:
        layout = shot.picture.layout
        slot = np.empty(layout.size_bytes, np.uint8)
        shot.picture.write(slot)
        if layout.format == "i420":
            return planes_i420(slot, layout.width, layout.height)[0]
        return slot.reshape(layout.height, layout.width, -1).squeeze()

    @property
    def stamps(self) -> list[int]:
        return [shot.seen.stamp_ns or 0 for shot in self.shots]

    @property
    def true_ns(self) -> list[int]:
        return [code.time_us * 1000 for code in self.codes]


@pytest.mark.parametrize("pixels", ["i420", "gray8", "bgr24"])
def test_the_stamp_is_the_time_that_is_burned_in(pixels: str) -> None:
    made = Made(pixels=pixels)
    assert made.stamps == made.true_ns
    assert [code.counter for code in made.codes] == list(range(50))
    assert {shot.seen.stamp_kind for shot in made.shots} == {"pts"}
    assert made.shots[0].picture.layout.format == pixels


@pytest.mark.parametrize("fps", [25, 30, 29.97, 15, 60])
def test_instants_are_multiples_of_the_period_in_utc_whenever_it_starts(fps: float) -> None:
    first, second = Made(fps=fps, count=90), Made(fps=fps, count=90, begin_ns=700 * MS)
    period = S / fps
    for made in (first, second):
        assert all(abs(at / period - round(at / period)) * period < 2000 for at in made.stamps)
        assert all(abs(after - before - period) < 2000 for before, after in pairwise(made.stamps))
        assert made.delivered_ns == pytest.approx(made.stamps, abs=2)
    assert len(set(first.stamps) & set(second.stamps)) > 20


def test_phase_moves_the_instants() -> None:
    assert [at - T0 for at in Made(phase_ms=13, count=3).stamps] == [13 * MS, 53 * MS, 93 * MS]


def test_a_clock_that_is_off_or_drifts_moves_the_stamp_and_not_the_truth() -> None:
    made = Made(offset_ms=250, drift_ppm=100, count=250)
    begin = made.true_ns[0]
    errors = [stamp - true for stamp, true in zip(made.stamps, made.true_ns, strict=True)]
    expected = [250 * MS + (true - T0) * 1e-4 for true in made.true_ns]
    assert errors == pytest.approx(expected, abs=2000)
    assert made.delivered_ns == pytest.approx(made.true_ns, abs=2)
    assert begin >= T0


def test_latency_and_jitter_delay_delivery_in_order() -> None:
    steady, shaken = Made(latency_ms=60), Made(latency_ms=60, jitter_ms=20, count=400)
    assert [at - true for at, true in zip(steady.delivered_ns, steady.true_ns, strict=True)] == [60 * MS] * 50
    delays = [at - true for at, true in zip(shaken.delivered_ns, shaken.true_ns, strict=True)]
    assert all(before <= after for before, after in pairwise(shaken.delivered_ns))
    assert min(delays) >= 60 * MS - 2
    assert 70 * MS < sum(delays) / len(delays) < 100 * MS
    assert shaken.stamps == shaken.true_ns


def test_a_drop_leaves_a_hole_in_the_counter() -> None:
    made = Made(drop=0.3, count=300)
    counters = [code.counter for code in made.codes]
    assert counters == sorted(set(counters))
    assert 0.2 < 1 - 300 / (counters[-1] + 1) < 0.4


def test_a_stall_holds_frames_back_and_then_delivers_them_all() -> None:
    made = Made(stall=(2, 0.5), count=120)
    delays = [at - true for at, true in zip(made.delivered_ns, made.true_ns, strict=True)]
    since = [true - T0 for true in made.true_ns]
    for delay, at in zip(delays, since, strict=True):
        into = at % (2 * S)
        expected = max(0, S // 2 - into) if at >= 2 * S else 0
        assert delay == pytest.approx(expected, abs=1000)
    assert [code.counter for code in made.codes] == list(range(120))


def test_the_seed_decides_everything() -> None:
    same = [Made(drop=0.2, jitter_ms=20, seed=7) for _ in range(2)]
    other = Made(drop=0.2, jitter_ms=20, seed=8)
    assert same[0].delivered_ns == same[1].delivered_ns
    assert same[0].delivered_ns != other.delivered_ns
    assert {code.stream_id for code in other.codes} == {8}


def test_a_step_of_the_hosts_clock_does_not_touch_the_truth() -> None:
    clock = ManualClock()
    source = SyntheticSource(spec_of("gray8"), clock, lambda position: None, ManualStop(clock))
    stamps = []
    for place, shot in enumerate(islice(source.shots(), 20)):
        assert isinstance(shot, Shot)
        stamps.append(shot.seen.stamp_ns or 0)
        if place == 9:
            clock.step_utc(-3600 * S)
    assert [after - before for before, after in pairwise(stamps)] == [40 * MS] * 19


def test_a_stop_ends_it() -> None:
    clock = ManualClock()
    stop = ManualStop(clock)
    source = SyntheticSource(spec_of("gray8"), clock, lambda position: None, stop)
    count = 0
    for _ in source.shots():
        count += 1
        if count == 5:
            stop.set()
    assert count == 5
