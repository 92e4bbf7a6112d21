"""Cuts a picture into parts for several workers: each sees some more than its own, and writes its own alone."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

from numpy.typing import NDArray

from syncsvc.errors import UsageError


class Reach(NamedTuple):
    """Along one axis: what a part sees, and what of it is its own."""

    first_seen: int
    first: int
    end: int
    end_seen: int

    @property
    def seen(self) -> slice:
        """What it sees, of the picture."""
        return slice(self.first_seen, self.end_seen)

    @property
    def own(self) -> slice:
        """What is its own, of the picture."""
        return slice(self.first, self.end)

    @property
    def inner(self) -> slice:
        """What is its own, of what it sees."""
        return slice(self.first - self.first_seen, self.end - self.first_seen)


class Cutout(NamedTuple):
    """Of a picture."""

    rows: Reach
    columns: Reach | None
    """None: all of them."""

    def of(self, name: str) -> tuple[slice, ...]:
        """``seen``, ``own`` or ``inner`` of both axes."""
        rows: slice = getattr(self.rows, name)
        return (rows,) if self.columns is None else (rows, getattr(self.columns, name))


def _reaches(length: int, step: int, overlap: int) -> Iterator[Reach]:
    for first in range(0, length, step):
        end = min(length, first + step)
        yield Reach(max(0, first - overlap), first, end, min(length, end + overlap))


def bands(height: int, number: int, overlap: int) -> list[Cutout]:
    """So many bands of about the same height; every row is one band's own.

    Raises:
        UsageError: there is no band, or the overlap is negative.
    """
    if number < 1 or overlap < 0:
        raise UsageError(f"{number} bands with an overlap of {overlap}: at least 1 and 0")
    edges = [height * index // number for index in range(number + 1)]
    return [
        Cutout(Reach(max(0, first - overlap), first, end, min(height, end + overlap)), None)
        for first, end in pairwise(edges)
    ]


def tiles(shape: tuple[int, ...], tile: tuple[int, int], overlap: int) -> list[Cutout]:
    """Tiles of this size, smaller at the right and at the bottom; every pixel is one tile's own.

    Raises:
        UsageError: a tile has no pixel, or the overlap is negative.
    """
    if min(tile) < 1 or overlap < 0:
        raise UsageError(f"tiles of {tile} with an overlap of {overlap}: at least 1 and 0")
    return [
        Cutout(rows, columns)
        for rows in _reaches(shape[0], tile[0], overlap)
        for columns in _reaches(shape[1], tile[1], overlap)
    ]


def do_part(
    function: Callable[[NDArray[Any]], NDArray[Any]], source: NDArray[Any], out: NDArray[Any], part: Cutout
) -> None:
    """Let a function see a part, and write what it makes of the part's own into ``out``.

    Raises:
        ValueError: it returned something of another shape.
    """
    seen = source[part.of("seen")]
    seen.flags.writeable = False
    made, place = function(seen), out[part.of("own")]
    inner = made[part.of("inner")] if made.shape[:2] == seen.shape[:2] else made
    if inner.shape != place.shape:
        raise ValueError(
            f"the function made {made.shape} of {seen.shape}; {place.shape} of {out.shape} was to be filled"
        )
    place[...] = inner
