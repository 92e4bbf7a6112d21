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

from syncsvc.align.batches import BatchMaker, Reason
from syncsvc.align.buckets import WindowBuckets
from syncsvc.model import Frame, FrameBatch
from syncsvc.observe.events import GroupRules, Open
from syncsvc.pairing.policy import Fixed, Policy, Window


class WindowAligner(BatchMaker[Policy]):
    """One group's windows, one after the other."""

    def __init__(
        self,
        group: str,
        opening: Open,
        make_policy: Callable[[GroupRules], Policy],
        window_ns: int,
        buckets: Mapping[str, WindowBuckets],
    ) -> None:
        """Start with the opening's window as the first open one; ``buckets`` are the caller's, who fills them."""
        super().__init__(group, opening, make_policy)
        self._window_ns, self._buckets = window_ns, buckets
        self._window = opening.first_window
        self._held: list[dict[str, Frame]] = []
        self._last_used: dict[str, int] = {}
        self._foreseen: tuple[Window[Frame], Sequence[Fixed[Frame]]] | None = None

    @property
    def window(self) -> tuple[int, int]:
        """Bounds of the oldest open window, UTC nanoseconds."""
        return self._window * self._window_ns, (self._window + 1) * self._window_ns

    @property
    def horizon_ns(self) -> int:
        """The watermark that closes it."""
        return self.window[1] + self.rules.lookahead_ns

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
        self._foreseen = None
        self._adopt(rules)
        return [held.pop(name) for held in self._held for name in held.keys() - set(rules.streams)]

    def close(self, reason: Reason) -> FrameBatch:
        """Close the oldest open window and make its batch."""
        rules, (start, end) = self.rules, self.window
        reasons = {name: reason(name, end, self._buckets[name].count(self._window) > 0) for name in rules.streams}
        here = self._held
        self._held = []
        for one in self._fix_sets():
            (here if one.reference_ns < end else self._held).append(dict(one.frames))
        delivered: dict[str, list[Frame]] = {name: self._buckets[name].close_before(end) for name in rules.streams}
        for chosen in here:
            for name, frame in chosen.items():
                delivered[name].append(frame)
        self._window += 1
        return self._make((start, end), reasons, delivered, here)

    def _fix_sets(self) -> Sequence[Fixed[Frame]]:
        """The sets that are fixed now; their frames leave the queues for good."""
        fixed = self._answer(self._question())
        for name in self.rules.streams:
            taken = [one.frames[name] for one in fixed if name in one.frames]
            if taken:
                self._last_used[name] = taken[-1].time_ns
                self._buckets[name].take({frame.seq for frame in taken})
        return fixed

    def _question(self) -> Window[Frame]:
        """What decides the sets of the oldest open window."""
        (start, end), horizon, streams = self.window, self.horizon_ns, self.rules.streams
        return Window(
            start,
            end,
            horizon,
            {name: self._buckets[name].before(horizon) for name in streams},
            {name: self._buckets[name].count(self._window) for name in streams},
            dict(self._last_used),
            frozenset(self._doubtful),
        )

    def _answer(self, question: Window[Frame]) -> Sequence[Fixed[Frame]]:
        if self._foreseen is not None and self._foreseen[0] == question:
            return self._foreseen[1]
        return self._policy.sets(question)

    def foresee(self) -> None:
        """Pair what is queued as if the oldest open window closed now.

        The frame that closes it is none of those that are paired: if all of these are here before it, the batch need
        not wait for the work. Whatever comes in between makes it void, and the outcome is the same.
        """
        question = self._question()
        self._foreseen = question, self._answer(question)
