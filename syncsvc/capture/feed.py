"""Moves shots into the ring and their descriptors into the pipe, and never lets the camera wait.

No free slot, or no room in the pipe: the frame is dropped and counted. Recordings played ``asap`` are the exception:
there a full ring pauses the reader. A ring has one layout; compressed pictures get a bigger one, with room to spare,
when one does not fit, and nothing is lost for that.
"""

from syncsvc.capture.ring_growth import WAIT_S, Rings
from syncsvc.capture.source import Loss, Shot
from syncsvc.capture.spec import CaptureSpec
from syncsvc.clock import NS_PER_S, Clock
from syncsvc.layout import RAW_FORMATS
from syncsvc.lifecycle import StopToken
from syncsvc.transport.link import LinkWriter
from syncsvc.transport.messages import EndMessage, FrameMessage
from syncsvc.transport.page import Position, StreamPage

MOST_COMPRESSED_BYTES = 64 << 20


class Feed:
    """One capture's way to the receiver."""

    def __init__(self, spec: CaptureSpec, link: LinkWriter, page: StreamPage, clock: Clock, stop: StopToken) -> None:
        self._spec, self._link, self._page, self._clock, self._stop = spec, link, page, clock, stop
        self.rings = Rings(spec.name, spec.ring, link, stop, self._pulse)

    def _pulse(self) -> None:
        self._page.at(Position.HANDOVER, self._clock.monotonic_ns())

    def take(self, item: Shot | Loss) -> None:
        """Hand one shot over, or count a loss.

        Raises:
            LinkClosed: the receiver is gone.
            MemoryShortage: the machine lacks the memory for the ring.
        """
        self._pulse()
        self.rings.reclaim()
        self._link.flush()
        if isinstance(item, Loss):
            self._link.drop(self._page.take_seq(), item.cause)
            return
        self.rings.heard(item.seen.pts_ns, item.seen.arrival_mono_ns)
        picture, size_bytes, coded = item.picture, item.picture.size_bytes, item.picture.coded
        if coded is not None and coded.size_bytes > MOST_COMPRESSED_BYTES:
            coded = None
        if size_bytes > MOST_COMPRESSED_BYTES and picture.layout.format not in RAW_FORMATS:
            self._link.drop(self._page.take_seq(), "too_big")
            return
        while True:
            ring = self.rings.room_for(picture.layout, size_bytes, coded)
            slot = ring.acquire()
            if slot is not None or not self._spec.is_patient:
                break
            if self._stop.is_set:
                return
            self._page.at(Position.WAITING, self._clock.monotonic_ns())
            self._link.wait_for_lease(WAIT_S)
            self.rings.reclaim()
        seq = self._page.take_seq()
        self._page.media_ns = item.media_ns + 1
        if slot is None:
            self._link.drop(seq, "ring_full")
            self.rings.outrun()
            return
        pixels, coded_bytes = ring.pixels(slot), coded.size_bytes if coded is not None else 0
        picture.write(pixels[:size_bytes])
        if coded is not None:
            coded.write(pixels[size_bytes : size_bytes + coded_bytes])
        generation = ring.commit(slot)
        message = FrameMessage(item.seen.numbered(seq), ring.ring_id, slot, generation, size_bytes, coded_bytes)
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
