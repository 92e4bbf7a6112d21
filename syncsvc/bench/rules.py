"""The rules that the service is compared to: how others form sets, written from their published descriptions.

Each rule is a pure function of what a receiver knows: per stream, frames with a stamp and an arrival, in the order of
their arrival. None is ours, and none is made worse than it is described: where a rule knows a limit of the spread, it
gets the one that the service has to keep.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from syncsvc.clock import NS_PER_MS, NS_PER_S

ROS_AGE_PENALTY = 0.1
"""What message_filters ships with."""
ROS_QUEUE = 100
"""Frames per stream that may wait: over three seconds, so that jitter alone never overflows it."""
SAVANT_WINDOW_NS = 5 * NS_PER_S
SAVANT_BATCH_NS = 100 * NS_PER_MS
"""Both as in the sample configuration of savant-rs."""


@dataclass(frozen=True, slots=True)
class Stamped:
    """A frame as a rule sees it: ``number`` within its stream, when it was taken as far as is known, when it came.

    Both times are UTC nanoseconds.
    """

    stamp_ns: int
    arrival_ns: int
    number: int


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Frames that a rule puts together: the number of each by stream, and when it could say so (UTC nanoseconds)."""

    members: Mapping[str, int]
    ready_ns: int


Streams = Mapping[str, Sequence[Stamped]]
Rule = Callable[[Streams, int], list[RuleSet]]
"""Forms sets of streams under ``max_skew_ns``."""


def second_and_position(streams: Streams, max_skew_ns: int) -> list[RuleSet]:
    """Lists of frames per second of their stamp; the first of each list belong together, then the second ones.

    It knows no limit of the spread. A second is over for a stream when a frame of a later one comes.

    Source: the usual tutorial on multiprocessing with OpenCV, which gathers frames while ``int(time.time())`` stays.
    """
    lists = {name: _by_second(frames) for name, frames in streams.items()}
    common = sorted(set.intersection(*(set(some) for some in lists.values()))) if lists else []
    sets = []
    for second in common:
        ready_ns = max(_over_ns(streams[name], second) for name in streams)
        for row in zip(*(lists[name][second] for name in streams), strict=False):
            members = {name: frame.number for name, frame in zip(streams, row, strict=True)}
            sets.append(RuleSet(members, ready_ns))
    return sets


def _by_second(frames: Sequence[Stamped]) -> dict[int, list[Stamped]]:
    lists: dict[int, list[Stamped]] = {}
    for frame in frames:
        lists.setdefault(frame.stamp_ns // NS_PER_S, []).append(frame)
    return lists


def _over_ns(frames: Sequence[Stamped], second: int) -> int:
    # Where no later frame came, the last one's arrival stands for it.
    place = bisect_left(frames, (second + 1) * NS_PER_S, key=lambda frame: frame.stamp_ns)
    return frames[min(place, len(frames) - 1)].arrival_ns


def nearest_to_reference(streams: Streams, max_skew_ns: int) -> list[RuleSet]:
    """With each frame of the stream that has the fewest, the nearest one of every other, if it is within the limit.

    A frame may be in two sets. A set is ready when every stream has a frame at or after the reference.

    Source: what a table of stamps invites to, such as ``pandas.merge_asof(direction="nearest", tolerance=...)``.
    """
    present = {name: sorted(frames, key=lambda frame: frame.stamp_ns) for name, frames in streams.items() if frames}
    if not present:
        return []
    reference = min(present, key=lambda name: len(present[name]))
    sets = []
    for frame in present[reference]:
        members, ready_ns = {reference: frame.number}, frame.arrival_ns
        for name, others in present.items():
            if name == reference:
                continue
            place = bisect_left(others, frame.stamp_ns, key=lambda other: other.stamp_ns)
            ready_ns = max(ready_ns, others[min(place, len(others) - 1)].arrival_ns)
            nearest = min(others[max(0, place - 1) : place + 1], key=lambda other: abs(other.stamp_ns - frame.stamp_ns))
            if abs(nearest.stamp_ns - frame.stamp_ns) <= max_skew_ns:
                members[name] = nearest.number
        if len(members) > 1:
            sets.append(RuleSet(members, ready_ns))
    return sets


def approximate_time(streams: Streams, max_skew_ns: int) -> list[RuleSet]:
    """The adaptive algorithm of ROS: sets of all streams, of least size among those that follow the last one.

    Properties as published: no message twice; sets do not cross; sets are contiguous; the outcome depends on stamps
    only. ``max_skew_ns`` is its "max interval duration".

    Source: wiki.ros.org/message_filters/ApproximateTime, with the age penalty and the bounded queues of ROS 2's
    message_filters.
    """
    matcher = _ApproximateTime(tuple(streams), max_skew_ns)
    return [found for name, frame in _arrivals(streams) for found in matcher.add(name, frame)]


class _ApproximateTime:
    """The search, as frames come: the pivot is the latest of the oldest frames, and every set to try contains it."""

    def __init__(self, names: Sequence[str], max_interval_ns: int) -> None:
        self._max_interval_ns = max_interval_ns
        self._queues: dict[str, list[Stamped]] = {name: [] for name in names}
        self._has_dropped = dict.fromkeys(names, False)
        self._forget()

    def _forget(self) -> None:
        self._cursors = dict.fromkeys(self._queues, 0)
        self._pivot: str | None = None
        self._best: dict[str, int] = {}
        self._best_start = self._best_end = self._pivot_ns = 0

    def add(self, name: str, frame: Stamped) -> Iterator[RuleSet]:
        queue = self._queues[name]
        queue.append(frame)
        if len(queue) > ROS_QUEUE:
            self._forget()
            del queue[0]
            self._has_dropped[name] = True
        while (found := self._search()) is not None:
            yield RuleSet({stream: some.number for stream, some in found.items()}, frame.arrival_ns)

    def _heads(self) -> dict[str, int]:
        """Stamps of the frames at the cursors; streams whose next frame is still to come are left out."""
        return {
            name: queue[self._cursors[name]].stamp_ns
            for name, queue in self._queues.items()
            if self._cursors[name] < len(queue)
        }

    def _search(self) -> dict[str, Stamped] | None:
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
            hoped[first] = queue[cursors[first]].stamp_ns if cursors[first] < len(queue) else self._pivot_ns

    def _take(self, start: int, end: int) -> None:
        self._best, self._best_start, self._best_end = dict(self._cursors), start, end

    def _publish(self) -> dict[str, Stamped]:
        found = {name: self._queues[name][place] for name, place in self._best.items()}
        for name, place in self._best.items():
            del self._queues[name][: place + 1]
        self._forget()
        return found


def savant_window(streams: Streams, max_skew_ns: int) -> list[RuleSet]:
    """All frames in one list by stamp; once it spans the window, frames leave from its front, one batch at a time.

    A batch takes frames while the last one taken is within the batch's duration of its first, and ends before a second
    frame of a stream. It knows no limit of the spread: the durations are the sample configuration's.

    Source: NTP synchronization of groups in savant-rs (services/retina_rtsp), its README and sample configuration.
    """
    window: list[tuple[int, str, int]] = []
    sets = []
    for name, frame in _arrivals(streams):
        entry = (frame.stamp_ns, name, frame.number)
        window.insert(bisect_left(window, entry), entry)
        while window and window[-1][0] - window[0][0] > SAVANT_WINDOW_NS:
            members = _savant_batch(window)
            if len(members) > 1:
                sets.append(RuleSet(members, frame.arrival_ns))
    return sets


def _savant_batch(window: list[tuple[int, str, int]]) -> dict[str, int]:
    members: dict[str, int] = {}
    first = last = window[0][0]
    while last - first < SAVANT_BATCH_NS and window and window[0][1] not in members:
        last, name, number = window.pop(0)
        members[name] = number
    return members


def _arrivals(streams: Streams) -> list[tuple[str, Stamped]]:
    """All frames in the order of their arrival."""
    every = [(name, frame) for name, frames in streams.items() for frame in frames]
    return sorted(every, key=lambda entry: entry[1].arrival_ns)
