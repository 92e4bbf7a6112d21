"""The ring that a capture writes into: how it grows, and its exchange for another where it cannot.

Where frames must wait longer it grows in place, into the room that was left for that. Beyond it, or when layout or
size of the pictures change, or when slots are lost for good, another ring takes its place. While frames fit the
present one, a thread of its own gets the memory, and waits for its turn to: the camera goes on meanwhile. Where the
machine lacks it the present ring stays as it is, and it is asked again from time to time; a ring without which no frame
can be taken is made without what subscribers on this host add.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import count

from syncsvc.capture.ring_rate import RingRate
from syncsvc.capture.source import Picture
from syncsvc.capture.spec import RingPlan
from syncsvc.clock import NS_PER_S
from syncsvc.errors import MemoryShortage
from syncsvc.layout import RAW_FORMATS, Layout
from syncsvc.lifecycle import StopToken, begin
from syncsvc.transport.link import RETIRED, LinkWriter
from syncsvc.transport.messages import GrowthMessage
from syncsvc.transport.ring import RingWriter
from syncsvc.transport.ring_size import ring_bytes

log = logging.getLogger(__name__)

RATE_FRAMES = 64
WAIT_S = 0.2
LEAST_ROOM_BYTES = 1 << 16
"""Of a slot for compressed pictures: key frames are several times the others, and are seldom the first to come."""
SPARE = 1.5
RETRY_NS = 10 * NS_PER_S
"""Until memory is asked for again that the machine lacked."""


@dataclass(frozen=True, slots=True)
class _Need:
    """What a ring is to be there for."""

    layout: Layout
    coded: Layout | None
    """Of the coded pictures behind the payloads, where there are such."""
    slot_bytes: int
    plan: RingPlan
    fps: float

    @property
    def slots(self) -> int:
        return self.plan.slots(self.fps)

    def __str__(self) -> str:
        return (
            f"ring of {self.slots} slots = ceil({self.fps:.2f}/s * {self.plan.span_ns / NS_PER_S:.3f} s) + 4, "
            f"{self.slot_bytes / 2**20:.2f} MiB each, {ring_bytes(self.slots, self.slot_bytes) / 2**20:.0f} MiB"
        )


class Rings:
    """One capture's rings, one after the other; ``current`` is the one that is written."""

    def __init__(
        self, stream: str, plan: RingPlan, link: LinkWriter, stop: StopToken, pulse: Callable[[], None]
    ) -> None:
        """Have none yet; ``pulse`` is called again and again while the loop waits for one."""
        self._stream, self._plan, self._link, self._stop, self._pulse = stream, plan, link, stop, pulse
        self._is_outgrown = self._is_spent = False
        self.current: RingWriter | None = None
        self._layout: Layout | None = None
        self._coded: Layout | None = None
        self._ring_ids = count(1)
        self._helper: threading.Thread | None = None
        self._got: Callable[[], None] | None = None
        self._untold: GrowthMessage | None = None
        self.rate = RingRate(30.0, is_known=True)
        """The rate that it is made for: what the source declares, and then what it delivers."""
        self._recent: deque[int] = deque(maxlen=RATE_FRAMES)
        self._heard_ns = self._not_before_ns = 0

    def replan(self, plan: RingPlan) -> None:
        """Frames will have to wait for another span. From any thread."""
        self._plan, self._is_outgrown, self._not_before_ns = plan, True, 0

    def heard(self, pts_ns: int | None, arrival_mono_ns: int) -> None:
        """A frame came."""
        self._recent.append(arrival_mono_ns)
        self._heard_ns = arrival_mono_ns
        if self.rate.add(pts_ns, arrival_mono_ns):
            self._is_outgrown, self._not_before_ns = True, 0

    def room_for(self, layout: Layout, size_bytes: int, coded: Picture | None = None) -> RingWriter:
        """The ring for a picture, with room for a coded one behind it.

        Raises:
            LinkClosed: the receiver is gone.
            MemoryShortage: the machine lacks the memory for the ring, and no other will do.
        """
        self._take_what_was_got()
        ring = self.current
        coded_bytes, coded_layout = (coded.size_bytes, coded.layout) if coded is not None else (0, self._coded)
        is_other = layout != self._layout or coded_layout != self._coded
        if ring is None or is_other or size_bytes + coded_bytes > ring.slot_bytes:
            room = size_bytes if layout.format in RAW_FORMATS else _with_spare(size_bytes)
            room += _with_spare(coded_bytes) if coded_layout is not None else 0
            self._is_outgrown = False
            ring = self._hand_over(*self._make_now(_Need(layout, coded_layout, room, self._plan, self.rate.fps)))
        elif (self._is_outgrown or self._is_spent) and self._helper is None and self._heard_ns >= self._not_before_ns:
            self._outgrow(ring, layout)
        if self._untold is not None and self._link.send(self._untold):
            self._untold = None
        return ring

    def reclaim(self) -> None:
        """Take leases home, once half of the slots are out: asking costs more than a small frame does."""
        ring = self.current
        if ring is None or 2 * ring.free > ring.slots:
            return
        for ring_id, slot in self._link.returned():
            if ring_id != ring.ring_id:
                continue
            if slot == RETIRED:
                self._is_spent = True
            else:
                ring.give_back(slot)

    def outrun(self) -> None:
        """No slot was free. If frames come faster than was declared, it takes a ring for the measured rate."""
        ring, recent = self.current, self._recent
        if ring is None or len(recent) < RATE_FRAMES or recent[-1] <= recent[0]:
            return
        measured = (len(recent) - 1) * NS_PER_S / (recent[-1] - recent[0])
        if self._plan.slots(measured) > self._plan.slots(self.rate.fps) * 1.1 and measured < 4 * self.rate.fps:
            self.rate.fps, self._is_outgrown = measured * 1.1, True
            recent.clear()

    @contextmanager
    def _accounting(self, need: _Need) -> Iterator[None]:
        """Get memory for a ring: the arithmetic is logged, or told with what the machine lacks."""
        try:
            yield
        except MemoryShortage as error:
            raise MemoryShortage(f"{need}: {error}") from error
        beside = f" and {_describe(need.coded)}" if need.coded is not None else ""
        log.info("stream %s: %s%s, %s", self._stream, _describe(need.layout), beside, need)

    def _make(self, ring_id: int, need: _Need, on_step: Callable[[], None] = lambda: None) -> RingWriter:
        with self._accounting(need):
            return RingWriter(ring_id, need.slots, need.slot_bytes, need.plan.most_slots(need.fps), on_step)

    def _make_now(self, need: _Need) -> tuple[_Need, RingWriter]:
        """Make a ring without which no frame can be taken: where the machine lacks the memory, a smaller one serves."""
        least = replace(need, plan=need.plan.least)
        try:
            return need, self._make(next(self._ring_ids), need, self._pulse)
        except MemoryShortage as error:
            if least.slots == need.slots:
                raise
            log.warning("stream %s: the ring has no room for subscribers on this host: %s", self._stream, str(error))
        self._put_off(is_spent=False)
        return least, self._make(next(self._ring_ids), least, self._pulse)

    def _put_off(self, *, is_spent: bool) -> None:
        """The machine lacked the memory: ask again later."""
        self._is_outgrown, self._is_spent = True, self._is_spent or is_spent
        self._not_before_ns = self._heard_ns + RETRY_NS

    def _outgrow(self, ring: RingWriter, layout: Layout) -> None:
        """Get in a thread what frames of this layout need now; ``_take_what_was_got`` puts it to use."""
        is_spent, self._is_outgrown, self._is_spent = self._is_spent, False, False
        need = _Need(layout, self._coded, ring.slot_bytes, self._plan, self.rate.fps)
        can_grow = ring.slots <= need.slots <= ring.most_slots and not is_spent
        other_id = None if can_grow else next(self._ring_ids)
        arguments = ring, need, other_id, is_spent
        helper = threading.Thread(target=self._help, args=arguments, name="ring", daemon=True)
        try:
            begin(helper)
        except BlockingIOError as error:
            log.warning("stream %s: the ring stays as it is: %s", self._stream, error.strerror)
            self._put_off(is_spent=is_spent)
        else:
            self._helper = helper

    def _help(self, ring: RingWriter, need: _Need, other_id: int | None, is_spent: bool) -> None:
        """Get more slots for the ring, or another ring of this number."""
        try:
            if other_id is None:
                with self._accounting(need):
                    ring.allocate(need.slots)
                self._got = partial(self._grow, ring, need)
            else:
                other = self._make(other_id, need)
                other.populate()
                self._got = partial(self._exchange, other, need)
        except MemoryShortage as error:
            log.warning("stream %s: the ring stays as it is: %s", self._stream, str(error))
            self._got = partial(self._put_off, is_spent=is_spent)

    def _take_what_was_got(self) -> None:
        if self._helper is None or self._helper.is_alive():
            return
        got, self._helper, self._got = self._got, None, None
        if got is not None:
            got()

    def _grow(self, ring: RingWriter, need: _Need) -> None:
        ring.grow(need.slots)
        if ring is self.current:
            self._untold = GrowthMessage(ring.ring_id, ring.slots, need.plan.span_ns)

    def _exchange(self, ring: RingWriter, need: _Need) -> None:
        """Use another ring, if frames still look as they did."""
        is_same = (need.layout, need.coded) == (self._layout, self._coded)
        if is_same and self.current is not None and self.current.ring_id < ring.ring_id:
            self._hand_over(need, ring)

    def _hand_over(self, need: _Need, ring: RingWriter) -> RingWriter:
        """Use this ring from now on, once the receiver has it."""
        while not self._link.hand_over(ring, need.layout, need.plan.span_ns, need.coded):
            if self._stop.is_set:
                break
            self._pulse()
            self._link.wait_for_room(WAIT_S)
        self.current, self._layout, self._coded = ring, need.layout, need.coded
        self._untold, self._is_spent = None, False
        return ring


def _with_spare(size_bytes: int) -> int:
    return max(LEAST_ROOM_BYTES, round(size_bytes * SPARE))


def _describe(layout: Layout) -> str:
    what = f"{layout.width}x{layout.height} {layout.format}"
    return f"{what} ({layout.codec.name})" if layout.codec else what
