"""What the sets ought to be when the true capture times are known: the best pairing there is.

Written apart from the policy that the service uses, so that it can be held against it.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from operator import le

HALF = 128
"""A set that is wider than it could be by this fraction of the skew counts as half a frame less."""
NARROW = 8
"""Ways kept per reference on the first look, which only says how good the result must be at least."""
WIDE = 256
"""Ways kept per reference on the second, which is exact where there are no more."""

Cost = tuple[int, int, int]
"""What the sets lack, spread, sum of the frames' times: in total, less is better."""
Partners = Mapping[int, int]
"""Index of the frame taken, by number of the other stream."""
Near = Sequence[tuple[int, int, int]]
"""Frames of the other streams that a reference may be paired with: (time, stream, index), by time."""


@dataclass(frozen=True, slots=True)
class _Set:
    """A set around one reference, or none at all; the least ``rank`` is the best."""

    rank: tuple[int, int, int]
    partners: Partners


_NO_SET = _Set((0, 0, 0), {})


@dataclass(frozen=True, slots=True)
class _Partial:
    """One way to form the sets of the first references of a stretch; ``used`` is the last index per other stream."""

    cost: Cost
    used: tuple[int, ...]
    before: "_Partial | None"
    partners: Partners


def best_sets(
    times: Mapping[str, Sequence[int]],
    max_skew: int,
    reference: str,
    is_allowed: Callable[[int, str, int], bool] = lambda reference, stream, time: True,
) -> list[dict[str, int]]:
    """The best sets of one stream that there can be, over the whole length.

    A set holds one frame of the reference stream and at least one of another, spread at most ``max_skew``; in every
    stream a later set has a later frame. On its own, a reference would have the set with the most frames, of those the
    one with the least spread, of those the one with the earliest frames. Where references want the same frames, all
    sets together are as close to that as can be: the total of what they lack is least, where a frame less counts 1, and
    a spread that is wider by ``w`` counts ``w / (w + max_skew / HALF)``. Then the total spread is least, then the
    frames are the earliest.

    This is exact, at any number of streams, unless more than ``WIDE`` ways are as good as the bound at one reference,
    none of which is better than another in every respect (sixteen cameras of 25 fps never had more than a hundred);
    then the best of those is it.

    Args:
        times: per stream, the true capture times, rising strictly; any unit, fine enough to tell such spreads apart.
        max_skew: widest spread of a set, in that unit.
        reference: the stream with a frame in every set.
        is_allowed: whether the set of a reference (its time) may have a frame (stream and time).

    Returns:
        Sets in order, each ``{stream: index into times[stream]}``.

    Source: dynamic programming over references with the last index used per stream as state. Ways that cost more than
    the first look found possible are left out (no step makes a way cheaper), and those that a cheaper way with fewer
    frames used can follow in every step.
    """
    others = [name for name in times if name != reference]
    lists = [times[name] for name in others]
    problem = _Problem(times[reference], lists, max_skew, lambda at, stream, t: is_allowed(at, others[stream], t))
    return [
        {reference: place, **{others[stream]: index for stream, index in sorted(partners.items())}}
        for place, partners in enumerate(problem.solve())
        if partners
    ]


class _Problem:
    def __init__(
        self,
        references: Sequence[int],
        lists: Sequence[Sequence[int]],
        max_skew: int,
        is_allowed: Callable[[int, int, int], bool],
    ) -> None:
        self._is_allowed = is_allowed
        self._references, self._lists, self._max_skew = references, lists, max_skew
        self._price, self._half = max_skew + 1, max_skew // HALF + 1
        self._near = [self._around(time) for time in references]
        self._unused = (-1,) * len(lists)
        self._alone = [
            min(self._sets(place, self._unused), key=lambda one: one.rank, default=_NO_SET)
            for place in range(len(references))
        ]

    def solve(self) -> list[Partners]:
        """The partners of every reference: each on its own, and those whose sets collide as one stretch."""
        solved = [one.partners for one in self._alone]
        stretches = [(place, place + 1) for place in range(len(solved))]
        while (collision := _first_collision(solved)) is not None:
            start, end = stretches[collision[0]][0], stretches[collision[1]][1]
            bound = self._search(start, end, NARROW, None).cost
            solved[start:end] = _unwound(self._search(start, end, WIDE, bound))
            stretches[start:end] = [(start, end)] * (end - start)
        return solved

    def _search(self, start: int, end: int, width: int, bound: Cost | None) -> _Partial:
        """The best way through the references from ``start`` until before ``end``."""
        ways = [_Partial((0, 0, 0), self._unused, None, {})]
        for place in range(start, end):
            passed = self._passed(place + 1, end)
            grown: dict[tuple[int, ...], _Partial] = {}
            for way in ways:
                for cost, partners in self._steps(way, place, passed, bound):
                    used = list(map(max, way.used, passed))
                    for stream, index in partners.items():
                        used[stream] = max(used[stream], index)
                    key = tuple(used)
                    if key not in grown or cost < grown[key].cost:
                        grown[key] = _Partial(cost, key, way, partners)
            ways = _worth_following(grown.values(), width)
        return ways[0]

    def _steps(
        self, way: _Partial, place: int, passed: Sequence[int], bound: Cost | None
    ) -> Iterator[tuple[Cost, Partners]]:
        """What the reference may do next, and what the way costs then; parts of sets only if there is a bound."""
        yield self._cost(way, place, _NO_SET), {}
        for whole in self._sets(place, way.used):
            cost = self._cost(way, place, whole)
            if bound is None or cost <= bound:
                yield cost, whole.partners
            later = [stream for stream, index in whole.partners.items() if index > passed[stream]]
            for count in range(1, min(len(later), len(whole.partners) - 1) + 1) if bound is not None else ():
                least_regret = self._price * (whole.rank[0] + count - self._alone[place].rank[0])
                if bound is not None and way.cost[0] + least_regret > bound[0]:
                    break
                for spared in combinations(later, count):
                    left = {stream: index for stream, index in whole.partners.items() if stream not in spared}
                    cost = self._cost(way, place, self._as_set(place, left))
                    if bound is None or cost <= bound:
                        yield cost, left

    def _cost(self, way: _Partial, place: int, chosen: _Set) -> Cost:
        best = self._alone[place].rank
        wider = max(0, chosen.rank[1] - best[1])
        regret = self._price * (chosen.rank[0] - best[0]) + self._price * wider // (wider + self._half)
        return way.cost[0] + regret, way.cost[1] + chosen.rank[1], way.cost[2] + chosen.rank[2]

    def _around(self, time: int) -> Near:
        low, high = time - self._max_skew, time + self._max_skew
        return sorted(
            (some[index], stream, index)
            for stream, some in enumerate(self._lists)
            for index in range(bisect_left(some, low), bisect_right(some, high))
            if self._is_allowed(time, stream, some[index])
        )

    def _passed(self, place: int, end: int) -> list[int]:
        """Per stream, the last index that no reference of the stretch wants from ``place`` on."""
        if place == end:
            return [len(some) for some in self._lists]
        return [bisect_left(some, self._references[place] - self._max_skew) - 1 for some in self._lists]

    def _sets(self, place: int, used: Sequence[int]) -> Iterator[_Set]:
        """For every first frame, the unused frames that follow it as far as the skew allows; also without the last."""
        reference = self._references[place]
        near = [frame for frame in self._near[place] if frame[2] > used[frame[1]]]
        for first, (start, _, _) in enumerate(near):
            low, partners = min(start, reference), dict[int, int]()
            for time, stream, index in near[first:]:
                if time - low > self._max_skew:
                    break
                if stream not in partners:
                    partners[stream] = index
                    yield self._as_set(place, dict(partners))

    def _as_set(self, place: int, partners: Partners) -> _Set:
        times = [self._references[place], *(self._lists[stream][index] for stream, index in partners.items())]
        return _Set((-len(times), max(times) - min(times), sum(times)), partners)


def _worth_following(ways: Iterable[_Partial], most: int) -> list[_Partial]:
    """The cheapest, without those that a cheaper one can follow in every step."""
    kept: list[_Partial] = []
    for way in sorted(ways, key=lambda way: way.cost):
        if not any(all(map(le, cheaper.used, way.used)) for cheaper in kept):
            kept.append(way)
            if len(kept) == most:
                break
    return kept


def _first_collision(solved: Sequence[Partners]) -> tuple[int, int] | None:
    """The first two references that share a frame or whose sets cross."""
    last: dict[int, tuple[int, int]] = {}
    for place, partners in enumerate(solved):
        for stream, index in partners.items():
            if stream in last and index <= last[stream][0]:
                return last[stream][1], place
            last[stream] = index, place
    return None


def _unwound(way: _Partial) -> list[Partners]:
    solved: list[Partners] = []
    while way.before is not None:
        solved.append(way.partners)
        way = way.before
    return solved[::-1]
