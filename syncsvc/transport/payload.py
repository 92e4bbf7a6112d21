"""Where a frame's pixels are while it waits for its batch: in a leased slot, or in a buffer that subscribers share.

ZeroMQ never holds a slot: a payload is copied once, into a buffer of the pool, before it is sent, and the slot goes
home at that moment. The buffer returns to the pool when the last reference to it goes, ours or ZeroMQ's. Readers on
this host read the slot itself, and hold it until they give it back.
"""

import threading
import weakref
from collections import defaultdict, deque

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from syncsvc.layout import Layout
from syncsvc.model import Payload
from syncsvc.transport.link import LinkReader
from syncsvc.transport.ring import RingReader


class BufferPool:
    """Reuses big buffers, because the page faults of a fresh one cost more than the copy into it."""

    def __init__(self) -> None:
        self._free: defaultdict[int, deque[NDArray[np.uint8]]] = defaultdict(deque)

    def take(self, size_bytes: int) -> NDArray[np.uint8]:
        """A buffer ``(size_bytes,)`` uint8; it comes back by itself when nobody refers to it any more."""
        room = _room(size_bytes)
        free = self._free[room]
        try:
            raw = free.pop()
        except IndexError:
            raw = np.empty(room, np.uint8)
        view = np.frombuffer(raw.data, np.uint8)  # a slice of it keeps it alive, as one of raw[:] would not
        weakref.finalize(view, free.append, raw).atexit = False
        return view[:size_bytes]

    def trim(self) -> None:
        """Let go of every buffer that nobody uses."""
        for free in list(self._free.values()):
            free.clear()


def _room(size_bytes: int) -> int:
    """One of eight sizes per doubling: compressed pictures are of any size, and no buffer would ever fit another.

    What is behind the payload's end is never touched, so it takes no memory.
    """
    step = 1 << max(0, size_bytes.bit_length() - 4)
    return max(4096, -(-size_bytes // step) * step)


class SlotLease(Struct, frozen=True):
    """Where a payload lies, for a reader on this host; the slot is its until ``SlotPayload.release``."""

    ring: RingReader
    slot: int
    generation: int
    size_bytes: int


class CodedPart(Struct, frozen=True):
    """The coded picture behind a payload, in the same slot."""

    layout: Layout
    size_bytes: int


class SlotPayload(Payload):
    """A payload in a leased slot of a ring, or copied out of it; all groups and readers that share it release it."""

    __slots__ = ("_coded_copy", "_copy", "_generation", "_is_forfeit", "_is_leased", "_link", "_lock", "_place",
                 "_ring", "_users", "coded", "nbytes")  # fmt: skip

    def __init__(
        self,
        ring: RingReader,
        link: LinkReader,
        ring_id: int,
        slot: int,
        generation: int,
        size_bytes: int,
        users: int,
        coded: CodedPart | None = None,
    ) -> None:
        self._ring: RingReader | None = ring
        self._link, self._place, self._generation = link, (ring_id, slot), generation
        self._users, self.nbytes = users, size_bytes
        self._is_leased = self._is_forfeit = False
        self._copy: NDArray[np.uint8] | None = None
        self.coded = coded
        self._coded_copy: NDArray[np.uint8] | None = None
        self._lock = threading.Lock()

    def view(self) -> NDArray[np.uint8]:
        """The pixels where they lie now, ``(nbytes,)`` uint8, read-only; a slot's are right until ``release``."""
        ring, copy = self._ring, self._copy
        if ring is not None:
            return ring.pixels(self._place[1], self.nbytes)
        assert copy is not None, "a payload was used after its release"
        return copy

    def copy_out(self, pool: BufferPool, *, keeps_slot: bool = False) -> NDArray[np.uint8]:
        """The pixels in a shared buffer, ``(nbytes,)`` uint8, always the same one; whoever has it has its memory.

        The slot goes home with the first call, unless somebody leases it or will (``keeps_slot``): then it stays until
        all have released it.

        Raises:
            SlotReclaimedError: the slot was rewritten under us (never while the lease holds).
        """
        with self._lock:
            if self._copy is None:
                assert self._ring is not None, "a payload was used after its release"
                buffer = pool.take(self.nbytes)
                np.copyto(buffer, self._ring.pixels(self._place[1], self.nbytes))
                self._ring.check(self._place[1], self._generation)
                self._copy = buffer
                if not keeps_slot and not self._is_leased:
                    self._return_slot()
            return self._copy

    def copy_coded(self, pool: BufferPool) -> NDArray[np.uint8] | None:
        """The coded picture beside it in a shared buffer, always the same one; None where there is none.

        There is none any more either where the slot went home before anybody asked for it.

        Raises:
            SlotReclaimedError: as with ``copy_out``.
        """
        with self._lock:
            if self._coded_copy is None and self._ring is not None and self.coded is not None:
                buffer = pool.take(self.coded.size_bytes)
                np.copyto(buffer, self._ring.pixels(self._place[1], self.nbytes + self.coded.size_bytes)[self.nbytes :])
                self._ring.check(self._place[1], self._generation)
                self._coded_copy = buffer
            return self._coded_copy

    def lease(self) -> SlotLease | None:
        """The slot, for one more reader that ends with ``release``; None where it went home."""
        with self._lock:
            ring = self._ring
            if ring is None:
                return None
            self._users += 1
            self._is_leased = True
        return SlotLease(ring, self._place[1], self._generation, self.nbytes)

    def release(self) -> None:
        """One group or reader is done with it; the last one lets go of the copy, and gives the slot back."""
        with self._lock:
            self._users -= 1
            if self._users <= 0:
                self._copy = self._coded_copy = None
                self._return_slot()

    def forfeit(self) -> None:
        """A reader fell silent with the slot in its hands: nobody writes there again, and the ring is exchanged."""
        with self._lock:
            if not self._is_forfeit:
                self._is_forfeit = True
                self._link.retire(self._place[0])

    def _return_slot(self) -> None:
        if self._ring is not None:
            self._ring = None
            if not self._is_forfeit:
                self._link.give_back([self._place])
