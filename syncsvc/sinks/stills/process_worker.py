"""A process that writes stills: takes pixels from shared memory, and pickles nothing.

Started as ``python -m syncsvc.sinks.stills.process_worker CHANNEL_FD MEMORY_FD``; it ends when its channel does.
"""

import mmap
import os
import sys
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syncsvc.errors import LinkClosed
from syncsvc.lifecycle import keep_freed_memory
from syncsvc.pictures import load_cv2
from syncsvc.sinks.stills.coding import Coding
from syncsvc.sinks.stills.still import Still, save_chunk
from syncsvc.sinks.stills.still_orders import Imported, PlacedPicture, SavedStills, SaveStills
from syncsvc.transport.channel import Channel


class MappedPictures:
    """The part of the shared memory that is there, mapped for reading."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._flat = np.zeros(0, np.uint8)

    def grow(self, size_bytes: int) -> None:
        """Map so much, where it is less."""
        if size_bytes > self._flat.size:
            self._flat = np.frombuffer(mmap.mmap(self._fd, size_bytes, prot=mmap.PROT_READ), np.uint8)

    def still(self, placed: PlacedPicture) -> Still:
        """One of the pictures, and its file."""
        return Still(placed.number, os.fsdecode(placed.path), partial(self._pixels, placed), 0)

    def _pixels(self, placed: PlacedPicture) -> NDArray[Any]:
        depth = np.dtype(placed.depth)
        size_bytes = int(np.prod(placed.shape, dtype=np.int64)) * depth.itemsize
        return self._flat[placed.offset : placed.offset + size_bytes].view(depth).reshape(placed.shape)


def main(channel_fd: int, memory_fd: int) -> None:
    """Say that all is imported, and save what is told to."""
    load_cv2().setNumThreads(1)
    keep_freed_memory()
    memory = MappedPictures(memory_fd)
    channel: Channel[SaveStills] = Channel.of(channel_fd, SaveStills)
    channel.send(Imported())
    while (received := channel.receive(None)) is not None:
        order, _ = received
        memory.grow(order.size_bytes)
        coding = Coding(order.suffix, order.quality)
        outcomes = save_chunk(map(memory.still, order.stills), coding)
        channel.send(SavedStills([(one.size_bytes, one.cause, one.problem) for one in outcomes]), timeout_s=None)


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]), int(sys.argv[2]))
    except LinkClosed:  # the usual end
        sys.exit(0)
