"""What belongs together: the MinSpread policy, a pure function of capture times.

Guarantees (each has a property test):

* a frame is in at most one set;
* sets never cross: in every stream, a later set has a later frame;
* the spread of a set is at most ``max_skew_ns``;
* every set holds one frame of the reference stream, and at least one of another;
* a reference whose best set nobody else wants a frame of has it: as many streams as the skew allows, then the least
  spread, then the earliest frames;
* where references want the same frames, as few as possible miss that (least total regret, see ``contest``): exact with
  up to four streams, while the work allowed suffices;
* the order in which frames arrived, or streams are passed, is irrelevant;
* the work per reference is bounded, whatever the frames.

Source: the least span that holds one element of each sorted list (sliding window), per reference.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from syncsvc.pairing.contest import NEVER, NOTHING, Contest, Near, members, windows


@dataclass(frozen=True, slots=True)
class Match:
    """A set as capture times: ``times[stream]`` in nanoseconds, the reference's among them."""

    reference_ns: int
    times: Mapping[str, int]
    spread_ns: int


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
        later = {name: _later(some, after.get(name, NEVER)) for name, some in times.items() if name != reference}
        wanted = [time for time in references if time > after.get(reference, NEVER)]
        paired = zip(wanted, self.partners(later, wanted), strict=True)
        return [_as_match(reference, time, some) for time, some in paired if some]

    def partners(self, others: Mapping[str, Sequence[int]], references: Sequence[int]) -> list[dict[str, int]]:
        """Of each reference, the other streams' frames in its set; none where it has no set. As ``match``."""
        names = sorted(name for name, some in others.items() if some)
        near = self._near(references, [others[name] for name in names])
        chosen = self._solve(references, near, len(names))
        return [{names[stream]: time for stream, time in sorted(some.items())} for some in chosen]

    def best(self, others: Mapping[str, Sequence[int]], reference: int) -> dict[str, int]:
        """The partners of a reference that nobody contests, by stream; none where it has no set."""
        names = sorted(others)
        [near] = self._near([reference], [others[name] for name in names])
        found = members(min(windows(reference, near, self.max_skew_ns), default=NOTHING), near)
        return {names[stream]: time for stream, time in found.items()}

    def _near(self, wanted: Sequence[int], others: Sequence[Sequence[int]]) -> list[Near]:
        """Per reference, the frames of the other streams that it may be paired with: (time, stream), by time."""
        frames = sorted((time, stream) for stream, some in enumerate(others) for time in some)
        instants = [time for time, _ in frames]
        skew = self.max_skew_ns
        return [frames[bisect_left(instants, t - skew) : bisect_right(instants, t + skew)] for t in wanted]

    def _solve(self, wanted: Sequence[int], near: Sequence[Near], streams: int) -> list[Mapping[int, int]]:
        """The partners of each reference, by stream: its best set, where nobody else wants a frame of it."""
        skew = self.max_skew_ns
        best = [min(windows(time, some, skew), default=NOTHING) for time, some in zip(wanted, near, strict=True)]
        chosen: list[Mapping[int, int]] = [members(one, some) for one, some in zip(best, near, strict=True)]
        contest = Contest(wanted, near, best, streams, skew)
        runs = [(place, place + 1) for place in range(len(wanted))]
        # Each run is solved as if it were alone; runs that touch then are solved again as one, and a little more.
        while dirty := list(_touching(chosen, runs)):
            for start, end in dirty:
                chosen[start:end] = contest.solve(start, end)
                runs[start:end] = [(start, end)] * (end - start)
        return chosen


def _later(some: Sequence[int], used: int) -> Sequence[int]:
    return some[bisect_right(some, used) :]


def _as_match(reference: str, time: int, partners: Mapping[str, int]) -> Match:
    times = {reference: time, **partners}
    return Match(time, times, max(times.values()) - min(times.values()))


def _touching(chosen: Sequence[Mapping[int, int]], runs: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The runs to solve again: those whose sets share a frame or cross, as one, with half as much on either side."""
    start = end = 0
    for first, second in _clashes(chosen):
        low, high = runs[first][0], runs[second][1]
        if low >= end:
            if end:
                yield start, end
            start, end = low, high
        more = (high - low) // 2 - 1
        start = min(start, runs[max(0, low - more)][0])
        end = max(end, runs[min(len(runs), high + more) - 1][1])
    if end:
        yield start, end


def _clashes(chosen: Sequence[Mapping[int, int]]) -> Iterator[tuple[int, int]]:
    """Pairs of references whose sets share a frame or cross."""
    last: dict[int, tuple[int, int]] = {}
    for place, partners in enumerate(chosen):
        for stream, time in partners.items():
            if stream in last and time <= last[stream][0]:
                yield last[stream][1], place
            last[stream] = time, place
