"""Moves shots into the ring and their descriptors into the pipe, and never lets the camera wait.

No free slot, or no room in the pipe: the frame is dropped and counted. Recordings played ``asap`` are the exception:
there a full ring pauses the reader. A ring has one layout; compressed pictures get a bigger one, with room to spare,
when one does not fit, and nothing is lost for that.
"""

import logging
from collections import deque

from syncsvc.capture.source import Loss, Shot
from syncsvc.capture.spec import CaptureSpec, RingPlan
from syncsvc.clock import NS_PER_S, Clock
from syncsvc.errors import MemoryShortage
from syncsvc.layout import RAW_FORMATS, Layout
from syncsvc.lifecycle import StopToken
from syncsvc.transport.link import RETIRED, EndMessage, FrameMessage, LinkWriter
from syncsvc.transport.page import Position, StreamPage
from syncsvc.transport.ring import RingWriter, ring_bytes

log = logging.getLogger(__name__)

RATE_FRAMES = 64
WAIT_S = 0.2
LEAST_ROOM_BYTES = 1 << 16
"""Of a slot for compressed pictures: key frames are several times the others, and are seldom the first to come."""
SPARE = 1.5
MOST_PAYLOAD_BYTES = 64 << 20


class Feed:
    """One capture's way to the receiver."""

    def __init__(self, spec: CaptureSpec, link: LinkWriter, page: StreamPage, clock: Clock, stop: StopToken) -> None:
        self._spec, self._link, self._page, self._clock, self._stop = spec, link, page, clock, stop
        self._plan, self._is_planned_anew = spec.ring, False
        self._ring: RingWriter | None = None
        self._layout: Layout | None = None
        self._ring_id = 0
        self.fps = 30.0
        """The rate that the ring is made for: what the source declares, or more where it delivers more."""
        self._recent: deque[int] = deque(maxlen=RATE_FRAMES)

    def replan(self, plan: RingPlan) -> None:
        """Frames will have to wait for another span: a ring of another size, with the next frame. From any thread."""
        self._plan, self._is_planned_anew = plan, True

    def take(self, item: Shot | Loss) -> None:
        """Hand one shot over, or count a loss.

        Raises:
            LinkClosed: the receiver is gone.
            MemoryShortage: the machine lacks the memory for the ring.
        """
        self._page.at(Position.HANDOVER, self._clock.monotonic_ns())
        self._reclaim()
        self._link.flush()
        if isinstance(item, Loss):
            self._link.drop(self._page.take_seq(), item.cause)
            return
        self._recent.append(item.seen.arrival_mono_ns)
        picture, size_bytes = item.picture, item.picture.size_bytes
        if size_bytes > MOST_PAYLOAD_BYTES:
            seq = self._page.take_seq()
            self._link.drop(seq, "too_big")
            return
        ring = self._ring_for(picture.layout, size_bytes)
        slot = self._wait_for_slot(ring) if self._spec.is_patient else None
        if slot is None and self._stop.is_set:
            return
        seq = self._page.take_seq()
        self._page.media_ns = item.media_ns + 1
        if slot is None:
            slot = ring.acquire()
        if slot is None:
            self._link.drop(seq, "ring_full")
            self._grow()
            return
        picture.write(ring.pixels(slot)[:size_bytes])
        generation = ring.commit(slot)
        message = FrameMessage(item.seen.numbered(seq), picture.layout, ring.ring_id, slot, generation, size_bytes)
        while not self._link.send(message):
            if not self._spec.is_patient or self._stop.is_set:
                ring.give_back(slot)
                self._link.drop(seq, "pipe_full")
                return
            self._page.at(Position.WAITING, self._clock.monotonic_ns())
            self._link.wait_for_room(WAIT_S)

    def end(self, *, is_over: bool) -> None:
        """Tell what is still untold and, when the stream is over for good, that too."""
        deadline_ns = self._clock.monotonic_ns() + NS_PER_S
        while not self._link.flush() and self._clock.monotonic_ns() < deadline_ns:
            self._link.wait_for_room(WAIT_S)
        while is_over and not self._link.send(EndMessage()):
            self._page.at(Position.WAITING, self._clock.monotonic_ns())
            self._link.wait_for_room(WAIT_S)
            if self._stop.is_set:
                return

    def _reclaim(self) -> None:
        """Take leases home, once half of the slots are out: asking costs more than a small frame does."""
        ring = self._ring
        if ring is None or 2 * ring.free > ring.slots:
            return
        for ring_id, slot in self._link.returned():
            if ring_id != ring.ring_id:
                continue
            if slot == RETIRED:
                self._is_planned_anew = True
            else:
                ring.give_back(slot)

    def _wait_for_slot(self, ring: RingWriter) -> int | None:
        while not self._stop.is_set:
            slot = ring.acquire()
            if slot is not None:
                return slot
            self._page.at(Position.WAITING, self._clock.monotonic_ns())
            self._link.wait_for_lease(WAIT_S)
            self._reclaim()
        return None

    def _ring_for(self, layout: Layout, size_bytes: int) -> RingWriter:
        room = self._ring.slot_bytes if self._ring is not None and layout == self._layout else 0
        if size_bytes > room or self._is_planned_anew:
            self._is_planned_anew = False
            if size_bytes > room:
                is_raw = layout.format in RAW_FORMATS
                room = size_bytes if is_raw else max(LEAST_ROOM_BYTES, round(size_bytes * SPARE))
            self._open_ring(room, layout)
        assert self._ring is not None
        return self._ring

    def _grow(self) -> None:
        """Frames come faster than was declared: a ring for the measured rate, if the machine has the memory."""
        ring, layout, recent = self._ring, self._layout, self._recent
        if (
            ring is None
            or layout is None
            or self._spec.is_patient
            or len(recent) < RATE_FRAMES
            or recent[-1] <= recent[0]
        ):
            return
        measured = (len(recent) - 1) * NS_PER_S / (recent[-1] - recent[0])
        if self._plan.slots(measured) > ring.slots * 1.1 and measured < 4 * self.fps:
            self.fps = measured * 1.1
            try:
                self._open_ring(ring.slot_bytes, layout)
            except MemoryShortage as error:
                log.warning("stream %s: the ring cannot grow: %s", self._spec.name, error)

    def _open_ring(self, slot_bytes: int, layout: Layout) -> None:
        slots = self._plan.slots(self.fps)
        arithmetic = (
            f"ring of {slots} slots = ceil({self.fps:.2f}/s * {self._plan.span_ns / NS_PER_S:.3f} s) + 4, "
            f"{slot_bytes / 2**20:.2f} MiB each, {ring_bytes(slots, slot_bytes) / 2**20:.0f} MiB"
        )
        try:
            ring = RingWriter(self._ring_id + 1, slots, slot_bytes)
        except MemoryShortage as error:
            raise MemoryShortage(f"stream {self._spec.name}: {arithmetic}: {error}") from error
        log.info("stream %s: %s, %s", self._spec.name, _describe(layout), arithmetic)
        while not self._link.hand_over(ring.ring_id, slots, slot_bytes, ring.fd, self._plan.span_ns, layout.codec):
            if self._stop.is_set:
                break
            self._link.wait_for_room(WAIT_S)
        ring.close()
        self._ring, self._layout, self._ring_id = ring, layout, ring.ring_id


def _describe(layout: Layout) -> str:
    what = f"{layout.width}x{layout.height} {layout.format}"
    return f"{what} ({layout.codec.name})" if layout.codec else what
