"""Finds the most that holds: upward in steps, then between the last that held and the first that did not.

The last steps are a quarter of the first ones: a level takes half a minute, and the machine's noise is coarser.
"""

from collections.abc import Callable
from dataclasses import dataclass

TRIES = 2
"""A level fails when it fails so often in a row: other programs on the machine break one run of many."""


@dataclass(frozen=True, slots=True)
class HighestLevel:
    """The highest level that held (0: none), and the lowest that did not (None: all that were tried held)."""

    most: int
    broke: int | None


def most_that_holds(holds: Callable[[int], bool], start: int, step: int, limit: int) -> HighestLevel:
    """Search for the highest level that holds.

    Args:
        holds: tries a level, and may say either of the same one when asked twice.
        start: the first level.
        step: how far it goes up while levels hold.
        limit: no level is higher.
    """
    most, broke, level = 0, None, min(start, limit)
    while broke is None and level > most:
        if _holds(holds, level):
            most, level = level, min(level + step, limit)
        else:
            broke = level
    while broke is not None and broke - most > max(1, step // 4):
        level = (most + broke) // 2
        if _holds(holds, level):
            most = level
        else:
            broke = level
    return HighestLevel(most, broke)


def _holds(holds: Callable[[int], bool], level: int) -> bool:
    return any(holds(level) for _ in range(TRIES))
