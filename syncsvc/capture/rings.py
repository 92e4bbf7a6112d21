"""The ring that a capture writes into, and its exchange for another when layout, size, rate or wait outgrow it.

A bigger ring for frames that fit the present one is made by a thread of its own, since a quarter of a gigabyte takes a
tenth of a second to get: the camera goes on meanwhile. Where the machine lacks the memory the present one stays.
"""

import logging
import threading
from collections import deque

from syncsvc.capture.spec import RingPlan
from syncsvc.clock import NS_PER_S
from syncsvc.errors import MemoryShortage
from syncsvc.layout import RAW_FORMATS, Layout
from syncsvc.lifecycle import StopToken
from syncsvc.transport.link import RETIRED, LinkWriter
from syncsvc.transport.ring import RingWriter, ring_bytes

log = logging.getLogger(__name__)

RATE_FRAMES = 64
WAIT_S = 0.2
LEAST_ROOM_BYTES = 1 << 16
"""Of a slot for compressed pictures: key frames are several times the others, and are seldom the first to come."""
SPARE = 1.5


class Rings:
    """One capture's rings, one after the other; ``current`` is the one that is written."""

    def __init__(self, stream: str, plan: RingPlan, link: LinkWriter, stop: StopToken) -> None:
        self._stream, self._plan, self._link, self._stop = stream, plan, link, stop
        self._is_outgrown = False
        self.current: RingWriter | None = None
        self._layout: Layout | None = None
        self._ring_id = 0
        self._making: threading.Thread | None = None
        self._made: tuple[Layout, RingPlan, RingWriter] | None = None
        self.fps = 30.0
        """The rate that it is made for: what the source declares, or more where it delivers more."""
        self._recent: deque[int] = deque(maxlen=RATE_FRAMES)

    def replan(self, plan: RingPlan) -> None:
        """Frames will have to wait for another span. From any thread."""
        self._plan, self._is_outgrown = plan, True

    def heard(self, arrival_mono_ns: int) -> None:
        """A frame came."""
        self._recent.append(arrival_mono_ns)

    def room_for(self, layout: Layout, size_bytes: int) -> RingWriter:
        """The ring for a picture.

        Raises:
            LinkClosed: the receiver is gone.
            MemoryShortage: the machine lacks the memory for the ring, and no other will do.
        """
        self._exchange()
        if self.current is None or layout != self._layout or size_bytes > self.current.slot_bytes:
            is_raw = layout.format in RAW_FORMATS
            room = size_bytes if is_raw else max(LEAST_ROOM_BYTES, round(size_bytes * SPARE))
            self._is_outgrown = False
            self._ring_id += 1
            self._hand_over(layout, self._plan, self._make(self._ring_id, room, layout, self._plan))
        elif self._is_outgrown and self._making is None:
            self._is_outgrown = False
            self._make_beside(self.current.slot_bytes, layout)
        assert self.current is not None
        return self.current

    def reclaim(self) -> None:
        """Take leases home, once half of the slots are out: asking costs more than a small frame does."""
        ring = self.current
        if ring is None or 2 * ring.free > ring.slots:
            return
        for ring_id, slot in self._link.returned():
            if ring_id != ring.ring_id:
                continue
            if slot == RETIRED:
                self._is_outgrown = True
            else:
                ring.give_back(slot)

    def outrun(self) -> None:
        """No slot was free. If frames come faster than was declared, it takes a ring for the measured rate."""
        ring, recent = self.current, self._recent
        if ring is None or len(recent) < RATE_FRAMES or recent[-1] <= recent[0]:
            return
        measured = (len(recent) - 1) * NS_PER_S / (recent[-1] - recent[0])
        if self._plan.slots(measured) > ring.slots * 1.1 and measured < 4 * self.fps:
            self.fps, self._is_outgrown = measured * 1.1, True
            recent.clear()

    def _make(self, ring_id: int, slot_bytes: int, layout: Layout, plan: RingPlan) -> RingWriter:
        slots = plan.slots(self.fps)
        arithmetic = (
            f"ring of {slots} slots = ceil({self.fps:.2f}/s * {plan.span_ns / NS_PER_S:.3f} s) + 4, "
            f"{slot_bytes / 2**20:.2f} MiB each, {ring_bytes(slots, slot_bytes) / 2**20:.0f} MiB"
        )
        try:
            ring = RingWriter(ring_id, slots, slot_bytes)
        except MemoryShortage as error:
            raise MemoryShortage(f"stream {self._stream}: {arithmetic}: {error}") from error
        log.info("stream %s: %s, %s", self._stream, _describe(layout), arithmetic)
        return ring

    def _make_beside(self, slot_bytes: int, layout: Layout) -> None:
        """Make a ring for frames of this layout in a thread; ``_exchange`` takes it."""
        self._ring_id += 1
        ring_id, plan = self._ring_id, self._plan

        def make() -> None:
            try:
                ring = self._make(ring_id, slot_bytes, layout, plan)
                ring.populate()
                self._made = layout, plan, ring
            except MemoryShortage as error:
                log.warning("the ring stays as it is: %s", str(error))

        self._making = threading.Thread(target=make, name="ring", daemon=True)
        self._making.start()

    def _exchange(self) -> None:
        """Take the ring that was made meanwhile, if frames still look as they did."""
        if self._making is None or self._making.is_alive():
            return
        made, self._making, self._made = self._made, None, None
        if made is None:
            return
        layout, plan, ring = made
        if layout == self._layout and self.current is not None and self.current.ring_id < ring.ring_id:
            self._hand_over(layout, plan, ring)
        else:
            ring.close()

    def _hand_over(self, layout: Layout, plan: RingPlan, ring: RingWriter) -> None:
        told = ring.ring_id, ring.slots, ring.slot_bytes, ring.fd, plan.span_ns, layout.codec
        while not self._link.hand_over(*told):
            if self._stop.is_set:
                break
            self._link.wait_for_room(WAIT_S)
        ring.close()
        self.current, self._layout = ring, layout


def _describe(layout: Layout) -> str:
    what = f"{layout.width}x{layout.height} {layout.format}"
    return f"{what} ({layout.codec.name})" if layout.codec else what
