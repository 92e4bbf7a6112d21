"""What the grid of pts says is missing: every frame that is, and none that a camera leaves out by design."""

from collections.abc import Iterable, Sequence
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from syncsvc.testing import MS, S
from syncsvc.timing.grid import AROUND, PtsGrid

PERIODS = st.sampled_from([8, 16, 20, 33, 40, 66, 100, 500]).map(lambda ms: ms * MS)
RANDOMS = st.integers(0, 10**6).map(Random)
"""Chance that is none of an adversary: what it leaves out follows no pattern."""


def missing(times_ns: Iterable[int], seqs: Iterable[int] | None = None) -> int:
    """What a grid says of frames that came when they were taken."""
    grid, times = PtsGrid(), list(times_ns)
    numbers = list(seqs) if seqs is not None else range(len(times))
    return sum(grid.add(seq, time, time) for seq, time in zip(numbers, times, strict=True)) + grid.rest()


def paced(steps_ns: Iterable[int]) -> list[int]:
    times = [S]
    for step in steps_ns:
        times.append(times[-1] + step)
    return times


def jittered(times_ns: Sequence[int], period_ns: int, rng: Random, share: float) -> list[int]:
    return [time + round(rng.uniform(-share, share) * period_ns) for time in times_ns]


@given(PERIODS, st.integers(0, 400), RANDOMS)
def test_a_steady_pace_has_no_holes_whatever_its_jitter(period_ns: int, frames: int, rng: Random) -> None:
    assert missing(jittered(paced([period_ns] * frames), period_ns, rng, 0.09)) == 0


@given(PERIODS, st.lists(st.tuples(st.sampled_from([1, 2, 3, 5]), st.integers(40, 200)), min_size=1, max_size=6))
def test_a_camera_that_changes_its_pace_leaves_nothing_out(period_ns: int, paces: list[tuple[int, int]]) -> None:
    """By night it takes half of the pictures, or a fifth."""
    assert missing(paced(times * period_ns for times, frames in paces for _ in range(frames))) == 0


@given(PERIODS, st.lists(st.booleans(), min_size=2, max_size=10).filter(any), st.integers(8, 40))
def test_a_camera_that_sends_a_pattern_leaves_nothing_out(period_ns: int, kept: list[bool], rounds: int) -> None:
    """Two of three pictures, seven of ten: its grid is what it delivers."""
    times = [number * period_ns for number in range(len(kept) * rounds) if kept[number % len(kept)]]
    assert missing(times) == 0


@given(st.integers(2, 400), RANDOMS)
def test_who_has_no_pace_is_not_accused(frames: int, rng: Random) -> None:
    """A webcam that exposes for as long as it must."""
    assert missing(paced(rng.randint(5, 1000) * MS for _ in range(frames))) == 0


@given(PERIODS, st.integers(60, 800), st.sampled_from([0.005, 0.02, 0.05, 0.1, 0.3]), RANDOMS)
def test_every_frame_that_is_missing_from_a_steady_pace_is_counted(
    period_ns: int, frames: int, share: float, rng: Random
) -> None:
    taken = [number for number in range(frames) if number in (0, frames - 1) or rng.random() >= share]
    lost = frames - len(taken)
    told = missing(jittered([number * period_ns for number in taken], period_ns, rng, 0.05))
    assert told <= lost
    assert told >= (0.9 if share <= 0.1 else 0.4) * lost - 3, "a few may seem to follow a pattern, by chance"


@given(PERIODS, st.integers(100, 400), RANDOMS)
def test_what_was_captured_and_lost_is_not_missing(period_ns: int, frames: int, rng: Random) -> None:
    seqs = [number for number in range(frames) if rng.random() >= 0.15]
    assert missing([seq * period_ns for seq in seqs], seqs) == 0


@given(PERIODS, st.integers(2, 30), st.integers(40, 90))
def test_an_outage_is_counted_whole_once(period_ns: int, length: int, before: int) -> None:
    times = [number * period_ns for number in range(before + length + 64) if not before <= number < before + length]
    grid, told = PtsGrid(), list[int]()
    for seq, time in enumerate(times):
        told.append(grid.add(seq, time, time))
    assert [one for one in told if one] == [length]
    assert next(seq for seq, one in enumerate(told) if one) <= before + 2 * AROUND, "within a moment"
    assert grid.rest() == 0


@given(PERIODS, st.integers(40, 90), st.integers(10, 10**6))
def test_pts_that_are_set_are_no_hole(period_ns: int, before: int, step_s: int) -> None:
    grid = PtsGrid()
    told = 0
    for number in range(2 * before):
        at = number * period_ns
        told += grid.add(number, at + (step_s * S if number >= before else 0), at)
    assert told + grid.rest() == 0


def test_frames_without_pts_say_nothing() -> None:
    grid = PtsGrid()
    assert sum(grid.add(seq, None, seq * 40 * MS) for seq in range(200)) + grid.rest() == 0


def test_nothing_is_said_of_what_lies_between_two_sessions() -> None:
    grid = PtsGrid()
    told = sum(grid.add(seq, seq * 40 * MS, seq * 40 * MS) for seq in range(100))
    told += grid.rest()
    told += sum(grid.add(seq, seq * 40 * MS, seq * 40 * MS) for seq in range(200, 300))
    assert told + grid.rest() == 0
