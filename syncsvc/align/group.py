"""One group, self-contained: its decider under a lock, the thread that lets batches go, the log of what it was told."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from syncsvc.align.decider import NOTHING, Decision, Now
from syncsvc.align.deciders import decider_for
from syncsvc.clock import NS_PER_MS, NS_PER_S
from syncsvc.lifecycle import StopToken
from syncsvc.model import Frame, FrameBatch
from syncsvc.observe.events import (
    AnyEvent,
    Close,
    Draining,
    End,
    GroupEvent,
    GroupRules,
    Jump,
    Open,
    Reconfigure,
    StreamEvent,
)
from syncsvc.observe.records import GroupRecord, Note
from syncsvc.timing.utc import UtcMapper

IDLE_WAIT_NS = 200 * NS_PER_MS
"""Longest wait of the aligner's thread between two looks at the clock (a jump of UTC moves its deadline)."""


@dataclass(frozen=True, slots=True)
class GroupOutput:
    """Where a group's results go; called from its own thread and its streams', the first two outside its lock."""

    emit: Callable[[FrameBatch], None]
    late: Callable[[Frame, int, tuple[int, int]], None]
    """A late frame, the ``seq`` of the batch that will count it, and the bounds of the window it missed."""
    is_free: Callable[[], bool] = lambda: False
    """Whether ``emit`` would return at once: then a stream's thread calls it too."""
    note: Note | None = None
    """Everything that the group was told and decided, in order, for the observation log; called under its lock."""


class Group:
    """A sink for its streams' frames, and the thread that lets its batches go; a ``GroupDecider`` decides."""

    def __init__(self, name: str, opening: Open, utc: UtcMapper, output: GroupOutput) -> None:
        """Open the windows.

        Args:
            name: of the group.
            opening: what it promises, and where it begins.
            utc: the host's mapper.
            output: where batches and late frames go.
        """
        self.name, self._utc, self._output, self._note = name, utc, output, output.note
        self._changed = threading.Condition()
        self._leaving = threading.Lock()  # held from closing a window until its batch is handed on: order of batches
        self._is_finishing = False
        self._sleeps_until_ns = 0
        now = self._now()
        self._decider = decider_for(name, opening, now.clock_epoch)
        self._log(opening, now)

    @property
    def seq(self) -> int:
        """Number of the next batch."""
        return self._decider.seq

    @property
    def rules(self) -> GroupRules:
        """What the group promises, as of now."""
        return self._decider.rules

    def _now(self) -> Now:
        utc_ns = self._utc.now_utc()  # before the epoch: no reading from after a jump goes with an epoch before it
        return Now(utc_ns, self._utc.epoch)

    def _log(self, event: AnyEvent, now: Now) -> None:
        if self._note is not None:
            self._note(GroupRecord(group=self.name, now_ns=now.utc_ns, clock_epoch=now.clock_epoch, event=event))

    def tell(self, event: StreamEvent | Draining | Reconfigure) -> None:
        """Something happened; from any thread. A frame whose window is closed is late."""
        with self._changed:
            now = self._now()
            decision = self._handle(event, now)
            deadline_ns, is_due = self._decider.deadline_ns, self._decider.is_due(now)
            if deadline_ns is not None and deadline_ns < self._sleeps_until_ns:
                self._changed.notify()
        if decision is not NOTHING:
            self._hand_on(decision)
        if is_due:
            self._let_go()

    def _handle(self, event: GroupEvent, now: Now) -> Decision:
        if self._note is not None:  # every frame comes this way
            self._log(event, now)
        decision = self._decider.handle(event, now)
        for batch in decision.batches:
            self._log(Close.of(batch), now)
        return decision

    def _hand_on(self, decision: Decision) -> None:
        for batch in decision.batches:
            self._output.emit(batch)
        for late in decision.late:
            self._output.late(*late)
        for frame in decision.unused:
            frame.payload.release()

    def _let_go(self) -> None:
        """Close what is due here and now, which saves a change of threads, unless something would hold us up."""
        if self._output.is_free() and self._leaving.acquire(blocking=False):
            try:
                while self._output.is_free() and self._close_next():
                    pass
            finally:
                self._leaving.release()
        with self._changed:
            if self._decider.is_due(self._now()):
                self._changed.notify()

    # From the receiver's main thread.

    def flush(self) -> None:
        """Everything was read: emit what is open and end the thread."""
        with self._changed:
            self._is_finishing = True
            self._changed.notify()

    def jump(self, epoch: int) -> None:
        """The host's clock jumped: emit what is open, then go on in a new epoch at the new present."""
        with self._leaving:
            with self._changed:
                decision = self._handle(Jump(epoch, self._utc.last_jump_ns), self._now())
                self._changed.notify()
            self._hand_on(decision)

    # The aligner's thread.

    def run(self, stop: StopToken) -> None:
        """Close windows when they are due, until the flush (everything open leaves) or the stop (nothing does)."""
        while not stop.is_set and not self._is_finishing:
            if not self.close_due():
                with self._changed:
                    now = self._now()
                    if not self._is_finishing and not self._decider.is_due(now):
                        self._changed.wait(self._wait_ns(now) / NS_PER_S)
        if not stop.is_set:
            with self._leaving:
                with self._changed:
                    decision = self._handle(End(), self._now())
                self._hand_on(decision)

    def close_due(self) -> bool:
        """Close the oldest window and emit its batch if it is due; false when none is."""
        with self._leaving:
            return self._close_next()

    def _close_next(self) -> bool:
        with self._changed:
            now = self._now()
            batch = None if self._is_finishing else self._decider.close_due(now)
            if batch is None:
                return False
            self._log(Close.of(batch), now)
        self._output.emit(batch)
        return True

    def _wait_ns(self, now: Now) -> int:
        deadline_ns, wait_ns = self._decider.deadline_ns, IDLE_WAIT_NS
        if deadline_ns is not None:
            wait_ns = max(0, min(wait_ns, deadline_ns - now.utc_ns))
        self._sleeps_until_ns = now.utc_ns + wait_ns
        return wait_ns


def first_window(ready_ns: int, emitted_end_ns: int, window_ns: int | None, now_ns: int) -> int:
    """Number of the first window: the one in which the service became ready, never one that was emitted before.

    Args:
        ready_ns: when ``ready`` was printed, UTC.
        emitted_end_ns: end of the last window that was emitted, maybe of another length; 0 for none.
        window_ns: length of a window; None where there are none: then a second counts for one, and the answer is where
            the first batch begins, in nanoseconds.
        now_ns: UTC; windows that ended more than ten seconds ago are not made up for.
    """
    if not window_ns:
        return max(ready_ns // NS_PER_S * NS_PER_S, emitted_end_ns, now_ns - 10 * NS_PER_S)
    return max(ready_ns // window_ns, -(-emitted_end_ns // window_ns), (now_ns - 10 * NS_PER_S) // window_ns)
