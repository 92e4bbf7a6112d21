"""When a window is complete, and what its batch says: pure, no clock, no thread, no socket.

Guarantees (each has a property test):

* windows leave in order, one batch each, none left out; ``seq`` rises by one;
* every frame that was put is delivered in exactly one batch, or was refused as late, or is counted as dropped;
* a set leaves with the window of its reference frame, and its frames with it: a partner just across the edge too;
* what is held over an edge is fixed: later solving never re-opens it;
* the sets, less the frames of doubtful streams, are those of a group that never had these streams;
* ``captured = delivered + late + dropped`` in every batch, for every stream;
* the outcome depends on stamps, not on the order of arrival within the lateness: the same events give the same batches.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from syncsvc.align.batches import BatchMaker
from syncsvc.align.buckets import WindowBuckets
from syncsvc.model import Frame, FrameBatch, MissingReason
from syncsvc.observe.events import GroupRules, Open
from syncsvc.pairing.attach import Span, attach
from syncsvc.pairing.minspread import Match, MinSpread


class _Question(NamedTuple):
    """What the policy is asked: see ``MinSpread.match``."""

    driver: str
    times: dict[str, list[int]]
    references: list[int]
    after: dict[str, int]


class WindowAligner(BatchMaker):
    """One group's windows, one after the other."""

    def __init__(self, group: str, opening: Open, window_ns: int, buckets: Mapping[str, WindowBuckets]) -> None:
        """Start with the opening's window as the first open one; ``buckets`` are the caller's, who fills them."""
        super().__init__(group, opening)
        self._window_ns, self._buckets = window_ns, buckets
        self._window = opening.first_window
        self._held: list[dict[str, Frame]] = []
        self._last_used: dict[str, int] = {}
        self._foreseen: tuple[_Question, Sequence[Match]] | None = None

    @property
    def window(self) -> tuple[int, int]:
        """Bounds of the oldest open window, UTC nanoseconds."""
        return self._window * self._window_ns, (self._window + 1) * self._window_ns

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

    def restart(self, epoch: int, first_window: int) -> None:
        """A new epoch: numbers begin again. Windows go on from ``first_window``, which may be an earlier one."""
        self.epoch, self.seq, self._window = epoch, 0, first_window
        for buckets in self._buckets.values():
            buckets.closed_before_ns = self.window[0]
        self._last_used.clear()

    def reconfigure(self, rules: GroupRules) -> list[Frame]:
        """Other streams or bounds, from the oldest open window on; the window's length stays.

        The caller changes the buckets; returned are frames of streams that left that were held over the edge.
        """
        self.rules, self._foreseen = rules, None
        self._keep(rules.streams)
        return [held.pop(name) for held in self._held for name in held.keys() - set(rules.streams)]

    def close(self, reason: Callable[[str, int, bool], MissingReason | None]) -> FrameBatch:
        """Close the oldest open window and make its batch.

        Args:
            reason: for a stream, the window's end, and whether it has a frame in the window: why it counts as missing;
                None when it does not.
        """
        rules, (start, end) = self.rules, self.window
        missing = self._missing(end, reason)
        here = self._held
        self._held = []
        for reference, chosen in self._form_sets(end):
            (here if reference < end else self._held).append(chosen)
        delivered: dict[str, list[Frame]] = {name: self._buckets[name].close_before(end) for name in rules.streams}
        for chosen in here:
            for name, frame in chosen.items():
                delivered[name].append(frame)
        self._window += 1
        return self._make((start, end), missing, delivered, here)

    def _missing(self, end: int, reason: Callable[[str, int, bool], MissingReason | None]) -> dict[str, MissingReason]:
        reasons = {name: reason(name, end, self._buckets[name].count(self._window) > 0) for name in self.rules.streams}
        return {name: why for name, why in reasons.items() if why is not None}

    def _leading(self) -> tuple[str | None, list[str]]:
        """The stream whose frames are the references of the oldest open window, and those that it is paired with."""
        counts = {name: self._buckets[name].count(self._window) for name in self.rules.streams}
        trusted = self._trusted()
        if self.rules.reference is not None:
            return self.rules.reference, trusted
        leading = trusted if any(counts[name] for name in trusted) else [n for n in counts if n in self._doubtful]
        some = [name for name in leading if counts[name]]
        return min(some, key=lambda name: counts[name], default=None), leading

    def _form_sets(self, end: int) -> list[tuple[int, dict[str, Frame]]]:
        """The sets that are fixed now, each with its reference's time; their frames leave the queues for good."""
        queued = self._queued()
        question = self._question(queued)
        if question is None:
            return []
        driver = question.driver
        paired = {match.reference_ns: dict(match.times) for match in self._answer(question)}
        sets = [(time, paired.get(time, {driver: time})) for time in question.references]
        fixed = [(time, chosen) for time, chosen in sets if min(chosen.values()) < end]
        for name in self.rules.streams:
            if name in self._doubtful and name not in question.times:
                self._attach(name, list(queued[name]), [chosen for _, chosen in fixed], driver)
        fixed = [(time, chosen) for time, chosen in fixed if len(chosen) > 1]
        for name, frames in queued.items():
            taken = [chosen[name] for _, chosen in fixed if name in chosen]
            if taken:
                self._last_used[name] = taken[-1]
                self._buckets[name].take({frames[time].seq for time in taken})
        return [(time, {name: queued[name][one] for name, one in chosen.items()}) for time, chosen in fixed]

    def _queued(self) -> dict[str, dict[int, Frame]]:
        """Of each stream, the frames that may join a set now, by time."""
        horizon = self.horizon_ns
        return {name: {one.time_ns: one for one in self._buckets[name].before(horizon)} for name in self.rules.streams}

    def _question(self, queued: Mapping[str, Mapping[int, Frame]]) -> _Question | None:
        """What decides the sets of the oldest open window, of the frames before its horizon."""
        driver, leading = self._leading()
        if driver is None:
            return None
        times, last = {name: list(queued[name]) for name in leading}, self._last_used
        until = self.window[1] + self.rules.max_skew_ns
        references = [time for time in times[driver] if last.get(driver, time - 1) < time < until]
        return _Question(driver, times, references, dict(last))

    def _answer(self, question: _Question) -> Sequence[Match]:
        if self._foreseen is not None and self._foreseen[0] == question:
            return self._foreseen[1]
        return MinSpread(self.rules.max_skew_ns).match(*question)

    def foresee(self) -> None:
        """Pair what is queued as if the oldest open window closed now.

        The frame that closes it is none of those that are paired: if all of these are here before it, the batch need
        not wait for the work. Whatever comes in between makes it void, and the outcome is the same.
        """
        question = self._question(self._queued())
        if question is not None:
            self._foreseen = question, self._answer(question)

    def _attach(self, name: str, times: list[int], sets: Sequence[dict[str, int]], driver: str) -> None:
        """Let frames of a doubtful stream join the sets."""
        spans = [Span(chosen[driver], min(chosen.values()), max(chosen.values())) for chosen in sets]
        free = [time for time in times if time > self._last_used.get(name, time - 1)]
        for chosen, time in zip(sets, attach(spans, free, self.rules.max_skew_ns), strict=True):
            if time is not None:
                chosen[name] = time
