"""What belongs together: every stream drives in turn, so that no stream costs the others their sets.

The stream with the fewest frames drives first. Its frames get the sets that ``minspread`` finds; a set *stands* when it
leaves out no stream that has a frame in reach of its reference, frames in sets that stand apart. The others are undone,
and the next stream drives with what is free. When every stream has driven, what is left is paired once more, and every
set stands. (In reach: within ``max_skew_ns``, and behind the same sets, so that none cross.)

Guarantees (each has a property test):

* a frame is in at most one set; a set has at least ``min_streams`` frames, and is as wide as ``max_skew_ns`` at most;
* sets never cross: in the order of their references, a later set has a later frame of every stream;
* if the sets of the first driver leave out nobody, all of them stand: a healthy group has those of ``minspread``;
* no frames are left that could be one set more: leftovers form sets too;
* another stream costs the others at most one set for each that it is in, where each stream's frames are a skew apart
  or more (closer ones let a tight set cross several wide ones: at 3/4, in one of 75,000 random groups);
* frames of doubtful streams change no set of the others; they join afterwards;
* with a configured reference every set holds a frame of it, and it alone drives;
* the order in which frames arrived, or streams are passed, is irrelevant; the group's order breaks ties of counts.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import filterfalse, repeat
from operator import attrgetter
from typing import NamedTuple

from syncsvc.pairing.attach import Span, attach
from syncsvc.pairing.contest import ALWAYS, Near
from syncsvc.pairing.minspread import partners
from syncsvc.pairing.policy import Fixed, FrameT, Window, trusted

FEWER = (7, 8)
"""Another stream leads when it has less than this part of the leader's frames, so that equal rates never alternate."""


_time_of = attrgetter("time_ns")


class Turns:
    """The rule. In a window the stream with the fewest frames leads (not zero; ties by the group's order)."""

    name = "turns"
    """What an observation log calls it."""

    def __init__(self, max_skew_ns: int, reference: str | None = None, min_streams: int = 2) -> None:
        self.max_skew_ns, self._reference, self._min_streams = max_skew_ns, reference, min_streams

    def sets(self, window: Window[FrameT]) -> list[Fixed[FrameT]]:
        """See ``Policy.sets``."""
        leading = self._leading(window)
        names = sorted(window.frames)  # in which order streams are passed must not matter
        queued = [_queued(window.frames[name], window.after.get(name, -ALWAYS)) for name in names]
        times = [list(some) if name in leading else [] for name, some in zip(names, queued, strict=True)]
        order = [names.index(name) for name in self._order(window, leading)]
        followers = [place for place, name in enumerate(names) if name in window.doubtful and name not in leading]
        formed = self._formed(_Table(times, self.max_skew_ns), order, len(followers), window)
        end = window.end_ns
        fixed = [one for one in formed if one.reference < end or min(one.times.values()) < end]
        for place in followers:
            self._join(place, list(queued[place]), fixed)
        return [
            Fixed(one.reference, {names[place]: queued[place][time] for place, time in one.times.items()})
            for one in fixed
            if len(one.times) >= self._min_streams
        ]

    def _leading(self, window: Window[FrameT]) -> list[str]:
        """The streams that may drive and change sets: of those with frames, the trusted ones if there are any."""
        leading = trusted(window.frames, window.doubtful, self._reference)
        if self._reference is not None or any(window.counts[name] for name in leading):
            return leading
        return [name for name in window.frames if name in window.doubtful]

    def _order(self, window: Window[FrameT], leading: Sequence[str]) -> list[str]:
        """Who drives, one after the other."""
        if self._reference is not None:
            return [self._reference]
        some = [name for name in leading if window.counts[name]]
        return sorted(some, key=lambda name: (name != window.leader, window.counts[name]))

    def leader(self, counts: Mapping[str, int], current: str | None = None, steady: Collection[str] = ()) -> str | None:
        """See ``SetPolicy.leader``: the stream with the fewest frames, if that is clear."""
        some = {name: count for name, count in counts.items() if count}
        if current not in some:
            return min(some, key=some.__getitem__, default=None)
        rival = min((name for name in some if name in steady), key=some.__getitem__, default=current)
        return rival if some[rival] * FEWER[1] < some[current] * FEWER[0] else current

    def _formed(
        self, table: "_Table", order: Sequence[int], followers: int, window: Window[FrameT]
    ) -> Sequence["_Set"]:
        """All sets of the leading streams that matter for the window, also some that lie behind its end altogether.

        Nobody takes from these what they need. References are those whose reach is known; of the first driver, also
        later ones that are known to have full sets.
        """
        fewest, until, end = self._min_streams, window.horizon_ns - self.max_skew_ns, window.end_ns
        turns = order if self._reference is None else ()
        for turn, driver in enumerate(turns):
            if table.is_over(end):
                return table.sets
            table.stand(_undisputed(table.pair(driver, fewest, until), table.streams))
            if not turn:
                if until < end + 2 * self.max_skew_ns:
                    beyond = table.pair(driver, len(order), window.horizon_ns)
                    table.stand(one for one in beyond if one.reference >= until)
                until = min(until, table.last_that_matters(end, len(order)))
        for driver in order:
            table.stand(table.pair(driver, fewest, until))
        if followers:
            for driver in order:
                table.stand(table.pair(driver, max(1, fewest - followers), until))
        return table.sets

    def _join(self, place: int, free: Sequence[int], sets: Sequence["_Set"]) -> None:
        """Let frames of a doubtful stream join the sets."""
        spans = [Span(one.reference, min(one.times.values()), max(one.times.values())) for one in sets]
        for one, time in zip(sets, attach(spans, free, self.max_skew_ns), strict=True):
            if time is not None:
                one.times[place] = time


class _Set(NamedTuple):
    """A set: the times of its reference and of its frames by stream, and the other free frames in reach of it."""

    reference: int
    times: dict[int, int]
    near: Near


class _Table:
    """The frames that are free, and the sets that stand, by reference. Streams are numbers, frames are times."""

    def __init__(self, times: Sequence[Sequence[int]], skew: int) -> None:
        self._skew, self.streams = skew, sum(map(bool, times))
        self._free = [frame for stream, some in enumerate(times) for frame in zip(some, repeat(stream))]
        self._free.sort()
        self.sets: list[_Set] = []
        self._stood: list[_Set] = []
        """The same, as they came to stand."""
        self._used: list[tuple[list[int], list[int]]] = [([], []) for _ in times]
        """Of each stream, the references of the sets that have a frame of it, and these frames: of the first of those
        that stand, as far as anybody has asked."""
        self._noted = [0] * len(times)

    def is_over(self, end: int) -> bool:
        """Whether no frame before ``end`` is free."""
        return not self._free or self._free[0][0] >= end

    def last_that_matters(self, end: int, streams: int) -> int:
        """The reference of the first full set behind ``end``: what lies behind it changes nothing before it."""
        behind = (one.reference for one in self.sets if len(one.times) == streams and min(one.times.values()) >= end)
        return next(behind, ALWAYS)

    def pair(self, driver: int, fewest: int, until: int) -> list[_Set]:
        """The sets of the driver's free frames before ``until``; of less than two, also a frame alone is one."""
        references = [
            time for time, stream in self._free
            if stream == driver and time < until and self._is_between(time, driver, time)
        ]  # fmt: skip
        if not references:
            return []
        others = [frame for frame in self._free if frame[1] != driver]
        near = [self._reach(others, time) for time in references]
        found = partners(references, near, self._skew, max(2, fewest))
        return [
            _Set(time, {driver: time, **some}, around)
            for time, some, around in zip(references, found, near, strict=True)
            if some or fewest < 2
        ]

    def _reach(self, others: Sequence[tuple[int, int]], reference: int) -> Near:
        low, high = (reference - self._skew,), (reference + self._skew + 1,)
        around = others[bisect_left(others, low) : bisect_left(others, high)]
        if not self.sets:
            return around
        return [(time, stream) for time, stream in around if self._is_between(reference, stream, time)]

    def _is_between(self, reference: int, stream: int, time: int) -> bool:
        """Whether the frame is behind the same sets of its stream as the reference."""
        references, times = self._used[stream]
        if self._noted[stream] < len(self._stood):
            self._note(stream, references, times)
        return bisect_left(references, reference) == bisect_left(times, time)

    def _note(self, stream: int, references: list[int], times: list[int]) -> None:
        for one in self._stood[self._noted[stream] :]:
            if stream in one.times:
                place = bisect_left(times, one.times[stream])
                references.insert(place, one.reference)
                times.insert(place, one.times[stream])
        self._noted[stream] = len(self._stood)

    def stand(self, sets: Iterable[_Set]) -> None:
        """Let these sets stand: their frames are free no more, and nothing crosses them."""
        used: set[tuple[int, int]] = set()
        for one in sets:
            self._stood.append(one)
            self.sets.insert(bisect_left(self.sets, (one.reference,)), one)
            used.update(zip(one.times.values(), one.times, strict=True))
        if used:
            self._free = [*filterfalse(used.__contains__, self._free)]


def _queued(frames: Sequence[FrameT], after: int) -> dict[int, FrameT]:
    queued = dict(zip(map(_time_of, frames), frames, strict=True))
    return queued if not frames or frames[0].time_ns > after else {t: one for t, one in queued.items() if t > after}


def _undisputed(sets: Sequence[_Set], streams: int) -> Sequence[_Set]:
    """Those that can stand together: each leaves out no stream that has a frame in reach which is in none of them.

    A set of all ``streams`` leaves out nobody.
    """
    while not all(len(one.times) == streams for one in sets):
        used = {frame for one in sets for frame in zip(one.times.values(), one.times, strict=True)}
        left = [
            one for one in sets
            if len(one.times) == streams or all(f[1] in one.times or f in used for f in one.near)
        ]  # fmt: skip
        if len(left) == len(sets):
            break
        sets = left
    return sets
