"""Where a frame's pixels are while it waits for its batch: in a leased slot, or in a buffer that subscribers share.

ZeroMQ never holds a slot: a payload is copied once, into a buffer of the pool, before it is sent, and the slot goes
home at that moment. The buffer returns to the pool when the last reference to it goes, ours or ZeroMQ's.
"""

import threading
import weakref
from collections import defaultdict, deque

import numpy as np
from numpy.typing import NDArray

from syncsvc.transport.link import LinkReader
from syncsvc.transport.ring import RingReader


class BufferPool:
    """Reuses big buffers, because the page faults of a fresh one cost more than the copy into it."""

    def __init__(self) -> None:
        self._free: defaultdict[int, deque[NDArray[np.uint8]]] = defaultdict(deque)

    def take(self, size_bytes: int) -> NDArray[np.uint8]:
        """A buffer ``(size_bytes,)`` uint8; it comes back by itself when nobody refers to it any more."""
        free = self._free[size_bytes]
        try:
            raw = free.pop()
        except IndexError:
            raw = np.empty(size_bytes, np.uint8)
        view = np.frombuffer(raw.data, np.uint8)  # a slice of it keeps it alive, as one of raw[:] would not
        weakref.finalize(view, free.append, raw).atexit = False
        return view

    def trim(self) -> None:
        """Let go of every buffer that nobody uses."""
        for free in list(self._free.values()):
            free.clear()


class Payload:
    """One frame's pixels, shared by the groups that its stream belongs to."""

    __slots__ = ("_buffer", "_generation", "_link", "_lock", "_place", "_ring", "_users", "size_bytes")

    def __init__(
        self, ring: RingReader, link: LinkReader, ring_id: int, slot: int, generation: int, size_bytes: int, users: int
    ) -> None:
        self._ring: RingReader | None = ring
        self._link, self._place, self._generation = link, (ring_id, slot), generation
        self._users, self.size_bytes = users, size_bytes
        self._buffer: NDArray[np.uint8] | None = None
        self._lock = threading.Lock()

    def copy_out(self, pool: BufferPool) -> NDArray[np.uint8]:
        """The pixels in a shared buffer, ``(size_bytes,)`` uint8; the slot goes home with the first call.

        Raises:
            SlotReclaimedError: the slot was rewritten under us (never while the lease holds).
        """
        with self._lock:
            if self._buffer is None:
                assert self._ring is not None, "a payload was used after its release"
                buffer = pool.take(self.size_bytes)
                np.copyto(buffer, self._ring.pixels(self._place[1], self.size_bytes))
                self._ring.check(self._place[1], self._generation)
                self._buffer = buffer
                self._return_lease()
            return self._buffer

    def release(self) -> None:
        """One group is done with it; the last one gives the slot back."""
        with self._lock:
            self._users -= 1
            if self._users <= 0:
                self._buffer = None
                self._return_lease()

    def _return_lease(self) -> None:
        if self._ring is not None:
            self._ring = None
            self._link.give_back([self._place])
