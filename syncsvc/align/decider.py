"""What a group decides, and nothing else: no lock, no thread, no clock; told the same again, it decides the same.

``align/group.py`` calls a decider with the present, under the group's lock; ``audit/decisions.py`` with what a log
says. Every moment that a decision depends on is passed in. ``windows.py`` and ``sets.py`` decide when a batch leaves.
"""

from abc import ABC, abstractmethod
from typing import Generic, NamedTuple, TypeVar

from syncsvc.align.batches import BatchMaker, GroupRules
from syncsvc.align.watermark import StreamWatermark
from syncsvc.model import Frame, FrameBatch, MissingReason, StreamState
from syncsvc.timing.utc import JUMP_NS

_REASONS: dict[StreamState, MissingReason] = {
    StreamState.STARTING: "starting",
    StreamState.LIVE: "deadline",
    StreamState.STALLED: "stalled",
    StreamState.ABSENT: "absent",
    StreamState.DRAINING: "draining",
}

AlignerT = TypeVar("AlignerT", bound=BatchMaker)


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

    ``first_window`` is a number of windows; where there are none, nanoseconds. ``is_patient`` (pace ``asap``): no
    deadline, and every stream holds the group back until it ended.
    """

    epoch: int
    first_window: int
    first_seq: int
    clock_epoch: int
    is_patient: bool


class GroupDecider(ABC, Generic[AlignerT]):
    """One group's frames, watermarks and aligner: which frame is late, when a batch leaves, what it says."""

    def __init__(self, aligner: AlignerT, watermarks: dict[str, StreamWatermark], opening: Opening) -> None:
        self._aligner, self._watermarks = aligner, watermarks
        self._aligner.seq = opening.first_seq
        self._clock_epoch, self._is_patient = opening.clock_epoch, opening.is_patient
        self._is_draining = self._is_over = False
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
    @abstractmethod
    def deadline_ns(self) -> int | None:
        """When the next batch leaves at the latest, UTC; None where nothing has a deadline."""

    def add(self, frame: Frame, now: Now) -> Late | None:
        """Queue a frame; what to tell of it where it is late."""
        if frame.stream not in self._watermarks or self._is_over:
            frame.payload.release()
            return None
        if self._is_jumping(now):
            self._early.append(frame)
            return None
        late = self._put(frame, now)
        self._consider()
        return late

    def _put(self, frame: Frame, now: Now) -> Late | None:
        is_past = frame.arrival_ns > now.utc_ns + JUMP_NS // 2  # stamped just before the clock went back
        if not is_past:
            self._watermarks[frame.stream].heard(frame.time_ns)
            if self._queue(frame):
                return None
        self._aligner.count_late(frame.stream)
        return Late(frame, self._aligner.seq, self._missed(frame.time_ns))

    def _is_jumping(self, now: Now) -> bool:
        """Whether UTC has jumped and ``jump`` is still to come: nothing is due, and frames wait for the new windows."""
        return now.clock_epoch != self._clock_epoch

    def expect(self, stream: str, floor_ns: int, now: Now) -> None:
        """Frames wait for a better stamp: the group waits for them too, until its deadline."""
        if stream in self._watermarks and not self._is_jumping(now):
            self._watermarks[stream].heard(floor_ns)
            self._consider()

    def drop(self, stream: str, cause: str, count: int) -> None:
        """Count lost frames in the next batch."""
        if stream in self._watermarks:
            self._aligner.count_dropped(stream, cause, count)

    def set_state(self, stream: str, state: StreamState) -> None:
        """Note what the stream does now."""
        watermark = self._watermarks.get(stream)
        if watermark is None or (watermark.state is StreamState.DRAINING and state is not StreamState.ENDED):
            return
        watermark.state = state
        self._consider()

    def doubt(self, stream: str, is_doubtful: bool) -> None:
        """Note whether the stream's times come from a lower rung because a better one was caught lying."""
        if stream in self._watermarks:
            self._aligner.doubt(stream, is_doubtful)
            self._consider()

    def drain(self) -> None:
        """The service stops: streams that end now are ``draining``, and the end emits up to the present."""
        self._is_draining = True
        for watermark in self._watermarks.values():
            if watermark.state is StreamState.LIVE:
                watermark.state = StreamState.DRAINING

    def is_due(self, now: Now) -> bool:
        """Whether a batch leaves now."""
        return not self._is_jumping(now) and self._closes(now)

    def close_due(self, now: Now) -> FrameBatch | None:
        """Make the next batch if it is due."""
        return self._close(now) if self.is_due(now) else None

    def jump(self, epoch: int, jump_ns: int, now: Now) -> tuple[list[FrameBatch], list[Late]]:
        """The host's clock jumped: what is open leaves, and a new epoch begins at the new present.

        After a jump forward no window comes twice: if one that was open is still the present, the rest of it is late.

        Args:
            epoch: the new one.
            jump_ns: how far the clock jumped; negative for backward.
            now: the new present.
        """
        batches = self._close_all(now)
        self._restart(epoch, jump_ns, now)
        for watermark in self._watermarks.values():
            watermark.forget()
        self._clock_epoch = now.clock_epoch
        early, self._early = self._early, []
        late = [one for frame in early if (one := self._put(frame, now)) is not None]
        self._consider()
        return batches, late

    def reconfigure(self, rules: GroupRules) -> list[Frame]:
        """Other streams or bounds from what is open on; returns what streams that left had queued."""
        gone = [name for name in self._watermarks if name not in rules.streams]
        for name in gone:
            del self._watermarks[name]
        for name in rules.streams:
            self._watermarks.setdefault(name, StreamWatermark())
        left = self._take_rules(rules, gone)
        left += [frame for frame in self._early if frame.stream in gone]
        self._early = [frame for frame in self._early if frame.stream not in gone]
        self._consider()
        return left

    def end(self, now: Now) -> list[FrameBatch]:
        """Everything was read: what is open leaves, and no frame is taken any more."""
        self._is_over = True
        return self._close_all(now)

    def _until_ns(self, now: Now) -> int:
        """Up to when there are batches at the end, whether or not there are frames."""
        return now.utc_ns if self._is_draining and not self._is_patient else 0

    def _reason(self, stream: str, until_ns: int, has_frames: bool) -> MissingReason | None:
        """Why a stream is missing in a batch that reaches until a moment; None when it is not."""
        watermark = self._watermarks[stream]
        if watermark.passed(until_ns) and has_frames:
            return None
        if watermark.state is StreamState.ENDED:
            return "ended"
        if not watermark.passed(until_ns):
            return _REASONS[watermark.state]
        return "starting" if watermark.first_ns is not None and watermark.first_ns >= until_ns else "stalled"

    def _consider(self) -> None:
        """Something was told: what can be decided now is decided, so that it depends on nothing that comes later."""

    @abstractmethod
    def _queue(self, frame: Frame) -> bool:
        """Take a frame; false when it is late."""

    @abstractmethod
    def _missed(self, time_ns: int) -> tuple[int, int]:
        """Bounds of the closed window that a late frame belongs to."""

    @abstractmethod
    def _closes(self, now: Now) -> bool: ...

    @abstractmethod
    def _close(self, now: Now) -> FrameBatch: ...

    @abstractmethod
    def _close_all(self, now: Now) -> list[FrameBatch]:
        """Every batch that there are frames for and, when draining, up to the present."""

    @abstractmethod
    def _restart(self, epoch: int, jump_ns: int, now: Now) -> None:
        """Everything has left: begin a new epoch at the present."""

    @abstractmethod
    def _take_rules(self, rules: GroupRules, gone: list[str]) -> list[Frame]:
        """Other rules, without the streams that are gone; returns what these had queued."""
