"""One thread per stream: reads descriptors, stamps frames, hands them to the groups; knows no other stream."""

import logging
import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from syncsvc.clock import NS_PER_MS, NS_PER_S, Clock
from syncsvc.errors import LinkClosed, TransportError
from syncsvc.ingest.consumers import FrameConsumer, ObservationConsumer, StreamStats
from syncsvc.ingest.rest import Rest
from syncsvc.lifecycle import StopToken
from syncsvc.model import Frame, StreamState
from syncsvc.observe.status import IngestStatus
from syncsvc.timing.ladder import Stamp, Standing, StreamClock
from syncsvc.timing.rungs import Rung
from syncsvc.transport.link import LinkReader
from syncsvc.transport.messages import DropMessage, EndMessage, FrameMessage, GrowthMessage, Message, RingMessage
from syncsvc.transport.payload import HeldPayload, SlotPayload
from syncsvc.transport.ring import RingReader

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
    sinks: Sequence[FrameConsumer]
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
        take_pixels: Callable[[str, HeldPayload], HeldPayload],
        observations: ObservationConsumer | None = None,
    ) -> None:
        """Prepare the thread's state.

        Args:
            name: of the stream.
            stream_clock: its ladder.
            clock: for the silence that counts as stalled.
            to_utc: maps CLOCK_MONOTONIC to UTC.
            stall_after_ns: silence, while we read, after which the stream is ``stalled``.
            is_patient: the stream paces itself by us (``asap``): it never stalls.
            take_pixels: called with each payload before it is queued, so that it can leave its slot early; returns what
                the frame goes on with.
            observations: is told of every fact and every conclusion, for a replay.
        """
        self.name, self.stats = name, StreamStats()
        self.sinks: Sequence[FrameConsumer] = ()
        self._stream_clock, self._clock, self._to_utc = stream_clock, clock, to_utc
        self._stall_after_ns, self._is_patient, self._take_pixels = stall_after_ns, is_patient, take_pixels
        self._observations = observations
        self._standing = Standing(None, False, ())
        self._commands: queue.SimpleQueue[_Attached | _Gone] = queue.SimpleQueue()
        self._rewirings: deque[_Rewiring] = deque()
        self._link: LinkReader | None = None
        self._rings: dict[int, RingReader] = {}
        self._waiting: dict[int, tuple[FrameMessage, HeldPayload, Sequence[FrameConsumer]]] = {}
        self._next_seq: int | None = None
        self._rest: Rest | None = None
        self._messages = 0
        self._silent_ns = 0
        self._looked_ns = clock.monotonic_ns()

    def status(self) -> IngestStatus:
        """What the service tells of the stream."""
        stats, layout, drift = self.stats, self.stats.layout, self._stream_clock.drift_ppm
        age_ns = (
            None if stats.last_arrival_ns is None else self._to_utc(self._clock.monotonic_ns()) - stats.last_arrival_ns
        )
        return IngestStatus(
            state=stats.state,
            clock=stats.clock,
            doubtful=stats.is_doubtful,
            clock_problems=self._stream_clock.problems,
            drift_ppm=None if drift is None else round(drift, 2),
            uncertainty_ms=None if stats.uncertainty_ns is None else stats.uncertainty_ns / NS_PER_MS,
            fps=round(stats.fps, 3),
            captured=stats.captured,
            dropped=dict(stats.dropped),
            last_frame_age_ms=None if age_ns is None else age_ns / NS_PER_MS,
            format=layout.format if layout else None,
            width=layout.width if layout else None,
            height=layout.height if layout else None,
            ring_slots=stats.slots,
        )

    def attach(self, link: LinkReader, next_seq: int) -> None:
        """A capture was started: read it when the one before has been read to its end. From any thread."""
        self._commands.put(_Attached(link, next_seq))

    def detach(self, next_seq: int) -> None:
        """The capture is gone, having taken the frames before ``next_seq``. From any thread."""
        self._commands.put(_Gone(next_seq))

    def rewire(
        self, sinks: Sequence[FrameConsumer], on_join: Callable[[str, int], None], tuning: Tuning | None = None
    ) -> threading.Event:
        """Belong to these groups from the next frame on. From any thread.

        Args:
            sinks: the groups.
            on_join: called by the stream's thread with its name and the next frame's number when it takes effect.
            tuning: what else changes; the ladder with the next capture.

        Returns:
            Set when it has taken effect.
        """
        rewiring = _Rewiring(sinks, on_join, tuning, threading.Event())
        self._rewirings.append(rewiring)
        return rewiring.is_taken

    def run(self, stop: StopToken) -> None:
        """Read until the stop; what was written to a pipe before its end is always read."""
        while self._link is not None or not (stop.is_set and self._commands.empty()):
            self._take_rewiring()
            if self._link is None:
                self._next_command()
            else:
                self._read(self._link)
            self._look_around()
            self._have_a_rest(stop)

    def _take_rewiring(self) -> None:
        while self._rewirings:
            rewiring = self._rewirings.popleft()
            self.sinks, tuning = rewiring.sinks, rewiring.tuning
            if tuning is not None:
                self._stall_after_ns, self._rest = tuning.stall_after_ns, tuning.rest
                self._stream_clock.tune(tuning.make_rungs, tuning.hold_ns, tuning.edge_ns, tuning.source)
            rewiring.on_join(self.name, self._next_seq or 0)
            for sink in self.sinks:
                sink.set_state(self.name, self.stats.state)
                sink.doubt(self.name, self.stats.is_doubtful)
            rewiring.is_taken.set()

    def _next_command(self) -> None:
        try:
            command = self._commands.get(timeout=POLL_S)
        except queue.Empty:
            return
        self._miss(command.next_seq)
        if isinstance(command, _Attached):
            self._link, self._rings = command.link, {}
            self._deliver(self._stream_clock.new_session())
            if self._observations is not None:
                self._observations.session(self.name, self._clock.monotonic_ns())

    def _miss(self, next_seq: int) -> None:
        """Account for the frames that were taken and never announced."""
        lost = 0 if self._next_seq is None else next_seq - self._next_seq
        if lost > 0:
            self._drop("capture_died", lost)
        self._next_seq = next_seq

    def _read(self, link: LinkReader) -> None:
        if not link.poll(POLL_S):
            return
        try:
            for _ in range(BURST):
                self._handle(link, link.receive())
                self._messages += 1
                if not link.has_more:
                    return
        except TransportError as error:
            if not isinstance(error, LinkClosed):  # its capture finds the link closed, ends, and is started again
                log.error("stream %s: its capture sent nonsense: %s", self.name, str(error))
            link.close()
            self._link, self._rings = None, {}
            self._deliver(self._stream_clock.new_session())
            if self.stats.state is not StreamState.ENDED:
                self._set_state(StreamState.ABSENT)

    def _handle(self, link: LinkReader, message: Message) -> None:
        match message:
            case FrameMessage():
                self._on_frame(link, message)
            case DropMessage(first_seq, count, cause):
                self._next_seq, self._silent_ns = max(self._next_seq or 0, first_seq + count), 0
                self._drop(cause, count)
            case RingMessage(ring_id, slots, _, span_ns):
                fd = link.take_ring(ring_id)
                try:
                    self._rings[ring_id] = RingReader(fd, span_ns)
                finally:
                    os.close(fd)
                for old in [known for known in self._rings if known < ring_id]:
                    self._rings[old].is_in_use = False
                    if old < ring_id - 1:
                        del self._rings[old]
                self.stats.slots = slots
            case GrowthMessage(ring_id, slots, span_ns):
                self._ring(ring_id).span_ns, self.stats.slots = span_ns, slots
            case EndMessage():
                self._set_state(StreamState.ENDED)

    def _ring(self, ring_id: int) -> RingReader:
        if ring_id not in self._rings:
            raise TransportError(f"it speaks of ring {ring_id}, which was never handed over")
        return self._rings[ring_id]

    def _on_frame(self, link: LinkReader, message: FrameMessage) -> None:
        seen, ring = message.observation, self._ring(message.ring_id)
        self._next_seq = seen.seq + 1
        self._silent_ns = 0
        sinks = self.sinks  # a reload may change them while this frame waits for its stamp
        payload: HeldPayload = SlotPayload(
            ring, link, message.ring_id, message.slot, message.generation, message.size_bytes, len(sinks)
        )
        if sinks:
            payload = self._take_pixels(self.name, payload)
        else:
            payload.release()
        self._waiting[seen.seq] = message, payload, sinks
        self._note(message)
        if self._observations is not None:
            self._observations.observed(self.name, seen)
        self._deliver(self._stream_clock.observe(seen))
        self._note_clock()
        held_since = self._stream_clock.held_since_ns
        if held_since is not None:
            self._become_live()
            for sink in self.sinks:
                sink.expect(self.name, held_since - NS_PER_S)

    def _deliver(self, stamps: Sequence[Stamp]) -> None:
        for stamp in stamps:
            message, payload, sinks = self._waiting.pop(stamp.observation.seq)
            frame = Frame(
                self.name, stamp.observation.seq, stamp.time_ns, stamp.uncertainty_ns, stamp.clock, stamp.arrival_ns,
                stamp.observation.is_key, message.layout, payload,
            )  # fmt: skip
            self._become_live()
            if self._observations is not None:
                self._observations.stamped(self.name, stamp)
            self.stats.clock, self.stats.last_time_ns = stamp.clock, stamp.time_ns
            self.stats.uncertainty_ns = stamp.uncertainty_ns
            if self._rest is not None:
                self._rest.heard(stamp.time_ns, stamp.arrival_ns)
            for sink in sinks:
                sink.add(frame)

    def _note_clock(self) -> None:
        """Tell when the clock in use, the stream's standing, or what is refused of it has changed."""
        standing = self._stream_clock.standing
        if standing == self._standing:
            return
        before, self._standing, self.stats.is_doubtful = self._standing, standing, standing.is_doubtful
        if standing.is_doubtful != before.is_doubtful:
            for sink in self.sinks:
                sink.doubt(self.name, standing.is_doubtful)
        clock, problems = standing.clock, self._stream_clock.problems
        if standing.lies != before.lies and standing.lies:
            lies = "; ".join(f"{rung}: {problems[rung]}" for rung in standing.lies)
            log.warning("stream %s: %s; stamped by %s", self.name, lies, clock or "nothing yet")
        elif clock != before.clock and clock is not None:
            log.info("stream %s: stamped by %s", self.name, clock)
        if self._observations is not None:
            now_ns = self._clock.monotonic_ns()
            self._observations.clock(self.name, clock, standing.is_doubtful, problems, now_ns)

    def _note(self, message: FrameMessage) -> None:
        stats, arrival_ns = self.stats, self._to_utc(message.observation.arrival_mono_ns)
        if stats.last_arrival_ns is not None:
            gap_s = max(1e-6, (arrival_ns - stats.last_arrival_ns) / NS_PER_S)
            stats.fps = 1 / gap_s if not stats.fps else 1 / (0.95 / stats.fps + 0.05 * gap_s)
        stats.captured += 1
        stats.last_arrival_ns = arrival_ns
        stats.layout = message.layout

    def _drop(self, cause: str, count: int) -> None:
        self.stats.captured += count
        self.stats.dropped[cause] = self.stats.dropped.get(cause, 0) + count
        if self._observations is not None:
            self._observations.lost(self.name, cause, count, self._clock.monotonic_ns())
        for sink in self.sinks:
            sink.drop(self.name, cause, count)

    def _become_live(self) -> None:
        if self.stats.state is not StreamState.LIVE:
            self._set_state(StreamState.LIVE)

    def _set_state(self, state: StreamState) -> None:
        self.stats.state = state
        for sink in self.sinks:
            sink.set_state(self.name, state)

    def _look_around(self) -> None:
        """Let held frames go in time, and notice silence: only time that we spent reading counts."""
        now_ns = self._clock.monotonic_ns()
        if self._stream_clock.is_holding:
            self._deliver(self._stream_clock.expire(self._to_utc(now_ns)))
        self._silent_ns += min(now_ns - self._looked_ns, 2 * int(POLL_S * NS_PER_S) + 50 * NS_PER_MS)
        self._looked_ns = now_ns
        is_silent = self._silent_ns >= self._stall_after_ns
        if is_silent and self.stats.state is StreamState.LIVE and not self._is_patient:
            self._set_state(StreamState.STALLED)

    def _have_a_rest(self, stop: StopToken) -> None:
        """Let frames gather in the pipe while nobody waits for them."""
        messages, self._messages = self._messages, 0
        if self._rest is None or self._link is None or self._link.has_more or self._stream_clock.is_holding:
            return
        if not messages:  # the wait for them was rest enough
            return
        rest_ns = self._rest.length_ns(self._to_utc(self._looked_ns), messages)
        if rest_ns > 0:
            stop.sleep(rest_ns / NS_PER_S)
