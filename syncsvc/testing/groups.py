"""A group on a bench: the real buckets, watermarks and aligner, driven by hand on a clock with hands."""

from collections.abc import Iterable, Sequence

from syncsvc.align.group import Group, GroupOutput, first_window
from syncsvc.clock import NS_PER_MS, NS_PER_S
from syncsvc.lifecycle import StopToken
from syncsvc.model import Frame, FrameBatch, StreamState
from syncsvc.observe.events import GroupRules, Open, State
from syncsvc.observe.records import AnyRecord
from syncsvc.testing.manual_clock import ManualClock
from syncsvc.timing.utc import UtcMapper


class GroupBench:
    """One group and everything that came out of it; times in the constructor are milliseconds."""

    def __init__(
        self,
        streams: Sequence[str],
        *,
        window_ms: int | None = 1000,
        max_skew_ms: float = 40,
        max_latency_ms: float = 500,
        reference: str | None = None,
        min_streams: int = 2,
        is_patient: bool = False,
        clock: ManualClock | None = None,
    ) -> None:
        self.clock = clock or ManualClock()
        self.utc = UtcMapper(self.clock)
        self.rules = GroupRules(
            tuple(streams), window_ms and window_ms * NS_PER_MS, round(max_skew_ms * NS_PER_MS),
            round(max_latency_ms * NS_PER_MS), reference, min_streams,
        )  # fmt: skip
        self.batches: list[FrameBatch] = []
        self.late: list[tuple[Frame, int, tuple[int, int]]] = []
        self.left_at_ns: list[int] = []
        first = first_window(self.clock.utc_ns(), 0, self.rules.window_ns, self.clock.utc_ns())
        self.events: list[AnyRecord] = []
        """What an observation log would have of it."""
        output = GroupOutput(
            self._emit, lambda frame, seq, window: self.late.append((frame, seq, window)), note=self.events.append
        )
        self.group = Group("bench", Open(self.rules, 1, first, 0, is_patient), self.utc, output)

    def _emit(self, batch: FrameBatch) -> None:
        self.batches.append(batch)
        self.left_at_ns.append(self.clock.utc_ns())

    def add(self, *frames: Frame) -> None:
        """Frames come in this order; windows close between them as soon as they are due."""
        for frame in frames:
            self.group.tell(frame)
            self.settle()

    def settle(self) -> None:
        """Close every window that is due now."""
        while self.group.close_due():
            pass

    def pass_to(self, utc_ns: int, step_ns: int = NS_PER_S // 100) -> None:
        """Let time pass until then, looking at the group every step."""
        while (left_ns := utc_ns - self.clock.utc_ns()) > 0:
            self.clock.advance(min(step_ns, left_ns))
            self.utc.update()
            self.settle()

    def jump(self, ns: int, epoch: int) -> None:
        """Somebody sets the host's clock, and the receiver notices."""
        self.clock.step_utc(ns)
        self.utc.update()
        self.group.jump(epoch)

    def states(self, state: StreamState, names: Iterable[str] | None = None) -> None:
        """These streams (all of them by default) change their state."""
        for name in names or self.rules.streams:
            self.group.tell(State(name, state))

    def finish(self) -> list[FrameBatch]:
        """Everything was read: the rest leaves; returns all batches."""
        self.group.flush()
        self.group.run(StopToken())
        return self.batches
