"""The rings of the capture that a stream's thread reads now, and its frames in them."""

import os

from syncsvc.errors import TransportError
from syncsvc.layout import RAW_FORMATS, Layout
from syncsvc.transport.link import LinkReader
from syncsvc.transport.messages import FrameMessage, GrowthMessage, RingMessage
from syncsvc.transport.payload import CodedPart, SlotPayload
from syncsvc.transport.ring import RingReader


class CaptureRings:
    """Of one link: the newest ring, and the one before it, whose last frames may still be on their way."""

    def __init__(self, link: LinkReader) -> None:
        self._link = link
        self._rings: dict[int, RingReader] = {}
        self._layouts: dict[int, tuple[Layout, Layout | None]] = {}

    def take(self, message: RingMessage) -> None:
        """Map a ring that was announced.

        Raises:
            TransportError: its descriptor did not come, or is that of no ring.
            MemoryShortage: this process has no room for it.
        """
        fd, layout, coded = self._link.take_ring(message.ring_id)
        self._layouts[message.ring_id] = layout, coded
        try:
            self._rings[message.ring_id] = RingReader(fd, message.span_ns)
        finally:
            os.close(fd)
        for old in [known for known in self._rings if known < message.ring_id]:
            self._rings[old].is_in_use = False
            if old < message.ring_id - 1:
                del self._rings[old], self._layouts[old]

    def grow(self, message: GrowthMessage) -> None:
        """Note that frames may stay in a ring for longer.

        Raises:
            TransportError: it was never handed over.
        """
        self._ring(message.ring_id).span_ns = message.span_ns

    def find(self, message: FrameMessage, users: int) -> tuple[Layout, SlotPayload]:
        """What a frame that was announced looks like, and its payload for so many groups.

        Raises:
            TransportError: its ring was never handed over, or it cannot lie in it, or look so in so many bytes.
        """
        ring_id, slot, size_bytes = message.ring_id, message.slot, message.size_bytes
        ring = self._ring(ring_id)
        ring.check_fit(slot, size_bytes + message.coded_bytes)
        layout, coded = self._layouts[ring_id]
        if layout.format in RAW_FORMATS and size_bytes != layout.size_bytes:
            raise TransportError(f"a {layout.format} frame has {size_bytes} bytes, not {layout.size_bytes}")
        if message.coded_bytes and (coded is None or coded.codec is None):
            raise TransportError("it speaks of a coded picture of which nobody said how it looks")
        beside = CodedPart(coded, message.coded_bytes) if coded is not None and message.coded_bytes else None
        return layout, SlotPayload(ring, self._link, ring_id, slot, message.generation, size_bytes, users, beside)

    def _ring(self, ring_id: int) -> RingReader:
        if ring_id not in self._rings:
            raise TransportError(f"it speaks of ring {ring_id}, which was never handed over")
        return self._rings[ring_id]
