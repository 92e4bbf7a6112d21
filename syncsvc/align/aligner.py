"""When a window is complete, and what its batch says: pure, no clock, no thread, no socket.

Guarantees (each has a property test):

* windows leave in order, one batch each, none left out; ``seq`` rises by one;
* every frame that was put is delivered in exactly one batch, or was refused as late, or is counted as dropped;
* a set leaves with the window of its reference frame, and its frames with it: a partner just across the edge too;
* what is held over an edge is fixed: later solving never re-opens it;
* ``captured = delivered + late + dropped`` in every batch, for every stream;
* the outcome depends on stamps, not on the order of arrival within the lateness: the same events give the same batches.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from syncsvc.align.pairing import Match, MinSpread
from syncsvc.model import Counts, Frame, FrameBatch, FrameSet, MissingReason


@dataclass(frozen=True, slots=True)
class GroupRules:
    """What a group promises; times in nanoseconds."""

    name: str
    streams: tuple[str, ...]
    window_ns: int
    max_skew_ns: int
    max_latency_ns: int
    reference: str | None = None


class Buckets(Protocol):
    """What the aligner needs of a stream's queue."""

    closed_before_ns: int

    def count(self, window: int) -> int:
        """Frames captured in the window, handed out or not."""
        ...

    def before(self, time_ns: int) -> list[Frame]:
        """Frames captured before ``time_ns``, in order, still queued."""
        ...

    def take(self, seqs: set[int]) -> None:
        """Hand these out for good."""
        ...

    def lose(self, frames: Sequence[Frame]) -> None:
        """These are lost, handed out or not: they count no more."""
        ...

    def close_before(self, time_ns: int) -> list[Frame]:
        """Close the windows before ``time_ns``; returns what was left in them."""
        ...


@dataclass(slots=True)
class _Ledger:
    """What was learnt of one stream since the last batch."""

    late: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


class Aligner:
    """One group's windows, one after the other."""

    def __init__(self, rules: GroupRules, buckets: Mapping[str, Buckets], epoch: int, first_window: int) -> None:
        """Start with the window numbered ``first_window`` as the first open one."""
        self.rules, self.epoch, self.seq = rules, epoch, 0
        self._buckets = dict(buckets)
        self._window = first_window
        self._ledgers: defaultdict[str, _Ledger] = defaultdict(_Ledger)
        self._held: list[dict[str, Frame]] = []
        self._last_used: dict[str, int] = {}

    @property
    def window(self) -> tuple[int, int]:
        """Bounds of the oldest open window, UTC nanoseconds."""
        return self._window * self.rules.window_ns, (self._window + 1) * self.rules.window_ns

    @property
    def horizon_ns(self) -> int:
        """The watermark that closes it.

        A reference just after the edge may want a frame before it, and its candidates reach one skew further.
        """
        return self.window[1] + 2 * self.rules.max_skew_ns

    @property
    def deadline_ns(self) -> int:
        """When it leaves at the latest, UTC."""
        return self.window[1] + self.rules.max_latency_ns

    def count_late(self, stream: str) -> None:
        """A frame came for a window that is closed."""
        self._ledgers[stream].late += 1

    def count_dropped(self, stream: str, cause: str, count: int) -> None:
        """Frames were captured and lost."""
        self._ledgers[stream].dropped[cause] += count

    def restart(self, epoch: int, first_window: int) -> None:
        """A new epoch: numbers begin again. Windows go on from ``first_window``, which may be an earlier one."""
        self.epoch, self.seq, self._window = epoch, 0, first_window
        for buckets in self._buckets.values():
            buckets.closed_before_ns = self.window[0]
        self._last_used.clear()

    def reconfigure(self, rules: GroupRules, buckets: Mapping[str, Buckets]) -> list[Frame]:
        """Other streams or bounds, from the oldest open window on; the window's length stays.

        The caller empties the buckets of streams that left; returned are their frames that were held over the edge.
        """
        self.rules, self._buckets = rules, dict(buckets)
        for name in self._ledgers.keys() - buckets.keys():
            del self._ledgers[name]
        return [held.pop(name) for held in self._held for name in held.keys() - buckets.keys()]

    def discard(self, stream: str, cause: str, matches: Callable[[Frame], bool]) -> list[Frame]:
        """Drop the queued frames of a stream that ``matches`` says yes to, and count them; returns them."""
        gone = [frame for frame in self._buckets[stream].before(2**63 - 1) if matches(frame)]
        gone.extend(held.pop(stream) for held in self._held if stream in held and matches(held[stream]))
        self._buckets[stream].lose(gone)
        self.count_dropped(stream, cause, len(gone))
        return gone

    def close(self, reason: Callable[[str, int, bool], MissingReason | None]) -> FrameBatch:
        """Close the oldest open window and make its batch (``emitted_ns`` is for the publisher to fill).

        Args:
            reason: for a stream, the window's end, and whether it has a frame in the window: why it counts as missing;
                None when it does not.
        """
        rules, (start, end) = self.rules, self.window
        driver = self._driver()
        missing = self._missing(end, reason)
        here = self._held
        self._held = []
        for match in self._matches(driver, end) if driver else []:
            if match.reference_ns < end:
                here.append(self._commit(match))
            elif min(match.times.values()) < end:
                self._held.append(self._commit(match))
        delivered: dict[str, list[Frame]] = {name: self._buckets[name].close_before(end) for name in rules.streams}
        for chosen in here:
            for name, frame in chosen.items():
                delivered[name].append(frame)
        for frames in delivered.values():
            frames.sort(key=lambda frame: frame.seq)
        batch = FrameBatch(
            group=rules.name,
            seq=self.seq,
            epoch=self.epoch,
            window_start_ns=start,
            window_end_ns=end,
            emitted_ns=0,
            missing=missing,
            frames=delivered,
            sets=[self._as_set(chosen) for chosen in here if len(chosen) > 1],  # a partner may have left, or be lost
            counts={name: self._account(name, len(delivered[name])) for name in rules.streams},
        )
        self.seq += 1
        self._window += 1
        return batch

    def _missing(self, end: int, reason: Callable[[str, int, bool], MissingReason | None]) -> dict[str, MissingReason]:
        reasons = {name: reason(name, end, self._buckets[name].count(self._window) > 0) for name in self.rules.streams}
        return {name: why for name, why in reasons.items() if why is not None}

    def _driver(self) -> str | None:
        """The stream whose frames are the references of the oldest open window."""
        if self.rules.reference is not None:
            return self.rules.reference
        counts = [(self._buckets[name].count(self._window), place) for place, name in enumerate(self.rules.streams)]
        some = [entry for entry in counts if entry[0] > 0]
        return self.rules.streams[min(some)[1]] if some else None

    def _matches(self, driver: str, end: int) -> Sequence[Match]:
        skew = self.rules.max_skew_ns
        times = {
            name: [frame.time_ns for frame in self._buckets[name].before(end + 2 * skew)] for name in self.rules.streams
        }
        references = [time for time in times[driver] if time < end + skew]
        return MinSpread(skew).match(driver, times, references, self._last_used)

    def _commit(self, match: Match) -> dict[str, Frame]:
        """Take the frames of a set out of the queues, for good."""
        chosen: dict[str, Frame] = {}
        for name, time in match.times.items():
            buckets = self._buckets[name]
            chosen[name] = next(frame for frame in buckets.before(time + 1) if frame.time_ns == time)
            buckets.take({chosen[name].seq})
            self._last_used[name] = time
        return chosen

    def _as_set(self, chosen: Mapping[str, Frame]) -> FrameSet:
        ordered = {name: chosen[name] for name in self.rules.streams if name in chosen}
        times = [frame.time_ns for frame in ordered.values()]
        missing = tuple(name for name in self.rules.streams if name not in chosen)
        return FrameSet(max(times) - min(times), ordered, missing)

    def _account(self, name: str, delivered: int) -> Counts:
        ledger = self._ledgers.pop(name, None) or _Ledger()
        dropped = {cause: count for cause, count in ledger.dropped.items() if count}
        return Counts(delivered + ledger.late + sum(dropped.values()), delivered, ledger.late, dropped)
