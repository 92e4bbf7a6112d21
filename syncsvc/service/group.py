"""One group, self-contained: its streams' buckets and watermarks, its aligner, their lock, its thread."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from syncsvc.align.aligner import Aligner, GroupRules
from syncsvc.clock import NS_PER_S
from syncsvc.ingest.buckets import WindowBuckets
from syncsvc.ingest.watermark import StreamState, StreamWatermark, group_passed
from syncsvc.layout import Layout
from syncsvc.lifecycle import StopToken
from syncsvc.model import Frame, FrameBatch, MissingReason
from syncsvc.timing.utc import JUMP_NS, UtcMapper

IDLE_WAIT_S = 0.2
"""Longest wait of the aligner's thread between two looks at the clock (a jump of UTC moves its deadline)."""


_REASONS: dict[StreamState, MissingReason] = {
    StreamState.STARTING: "starting",
    StreamState.LIVE: "deadline",
    StreamState.STALLED: "stalled",
    StreamState.ABSENT: "absent",
    StreamState.DRAINING: "draining",
}


@dataclass(frozen=True, slots=True)
class GroupOutput:
    """Where a group's results go; both are called from its threads, outside its lock."""

    emit: Callable[[FrameBatch], None]
    late: Callable[[Frame, int, tuple[int, int]], None]
    """A late frame, the ``seq`` of the batch that will count it, and the bounds of the window it missed."""


class Group:
    """A sink for its streams' frames, and the thread that closes its windows."""

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
            first_window: number of the first window.
            first_seq: number of the first batch.
            is_patient: pace ``asap``: no deadline, and every stream holds the group back until it ended.
        """
        self._utc, self._output, self._is_patient = utc, output, is_patient
        self._changed = threading.Condition()
        self._leaving = threading.Lock()  # held from closing a window until its batch is handed on: order of batches
        self._first_ns = first_window * rules.window_ns
        self._buckets = {name: WindowBuckets(rules.window_ns, self._first_ns) for name in rules.streams}
        self._watermarks = {name: StreamWatermark() for name in rules.streams}
        self._aligner = Aligner(rules, self._buckets, epoch, first_window)
        self._aligner.seq = first_seq
        self._is_draining = self._is_finishing = self._is_over = False
        self._newest_ns = 0
        self._layouts: dict[str, Layout] = {}
        self._utc_epoch = utc.epoch
        self._early: list[Frame] = []

    @property
    def seq(self) -> int:
        """Number of the next batch."""
        return self._aligner.seq

    @property
    def rules(self) -> GroupRules:
        """What the group promises, as of now."""
        return self._aligner.rules

    # From the streams' threads.

    def add(self, frame: Frame) -> None:
        """Queue a frame; one whose window is closed is late."""
        late = None
        with self._changed:
            if frame.stream not in self._buckets or self._is_over:
                frame.payload.release()
                return
            if self._is_jumping:
                self._early.append(frame)
                return
            late = self._put(frame)
            if self._is_due():
                self._changed.notify()
        if late is not None:
            self._output.late(frame, *late)

    def _put(self, frame: Frame) -> tuple[int, tuple[int, int]] | None:
        """Queue it; the ``seq`` of the batch that will count it and the window that it missed where it is late."""
        name = frame.stream
        is_past = frame.arrival_ns > self._utc.now_utc() + JUMP_NS // 2  # stamped just before the clock went back
        if not is_past:
            self._drop_other_layouts(frame)
            self._watermarks[name].heard(frame.time_ns)
            if self._buckets[name].put(frame):
                self._newest_ns = max(self._newest_ns, frame.time_ns)
                return None
        self._aligner.count_late(name)
        start = frame.time_ns // self.rules.window_ns * self.rules.window_ns
        return self._aligner.seq, (start, start + self.rules.window_ns)

    @property
    def _is_jumping(self) -> bool:
        """Whether UTC has jumped and ``jump`` is still to come: nothing is due, and frames wait for the new windows."""
        return self._utc.epoch != self._utc_epoch

    def expect(self, stream: str, floor_ns: int) -> None:
        """Frames wait for a better stamp: the group waits for them too, until its deadline."""
        with self._changed:
            if stream in self._watermarks and not self._is_jumping:
                self._watermarks[stream].heard(floor_ns)

    def drop(self, stream: str, cause: str, count: int) -> None:
        """Count lost frames in the next batch."""
        with self._changed:
            if stream in self._buckets:
                self._aligner.count_dropped(stream, cause, count)

    def set_state(self, stream: str, state: StreamState) -> None:
        """Note what the stream does now."""
        with self._changed:
            watermark = self._watermarks.get(stream)
            if watermark is None or (watermark.state is StreamState.DRAINING and state is not StreamState.ENDED):
                return
            watermark.state = state
            self._changed.notify()

    # From the receiver's main thread.

    def drain(self) -> None:
        """The service stops: streams that end now are ``draining``, and the flush emits up to the present."""
        with self._changed:
            self._is_draining = True
            for watermark in self._watermarks.values():
                if watermark.state is StreamState.LIVE:
                    watermark.state = StreamState.DRAINING
            self._changed.notify()

    def flush(self) -> None:
        """Everything was read: emit what is open and end the thread."""
        with self._changed:
            self._is_finishing = True
            self._changed.notify()

    def jump(self, epoch: int) -> None:
        """The host's clock jumped: emit what is open, then go on in a new epoch at the new present.

        After a jump forward no window comes twice: if one that was open is still the present, the rest of it is late.
        """
        with self._leaving:
            with self._changed:
                batches = self._close_all()
                first = self._utc.now_utc() // self.rules.window_ns
                if self._utc.last_jump_ns > 0:
                    first = max(first, self._aligner.window[0] // self.rules.window_ns)
                self._aligner.restart(epoch, first)
                for watermark in self._watermarks.values():
                    watermark.forget()
                self._newest_ns, self._utc_epoch = 0, self._utc.epoch
                early, self._early = self._early, []
                late = [(frame, missed) for frame in early if (missed := self._put(frame)) is not None]
                self._changed.notify()
            for batch in batches:
                self._output.emit(batch)
        for frame, missed in late:
            self._output.late(frame, *missed)

    def reconfigure(self, rules: GroupRules) -> None:
        """Other streams or bounds from the oldest open window on; streams that stay lose nothing."""
        with self._changed:
            gone = [name for name in self._buckets if name not in rules.streams]
            left = [frame for name in gone for frame in self._buckets.pop(name).discard()]
            for name in gone:
                del self._watermarks[name]
                self._layouts.pop(name, None)
            for name in rules.streams:
                if name not in self._buckets:
                    self._buckets[name] = WindowBuckets(rules.window_ns, self._aligner.window[0])
                    self._watermarks[name] = StreamWatermark()
            left += self._aligner.reconfigure(rules, self._buckets)
            left += [frame for frame in self._early if frame.stream in gone]
            self._early = [frame for frame in self._early if frame.stream not in gone]
            self._changed.notify()
        for frame in left:
            frame.payload.release()

    # The aligner's thread.

    def run(self, stop: StopToken) -> None:
        """Close windows when they are due, until the flush (everything open leaves) or the stop (nothing does)."""
        while not stop.is_set and not self._is_finishing:
            if not self.close_due():
                with self._changed:
                    if not self._is_finishing and not self._is_due():
                        self._changed.wait(self._wait_s())
        if not stop.is_set:
            with self._leaving:
                with self._changed:
                    batches, self._is_over = self._close_all(), True
                for batch in batches:
                    self._output.emit(batch)

    def close_due(self) -> bool:
        """Close the oldest window and emit its batch if it is due; false when none is."""
        with self._leaving:
            with self._changed:
                if self._is_finishing or not self._is_due():
                    return False
                batch = self._aligner.close(self._reason)
            self._output.emit(batch)
        return True

    def _is_due(self) -> bool:
        if self._is_jumping:
            return False
        if not self._is_patient and self._utc.now_utc() >= self._aligner.deadline_ns:
            return True
        streams = list(self._watermarks.values())
        if all(stream.state is StreamState.ENDED for stream in streams):
            return self._has_frames()
        return group_passed(streams, self._aligner.horizon_ns, patient=self._is_patient)

    def _has_frames(self) -> bool:
        return self._newest_ns >= self._aligner.window[0] or any(len(buckets) for buckets in self._buckets.values())

    def _wait_s(self) -> float:
        if self._is_patient:
            return IDLE_WAIT_S
        return max(0.0, min(IDLE_WAIT_S, (self._aligner.deadline_ns - self._utc.now_utc()) / NS_PER_S))

    def _close_all(self) -> list[FrameBatch]:
        """Every open window up to the last frame's and, when draining, up to the present one."""
        batches = []
        until_ns = self._utc.now_utc() if self._is_draining and not self._is_patient else 0
        while self._has_frames() or self._aligner.window[0] <= until_ns:
            batches.append(self._aligner.close(self._reason))
        return batches

    def _reason(self, stream: str, end_ns: int, has_frames: bool) -> MissingReason | None:
        watermark = self._watermarks[stream]
        if watermark.passed(end_ns) and has_frames:
            return None
        if watermark.state is StreamState.ENDED:
            return "ended"
        if not watermark.passed(end_ns):
            return _REASONS[watermark.state]
        return "starting" if watermark.first_ns is not None and watermark.first_ns >= end_ns else "stalled"

    def _drop_other_layouts(self, frame: Frame) -> None:
        """A batch has one layout per stream: frames of the size before a change cannot travel with those after it."""
        before, self._layouts[frame.stream] = self._layouts.get(frame.stream), frame.layout
        if before is None or before == frame.layout:
            return
        # A frame leaves with its own window or, in a set, with the one that is a skew away: frames before this edge
        # leave with an earlier batch than the new one.
        window_ns, skew_ns = self.rules.window_ns, self.rules.max_skew_ns
        edge_ns = (frame.time_ns - skew_ns) // window_ns * window_ns - skew_ns
        for old in self._aligner.discard(
            frame.stream, "size_changed", lambda queued: queued.time_ns >= edge_ns and queued.layout != frame.layout
        ):
            old.payload.release()


def first_window(ready_ns: int, emitted_end_ns: int, window_ns: int, now_ns: int) -> int:
    """Number of the first window: the one in which the service became ready, never one that was emitted before.

    Args:
        ready_ns: when ``ready`` was printed, UTC.
        emitted_end_ns: end of the last window that an earlier receiver emitted; 0 for none.
        window_ns: length of a window.
        now_ns: UTC; windows that ended more than ten seconds ago are not made up for.
    """
    start = max(ready_ns, emitted_end_ns) if emitted_end_ns else ready_ns
    return max(start // window_ns, (now_ns - 10 * NS_PER_S) // window_ns)
