"""How many frames a second a ring is made for, whatever a camera declares."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncsvc.capture.ring_rate import KNOWN_AFTER, QUICK, RingRate
from syncsvc.testing import MS, T0, S


def fed(rate: RingRate, fps: float, count: int, begin: int = 0, *, has_pts: bool = True, burst: int = 1) -> list[int]:
    """Feed so many frames; the numbers of those at which the ring was to be made anew."""
    changed = []
    for number in range(begin, begin + count):
        pts_ns = round(number * S / fps)
        arrival_ns = T0 + round((number // burst + 1) * burst * S / fps)
        if rate.add(pts_ns if has_pts else None, arrival_ns):
            changed.append(number)
    return changed


@pytest.mark.parametrize(("declared", "has_pts"), [(50.0, True), (30.0, True), (30.0, False)])
def test_a_ring_for_far_more_than_what_comes_is_made_smaller_once_that_is_known(declared: float, has_pts: bool) -> None:
    rate = RingRate(declared, is_known=False)
    assert fed(rate, 12.5, 200, has_pts=has_pts) == [KNOWN_AFTER]
    assert rate.fps == pytest.approx(12.5, rel=0.01)


@pytest.mark.parametrize("fps", [25.0, 24.0, 17.0])
def test_what_comes_a_little_more_seldom_than_declared_changes_nothing(fps: float) -> None:
    rate = RingRate(25.0, is_known=False)
    assert fed(rate, fps, 200) == []
    assert rate.fps == 25


def test_a_camera_that_becomes_faster_is_followed_before_its_ring_is_full() -> None:
    rate = RingRate(30.0, is_known=False)
    fed(rate, 12.5, 100)
    changed = [number for number in range(50) if rate.add(8 * S + number * 40 * MS, T0 + 8 * S + number * 40 * MS)]
    assert changed
    assert changed[-1] <= QUICK
    assert rate.fps == pytest.approx(25)


def test_frames_that_waited_and_come_all_at_once_are_no_faster_camera() -> None:
    rate = RingRate(25.0, is_known=False)
    assert fed(rate, 25.0, 500, burst=50) == []


def test_pts_that_are_nobodys_time_take_no_memory() -> None:
    rate = RingRate(25.0, is_known=False)
    assert [number for number in range(100) if rate.add(number * 1000, T0 + number * 40 * MS)] == []


def test_a_rate_that_is_known_stays() -> None:
    rate = RingRate(50.0, is_known=True)
    assert fed(rate, 10.0, 100) + fed(rate, 200.0, 100) == []


@given(st.floats(1, 60), st.floats(0.1, 3.9), st.integers(0, 1000))
def test_a_ring_is_never_made_for_less_than_what_comes(declared: float, times: float, seed: int) -> None:
    rate, random, fps = RingRate(declared, is_known=False), Random(seed), declared * times
    for number in range(200):
        if random.random() > 0.1:
            at_ns = round(number * S / fps)
            rate.add(at_ns, T0 + at_ns + random.randrange(10 * MS))
    assert rate.fps >= fps * 0.85, "a tenth is lost"
