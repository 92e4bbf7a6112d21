"""What a group decides, and nothing else: no lock, no thread, no clock; told the same again, it decides the same.

``align/group.py`` tells a decider its events at the present, under the group's lock; ``audit/decisions.py`` those of a
log. Every moment that a decision depends on is passed in, and no frame's pixels are touched: what is to be let go is
said. ``windows.py`` and ``sets.py`` decide when a batch leaves.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from syncsvc.align.batches import BatchMaker
from syncsvc.align.watermark import StreamWatermark
from syncsvc.model import Frame, FrameBatch, MissingReason, StreamState
from syncsvc.observe.events import (
    Belated,
    Doubt,
    Draining,
    Drop,
    End,
    Expect,
    GroupEvent,
    GroupRules,
    Jump,
    Open,
    Reconfigure,
    Skip,
    State,
)
from syncsvc.timing.utc import JUMP_NS

_REASONS: dict[StreamState, MissingReason] = {
    StreamState.STARTING: "starting",
    StreamState.LIVE: "deadline",
    StreamState.STALLED: "stalled",
    StreamState.ABSENT: "absent",
    StreamState.DRAINING: "draining",
}

AlignerT = TypeVar("AlignerT", bound=BatchMaker[Any])


class Now(NamedTuple):
    """A moment: UTC nanoseconds as the host's mapper has them, and the epoch of the host's clock."""

    utc_ns: int
    clock_epoch: int


class Late(NamedTuple):
    """A frame that missed its window, the ``seq`` of the batch that will count it, and the window's bounds."""

    frame: Frame
    seq: int
    window: tuple[int, int]


class Decision(NamedTuple):
    """What came of an event: batches that leave, frames that were late, and frames that nobody needs any more."""

    batches: Sequence[FrameBatch] = ()
    late: Sequence[Late] = ()
    unused: Sequence[Frame] = ()


NOTHING = Decision()


class GroupDecider(ABC, Generic[AlignerT]):
    """One group's frames, watermarks and aligner: which frame is late, when a batch leaves, what it says."""

    def __init__(
        self, aligner: AlignerT, watermarks: dict[str, StreamWatermark], opening: Open, clock_epoch: int
    ) -> None:
        self._aligner, self._watermarks = aligner, watermarks
        self._clock_epoch, self._is_patient = clock_epoch, opening.is_patient
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
    def deadline_ns(self) -> int | None:
        """When the next batch leaves at the latest, UTC; None where nothing has a deadline."""
        return None if self._is_patient else self._aligner.deadline_ns

    def handle(self, event: GroupEvent, now: Now) -> Decision:
        """Take in what the group is told; streams that are not of the group, or no longer, tell it nothing."""
        if isinstance(event, Frame):
            return self._add(event, now)
        match event:
            case Expect(stream, floor_ns) if stream in self._watermarks and not self._is_jumping(now):
                self._watermarks[stream].heard(floor_ns, is_frame=False)
                self._consider()
            case Drop(stream, cause, count) if stream in self._watermarks:
                self._aligner.count_dropped(stream, cause, count)
            case Belated(stream, count) if stream in self._watermarks:
                self._aligner.count_late(stream, count)
            case Skip(stream, count) if stream in self._watermarks:
                self._aligner.count_skipped(stream, count)
            case State(stream, state) if stream in self._watermarks:
                self._set_state(stream, state)
            case Doubt(stream, is_doubtful) if stream in self._watermarks:
                self._aligner.doubt(stream, is_doubtful)
                self._consider()
            case Draining():
                self._drain()
            case Reconfigure(rules):
                return Decision(unused=self._reconfigure(rules))
            case Jump():
                return self._jump(event, now)
            case End():
                self._is_over = True
                return Decision(self._close_all(now))
        return NOTHING

    def _add(self, frame: Frame, now: Now) -> Decision:
        if frame.stream not in self._watermarks or self._is_over:
            return Decision(unused=(frame,))
        if self._is_jumping(now):
            self._early.append(frame)
            return NOTHING
        late = self._put(frame, now)
        self._consider()
        return NOTHING if late is None else Decision(late=(late,))

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

    def _set_state(self, stream: str, state: StreamState) -> None:
        watermark = self._watermarks[stream]
        if watermark.state is not StreamState.DRAINING or state is StreamState.ENDED:
            watermark.state = state
            self._consider()

    def _drain(self) -> None:
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

    def _jump(self, jump: Jump, now: Now) -> Decision:
        """After a jump forward no window comes twice: if one that was open is still the present, its rest is late."""
        batches = self._close_all(now)
        self._restart(jump, now)
        for watermark in self._watermarks.values():
            watermark.forget()
        self._clock_epoch = now.clock_epoch
        early, self._early = self._early, []
        late = [one for frame in early if (one := self._put(frame, now)) is not None]
        self._consider()
        return Decision(batches, late)

    def _reconfigure(self, rules: GroupRules) -> list[Frame]:
        """Returns what streams that left had queued."""
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

    def _is_overdue(self, now: Now) -> bool:
        return not self._is_patient and now.utc_ns >= self._aligner.deadline_ns

    def _until_ns(self, now: Now) -> int:
        """Up to when there are batches at the end, whether or not there are frames."""
        return now.utc_ns if self._is_draining and not self._is_patient else 0

    def _reason(self, stream: str, until_ns: int, has_frames: bool, is_quiet: bool = False) -> MissingReason | None:
        """Why a stream is missing in a batch that reaches until a moment; None when it is not.

        ``is_quiet``: its pace says that no frame is to come before then; one that is live is as good as heard.
        """
        watermark = self._watermarks[stream]
        is_heard = watermark.passed(until_ns) or (is_quiet and watermark.state is StreamState.LIVE)
        if is_heard and has_frames:
            return None
        if watermark.state is StreamState.ENDED:
            return "ended"
        if not is_heard:
            return _REASONS[watermark.state]
        return "starting" if watermark.first_ns is None or watermark.first_ns >= until_ns else "stalled"

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
    def _restart(self, jump: Jump, now: Now) -> None:
        """Everything has left: begin a new epoch at the present."""

    @abstractmethod
    def _take_rules(self, rules: GroupRules, gone: list[str]) -> list[Frame]:
        """Other rules, without the streams that are gone; returns what these had queued."""
