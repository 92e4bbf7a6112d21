"""What a group decides, and nothing else: no lock, no thread, no clock; told the same again, it decides the same.

``service/group.py`` calls it with the present, under the group's lock; ``service/replay.py`` with what a log says.
Every moment that a decision depends on is passed in.
"""

from typing import NamedTuple

from syncsvc.align.aligner import Aligner, GroupRules
from syncsvc.ingest.buckets import WindowBuckets
from syncsvc.ingest.watermark import StreamState, StreamWatermark, group_passed
from syncsvc.layout import Layout
from syncsvc.model import Frame, FrameBatch, MissingReason
from syncsvc.timing.utc import JUMP_NS

_REASONS: dict[StreamState, MissingReason] = {
    StreamState.STARTING: "starting",
    StreamState.LIVE: "deadline",
    StreamState.STALLED: "stalled",
    StreamState.ABSENT: "absent",
    StreamState.DRAINING: "draining",
}


class Now(NamedTuple):
    """A moment: UTC nanoseconds as the host's mapper has them, and the epoch of the host's clock."""

    utc_ns: int
    clock_epoch: int


class Late(NamedTuple):
    """A frame that missed its window, the ``seq`` of the batch that will count it, and the window's bounds."""

    frame: Frame
    seq: int
    window: tuple[int, int]


class Opening(NamedTuple):
    """Where a group begins: the receiver's epoch, its first window, its first batch, and the epoch of the host's clock.

    ``is_patient`` (pace ``asap``): no deadline, and every stream holds the group back until it ended.
    """

    epoch: int
    first_window: int
    first_seq: int
    clock_epoch: int
    is_patient: bool


class GroupWindows:
    """One group's buckets, watermarks and aligner: which frame is late, when a window closes, what its batch says."""

    def __init__(self, rules: GroupRules, opening: Opening) -> None:
        """Open the windows from the first one on."""
        first_ns = opening.first_window * rules.window_ns
        self._buckets = {name: WindowBuckets(rules.window_ns, first_ns) for name in rules.streams}
        self._watermarks = {name: StreamWatermark() for name in rules.streams}
        self._aligner = Aligner(rules, self._buckets, opening.epoch, opening.first_window)
        self._aligner.seq = opening.first_seq
        self._clock_epoch, self._is_patient = opening.clock_epoch, opening.is_patient
        self._is_draining = self._is_over = False
        self._newest_ns = 0
        self._layouts: dict[str, Layout] = {}
        self._early: list[Frame] = []

    @property
    def seq(self) -> int:
        """Number of the next batch."""
        return self._aligner.seq

    @property
    def rules(self) -> GroupRules:
        """What the group promises, as of now."""
        return self._aligner.rules

    @property
    def deadline_ns(self) -> int | None:
        """When the oldest open window leaves at the latest, UTC; None where nothing has a deadline."""
        return None if self._is_patient else self._aligner.deadline_ns

    def add(self, frame: Frame, now: Now) -> Late | None:
        """Queue a frame; what to tell of it where it is late."""
        if frame.stream not in self._buckets or self._is_over:
            frame.payload.release()
            return None
        if self._is_jumping(now):
            self._early.append(frame)
            return None
        return self._put(frame, now)

    def _put(self, frame: Frame, now: Now) -> Late | None:
        name = frame.stream
        is_past = frame.arrival_ns > now.utc_ns + JUMP_NS // 2  # stamped just before the clock went back
        if not is_past:
            self._drop_other_layouts(frame)
            self._watermarks[name].heard(frame.time_ns)
            if self._buckets[name].put(frame):
                self._newest_ns = max(self._newest_ns, frame.time_ns)
                return None
        self._aligner.count_late(name)
        start = frame.time_ns // self.rules.window_ns * self.rules.window_ns
        return Late(frame, self._aligner.seq, (start, start + self.rules.window_ns))

    def _is_jumping(self, now: Now) -> bool:
        """Whether UTC has jumped and ``jump`` is still to come: nothing is due, and frames wait for the new windows."""
        return now.clock_epoch != self._clock_epoch

    def expect(self, stream: str, floor_ns: int, now: Now) -> None:
        """Frames wait for a better stamp: the group waits for them too, until its deadline."""
        if stream in self._watermarks and not self._is_jumping(now):
            self._watermarks[stream].heard(floor_ns)

    def drop(self, stream: str, cause: str, count: int) -> None:
        """Count lost frames in the next batch."""
        if stream in self._buckets:
            self._aligner.count_dropped(stream, cause, count)

    def set_state(self, stream: str, state: StreamState) -> None:
        """Note what the stream does now."""
        watermark = self._watermarks.get(stream)
        if watermark is None or (watermark.state is StreamState.DRAINING and state is not StreamState.ENDED):
            return
        watermark.state = state

    def doubt(self, stream: str, is_doubtful: bool) -> None:
        """Note whether the stream's times come from a lower rung because a better one was caught lying."""
        if stream in self._buckets:
            self._aligner.doubt(stream, is_doubtful)

    def drain(self) -> None:
        """The service stops: streams that end now are ``draining``, and the end emits up to the present."""
        self._is_draining = True
        for watermark in self._watermarks.values():
            if watermark.state is StreamState.LIVE:
                watermark.state = StreamState.DRAINING

    def is_due(self, now: Now) -> bool:
        """Whether the oldest open window closes now."""
        if self._is_jumping(now):
            return False
        if not self._is_patient and now.utc_ns >= self._aligner.deadline_ns:
            return True
        streams = list(self._watermarks.values())
        if all(stream.state is StreamState.ENDED for stream in streams):
            return self._has_frames()
        return group_passed(streams, self._aligner.horizon_ns, patient=self._is_patient)

    def close_due(self, now: Now) -> FrameBatch | None:
        """Close the oldest open window if it is due."""
        return self._aligner.close(self._reason) if self.is_due(now) else None

    def jump(self, epoch: int, jump_ns: int, now: Now) -> tuple[list[FrameBatch], list[Late]]:
        """The host's clock jumped: what is open leaves, and a new epoch begins at the new present.

        After a jump forward no window comes twice: if one that was open is still the present, the rest of it is late.

        Args:
            epoch: the new one.
            jump_ns: how far the clock jumped; negative for backward.
            now: the new present.
        """
        batches = self._close_all(now)
        first = now.utc_ns // self.rules.window_ns
        if jump_ns > 0:
            first = max(first, self._aligner.window[0] // self.rules.window_ns)
        self._aligner.restart(epoch, first)
        for watermark in self._watermarks.values():
            watermark.forget()
        self._newest_ns, self._clock_epoch = 0, now.clock_epoch
        early, self._early = self._early, []
        return batches, [late for frame in early if (late := self._put(frame, now)) is not None]

    def reconfigure(self, rules: GroupRules) -> list[Frame]:
        """Other streams or bounds from the oldest open window on; returns what streams that left had queued."""
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
        return left

    def end(self, now: Now) -> list[FrameBatch]:
        """Everything was read: what is open leaves, and no frame is taken any more."""
        self._is_over = True
        return self._close_all(now)

    def _close_all(self, now: Now) -> list[FrameBatch]:
        """Every open window up to the last frame's and, when draining, up to the present one."""
        batches = []
        until_ns = now.utc_ns if self._is_draining and not self._is_patient else 0
        while self._has_frames() or self._aligner.window[0] <= until_ns:
            batches.append(self._aligner.close(self._reason))
        return batches

    def _has_frames(self) -> bool:
        return self._newest_ns >= self._aligner.window[0] or any(len(buckets) for buckets in self._buckets.values())

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
