"""How many frames never reached us, as the grid of their pts shows: what the network or the camera left out; pure.

A camera takes pictures at a steady pace, so its pts lie on a grid, and a hole in it is a frame that is missing. Cameras
leave frames out by design too: they slow down at night, or send two of three. That is their grid then, and nothing is
missing: so a hole counts only where the pace is the same before and after it, and where holes follow no pattern.
"""

from collections import deque
from collections.abc import Sequence
from statistics import median_low
from typing import NamedTuple

from syncsvc.clock import NS_PER_S

KEPT = 128
"""Steps from one frame to the next by which the pace, and a pattern, are known."""
LEARNING = 32
"""Steps before anything is said; so few show one frame of eight left out by design."""
AROUND = 16
"""Steps before and after a hole in which the pace must be the same; holes are looked at every so many steps."""
STEADY = 0.25
"""At least so many of these are one period long: also where a third of the frames is lost they are twice as many."""
ON_GRID = 0.2
"""A step is on the grid when it is off a multiple of the period by at most this part of a period."""
CLEAR = 0.8
"""At least so many steps are on the grid, or there is none."""
REGULAR = 0.9
"""At least so many holes repeat, at some distance, or they follow no pattern."""
MOST = 0.6
LONGEST_PATTERN = 32
SLACK_NS = 2 * NS_PER_S
"""Pts that step further than time has passed, and this, have been set: no frames are missing."""


class _Step(NamedTuple):
    """From one frame that came to the next: what pts say, and how many frames were captured on the way."""

    pts_ns: int
    frames: int


class PtsGrid:
    """One stream's grid, session by session of its source.

    Guarantees (each has a property test): a steady pace has no holes, whatever it is, and however it changes; nor has a
    pattern that repeats; what was captured and lost is never counted again; of a steady pace from which frames are
    missing now and then, each is counted once, at the next look or at the ``rest``.
    """

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._last: tuple[int, int, int | None] | None = None
        self._steps: deque[_Step] = deque(maxlen=KEPT)
        self._count = self._judged = 0
        self._distance: int | None = None

    def add(self, seq: int, pts_ns: int | None, arrival_ns: int | None) -> int:
        """A frame came; returns how many are known now to be missing that were not known before.

        Args:
            seq: its number; what is between two numbers was captured, and lost.
            pts_ns: its place on the media's time line; None where it has none.
            arrival_ns: when it came, of a clock that does not jump; None where that says nothing (pace ``asap``).
        """
        before, self._last = self._last, None if pts_ns is None else (seq, pts_ns, arrival_ns)
        if before is None or pts_ns is None:
            return 0
        step = _Step(pts_ns - before[1], seq - before[0])
        is_set = arrival_ns is not None and before[2] is not None and step.pts_ns > arrival_ns - before[2] + SLACK_NS
        if step.pts_ns <= 0 or step.frames <= 0 or is_set:
            return 0
        self._steps.append(step)
        self._count += 1
        return self._look(self._count - AROUND) if self._count % AROUND == 0 else 0

    def rest(self) -> int:
        """The session is over: what can still be said of it; another one may begin."""
        missing = self._look(self._count)
        self._begin()
        return missing

    def _look(self, until: int) -> int:
        """Judge the steps up to this one that were not judged yet."""
        steps = list(self._steps)
        if len(steps) < LEARNING:
            return 0
        first, judged, self._judged = self._count - len(steps), self._judged, until
        lengths_ns = [step.pts_ns / step.frames for step in steps]
        if max(lengths_ns) < 1.5 * min(lengths_ns):  # there is no hole in that, and that is how it usually is
            return 0
        units = _units(steps)
        holes = [place for place, step in enumerate(steps) if (units[place] or 0) > step.frames]
        if not holes or units.count(None) > (1 - CLEAR) * len(units):
            return 0
        self._distance = _pattern(units, holes, self._distance)
        singles = [number == step.frames for number, step in zip(units, steps, strict=True)]
        return sum(
            (units[place] or 0) - steps[place].frames
            for place in holes
            if judged <= first + place < until
            and not _repeats(units, place, self._distance)
            and _is_steady(singles, place)
        )


def _units(steps: Sequence[_Step]) -> list[int | None]:
    """How many periods each step is long; None where it is not on the grid."""
    period_ns = median_low([step.pts_ns / step.frames for step in steps])
    usual = [step for step in steps if abs(step.pts_ns / step.frames - period_ns) <= ON_GRID * period_ns]
    period_ns = sum(step.pts_ns for step in usual) / sum(step.frames for step in usual)
    return [_number(step.pts_ns / period_ns) for step in steps]


def _number(length: float) -> int | None:
    """The whole number next to a length; of a long one less is asked, since the period is not known so exactly."""
    number = round(length)
    return number if number > 0 and abs(length - number) <= ON_GRID * max(1.0, number / AROUND) else None


def _is_steady(singles: Sequence[bool], place: int) -> bool:
    """Whether the pace around a hole is that of the grid, as far as that is known."""
    around = singles[max(0, place - AROUND) : place], singles[place + 1 : place + 1 + AROUND]
    return all(not some or sum(some) >= STEADY * len(some) for some in around)


def _pattern(units: Sequence[int | None], holes: Sequence[int], known: int | None) -> int | None:
    """At which distance holes repeat, if they do; a pattern that is known may be broken now and then."""
    for distance in range(1, LONGEST_PATTERN + 1):
        later = [place for place in holes if place >= distance]
        again = sum(units[place - distance] == units[place] for place in later)
        is_most = len(later) >= 2 and len(later) >= MOST * len(holes)
        if is_most and again >= (MOST if distance == known else REGULAR) * len(later):
            return distance
    return None


def _repeats(units: Sequence[int | None], place: int, distance: int | None) -> bool:
    """Whether there is the same hole where the pattern says."""
    if distance is None:
        return False
    others = [other for other in (place - distance, place + distance) if 0 <= other < len(units)]
    return any(units[other] == units[place] for other in others)
