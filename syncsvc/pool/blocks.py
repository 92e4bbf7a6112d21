"""Memory that two processes look at: blocks of whom it belongs to, and what the other sees of them.

A block is a sealed memfd without a name. Its owner writes, gives it out, and writes it again when it is back; others
map it read-only (the kernel refuses anything else), but for blocks that were made for everybody to write. It is gone
with the last process that has it, however that ends.
"""

import mmap
import os
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from syncsvc.transport import memfd

_POPULATED_BYTES = 1 << 20


class Block:
    """One piece of memory of ours."""

    __slots__ = ("__weakref__", "_mapping", "address", "fd", "is_for_all", "number", "size_bytes")

    def __init__(self, number: int, size_bytes: int, is_for_all: bool) -> None:
        """Get the memory; ``is_for_all``: whoever gets it may write too.

        Raises:
            MemoryShortage: the machine lacks it, or no more can be open.
        """
        self.number, self.size_bytes, self.is_for_all = number, size_bytes, is_for_all
        self.fd = memfd.create(f"syncsvc-block-{number}", size_bytes)
        weakref.finalize(self, os.close, self.fd).atexit = False
        self._mapping: mmap.mmap = memfd.map_whole(self.fd)
        memfd.seal(self.fd, is_for_all=is_for_all)
        if size_bytes >= _POPULATED_BYTES:
            memfd.populate(self._mapping, 0, size_bytes)
        self.address = address_of(np.frombuffer(self._mapping, np.uint8))

    def view(self, size_bytes: int) -> NDArray[np.uint8]:
        """Its first bytes, writable; an array of its own, so that the end of it is the end of every view of it."""
        return np.frombuffer(self._mapping, np.uint8, size_bytes)


class Arena:
    """Blocks of one owner: as many as were ever in use at once, and no more; from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._used: dict[int, Block] = {}
        self._free: list[Block] = []
        self._returned: deque[int] = deque()  # by finalizers, which may come at any point of any thread
        self._used_bytes = self._most_bytes = 0
        self._forgotten: list[int] = []
        self._watches: dict[int, weakref.finalize[..., Any]] = {}

    def take(self, size_bytes: int, *, is_for_all: bool = False) -> Block:
        """A block with room for so much.

        Raises:
            MemoryShortage: the machine lacks the memory.
        """
        room = _room(size_bytes)
        with self._lock:
            self._collect()
            for index in range(len(self._free) - 1, -1, -1):
                if (self._free[index].size_bytes, self._free[index].is_for_all) == (room, is_for_all):
                    block = self._free.pop(index)
                    break
            else:
                self._make_room(room)
                block = Block(next(self._numbers), room, is_for_all)
            self._used[block.number] = block
            self._used_bytes += room
            self._most_bytes = max(self._most_bytes, self._used_bytes)
            return block

    def _make_room(self, size_bytes: int) -> None:
        """Let go of what lies idle for longest, so that no more is held than was ever needed at once."""
        most = max(self._most_bytes, self._used_bytes + size_bytes)
        free_bytes = sum(block.size_bytes for block in self._free)
        while self._free and self._used_bytes + free_bytes + size_bytes > most:
            block = self._free.pop(0)
            free_bytes -= block.size_bytes
            self._forgotten.append(block.number)

    def give_back(self, number: int) -> None:
        """It may be written again; no lock, so that a finalizer may say so. What is not ours, or free, is none."""
        self._returned.append(number)

    def _collect(self) -> None:
        while self._returned:
            block = self._used.pop(self._returned.popleft(), None)
            if block is not None:
                self._used_bytes -= block.size_bytes
                self._free.append(block)

    def forgotten(self) -> list[int]:
        """The blocks that were let go since the last call: whoever maps them is to unmap them."""
        with self._lock:
            found, self._forgotten = self._forgotten, []
            return found

    def hand_over(self, number: int) -> None:
        """Somebody else looks at it now, and says when that is over: the end of our own views is not the end."""
        watch = self._watches.pop(number, None)
        if watch is not None:
            watch.detach()

    def block(self, number: int) -> Block:
        """One that is in use."""
        with self._lock:
            return self._used[number]

    def find(self, array: NDArray[Any]) -> tuple[Block, int] | None:
        """The block that an array lies in, and where in it; None where it lies elsewhere."""
        low, high = _bounds(array)
        with self._lock:
            for block in self._used.values():
                if block.address <= low and high <= block.address + block.size_bytes:
                    return block, address_of(array) - block.address
        return None

    def empty(self, shape: int | Sequence[int], dtype: DTypeLike = np.uint8, *, is_for_all: bool = False) -> Any:
        """An array in a block of its own, which is back with the last view of it.

        Raises:
            MemoryShortage: the machine lacks the memory.
        """
        kind = np.dtype(dtype)
        sides = (shape,) if isinstance(shape, int) else tuple(shape)
        size_bytes = int(np.prod(sides, dtype=np.int64)) * kind.itemsize
        block = self.take(max(1, size_bytes), is_for_all=is_for_all)
        raw = block.view(max(1, size_bytes))
        watch = self._watches[block.number] = weakref.finalize(raw, self._returned.append, block.number)
        watch.atexit = False
        return np.ndarray(sides, kind, buffer=raw)

    @property
    def held_bytes(self) -> int:
        """What all blocks take, in use or not."""
        with self._lock:
            return self._used_bytes + sum(block.size_bytes for block in self._free)


class SharedBlocks:
    """Blocks of somebody else, as they are seen here."""

    def __init__(self) -> None:
        self._pages: dict[int, Any] = {}

    def add(self, number: int, fd: int, offset: int, size_bytes: int, *, is_writable: bool) -> None:
        """Map a block; takes over the descriptor.

        Raises:
            MemoryShortage: there is no room for it.
        """
        try:
            if is_writable:
                self._pages[number] = memoryview(memfd.map_whole(fd))
            else:
                self._pages[number] = memfd.Pages(fd, offset, size_bytes).buffer
        finally:
            os.close(fd)

    def forget(self, numbers: Sequence[int]) -> None:
        """Unmap them, each as soon as no view is left."""
        for number in numbers:
            self._pages.pop(number, None)

    def bytes_at(self, number: int, offset: int, size_bytes: int) -> NDArray[np.uint8]:
        """Some bytes of a block; an array of its own: its end is the end of every view of it.

        Raises:
            KeyError: it was never shared.
        """
        return np.frombuffer(self._pages[number], np.uint8, size_bytes, offset)


def address_of(array: NDArray[Any]) -> int:
    """Where an array's first element lies in our memory."""
    place: int = array.__array_interface__["data"][0]
    return place


def _bounds(array: NDArray[Any]) -> tuple[int, int]:
    low = high = address_of(array)
    for side, stride in zip(array.shape, array.strides, strict=True):
        reach = (side - 1) * stride
        low, high = (low + reach, high) if reach < 0 else (low, high + reach)
    return low, high + array.itemsize


def _room(size_bytes: int) -> int:
    """One of eight sizes per doubling, in whole pages, so that what differs a little can use the same blocks."""
    step = max(mmap.PAGESIZE, 1 << max(0, size_bytes.bit_length() - 4))
    return -(-size_bytes // step) * step


_own_arena: list[Arena] = []
"""Of this process, where it is a worker."""


def become_worker(arena: Arena) -> None:
    """From now on ``empty`` makes arrays in this arena."""
    _own_arena[:] = [arena]


def empty(shape: int | Sequence[int], dtype: DTypeLike = np.uint8) -> Any:
    """An array for a result, not filled: what a worker returns of it is handed over without a copy.

    Elsewhere than in a worker it is an ordinary array, so that the same function can be called anywhere.
    """
    with suppress(IndexError):
        return _own_arena[0].empty(shape, dtype)
    return np.empty(shape, dtype)
