"""One thread per stream: reads descriptors, stamps frames, hands them to the groups; knows no other stream."""

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from syncsvc.clock import NS_PER_MS, NS_PER_S, Clock
from syncsvc.errors import LinkClosed, MemoryShortage, TransportError
from syncsvc.ingest.rest import Rest
from syncsvc.ingest.rings import CaptureRings
from syncsvc.ingest.stamping import Groups, Stamping
from syncsvc.ingest.tally import Tally
from syncsvc.lifecycle import StopToken
from syncsvc.model import Frame, StreamState
from syncsvc.observe.events import Doubt, Drop, Expect, Skip, State
from syncsvc.observe.records import LossRecord, Note, SessionRecord, StampRecord
from syncsvc.observe.status import IngestStatus
from syncsvc.timing.grid import PtsGrid
from syncsvc.timing.ladder import Stamp, StreamClock
from syncsvc.timing.rungs import Rung
from syncsvc.transport.link import LinkReader
from syncsvc.transport.messages import DropMessage, EndMessage, FrameMessage, GrowthMessage, Message, RingMessage
from syncsvc.transport.payload import SlotPayload

log = logging.getLogger(__name__)

POLL_S = 0.1
BURST = 64
"""Messages handled between two looks at the clock and the stop token."""


@dataclass(frozen=True, slots=True)
class _Attached:
    link: LinkReader
    next_seq: int


@dataclass(frozen=True, slots=True)
class _Gone:
    next_seq: int
    is_over: bool


@dataclass(frozen=True, slots=True)
class Tuning:
    """What a configuration says of a stream's clock; times in nanoseconds."""

    make_rungs: Callable[[], list[Rung]]
    hold_ns: int
    edge_ns: int
    stall_after_ns: int
    rest: Rest
    source: str = ""


@dataclass(frozen=True, slots=True)
class _Rewiring:
    groups: Groups
    on_join: Callable[[str, int], None]
    tuning: Tuning | None
    is_taken: threading.Event


class StreamIngest:
    """The body of one stream's thread, from link to groups, across restarts of its capture."""

    def __init__(
        self,
        name: str,
        stream_clock: StreamClock,
        clock: Clock,
        to_utc: Callable[[int], int],
        *,
        stall_after_ns: int,
        is_patient: bool,
        take_pixels: Callable[[SlotPayload], None],
        note: Note | None = None,
    ) -> None:
        """Prepare the thread's state.

        Args:
            name: of the stream.
            stream_clock: its ladder.
            clock: for the silence that counts as stalled.
            to_utc: maps CLOCK_MONOTONIC to UTC.
            stall_after_ns: silence, while we read, after which the stream is ``stalled``.
            is_patient: the stream paces itself by us (``asap``): it never stalls.
            take_pixels: called with each payload before it is queued, so that it can leave its slot early.
            note: takes every fact and every conclusion, for the observation log.
        """
        self.name, self.tally = name, Tally(name)
        self.groups: Groups = ()
        self._clock, self._to_utc = clock, to_utc
        self._stall_after_ns, self._is_patient, self._take_pixels = stall_after_ns, is_patient, take_pixels
        self._note = note
        self._stamping = Stamping(name, stream_clock, clock, self._on_stamped, self._on_doubt, note)
        self._commands: queue.SimpleQueue[_Attached | _Gone | None] = queue.SimpleQueue()
        self._rewirings: deque[_Rewiring] = deque()
        self._link: LinkReader | None = None
        self._rings: CaptureRings | None = None
        self._next_seq: int | None = None
        self._grid = PtsGrid()
        self._has_hung_up = False
        self._rest: Rest | None = None
        self._messages = 0
        self._silent_ns = 0
        self._looked_ns = clock.monotonic_ns()

    def status(self) -> IngestStatus:
        """What the service tells of the stream."""
        clock = self._stamping.clock
        return self.tally.status(self._to_utc(self._clock.monotonic_ns()), clock.problems, clock.drift_ppm)

    def attach(self, link: LinkReader, next_seq: int) -> None:
        """A capture was started: read it when the one before has been read to its end. From any thread."""
        self._commands.put(_Attached(link, next_seq))

    def detach(self, next_seq: int, *, is_over: bool = False) -> None:
        """The capture is gone, having taken the frames before ``next_seq``; where it is over, for good.

        From any thread.
        """
        self._commands.put(_Gone(next_seq, is_over))

    def rewire(
        self, groups: Groups, on_join: Callable[[str, int], None], tuning: Tuning | None = None
    ) -> threading.Event:
        """Belong to these groups from the next frame on. From any thread.

        Args:
            groups: as its streams see them.
            on_join: called by the stream's thread with its name and the next frame's number when it takes effect.
            tuning: what else changes; the ladder with the next capture.

        Returns:
            Set when it has taken effect.
        """
        rewiring = _Rewiring(groups, on_join, tuning, threading.Event())
        self._rewirings.append(rewiring)
        self._wake()
        return rewiring.is_taken

    def run(self, stop: StopToken) -> None:
        """Read until the stop; what was written to a pipe before its end is always read."""
        stop.on_set(self._wake)
        while self._link is not None or not (stop.is_set and self._commands.empty()):
            self._take_rewiring()
            if self._link is None or self._rings is None:
                self._next_command()
            else:
                self._read(self._link, self._rings)
            self._look_around()
            self._have_a_rest(stop)
        self._take_rewiring()  # nobody waits in vain for one that came with the stop
        self.tally.log_losses()

    def _wake(self) -> None:
        """Let the thread look around, where it waits for a command."""
        self._commands.put(None)

    def _take_rewiring(self) -> None:
        while self._rewirings:
            rewiring = self._rewirings.popleft()
            self.groups, tuning = rewiring.groups, rewiring.tuning
            if tuning is not None:
                self._stall_after_ns, self._rest = tuning.stall_after_ns, tuning.rest
                self._stamping.clock.tune(tuning.make_rungs, tuning.hold_ns, tuning.edge_ns, tuning.source)
            rewiring.on_join(self.name, self._next_seq or 0)
            for group in self.groups:
                group.tell(State(self.name, self.tally.state))
                group.tell(Doubt(self.name, self.tally.is_doubtful))
            rewiring.is_taken.set()

    def _next_command(self) -> None:
        is_watched = self.tally.state is StreamState.LIVE or self.tally.has_untold  # it may stall, and a line is due
        try:
            command = self._commands.get(timeout=POLL_S if is_watched else None)
        except queue.Empty:
            return
        if command is None:
            return
        self._miss(command.next_seq)
        is_over = isinstance(command, _Gone) and command.is_over  # its capture may have died before it said so
        if (self._has_hung_up or is_over) and self.tally.state is not StreamState.ENDED:  # not before a drain is told
            self._set_state(StreamState.ENDED if is_over else StreamState.ABSENT)
        self._has_hung_up = False
        if isinstance(command, _Attached):
            self._link, self._rings = command.link, CaptureRings(command.link)
            self._end_session()
            if self._note is not None:
                self._note(SessionRecord(stream=self.name, mono_ns=self._clock.monotonic_ns()))

    def _miss(self, next_seq: int) -> None:
        """Account for the frames that were taken and never announced."""
        lost = 0 if self._next_seq is None else next_seq - self._next_seq
        if lost > 0:
            self._drop("capture_died", lost)
        self._next_seq = next_seq

    def _read(self, link: LinkReader, rings: CaptureRings) -> None:
        if not link.poll(POLL_S):
            return
        try:
            for _ in range(BURST):
                self._handle(link.receive(), rings)
                self._messages += 1
                if not link.has_more:
                    return
        except TransportError as error:
            if not isinstance(error, LinkClosed):  # its capture finds the link closed, ends, and is started again
                what = (
                    "its frames cannot be taken" if isinstance(error, MemoryShortage) else "its capture sent nonsense"
                )
                self.tally.problem = f"{what}: {error}"
                log.error("stream %s: %s", self.name, self.tally.problem)
            link.close()
            self._link = self._rings = None
            self._end_session()
            self._has_hung_up = True

    def _end_session(self) -> None:
        """The source is opened anew, or gone: what waits gets its time, and what is known of it is said."""
        self._stamping.new_session()
        self._skip(self._grid.rest())

    def _handle(self, message: Message, rings: CaptureRings) -> None:
        match message:
            case FrameMessage():
                self._on_frame(message, rings)
            case DropMessage(first_seq, count, cause):
                self._next_seq, self._silent_ns = max(self._next_seq or 0, first_seq + count), 0
                self._drop(cause, count)
            case RingMessage(_, slots):
                rings.take(message)
                self.tally.ring_slots = slots
            case GrowthMessage(_, slots):
                rings.grow(message)
                self.tally.ring_slots = slots
            case EndMessage():
                self._skip(self._grid.rest())
                self._set_state(StreamState.ENDED)

    def _on_frame(self, message: FrameMessage, rings: CaptureRings) -> None:
        groups = self.groups
        seen, (layout, payload) = message.observation, rings.find(message, len(groups))
        self._next_seq = seen.seq + 1
        self._silent_ns = 0
        if groups:
            self._take_pixels(payload)
        else:
            payload.release()
        self.tally.arrived(self._to_utc(seen.arrival_mono_ns), layout)
        self._stamping.add(seen, layout, payload, groups)
        held_since = self._stamping.clock.held_since_ns
        if held_since is not None:
            self._become_live()
            for group in self.groups:
                group.tell(Expect(self.name, held_since - NS_PER_S))

    def _on_stamped(self, frame: Frame, stamp: Stamp, groups: Groups) -> None:
        """A frame has its time: hand it on."""
        self._become_live()
        if self._note is not None:
            self._note(StampRecord.of(frame))
        self.tally.stamped(stamp)
        seen = stamp.observation
        self._skip(self._grid.add(seen.seq, seen.pts_ns, None if self._is_patient else seen.arrival_mono_ns))
        if self._rest is not None:
            self._rest.heard(stamp.time_ns, stamp.arrival_ns)
        for group in groups:
            group.tell(frame)

    def _on_doubt(self, is_doubtful: bool) -> None:
        self.tally.is_doubtful = is_doubtful
        for group in self.groups:
            group.tell(Doubt(self.name, is_doubtful))

    def _drop(self, cause: str, count: int) -> None:
        self.tally.lost(cause, count)
        if self._note is not None:
            self._note(LossRecord(stream=self.name, cause=cause, count=count, mono_ns=self._clock.monotonic_ns()))
        for group in self.groups:
            group.tell(Drop(self.name, cause, count))

    def _skip(self, count: int) -> None:
        if count:
            self.tally.skipped(count)
            for group in self.groups:
                group.tell(Skip(self.name, count))

    def _become_live(self) -> None:
        if self.tally.state is not StreamState.LIVE:
            self._set_state(StreamState.LIVE)

    def _set_state(self, state: StreamState) -> None:
        """Tell it; where its groups wait for it no longer, frames that are still held would all come late."""
        if state is not StreamState.LIVE:
            self._stamping.settle()
        self.tally.state = state
        for group in self.groups:
            group.tell(State(self.name, state))

    def _look_around(self) -> None:
        """Let held frames go in time, and notice silence: only time that we spent reading counts."""
        now_ns = self._clock.monotonic_ns()
        self._stamping.expire(self._to_utc(now_ns))
        self.tally.log_losses(now_ns)
        self._silent_ns += min(now_ns - self._looked_ns, 2 * int(POLL_S * NS_PER_S) + 50 * NS_PER_MS)
        self._looked_ns = now_ns
        is_silent = self._silent_ns >= self._stall_after_ns
        if is_silent and self.tally.state is StreamState.LIVE and not self._is_patient:
            self._set_state(StreamState.STALLED)

    def _have_a_rest(self, stop: StopToken) -> None:
        """Let frames gather in the pipe while nobody waits for them."""
        messages, self._messages = self._messages, 0
        if self._rest is None or self._link is None or self._link.has_more or self._stamping.clock.is_holding:
            return
        if not messages:  # the wait for them was rest enough
            return
        rest_ns = self._rest.length_ns(self._to_utc(self._looked_ns), messages)
        if rest_ns > 0:
            stop.sleep(rest_ns / NS_PER_S)
