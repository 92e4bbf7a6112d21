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
"""Partial solutions kept while references that touch are solved together (as many as the oracle of our accuracy tests)."""
BRANCH = 4
"""Sets tried per reference and partial solution."""

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
    paired: int
    spread_ns: int
    last: Mapping[str, int]
    chosen: tuple[Match | None, ...]

    @property
    def rank(self) -> tuple[int, int]:
        return -self.paired, self.spread_ns


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
        others = {name: list(some) for name, some in times.items() if name != reference and some}
        wanted = [time for time in references if time > after.get(reference, NEVER)]
        best = [self._best(reference, time, others, after, 1) for time in wanted]
        chosen: list[Match | None] = [options[0] if options else None for options in best]
        start = 0
        while (clash := _first_clash(chosen, start)) is not None:
            first, last = clash
            first, chosen = self._settle(reference, wanted, others, after, chosen, first, last)
            start = first
        return [match for match in chosen if match is not None]

    def _settle(
        self,
        reference: str,
        wanted: Sequence[int],
        others: Mapping[str, Sequence[int]],
        after: Mapping[str, int],
        chosen: list[Match | None],
        first: int,
        last: int,
    ) -> tuple[int, list[Match | None]]:
        """Solve a run of references that touch, grown until it no longer touches its neighbours."""
        while True:
            base = dict(after)
            for match in chosen[:first]:
                if match is not None:
                    base.update(match.times)
            solved = self._solve(reference, wanted[first : last + 1], others, base)
            trial = [*chosen[:first], *solved, *chosen[last + 1 :]]
            clash = _first_clash(trial, max(0, first - 1))
            if clash is None or clash[0] > last:
                return last + 1 if clash is None else clash[0], trial
            last = max(last, clash[1])

    def _solve(
        self, reference: str, wanted: Sequence[int], others: Mapping[str, Sequence[int]], base: Mapping[str, int]
    ) -> tuple[Match | None, ...]:
        beam = [_Partial(0, 0, base, ())]
        for time in wanted:
            grown: dict[tuple[tuple[str, int], ...], _Partial] = {}
            for partial in beam:
                options = self._best(reference, time, others, partial.last, BRANCH)
                for option in (*options, None):
                    last = {**partial.last, **option.times} if option else partial.last
                    candidate = _Partial(
                        partial.paired + (len(option.times) if option else 0),
                        partial.spread_ns + (option.spread_ns if option else 0),
                        last,
                        (*partial.chosen, option),
                    )
                    key = tuple(sorted(last.items()))
                    if key not in grown or candidate.rank < grown[key].rank:
                        grown[key] = candidate
            beam = sorted(grown.values(), key=lambda partial: partial.rank)[:BEAM]
        return beam[0].chosen

    def _best(
        self, reference: str, time: int, others: Mapping[str, Sequence[int]], after: Mapping[str, int], count: int
    ) -> list[Match]:
        """The best sets around one reference, best first: one per left end of the sliding window."""
        low, high = time - self.max_skew_ns, time + self.max_skew_ns
        items = [
            (other, name)
            for name, some in others.items()
            for other in _between(some, max(low, after.get(name, NEVER) + 1), high)
        ]
        items.append((time, reference))
        items.sort()
        found: list[Match] = []
        for left, (start, _) in enumerate(items):
            if start > time:
                break
            times: dict[str, int] = {}
            best: Match | None = None
            for other, name in items[left:]:
                if other - start > self.max_skew_ns:
                    break
                if name not in times:
                    times[name] = other
                    if other >= time and len(times) > 1 and reference in times:
                        best = Match(time, dict(times), other - start)
            if best is not None:
                found.append(best)
        found.sort(key=lambda match: match.rank)
        return found[:count]


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
