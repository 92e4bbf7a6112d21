"""The rules that the service is compared to: how others form sets, written from their published descriptions.

Each is a ``Policy`` that is shown all frames at once, in one window, each stream's in the order of their arrival; it
says too when it could have known of a set. None is ours, and none is made worse than it is described: where a rule
knows a limit of the spread, it gets the one that the service has to keep.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic

from syncsvc.clock import NS_PER_MS, NS_PER_S
from syncsvc.pairing.policy import Fixed, FrameT, Policy, Window

ROS_AGE_PENALTY = 0.1
"""What message_filters ships with."""
ROS_QUEUE = 100
"""Frames per stream that may wait: over three seconds, so that jitter alone never overflows it."""
SAVANT_WINDOW_NS = 5 * NS_PER_S
SAVANT_BATCH_NS = 100 * NS_PER_MS
"""Both as in the sample configuration of savant-rs."""


@dataclass(frozen=True, slots=True)
class Stamped:
    """A frame as a rule sees it: its number in its stream, when it was taken as far as is known, when it came (UTC)."""

    seq: int
    time_ns: int
    arrival_ns: int


@dataclass(frozen=True, slots=True)
class Told(Fixed[FrameT]):
    """A set, and when the rule could say so (UTC nanoseconds)."""

    ready_ns: int


@dataclass(frozen=True, slots=True)
class RuleSet:
    """What is judged of a set, whoever formed it: each frame's number by stream, and when it was there (UTC ns)."""

    members: Mapping[str, int]
    ready_ns: int

    @classmethod
    def of(cls, told: Told[FrameT]) -> "RuleSet":
        """A rule's set."""
        return cls({name: frame.seq for name, frame in told.frames.items()}, told.ready_ns)


class Rule(Policy):
    """A policy that tells when; not each looks at ``max_skew_ns``, which the service has to keep."""

    def __init__(self, max_skew_ns: int) -> None:
        self._max_skew_ns = max_skew_ns

    def sets(self, window: Window[FrameT]) -> Sequence[Told[FrameT]]:
        """See ``Policy.sets``; a frame may be in two sets where the rule lets it."""
        raise NotImplementedError


def _told(frames: Mapping[str, FrameT], ready_ns: int) -> Told[FrameT]:
    return Told(max(frame.time_ns for frame in frames.values()), frames, ready_ns)


class SecondAndPosition(Rule):
    """Lists of frames per second of their stamp; the first of each list belong together, then the second ones.

    It knows no limit of the spread. A second is over for a stream when a frame of a later one comes.

    Source: the usual tutorial on multiprocessing with OpenCV, which gathers frames while ``int(time.time())`` stays.
    """

    def sets(self, window: Window[FrameT]) -> list[Told[FrameT]]:
        """See ``Rule.sets``."""
        lists = {name: _by_second(frames) for name, frames in window.frames.items()}
        common = sorted(set.intersection(*(set(some) for some in lists.values()))) if lists else []
        sets = []
        for second in common:
            ready_ns = max(_over_ns(frames, second) for frames in window.frames.values())
            rows = zip(*(some[second] for some in lists.values()), strict=False)
            sets += [_told(dict(zip(lists, row, strict=True)), ready_ns) for row in rows]
        return sets


def _by_second(frames: Sequence[FrameT]) -> dict[int, list[FrameT]]:
    lists: dict[int, list[FrameT]] = {}
    for frame in frames:
        lists.setdefault(frame.time_ns // NS_PER_S, []).append(frame)
    return lists


def _over_ns(frames: Sequence[FrameT], second: int) -> int:
    # Where no later frame came, the last one's arrival stands for it.
    place = bisect_left(frames, (second + 1) * NS_PER_S, key=lambda frame: frame.time_ns)
    return frames[min(place, len(frames) - 1)].arrival_ns


class NearestToReference(Rule):
    """With each frame of the stream that has the fewest, the nearest one of every other, if it is within the limit.

    A frame may be in two sets. A set is ready when every stream has a frame at or after the reference.

    Source: what a table of stamps invites to, such as ``pandas.merge_asof(direction="nearest", tolerance=...)``.
    """

    def sets(self, window: Window[FrameT]) -> list[Told[FrameT]]:
        """See ``Rule.sets``."""
        present = {name: sorted(some, key=lambda frame: frame.time_ns) for name, some in window.frames.items() if some}
        if not present:
            return []
        reference = min(present, key=lambda name: len(present[name]))
        others = {name: some for name, some in present.items() if name != reference}
        sets = []
        for frame in present[reference]:
            chosen, ready_ns = {reference: frame}, frame.arrival_ns
            for name, some in others.items():
                place = bisect_left(some, frame.time_ns, key=lambda other: other.time_ns)
                ready_ns = max(ready_ns, some[min(place, len(some) - 1)].arrival_ns)
                nearest = _nearest(some[max(0, place - 1) : place + 1], frame.time_ns)
                if abs(nearest.time_ns - frame.time_ns) <= self._max_skew_ns:
                    chosen[name] = nearest
            if len(chosen) > 1:
                sets.append(_told(chosen, ready_ns))
        return sets


def _nearest(frames: Sequence[FrameT], time_ns: int) -> FrameT:
    return min(frames, key=lambda frame: abs(frame.time_ns - time_ns))


class ApproximateTime(Rule):
    """The adaptive algorithm of ROS: sets of all streams, of least size among those that follow the last one.

    Properties as published: no message twice; sets do not cross; sets are contiguous; the outcome depends on stamps
    only. ``max_skew_ns`` is its "max interval duration".

    Source: wiki.ros.org/message_filters/ApproximateTime, with the age penalty and the bounded queues of ROS 2's
    message_filters.
    """

    def sets(self, window: Window[FrameT]) -> list[Told[FrameT]]:
        """See ``Rule.sets``."""
        search: _Search[FrameT] = _Search(tuple(window.frames), self._max_skew_ns)
        return [found for name, frame in _arrivals(window.frames) for found in search.add(name, frame)]


class _Search(Generic[FrameT]):
    """ROS's search, as frames come: the pivot is the latest of the oldest frames, and every set to try contains it."""

    def __init__(self, names: Sequence[str], max_interval_ns: int) -> None:
        self._max_interval_ns = max_interval_ns
        self._queues: dict[str, list[FrameT]] = {name: [] for name in names}
        self._has_dropped = dict.fromkeys(names, False)
        self._forget()

    def _forget(self) -> None:
        self._cursors = dict.fromkeys(self._queues, 0)
        self._pivot: str | None = None
        self._best: dict[str, int] = {}
        self._best_start = self._best_end = self._pivot_ns = 0

    def add(self, name: str, frame: FrameT) -> Iterator[Told[FrameT]]:
        queue = self._queues[name]
        queue.append(frame)
        if len(queue) > ROS_QUEUE:
            self._forget()
            del queue[0]
            self._has_dropped[name] = True
        while (found := self._search()) is not None:
            yield _told(found, frame.arrival_ns)

    def _heads(self) -> dict[str, int]:
        """Stamps of the frames at the cursors; streams whose next frame is still to come are left out."""
        return {
            name: queue[self._cursors[name]].time_ns
            for name, queue in self._queues.items()
            if self._cursors[name] < len(queue)
        }

    def _search(self) -> dict[str, FrameT] | None:
        while len(heads := self._heads()) == len(self._queues):
            first, last = min(heads, key=heads.__getitem__), max(heads, key=heads.__getitem__)
            start, end = heads[first], heads[last]
            self._has_dropped = {name: has and name == last for name, has in self._has_dropped.items()}
            if self._pivot is None:
                if end - start > self._max_interval_ns or self._has_dropped[last]:
                    del self._queues[first][0]  # no set may hold it
                    continue
                self._pivot, self._pivot_ns = last, end
                self._take(start, end)
            elif not self._is_no_better(start, end):
                self._take(start, end)
            if first == self._pivot or self._is_no_better(self._pivot_ns, end):
                return self._publish()
            self._cursors[first] += 1
        return self._publish() if self._pivot is not None and self._is_proven(heads) else None

    def _is_no_better(self, start: int, end: int) -> bool:
        """Whether the set from ``start`` to ``end`` is none the better for being later, with the penalty for it."""
        return (end - self._best_end) * (1 + ROS_AGE_PENALTY) >= start - self._best_start

    def _is_proven(self, heads: Mapping[str, int]) -> bool:
        """Whether no frame that is still to come can improve on the best set.

        The best that can happen: frames to come are at the pivot, and the others move on as far as they have to.
        """
        cursors = dict(self._cursors)
        hoped = {name: heads.get(name, self._pivot_ns) for name in self._queues}
        while True:
            first, end = min(hoped, key=hoped.__getitem__), max(hoped.values())
            if self._is_no_better(self._pivot_ns, end):
                return True
            if not self._is_no_better(hoped[first], end):
                return False
            cursors[first] += 1
            queue = self._queues[first]
            hoped[first] = queue[cursors[first]].time_ns if cursors[first] < len(queue) else self._pivot_ns

    def _take(self, start: int, end: int) -> None:
        self._best, self._best_start, self._best_end = dict(self._cursors), start, end

    def _publish(self) -> dict[str, FrameT]:
        found = {name: self._queues[name][place] for name, place in self._best.items()}
        for name, place in self._best.items():
            del self._queues[name][: place + 1]
        self._forget()
        return found


class SavantWindow(Rule):
    """All frames in one list by stamp; once it spans the window, frames leave from its front, one batch at a time.

    A batch takes frames while the last one taken is within the batch's duration of its first, and ends before a second
    frame of a stream. It knows no limit of the spread: the durations are the sample configuration's.

    Source: NTP synchronization of groups in savant-rs (services/retina_rtsp), its README and sample configuration.
    """

    def sets(self, window: Window[FrameT]) -> list[Told[FrameT]]:
        """See ``Rule.sets``."""
        line: list[tuple[int, str, int, FrameT]] = []
        sets = []
        for name, frame in _arrivals(window.frames):
            entry = (frame.time_ns, name, frame.seq, frame)
            line.insert(bisect_left(line, entry), entry)
            while line and line[-1][0] - line[0][0] > SAVANT_WINDOW_NS:
                chosen = _savant_batch(line)
                if len(chosen) > 1:
                    sets.append(_told(chosen, frame.arrival_ns))
        return sets


def _savant_batch(line: list[tuple[int, str, int, FrameT]]) -> dict[str, FrameT]:
    chosen: dict[str, FrameT] = {}
    first = last = line[0][0]
    while last - first < SAVANT_BATCH_NS and line and line[0][1] not in chosen:
        last, name, _, frame = line.pop(0)
        chosen[name] = frame
    return chosen


def _arrivals(streams: Mapping[str, Sequence[FrameT]]) -> list[tuple[str, FrameT]]:
    """All frames in the order of their arrival."""
    every = [(name, frame) for name, frames in streams.items() for frame in frames]
    return sorted(every, key=lambda entry: entry[1].arrival_ns)
