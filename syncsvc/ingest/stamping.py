"""From facts to frames with a time: each waits here until the stream's clock has an answer for it."""

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from syncsvc.clock import Clock
from syncsvc.layout import Layout
from syncsvc.model import Frame, Observation
from syncsvc.observe.events import StreamEvent
from syncsvc.observe.records import ClockRecord, Note, ObsRecord
from syncsvc.timing.ladder import Stamp, Standing, StreamClock
from syncsvc.transport.payload import SlotPayload

log = logging.getLogger(__name__)


class FrameConsumer(Protocol):
    """A group, as its streams see it; called from the streams' threads."""

    def tell(self, event: StreamEvent) -> None:
        """A frame came with its capture time (times rise within a stream), or something else happened to a stream."""
        ...


Groups = Sequence[FrameConsumer]


class Stamping:
    """One stream's, across restarts of its capture."""

    def __init__(
        self,
        stream: str,
        stream_clock: StreamClock,
        clock: Clock,
        on_frame: Callable[[Frame, Stamp, Groups], None],
        on_doubt: Callable[[bool], None],
        note: Note | None,
    ) -> None:
        """Prepare.

        Args:
            stream: its name.
            stream_clock: its ladder.
            clock: for when the stream's clock or its standing changed.
            on_frame: called with each frame that has its time, in their order, and the groups that it came for.
            on_doubt: called when the stream is caught lying, or tells the truth again.
            note: takes every fact and every change, for the observation log.
        """
        self.clock = stream_clock
        self._stream, self._clock, self._note = stream, clock, note
        self._on_frame, self._on_doubt = on_frame, on_doubt
        self._standing = Standing(None, False, ())
        self._waiting: dict[int, tuple[Layout, SlotPayload, Groups]] = {}

    def add(self, seen: Observation, layout: Layout, payload: SlotPayload, groups: Groups) -> None:
        """A frame came for these groups; a reload may change those of the stream while it waits."""
        self._waiting[seen.seq] = layout, payload, groups
        if self._note is not None:
            self._note(ObsRecord.of(self._stream, seen))
        self._deliver(self.clock.observe(seen))
        self._note_standing()

    def new_session(self) -> None:
        """The source is opened anew, or gone: frames that wait get the time that there is."""
        self._deliver(self.clock.new_session())

    def settle(self) -> None:
        """Let go of all frames: soon nobody waits for them."""
        if self.clock.is_holding:
            self._deliver(self.clock.settle())

    def expire(self, now_ns: int) -> None:
        """Let go of frames that cannot wait any longer, now in UTC."""
        if self.clock.is_holding:
            self._deliver(self.clock.expire(now_ns))

    def _deliver(self, stamps: Sequence[Stamp]) -> None:
        for stamp in stamps:
            seen = stamp.observation
            layout, payload, groups = self._waiting.pop(seen.seq)
            frame = Frame(
                self._stream, seen.seq, stamp.time_ns, stamp.uncertainty_ns, stamp.clock, stamp.arrival_ns,
                seen.is_key, layout, payload,
            )  # fmt: skip
            self._on_frame(frame, stamp, groups)

    def _note_standing(self) -> None:
        """Tell when the clock in use, the stream's standing, or what is refused of it has changed."""
        standing = self.clock.standing
        if standing == self._standing:
            return
        before, self._standing = self._standing, standing
        if standing.is_doubtful != before.is_doubtful:
            self._on_doubt(standing.is_doubtful)
        clock, problems = standing.clock, self.clock.problems
        if standing.lies != before.lies and standing.lies:
            lies = "; ".join(f"{rung}: {problems[rung]}" for rung in standing.lies)
            log.warning("stream %s: %s; stamped by %s", self._stream, lies, clock or "nothing yet")
        elif clock != before.clock and clock is not None:
            log.info("stream %s: stamped by %s", self._stream, clock)
        if self._note is not None:
            self._note(
                ClockRecord(
                    stream=self._stream, clock=clock, doubtful=standing.is_doubtful, reasons=dict(problems),
                    mono_ns=self._clock.monotonic_ns(),
                )
            )  # fmt: skip
