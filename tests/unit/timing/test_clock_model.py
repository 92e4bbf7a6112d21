"""The clock model on simulated cameras, whose truth is known: how far off it is, and whether it knows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median, quantiles
from typing import Any

import pytest

from syncsvc.bench.simulated_cameras import MONO_NS, UTC_NS, Congestion, SimulatedCamera, Stalls, observe
from syncsvc.testing import MS, S
from syncsvc.timing.clock_model import ClockModel

CAMERA = SimulatedCamera(jitter_ms=20, burst_s=1.1, sr="none", latency_ms=40)


@dataclass(frozen=True, slots=True)
class Told:
    """What the model told of one frame, and when: ``since_s`` the session's first arrival."""

    since_s: float
    pts_ns: int
    time_ns: int
    error_ns: int
    uncertainty_ns: int
    is_settled: bool
    restarts: int


def follow(camera: SimulatedCamera, seconds: float, model: ClockModel) -> Iterator[Told]:
    first_ns = None
    for sighting in observe(camera, seconds):
        seen = sighting.seen
        if seen.pts_ns is None or seen.start_mono_ns is None:
            continue
        first_ns = seen.start_mono_ns if first_ns is None else first_ns
        model.feed(seen.pts_ns, seen.start_mono_ns)
        time_ns = model.time_of(seen.pts_ns)
        yield Told(
            (seen.start_mono_ns - first_ns) / S,
            seen.pts_ns,
            time_ns,
            time_ns - (sighting.taken_ns - UTC_NS + MONO_NS) - round(camera.latency_ms * MS),
            model.uncertainty_ns,
            model.is_settled,
            model.restarts,
        )


def told(seconds: float, model: ClockModel | None = None, **keys: Any) -> list[Told]:
    return list(follow(replace(CAMERA, **keys), seconds, model or ClockModel()))


Keys = dict[str, Any]


def errors_ms(some: Sequence[Told], begin_s: float = 0) -> list[float]:
    return [one.error_ns / MS for one in some if one.since_s >= begin_s]


def p99(values: Sequence[float]) -> float:
    return quantiles([abs(value) for value in values], n=100)[98]


SCENARIOS: dict[str, Keys] = {
    "fast": {"drift_ppm": 100},
    "wandering": {"drift_ppm": -50, "wander_ppm": 20},
    "stalls": {"drift_ppm": 100, "stalls": Stalls(20, 1)},
    "much jitter": {"drift_ppm": -50, "jitter_ms": 60},
    "little jitter": {"jitter_ms": 2, "drift_ppm": 30},
    "congestion": {"drift_ppm": 50, "congestion": (Congestion(40, 30, 100),)},
    "slow": {"fps": 15, "drift_ppm": -80},
    "no burst": {"burst_s": 0},
    "drops": {"fps": 30, "drop_pct": 5},
    "wifi": {"stalls": Stalls(7, 0.4), "congestion": tuple(Congestion(10 + 15 * i, 5, 30 + 20 * i) for i in range(4))},
}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_cameras_of_all_rates_agree_to_a_millisecond_from_ten_seconds_on(seed: int) -> None:
    cameras = [(25.0, 100, 0), (30.0, -100, 60), (29.97, 40, 30), (15.0, -80, 90)]
    medians = []
    for place, (fps, drift_ppm, latency_ms) in enumerate(cameras):
        keys: Keys = {"fps": fps, "drift_ppm": drift_ppm, "latency_ms": latency_ms, "seed": 10 * seed + place}
        late_ms = errors_ms(told(60, drop_pct=1, **keys), 10)
        assert p99(late_ms) < 2
        medians.append(median(late_ms))
    assert max(medians) - min(medians) < 0.5
    assert all(abs(middle) < 0.4 for middle in medians)


@pytest.mark.parametrize(("at_s", "for_s", "most_ms"), [(30, 100, 2), (60, 300, 4)])
def test_congestion_moves_nothing(at_s: float, for_s: float, most_ms: float) -> None:
    some = told(at_s + for_s + 20, drift_ppm=50, congestion=(Congestion(at_s, for_s, 100),))
    assert max(map(abs, errors_ms(some, 10))) < most_ms
    assert some[-1].restarts == 0


def test_a_crystal_that_wanders_is_followed() -> None:
    model = ClockModel()
    some = told(600, model, fps=15, drift_ppm=30, wander_ppm=60)
    assert p99(errors_ms(some, 10)) < 1
    assert model.restarts == 0


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_truth_lies_within_the_uncertainty(name: str) -> None:
    some = [one for seed in (1, 2) for one in told(90, seed=seed, **SCENARIOS[name]) if one.since_s >= 0.35]
    assert sum(abs(one.error_ns) <= one.uncertainty_ns for one in some) >= 0.95 * len(some)


def test_the_first_seconds_are_as_honest() -> None:
    starts = [told(4, seed=seed, **keys) for seed in range(8) for keys in SCENARIOS.values()]
    some = [one for start in starts for one in start if one.since_s >= 0.35]
    assert sum(abs(one.error_ns) <= one.uncertainty_ns for one in some) >= 0.95 * len(some)
    assert median(one.uncertainty_ns for one in some) < 10 * MS


def test_uncertainty_narrows_to_a_millisecond_and_widens_while_nothing_is_learnt() -> None:
    some = told(160, congestion=(Congestion(60, 100, 100),))
    uncertainty = {round(one.since_s): one.uncertainty_ns for one in some}
    assert uncertainty[1] > 2 * uncertainty[50]
    assert uncertainty[50] < MS
    assert uncertainty[150] > uncertainty[50] * 3 // 2


def test_a_first_burst_settles_nothing() -> None:
    for one in told(3, burst_s=1.1):
        if one.since_s < 0.25:
            assert not one.is_settled
            assert one.uncertainty_ns >= 500 * MS
        if one.since_s > 1.5:
            assert one.is_settled
            assert abs(one.error_ns) < 10 * MS


@pytest.mark.parametrize("name", SCENARIOS)
def test_what_is_told_rises_and_is_slewed(name: str) -> None:
    some = told(60, **SCENARIOS[name])
    for before, after in pairwise(some):
        passed_ns, pts_ns = after.time_ns - before.time_ns, after.pts_ns - before.pts_ns
        assert passed_ns > 0
        if before.is_settled:
            assert abs(passed_ns - pts_ns) <= pts_ns * 0.0107 + 2


@pytest.mark.parametrize("drift_ppm", [-500, -100, 0, 100, 500])
def test_drift_is_measured(drift_ppm: float) -> None:
    model = ClockModel()
    told(120, model, drift_ppm=drift_ppm)
    assert model.drift_ppm == pytest.approx(drift_ppm, abs=15)
    assert model.trouble is None
    assert model.restarts == 0


@pytest.mark.parametrize(
    "keys",
    [
        {"reconnect_at_s": (20.0,)},
        {"pts_steps": ((20.0, 500.0),)},
        {"pts_steps": ((20.0, 3000.0),)},
        {"pts_steps": ((20.0, -300.0),)},
        {"pts_steps": ((20.0, -100.0),)},
    ],
    ids=["reconnect", "half a second on", "three seconds on", "back", "back a little"],
)
def test_pts_that_begin_anew_or_step_are_told_once_and_the_time_goes_on(keys: Keys) -> None:
    model = ClockModel()
    some = told(40, model, drift_ppm=80, **keys)
    assert model.restarts == 1
    assert max(map(abs, errors_ms([one for one in some if one.restarts == 0], 2))) < 10
    assert max(map(abs, errors_ms(some, 22))) < 10
    assert model.trouble is None


def test_a_session_that_begins_for_a_known_reason_is_no_restart_and_the_drift_is_remembered() -> None:
    model = ClockModel()
    told(60, model, drift_ppm=90)
    model.begin_session()
    with pytest.raises(LookupError):
        model.time_of(0)
    assert not model.is_settled
    some = told(5, model, drift_ppm=90, seed=7)
    assert model.drift_ppm == pytest.approx(90, abs=15)
    assert abs(some[-1].error_ns) < 3 * MS
    assert model.restarts == 0


def test_a_rise_that_lasts_is_adopted_sooner_where_the_clock_may_step() -> None:
    rise: Keys = {"congestion": (Congestion(20, 1000, 80),), "fps": 10}
    assert errors_ms(told(110, **rise))[-1] == pytest.approx(0, abs=5)
    assert errors_ms(told(110, ClockModel(holds=False), **rise))[-1] == pytest.approx(80, abs=5)


def test_pts_that_stood_still_are_noticed_though_they_never_went_back() -> None:
    model = ClockModel()
    for frame in range(2000):
        pause_ns = 30 * S if frame >= 1000 else 0
        model.feed(frame * 40 * MS, frame * 40 * MS + pause_ns)
    assert model.restarts == 1
    assert model.time_of(2000 * 40 * MS) == pytest.approx(2000 * 40 * MS + 30 * S, abs=MS)


LIES: dict[str, tuple[float, Keys]] = {
    "declared 25, delivered 21": (4, {"fps": 21, "declared_fps": 25, "pts": "grid"}),
    "declared 25, delivered 30": (4, {"fps": 30, "declared_fps": 25, "pts": "grid"}),
    "declared 25, delivered 24": (10, {"fps": 24, "declared_fps": 25, "pts": "grid"}),
    "declared 30, delivered 29.97": (240, {"fps": 29.97, "declared_fps": 30, "pts": "grid"}),
    "steps on": (50, {"pts_steps": tuple((15.0 * i, 500.0) for i in range(1, 6))}),
    "steps back": (50, {"pts_steps": tuple((15.0 * i, -200.0) for i in range(1, 6))}),
}
HONEST: dict[str, Keys] = {
    **SCENARIOS,
    "fastest crystal": {"drift_ppm": 500, "jitter_ms": 60},
    "slowest crystal": {"drift_ppm": -500, "jitter_ms": 60, "fps": 10},
    "long stalls": {"stalls": Stalls(10, 3)},
    "half is dropped": {"drop_pct": 50, "fps": 5},
    "irregular shutter": {"pts": "grid", "shutter_jitter_ms": 15},
    "long burst": {"burst_s": 6},
}


@pytest.mark.parametrize("name", LIES)
def test_pts_that_follow_no_clock_are_trouble(name: str) -> None:
    within_s, keys = LIES[name]
    model, first_s, times = ClockModel(), None, 0
    for one in follow(replace(CAMERA, **keys), within_s + 15, model):
        if model.trouble:
            first_s = one.since_s if first_s is None else first_s
            times += 1
    assert first_s is not None
    assert first_s < within_s
    assert times > 100  # and it stays
    assert model.trouble is not None
    assert "\n" not in model.trouble


@pytest.mark.parametrize("name", HONEST)
def test_honest_pts_never_are(name: str) -> None:
    model = ClockModel()
    assert not any(model.trouble for _ in follow(replace(CAMERA, **HONEST[name]), 100, model))
    assert model.restarts == 0


def test_trouble_tells_the_rate_and_ends() -> None:
    model = ClockModel()
    pts_ns = mono_ns = 0
    for frame in range(1500):
        pts_ns, mono_ns = pts_ns + 40 * MS, mono_ns + (50 * MS if frame < 300 else 40 * MS)
        model.feed(pts_ns, mono_ns)
        if frame == 299:
            assert model.trouble == "pts advance by 0.800 s per second of arrivals: declared and delivered rate differ"
    assert model.trouble is None


def test_what_slewing_still_owes_is_in_the_uncertainty() -> None:
    model = ClockModel()
    for frame in range(400):
        model.feed(frame * 40 * MS, frame * 40 * MS + (60 * MS if frame < 200 else 0))
        owed_ns = model.time_of(frame * 40 * MS) - frame * 40 * MS - (60 * MS if frame < 200 else 0)
        assert owed_ns <= model.uncertainty_ns
        assert frame != 210 or owed_ns > 50 * MS
    assert owed_ns < MS
    assert model.restarts == 0


def test_times_rise_even_where_arrivals_are_out_of_order() -> None:
    model = ClockModel()
    told_ns = []
    for frame, delay_ms in enumerate([900, 10, 800, 0, 0]):
        model.feed(frame * 40 * MS, (frame * 40 + delay_ms) * MS)
        told_ns.append(model.time_of(frame * 40 * MS))
    assert all(before < after for before, after in pairwise(told_ns))


def test_before_the_first_frame_there_is_nothing_to_tell() -> None:
    model = ClockModel()
    with pytest.raises(LookupError):
        model.time_of(0)
    assert not model.is_settled
    assert model.trouble is None
    assert model.uncertainty_ns == 500 * MS
