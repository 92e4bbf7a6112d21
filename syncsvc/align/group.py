"""One group, self-contained: its decider under a lock, the thread that lets batches go, the log of what it was told."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from syncsvc.align.batches import GroupRules
from syncsvc.align.decider import Now, Opening
from syncsvc.align.deciders import decider_for
from syncsvc.clock import NS_PER_MS, NS_PER_S
from syncsvc.lifecycle import StopToken
from syncsvc.model import Frame, FrameBatch, StreamState
from syncsvc.observe import records
from syncsvc.timing.utc import UtcMapper

IDLE_WAIT_NS = 200 * NS_PER_MS
"""Longest wait of the aligner's thread between two looks at the clock (a jump of UTC moves its deadline)."""

Note = Callable[[records.GroupEvent], None]


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

    def __init__(
        self,
        rules: GroupRules,
        utc: UtcMapper,
        output: GroupOutput,
        *,
        epoch: int,
        first_window: int,
        is_patient: bool,
        first_seq: int = 0,
    ) -> None:
        """Open the windows from ``first_window`` on.

        Args:
            rules: what the group promises.
            utc: the host's mapper.
            output: where batches and late frames go.
            epoch: of the receiver.
            first_window: number of the first window; where there are none, the UTC nanosecond from which on.
            first_seq: number of the first batch.
            is_patient: pace ``asap``: no deadline, and every stream holds the group back until it ended.
        """
        self._utc, self._output, self._note, self._name = utc, output, output.note, rules.name
        self._changed = threading.Condition()
        self._leaving = threading.Lock()  # held from closing a window until its batch is handed on: order of batches
        self._is_finishing = False
        self._sleeps_until_ns = 0
        now = self._now()
        self._decider = decider_for(rules, Opening(epoch, first_window, first_seq, now.clock_epoch, is_patient))
        self._tell(
            records.GroupOpen, now, rules=settings_of(rules), epoch=epoch, first_window=first_window,
            first_seq=first_seq, is_patient=is_patient,
        )  # fmt: skip

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

    def _tell(self, kind: type[records.GroupEvent], now: Now, **said: Any) -> None:
        """Write what the group was told into the log, where one is kept."""
        if self._note is not None:
            self._note(kind(group=self._name, now_ns=now.utc_ns, clock_epoch=now.clock_epoch, **said))

    # From the streams' threads.

    def add(self, frame: Frame) -> None:
        """Queue a frame; one whose window is closed is late."""
        with self._changed:
            now = self._now()
            if self._note is not None:  # every frame comes this way
                self._tell(
                    records.GroupAdd, now, stream=frame.stream, seq=frame.seq, time_ns=frame.time_ns,
                    uncertainty_ns=frame.uncertainty_ns, clock=frame.clock, arrival_ns=frame.arrival_ns,
                    key=frame.keyframe, layout=frame.layout,
                )  # fmt: skip
            late = self._decider.add(frame, now)
            deadline_ns, is_due = self._decider.deadline_ns, self._decider.is_due(now)
            if deadline_ns is not None and deadline_ns < self._sleeps_until_ns:
                self._changed.notify()
        if late is not None:
            self._output.late(*late)
        if is_due:
            self._let_go()

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

    def expect(self, stream: str, floor_ns: int) -> None:
        """Frames wait for a better stamp: the group waits for them too, until its deadline."""
        with self._changed:
            now = self._now()
            self._tell(records.GroupExpect, now, stream=stream, floor_ns=floor_ns)
            self._decider.expect(stream, floor_ns, now)

    def drop(self, stream: str, cause: str, count: int) -> None:
        """Count lost frames in the next batch."""
        with self._changed:
            self._tell(records.GroupDrop, self._now(), stream=stream, cause=cause, count=count)
            self._decider.drop(stream, cause, count)

    def set_state(self, stream: str, state: StreamState) -> None:
        """Note what the stream does now."""
        with self._changed:
            self._tell(records.GroupState, self._now(), stream=stream, state=state.value)
            self._decider.set_state(stream, state)
            self._changed.notify()

    def doubt(self, stream: str, is_doubtful: bool) -> None:
        """Note whether a better clock of the stream was caught lying: it follows the others then, and leads none."""
        with self._changed:
            self._tell(records.GroupDoubt, self._now(), stream=stream, doubtful=is_doubtful)
            self._decider.doubt(stream, is_doubtful)

    # From the receiver's main thread.

    def drain(self) -> None:
        """The service stops: streams that end now are ``draining``, and the flush emits up to the present."""
        with self._changed:
            self._tell(records.GroupDrain, self._now())
            self._decider.drain()
            self._changed.notify()

    def flush(self) -> None:
        """Everything was read: emit what is open and end the thread."""
        with self._changed:
            self._is_finishing = True
            self._changed.notify()

    def jump(self, epoch: int) -> None:
        """The host's clock jumped: emit what is open, then go on in a new epoch at the new present."""
        with self._leaving:
            with self._changed:
                now, jump_ns = self._now(), self._utc.last_jump_ns
                self._tell(records.GroupJump, now, epoch=epoch, jump_ns=jump_ns)
                batches, late = self._decider.jump(epoch, jump_ns, now)
                self._note_closed(batches, now)
                self._changed.notify()
            for batch in batches:
                self._output.emit(batch)
        for one in late:
            self._output.late(*one)

    def reconfigure(self, rules: GroupRules) -> None:
        """Other streams or bounds from the oldest open window on; streams that stay lose nothing."""
        with self._changed:
            self._tell(records.GroupReconfigure, self._now(), rules=settings_of(rules))
            left = self._decider.reconfigure(rules)
            self._changed.notify()
        for frame in left:
            frame.payload.release()

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
                    now = self._now()
                    self._tell(records.GroupEnd, now)
                    batches = self._decider.end(now)
                    self._note_closed(batches, now)
                for batch in batches:
                    self._output.emit(batch)

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
            self._note_closed([batch], now)
        self._output.emit(batch)
        return True

    def _wait_ns(self, now: Now) -> int:
        deadline_ns, wait_ns = self._decider.deadline_ns, IDLE_WAIT_NS
        if deadline_ns is not None:
            wait_ns = max(0, min(wait_ns, deadline_ns - now.utc_ns))
        self._sleeps_until_ns = now.utc_ns + wait_ns
        return wait_ns

    def _note_closed(self, batches: Sequence[FrameBatch], now: Now) -> None:
        for batch in batches:
            window = (batch.window_start_ns, batch.window_end_ns)
            self._tell(
                records.GroupClose, now, window=window, seq=batch.seq, epoch=batch.epoch, missing=dict(batch.missing)
            )


def settings_of(rules: GroupRules) -> records.GroupSettings:
    """A group's rules, as a log has them."""
    return records.GroupSettings(
        rules.streams, rules.window_ns or None, rules.max_skew_ns, rules.max_latency_ns, rules.reference
    )


def first_window(ready_ns: int, emitted_end_ns: int, window_ns: int, now_ns: int) -> int:
    """Number of the first window: the one in which the service became ready, never one that was emitted before.

    Args:
        ready_ns: when ``ready`` was printed, UTC.
        emitted_end_ns: end of the last window that an earlier receiver emitted; 0 for none.
        window_ns: length of a window; 0 where there are none: then a second counts for one, and the answer is where the
            first batch begins, in nanoseconds.
        now_ns: UTC; windows that ended more than ten seconds ago are not made up for.
    """
    if not window_ns:
        return max(ready_ns // NS_PER_S * NS_PER_S, emitted_end_ns, now_ns - 10 * NS_PER_S)
    start = max(ready_ns, emitted_end_ns) if emitted_end_ns else ready_ns
    return max(start // window_ns, (now_ns - 10 * NS_PER_S) // window_ns)
