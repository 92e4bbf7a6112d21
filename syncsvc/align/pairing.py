"""What belongs together: the MinSpread policy, a pure function of capture times.

Guarantees (each has a property test):

* a frame is in at most one set;
* sets never cross: in every stream, a later set has a later frame;
* the spread of a set is at most ``max_skew_ns``;
* every set holds one frame of the reference stream, and at least one of another;
* a set has as many streams as the skew allows, then the least spread, then the earliest frames;
* where two references want one frame, both are solved together: most frames paired, then the least total spread;
* the order in which frames arrived, or are passed, is irrelevant.

Source: the least span that holds one element of each sorted list (sliding window), per reference; conflicts by a beam
search over the references that touch.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

BEAM = 12
"""Partial solutions kept while references that touch are solved together: three streams never needed more in our tests."""
SPARED = 2
"""Frames that a set may leave to a later reference, at most, of those that it could have had."""

NEVER = -(2**63)


@dataclass(frozen=True, slots=True)
class Match:
    """A set as capture times: ``times[stream]`` in nanoseconds, the reference's among them."""

    reference_ns: int
    times: Mapping[str, int]
    spread_ns: int

    @property
    def rank(self) -> tuple[int, int, int]:
        """Smaller is better: more streams, then less spread, then earlier frames."""
        return -len(self.times), self.spread_ns, sum(self.times.values())


@dataclass(frozen=True, slots=True)
class _Partial:
    """Sets for the first references of a run; ``last`` has the frames used that a later reference may want too."""

    rank: tuple[int, int, int]
    last: Mapping[str, int]
    before: "_Partial | None" = None
    match: Match | None = None

    def dominates(self, other: "_Partial") -> bool:
        """Whether every end of ``other`` is an end of this too; the caller knows that this ranks no worse."""
        return all(other.last.get(name, NEVER) >= time for name, time in self.last.items())


class MinSpread:
    """Pairs each reference with the frames of the other streams that give the tightest set."""

    def __init__(self, max_skew_ns: int) -> None:
        self.max_skew_ns = max_skew_ns

    def match(
        self, reference: str, times: Mapping[str, Sequence[int]], references: Sequence[int], after: Mapping[str, int]
    ) -> list[Match]:
        """Form the sets of ``references``.

        Args:
            reference: the stream that drives.
            times: capture times of each stream's frames, sorted, UTC nanoseconds.
            references: the driver's frames to find sets for, sorted.
            after: per stream, the last time that an earlier set used; nothing at or before it is used.

        Returns:
            Sets in the order of their references; a reference without a partner has none.
        """
        others = {name: some for name, some in times.items() if name != reference and some}
        wanted = [time for time in references if time > after.get(reference, NEVER)]
        chosen = [self._best(reference, time, others, after) for time in wanted]
        while (clash := _first_clash(chosen)) is not None:
            first, last = clash
            while clash is not None:  # grown until what is best for the run alone touches neither neighbour
                run = slice(first, last + 1)
                chosen[run] = self._solve(reference, wanted[run], others, after)
                clash = _first_clash(chosen[: last + 1], first) or _first_clash(chosen[first:], 0, first)
        return [match for match in chosen if match is not None]
def _between(some: Sequence[int], low: int, high: int) -> Sequence[int]:
    return some[bisect_left(some, low) : bisect_right(some, high)]


def _first_clash(chosen: Sequence[Match | None], start: int) -> tuple[int, int] | None:
    """The first two references, from ``start`` on, whose sets share a frame or cross."""
    last: dict[str, tuple[int, int]] = {}
    for index in range(start, len(chosen)):
        match = chosen[index]
        if match is None:
            continue
        for name, time in match.times.items():
            if name in last and time <= last[name][0]:
                return last[name][1], index
            last[name] = time, index
    return None
