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
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from syncsvc.pairing.attach import Span, attach
from syncsvc.pairing.contest import NEVER, NOTHING, Contest, Near, members, windows
from syncsvc.pairing.policy import Fixed, FrameT, Window, trusted

FEWER = (7, 8)
"""Another stream drives when it has less than this part of the driver's frames, so that equal rates never alternate."""


@dataclass(frozen=True, slots=True)
class Match:
    """A set as capture times: ``times[stream]`` in nanoseconds, the reference's among them."""

    reference_ns: int
    times: Mapping[str, int]
    spread_ns: int


class MinSpread:
    """Pairs each reference with the frames of the other streams that give the tightest set.

    In a window the stream with the fewest frames drives (not zero; ties by the group's order), or the configured
    reference. Doubtful streams join the sets of the others when these are fixed, and lead where nobody else has frames.
    """

    def __init__(self, max_skew_ns: int, reference: str | None = None) -> None:
        self.max_skew_ns, self._reference = max_skew_ns, reference

    def sets(self, window: Window[FrameT]) -> list[Fixed[FrameT]]:
        """See ``Policy.sets``."""
        driver, leading = self._leading(window)
        if driver is None:
            return []
        queued = {name: {frame.time_ns: frame for frame in frames} for name, frames in window.frames.items()}
        times, until, last = (
            {name: list(queued[name]) for name in leading},
            window.end_ns + self.max_skew_ns,
            window.after,
        )
        references = [time for time in times[driver] if last.get(driver, time - 1) < time < until]
        paired = {match.reference_ns: dict(match.times) for match in self.match(driver, times, references, last)}
        alone = [(time, paired.get(time, {driver: time})) for time in references]
        fixed = [(time, chosen) for time, chosen in alone if min(chosen.values()) < window.end_ns]
        for name in queued:
            if name in window.doubtful and name not in times:
                free = [time for time in queued[name] if time > last.get(name, time - 1)]
                self._join(name, free, [chosen for _, chosen in fixed], driver)
        return [
            Fixed(reference, {name: queued[name][time] for name, time in chosen.items()})
            for reference, chosen in fixed
            if len(chosen) > 1
        ]

    def _leading(self, window: Window[FrameT]) -> tuple[str | None, list[str]]:
        """The stream whose frames are the references, and those that it is paired with."""
        leading = trusted(window.frames, window.doubtful, self._reference)
        if self._reference is not None:
            return self._reference, leading
        if not any(window.counts[name] for name in leading):
            leading = [name for name in window.frames if name in window.doubtful]
        return self.driver({name: window.counts[name] for name in leading}), leading

    def _join(self, name: str, free: Sequence[int], sets: Sequence[dict[str, int]], driver: str) -> None:
        """Let frames of a doubtful stream join the sets."""
        spans = [Span(chosen[driver], min(chosen.values()), max(chosen.values())) for chosen in sets]
        for chosen, time in zip(sets, attach(spans, free, self.max_skew_ns), strict=True):
            if time is not None:
                chosen[name] = time

    def driver(self, counts: Mapping[str, int], current: str | None = None, steady: Collection[str] = ()) -> str | None:
        """See ``SetPolicy.driver``: the stream with the fewest frames, if that is clear."""
        some = {name: count for name, count in counts.items() if count}
        if current not in some:
            return min(some, key=some.__getitem__, default=None)
        rival = min((name for name in some if name in steady), key=some.__getitem__, default=current)
        return rival if some[rival] * FEWER[1] < some[current] * FEWER[0] else current

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
