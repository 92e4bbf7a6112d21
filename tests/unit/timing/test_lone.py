"""A single picture with another time: it is set aside, whatever the machine does; a real step is none."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncsvc.model import Observation
from syncsvc.testing import MS, T0, S
from syncsvc.timing.lone import LoneTimes

PERIOD = 40 * MS
OFF_BY = [-3600 * S, -10 * S, -400 * MS, -60 * MS, 300 * MS, 10 * S, 3600 * S]


def seen(number: int, off_ns: int = 0, late_ns: int = 0) -> Observation:
    return Observation(number, T0 + number * PERIOD + late_ns, 10_000 * S + number * PERIOD + off_ns)


def judged(pictures: list[Observation]) -> tuple[list[Observation], list[Observation], list[int]]:
    """What is stamped, what is learnt from, and the doubts."""
    lone, stamped, learnt, doubts = LoneTimes(), [], [], []
    for one in pictures:
        shown, lessons, doubt_ns = lone.judge(one)
        stamped.append(shown)
        learnt += lessons
        doubts.append(doubt_ns)
    return stamped, learnt, doubts


def queued(count: int, seed: int) -> list[int]:
    """Delays of a busy machine: it stands still now and then, and takes what waited all at once."""
    random, until_ns, delays = Random(seed), 0, []
    for number in range(count):
        if random.random() < 0.05:
            until_ns = number * PERIOD + random.randrange(3 * S)
        delays.append(max(0, until_ns - number * PERIOD))
    return delays


@pytest.mark.parametrize("off_ns", OFF_BY)
@pytest.mark.parametrize("is_busy", [False, True])
def test_a_single_picture_with_another_time_has_its_neighbours_time_and_teaches_nothing(
    off_ns: int, is_busy: bool
) -> None:
    delays = queued(100, 7) if is_busy else [0] * 100
    odd = 50 if not is_busy else next(at for at in range(20, 100) if delays[at] == 0 and delays[at - 1] == 0)
    pictures = [seen(number, off_ns if number == odd else 0, delays[number]) for number in range(100)]
    stamped, learnt, doubts = judged(pictures)
    assert [one.pts_ns for one in stamped] == [seen(number).pts_ns for number in range(100)]
    assert learnt == [one for one in pictures if one.seq != odd]
    assert [number for number, doubt in enumerate(doubts) if doubt] == [odd]


@pytest.mark.parametrize("step_ns", [off_ns for off_ns in OFF_BY if abs(off_ns) > 2 * PERIOD])
def test_a_step_is_learnt_from_one_picture_late_and_stays_in_order(step_ns: int) -> None:
    pictures = [seen(number, step_ns if number >= 50 else 0) for number in range(100)]
    stamped, learnt, _ = judged(pictures)
    assert learnt == pictures
    assert [one.pts_ns for one in stamped[51:]] == [one.pts_ns for one in pictures[51:]]


@given(st.integers(0, 1000), st.lists(st.integers(0, 99), max_size=30))
def test_missing_pictures_and_a_busy_machine_are_nothing_odd(seed: int, missing: list[int]) -> None:
    delays = [0, *queued(99, seed)]
    pictures = [seen(number, 0, delays[number]) for number in range(100) if not number or number not in missing]
    assert judged(pictures) == (pictures, pictures, [0] * len(pictures))


def test_missing_pictures_on_an_idle_machine_keep_their_own_time() -> None:
    pictures = [seen(number) for number in range(200) if number % 50 < 40]
    stamped, learnt, doubts = judged(pictures)
    assert (stamped, learnt, any(doubts)) == (pictures, pictures, False)


def test_two_pictures_with_two_other_times_are_two_single_ones() -> None:
    pictures = [seen(number, {50: 9 * S, 51: -7 * S}.get(number, 0)) for number in range(100)]
    _, learnt, _ = judged(pictures)
    assert [one.seq for one in learnt] == [number for number in range(100) if number not in (50, 51)]


def test_pictures_out_of_order_are_a_cameras_way() -> None:
    order = [number + shift for number in range(0, 200, 4) for shift in (0, 3, 1, 2)]
    stamped, learnt, _ = judged([seen(number) for number in order])
    assert {one.seq for one in learnt[20:]} == {one.seq for one in stamped[20:]}
    assert [one.pts_ns for one in stamped[40:]] == [seen(number).pts_ns for number in order[40:]]


def test_without_pts_there_is_nothing_to_judge() -> None:
    pictures = [replace(seen(number), pts_ns=None) for number in range(10)]
    assert judged(pictures) == (pictures, pictures, [0] * 10)
