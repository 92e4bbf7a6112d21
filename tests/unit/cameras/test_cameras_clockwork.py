"""The clocks of a camera and the way to the wire: arithmetic, in nanoseconds, on hands that the test turns."""

from itertools import pairwise
from typing import Any

import pytest

from syncsvc.cameras.clockwork import CameraClock, Moment, SendPath, Shutter, read_moment
from syncsvc.cameras.settings import CameraSpec

S, MS = 1_000_000_000, 1_000_000
BOOT = 5_000 * S  # CLOCK_MONOTONIC when the camera is switched on
UTC = 1_700_000_000 * S


def at(seconds: float) -> Moment:
    return Moment(UTC + round(seconds * S), BOOT + round(seconds * S))


def clock_of(rtp_base: int = 0, **keys: Any) -> CameraClock:
    return CameraClock(CameraSpec(**keys), BOOT, rtp_base)


class HandClock:
    """Moves on by the given steps at each reading of the monotonic clock."""

    def __init__(self, *steps_ns: int) -> None:
        self._steps, self.now = list(steps_ns), 0

    def monotonic_ns(self) -> int:
        self.now += self._steps.pop(0)
        return self.now

    def utc_ns(self) -> int:
        return UTC + self.now


def test_a_moment_is_read_again_when_something_came_between() -> None:
    interrupted = HandClock(0, 5 * MS, 1000, 2000)
    moment = read_moment(interrupted)
    assert moment == Moment(UTC + 5 * MS + 1000, 5 * MS + 2000)


def test_a_machine_that_always_interrupts_still_gets_a_moment() -> None:
    moment = read_moment(HandClock(*[MS] * 8))
    assert moment.mono_ns == 7 * MS + MS // 2


def test_a_good_clock_is_the_hosts() -> None:
    clock = clock_of()
    assert clock.wall_ns(at(100)) == UTC + 100 * S
    assert clock.rtp(BOOT + 100 * S) == 9_000_000
    assert clock.uptime_ns(BOOT + 3 * S) == 3 * S


def test_an_offset_shows_in_wall_time_only() -> None:
    clock = clock_of(clock_offset_ms=-120.5)
    assert clock.wall_ns(at(10)) == UTC + 10 * S - 120_500_000
    assert clock.rtp(BOOT + 10 * S) == 900_000


def test_drift_shows_in_both_clocks() -> None:
    clock = clock_of(drift_ppm=100)
    assert clock.wall_ns(at(50)) == UTC + 50 * S + 5 * MS
    assert clock.rtp(BOOT + 50 * S) == 4_500_450


def test_rtp_drift_leaves_wall_time_right() -> None:
    clock = clock_of(rtp_drift_ppm=-200)
    assert clock.wall_ns(at(50)) == UTC + 50 * S
    assert clock.rtp(BOOT + 50 * S) == 4_500_000 - 900


def test_rtp_wraps_at_32_bits() -> None:
    clock = clock_of(rtp_base=2**32 - 90_000)
    assert clock.rtp(BOOT + S - 11_112) == 2**32 - 1
    assert clock.rtp(BOOT + S) == 0
    assert clock.rtp(BOOT + 2 * S) == 90_000


def test_a_clock_step_moves_wall_time_and_never_rtp() -> None:
    spec = CameraSpec(drift_ppm=100)
    clock = CameraClock(spec, BOOT, 0)
    before = clock.rtp(BOOT + 10 * S)
    clock.retune(spec.changed({"clock_offset_ms": 500}), BOOT + 10 * S)
    assert clock.rtp(BOOT + 10 * S) == before
    assert clock.wall_ns(at(10)) == UTC + 10 * S + MS + 500 * MS


def test_another_rate_goes_on_from_where_the_clock_was() -> None:
    spec = CameraSpec(drift_ppm=1000)
    clock = CameraClock(spec, BOOT, 0)
    clock.retune(spec.changed({"drift_ppm": -1000}), BOOT + 10 * S)
    assert clock.wall_ns(at(10)) == UTC + 10 * S + 10 * MS
    assert clock.wall_ns(at(20)) == UTC + 20 * S
    assert clock.rtp(BOOT + 20 * S) == 1_800_000


def test_the_shutter_opens_on_its_grid() -> None:
    shutter = Shutter(CameraSpec(fps=29.97, phase_ms=7), BOOT)
    due = [shutter.next_due_ns(BOOT) for _ in range(3000)]
    assert due[0] == BOOT + 7 * MS
    assert due[2997] == pytest.approx(BOOT + 7 * MS + 100 * S, abs=1), "no rounding adds up"
    assert all(b > a for a, b in pairwise(due))


def test_the_crystal_drives_the_shutter() -> None:
    shutter = Shutter(CameraSpec(fps=10, drift_ppm=300, rtp_drift_ppm=-200), BOOT)
    due = [shutter.next_due_ns(BOOT) for _ in range(1001)]
    assert due[1000] - BOOT == pytest.approx(100 * S / 1.0001, abs=2)


def test_the_first_picture_is_never_in_the_past() -> None:
    assert Shutter(CameraSpec(fps=10), BOOT).next_due_ns(BOOT + 250 * MS) == BOOT + 300 * MS


def test_a_slow_machine_skips_and_counts() -> None:
    shutter = Shutter(CameraSpec(fps=10), BOOT)
    assert shutter.next_due_ns(BOOT) == BOOT
    assert shutter.next_due_ns(BOOT + 150 * MS) == BOOT + 100 * MS, "late, but not by a period: taken at once"
    assert shutter.next_due_ns(BOOT + 550 * MS) == BOOT + 500 * MS
    assert shutter.skipped == 3


def test_another_rate_begins_at_the_last_picture() -> None:
    spec = CameraSpec(fps=10, phase_ms=3)
    shutter = Shutter(spec, BOOT)
    for _ in range(6):
        last = shutter.next_due_ns(BOOT)
    shutter.retune(spec.changed({"fps": 50}))
    assert shutter.next_due_ns(BOOT) == last + 20 * MS


def releases(count: int, every_ms: int = 40, **keys: Any) -> list[int]:
    """Delay of each picture, in ns, for one taken every so often."""
    spec, path = CameraSpec(**keys), SendPath(seed=1)
    captured = [BOOT + i * every_ms * MS for i in range(count)]
    return [path.release_ns(spec, moment, BOOT) - moment for moment in captured]


def test_latency_is_constant() -> None:
    assert set(releases(50, latency_ms=60)) == {60 * MS}
    assert set(releases(50)) == {0}


def test_jitter_is_exponential_and_capped() -> None:
    delays = releases(4000, every_ms=1000, latency_ms=30, jitter_ms=20, jitter_max_ms=100)
    assert min(delays) >= 30 * MS
    assert max(delays) == 130 * MS
    mean_ms = sum(delays) / len(delays) / MS - 30
    assert mean_ms == pytest.approx(20 * (1 - 2.718281828**-5), rel=0.1)


def test_order_is_kept_under_jitter() -> None:
    spec, path = CameraSpec(jitter_ms=60), SendPath(seed=2)
    due = [path.release_ns(spec, BOOT + i * 10 * MS, BOOT) for i in range(2000)]
    assert due == sorted(due)


def test_the_same_seed_draws_the_same_jitter() -> None:
    assert releases(100, jitter_ms=20) == releases(100, jitter_ms=20)


def test_a_stall_holds_everything_and_then_lets_it_go_at_once() -> None:
    spec, path = CameraSpec(fps=10, stall_every_s=2, stall_s=0.5), SendPath(seed=1)
    due = [path.release_ns(spec, BOOT + i * 100 * MS, BOOT) - BOOT for i in range(30)]
    expected = [i * 100 * MS for i in range(30)]
    expected[20:25] = [2_500 * MS] * 5
    assert due == expected, "the camera starts without a stall"
