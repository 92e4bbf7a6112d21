"""Which frames of a stream of doubtful times join sets that are formed already, without changing them.

Guarantees (each has a property test):

* a set gets at most one frame, a frame joins at most one set, and a later set gets a later frame;
* no set becomes wider than ``max_skew_ns``;
* as many frames as possible join, then the spread added is least, then the frames are the earliest.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import NamedTuple


class Span(NamedTuple):
    """Where a set lies: its reference's time, its first and its last, UTC nanoseconds."""

    reference: int
    low: int
    high: int


class _Joining(NamedTuple):
    """One way for the first sets; the least is the best."""

    cost: tuple[int, int, int]
    """Frames (negative), spread added, sum of the frames' times."""
    used: int
    before: "_Joining | None"
    taken: int | None
    """Number of the frame that the last set takes."""


def attach(spans: Sequence[Span], frames: Sequence[int], max_skew_ns: int) -> list[int | None]:
    """Choose a frame, or none, for each set.

    Args:
        spans: the sets, by reference.
        frames: capture times of the stream's frames, sorted, UTC nanoseconds.
        max_skew_ns: widest spread of a set.

    Returns:
        Per set, the time of its frame.

    Source: dynamic programming over the sets; the state is the last frame used.
    """
    ways = [_Joining((0, 0, 0), -1, None, None)]
    for span in spans:
        passed = bisect_left(frames, span.reference - max_skew_ns) - 1  # nothing before is in reach from here on
        grown = {max(way.used, passed): _Joining(way.cost, max(way.used, passed), way, None) for way in reversed(ways)}
        for number in range(bisect_left(frames, span.high - max_skew_ns), bisect_right(frames, span.low + max_skew_ns)):
            before = min((way for way in ways if way.used < number), key=lambda way: way.cost, default=None)
            if before is not None:
                time, (count, added, total) = frames[number], before.cost
                more = max(span.low - time, time - span.high, 0)
                way = _Joining((count - 1, added + more, total + time), number, before, number)
                grown[number] = min(grown.get(number, way), way, key=lambda way: way.cost)
        ways = sorted(grown.values(), key=lambda way: way.cost)
    return _unwound(ways[0], frames)


def _unwound(way: _Joining, frames: Sequence[int]) -> list[int | None]:
    chosen: list[int | None] = []
    while way.before is not None:
        chosen.append(None if way.taken is None else frames[way.taken])
        way = way.before
    return chosen[::-1]
