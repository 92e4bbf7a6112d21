"""Sets with true times on a data set's grid of whole frames a second: which are taken, and where an episode begins.

Each is due one step after the one before, not after the episode's first, so that cameras of 29.97 a second stay on a
grid of 30. Pure.
"""

from collections.abc import Sequence
from enum import Enum
from itertools import pairwise
from typing import Final, NamedTuple

from syncsvc.clock import NS_PER_S
from syncsvc.errors import UsageError
from syncsvc.observe.figures import median

MOST_EPISODE_S: Final = 500
"""LeRobot's readers hold times within a file in 32 bits against a tolerance of 0.1 ms, which fails from 1,024 s on; a
file begins with an episode and may take another one."""
MOST_DRIFT: Final = 0.05
"""By so much the true rate may differ from that of the grid."""
_HALF: Final = 2


class SetPlace(Enum):
    """What becomes of a set."""

    BEGINS = "begins"
    """It is the first one of an episode."""
    GOES_ON = "goes on"
    OFF_GRID = "off grid"
    """Another one is nearer to the moment that is due."""


class SetGrid(NamedTuple):
    """``fps`` is the grid's rate, ``rate_hz`` the true one of what lies on it (0 where no two sets do)."""

    fps: int
    rate_hz: float
    places: Sequence[SetPlace]


class _Sets(NamedTuple):
    """The sets as they came: their times, and the numbers of those before which something is missing."""

    times_ns: Sequence[int]
    breaks: frozenset[int]


def grid_of(times_ns: Sequence[int], breaks: frozenset[int], fps: int | None) -> SetGrid:
    """Lay sets on a grid.

    Args:
        times_ns: their capture times, UTC, in the order in which they came.
        breaks: numbers of the sets with which an episode begins in any case.
        fps: the grid's rate; None is the rate of the sets, as a whole number.

    Raises:
        UsageError: the sets come too slowly or too unevenly for such a grid.
    """
    sets = _Sets(times_ns, breaks)
    steps = [after - before for at, (before, after) in enumerate(pairwise(times_ns), 1)
             if at not in breaks and after > before]  # fmt: skip
    usual_hz = NS_PER_S / median(steps) if steps else 0.0
    wanted = fps or max(1, round(usual_hz))
    places = _places(sets, wanted)
    taken = _steps_ns(sets, places)
    taken_hz = NS_PER_S / median(taken) if taken else 0.0
    if usual_hz and abs(taken_hz / wanted - 1) > MOST_DRIFT:
        raise UsageError(
            f"{f'--fps {fps}' if fps else 'no --fps'}: the sets come {usual_hz:.2f} times a second, and "
            f"{taken_hz:.2f} times on a grid of {wanted}; allowed: a whole number that divides that rate"
        )
    return SetGrid(wanted, len(taken) * NS_PER_S / sum(taken) if taken else 0.0, places)


def _places(sets: _Sets, fps: int) -> list[SetPlace]:
    step_ns, count = NS_PER_S // fps, len(sets.times_ns)
    places = [SetPlace.OFF_GRID] * count
    last, length = -1, 0
    while last + 1 < count:
        found = _next(sets, last, step_ns) if 0 < length < MOST_EPISODE_S * fps else None
        if found is not None:
            last, length = found, length + 1
            places[last] = SetPlace.GOES_ON
            continue
        last, length = _first_after(sets, last, step_ns) if length else last + 1, 1
        if last < count:
            places[last] = SetPlace.BEGINS
    return places


def _next(sets: _Sets, last: int, step_ns: int) -> int | None:
    """The set that is nearest to one step after another; None where none is within half a step of that."""
    due_ns = sets.times_ns[last] + step_ns
    best: int | None = None
    for at in range(last + 1, len(sets.times_ns)):
        off_ns = sets.times_ns[at] - due_ns
        if at in sets.breaks or sets.times_ns[at] <= sets.times_ns[at - 1] or off_ns > step_ns // _HALF:
            break
        if off_ns >= -step_ns // _HALF and (best is None or abs(off_ns) < abs(sets.times_ns[best] - due_ns)):
            best = at
    return best


def _first_after(sets: _Sets, last: int, step_ns: int) -> int:
    """The set with which an episode begins after a gap, or where the one before is long enough; or their number."""
    soon_ns = sets.times_ns[last] + step_ns // _HALF
    for at in range(last + 1, len(sets.times_ns)):
        is_apart = at in sets.breaks or sets.times_ns[at] <= sets.times_ns[at - 1]
        if is_apart or sets.times_ns[at] >= soon_ns:
            return at
    return len(sets.times_ns)


def _steps_ns(sets: _Sets, places: Sequence[SetPlace]) -> list[int]:
    """How far apart the sets of an episode are."""
    steps, before_ns = list[int](), 0
    for time_ns, place in zip(sets.times_ns, places, strict=True):
        if place is SetPlace.GOES_ON:
            steps.append(time_ns - before_ns)
        if place is not SetPlace.OFF_GRID:
            before_ns = time_ns
    return steps
