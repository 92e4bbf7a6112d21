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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from operator import add

BEAM = 12
"""Partial solutions kept while references that touch are solved together: four streams never needed more."""
BRANCH = 12
"""Sets tried per reference and partial solution."""
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
    last: dict[str, int]
    before: "_Partial | None" = None
    match: Match | None = None

    def dominates(self, other: "_Partial") -> bool:
        """Whether every end of ``other`` is an end of this too; the caller knows that this ranks no worse."""
        return all(other.last.get(name, NEVER) >= time for name, time in self.last.items())


_NOTHING = _Partial((0, 0, 0), {})


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
        chosen = [self._best(reference, time, self._candidates(time, others, after)) for time in wanted]
        runs = [(place, place) for place in range(len(wanted))]
        while (clash := _first_clash(chosen)) is not None:
            # Each run is solved as if it were alone; runs that touch then are solved again as one, and a little more.
            first, last = runs[clash[0]][0], runs[clash[1]][1]
            more = (last - first + 1) // 2 - 1
            first, last = runs[max(0, first - more)][0], runs[min(len(runs) - 1, last + more)][1]
            run = slice(first, last + 1)
            chosen[run] = self._solve(reference, wanted[run], others, after)
            runs[run] = [(first, last)] * (last + 1 - first)
        return [match for match in chosen if match is not None]

    def _solve(
        self, reference: str, wanted: Sequence[int], others: Mapping[str, Sequence[int]], after: Mapping[str, int]
    ) -> list[Match | None]:
        """The sets of a run of references that touch: most frames paired, then the least total spread."""
        beam = [_Partial((0, 0, 0), dict(after))]
        for place, time in enumerate(wanted):
            floor = wanted[place + 1] - self.max_skew_ns if place + 1 < len(wanted) else time + self.max_skew_ns + 1
            grown: dict[tuple[tuple[str, int], ...], _Partial] = {}
            for partial in beam:
                still = {name: used for name, used in partial.last.items() if used >= floor}
                steps = self._steps(reference, time, self._candidates(time, others, partial.last), floor)
                for step in (*steps, _NOTHING):
                    rank = tuple(map(add, partial.rank, step.rank))
                    last = still | step.last
                    key = tuple(sorted(last.items()))
                    if key not in grown or rank < grown[key].rank:
                        grown[key] = _Partial((rank[0], rank[1], rank[2]), last, partial, step.match)
            beam = _undominated(grown.values(), BEAM)
        return _trail(beam[0])

    def _steps(self, reference: str, time: int, items: Sequence[tuple[int, str]], floor: int) -> list[_Partial]:
        """Sets worth trying for one reference of a run: the best ones, with and without what a later one may want."""
        steps: list[_Partial] = []
        for members in self._sets(time, items):
            wanted_later = sorted(name for name, other in members.items() if other >= floor)
            most = SPARED if len(wanted_later) <= 4 else 1
            for count in range(min(most, len(members) - 1) + 1):
                for spared in combinations(wanted_later, count):
                    match = _as_match(reference, time, {n: t for n, t in members.items() if n not in spared})
                    last = {n: match.times[n] for n in wanted_later if n not in spared}
                    steps.append(_Partial(match.rank, last, None, match))
        return _undominated(steps, BRANCH)

    def _candidates(
        self, time: int, others: Mapping[str, Sequence[int]], after: Mapping[str, int]
    ) -> list[tuple[int, str]]:
        """Frames of the other streams that a set around ``time`` may hold, by time."""
        low, high = time - self.max_skew_ns, time + self.max_skew_ns
        items = [
            (other, name)
            for name, some in others.items()
            for other in _between(some, max(low, after.get(name, NEVER) + 1), high)
        ]
        items.sort()
        return items

    def _best(self, reference: str, time: int, items: Sequence[tuple[int, str]]) -> Match | None:
        matches = [_as_match(reference, time, members) for members in self._sets(time, items)]
        return min(matches, key=lambda match: match.rank, default=None)

    def _sets(self, time: int, items: Sequence[tuple[int, str]]) -> Iterator[Mapping[str, int]]:
        """The partners in reach, one set per left end of a window that slides over the candidates."""
        first: dict[str, int] = {}
        for left in range(len(items) - 1, -1, -1):
            start, name = items[left]
            first[name] = start
            if start <= time or left == 0 or items[left - 1][0] <= time:
                limit = min(start, time) + self.max_skew_ns
                yield {other: taken for other, taken in first.items() if taken <= limit}


def _as_match(reference: str, time: int, partners: Mapping[str, int]) -> Match:
    times = {reference: time, **partners}
    return Match(time, times, max(times.values()) - min(times.values()))


def _undominated(partials: Iterable[_Partial], most: int) -> list[_Partial]:
    """The best ``most``, without those to which a better one leaves nothing to hope for."""
    kept: list[_Partial] = []
    for partial in sorted(partials, key=lambda partial: partial.rank):
        if not any(better.dominates(partial) for better in kept):
            kept.append(partial)
            if len(kept) == most:
                break
    return kept


def _trail(partial: _Partial) -> list[Match | None]:
    matches: list[Match | None] = []
    while partial.before is not None:
        matches.append(partial.match)
        partial = partial.before
    return matches[::-1]


def _between(some: Sequence[int], low: int, high: int) -> Sequence[int]:
    return some[bisect_left(some, low) : bisect_right(some, high)]


def _first_clash(chosen: Sequence[Match | None]) -> tuple[int, int] | None:
    """The first two references whose sets share a frame or cross."""
    last: dict[str, tuple[int, int]] = {}
    for index, match in enumerate(chosen):
        for name, time in match.times.items() if match is not None else ():
            if name in last and time <= last[name][0]:
                return last[name][1], index
            last[name] = time, index
    return None
