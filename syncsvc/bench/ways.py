"""The ways to hand a picture from one process to another that the transport benchmark compares.

Every way has two ends. The sender's are functions of a frame, ``(bytes,)`` uint8; the receiver's is a function that
waits for the next frame and returns its first eight bytes, in which the sender put the time.
"""

import itertools
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.queues import Queue
from multiprocessing.reduction import DupFd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syncsvc.errors import LinkClosed
from syncsvc.layout import Layout
from syncsvc.model import Observation
from syncsvc.transport.link import FrameMessage, LinkReader, LinkWriter, RingMessage, open_link
from syncsvc.transport.ring import RingReader, RingWriter

Pixels = NDArray[np.uint8]
Send = Callable[[Pixels], None]
Receive = Callable[[], int]
RING, QUEUE, PICKLE, INLINE = "ring", "queue", "pipe, pickled", "pipe, bytes"
COPY = "copy alone"
"""No way at all: the one copy that the ring needs, which bounds what it can cost."""
WAYS = (RING, INLINE, PICKLE, QUEUE)
RING_SLOTS = 8
_LEASE_S = 5.0


def stamp_of(pixels: Any) -> int:
    """The time that the sender put into the first eight bytes of a buffer."""
    return int(np.frombuffer(pixels, np.int64, 1)[0])


@dataclass(frozen=True)
class Ends:
    """One way, opened: the sender's function, what the other process is given, and what to close afterwards."""

    send: Send
    remote: Any
    close: Callable[[], None]


def open_way(name: str, layout: Layout, context: Any) -> Ends:
    """Open a way for frames of this layout; ``context`` is that of ``multiprocessing``."""
    if name == RING:
        return _open_ring(layout)
    if name == QUEUE:
        queue: Queue[Pixels] = context.Queue(RING_SLOTS)

        def close_queue() -> None:
            queue.close()
            queue.join_thread()

        return Ends(lambda frame: queue.put(_image(frame, layout)), queue, close_queue)
    reader, writer = context.Pipe(duplex=False)

    def close_pipe() -> None:
        reader.close()
        writer.close()

    if name == PICKLE:
        return Ends(lambda frame: writer.send(_image(frame, layout)), reader, close_pipe)
    return Ends(lambda frame: writer.send_bytes(frame.data), reader, close_pipe)


def copier(layout: Layout) -> Send:
    """Copies into a ring that nobody reads."""
    ring = RingWriter(1, RING_SLOTS, layout.size_bytes)
    ring.close()
    slots = itertools.cycle(range(RING_SLOTS))
    return lambda frame: np.copyto(ring.pixels(next(slots)), frame)


def receiver_of(name: str, remote: Any) -> Receive:
    """The other end, in the other process."""
    if name == RING:
        return _ring_receiver(*remote)
    if name == QUEUE:
        queue: Queue[Pixels] = remote
        return lambda: stamp_of(queue.get())
    reader: Connection = remote
    if name == PICKLE:
        return lambda: stamp_of(reader.recv())
    return lambda: stamp_of(reader.recv_bytes())


def _image(frame: Pixels, layout: Layout) -> Pixels:
    """As a program without a ring would hand it over: the image as an array."""
    return frame.reshape(layout.height, layout.width, 3) if layout.format == "bgr24" else frame


def _open_ring(layout: Layout) -> Ends:
    pipe_reader, pipe_writer, ours, theirs = open_link()
    writer, ring = LinkWriter(pipe_writer, theirs), RingWriter(1, RING_SLOTS, layout.size_bytes)
    writer.hand_over(ring.ring_id, ring.slots, ring.slot_bytes, ring.fd)
    sent = 0

    def send(frame: Pixels) -> None:
        nonlocal sent
        for _, home in writer.returned():
            ring.give_back(home)
        while (slot := ring.acquire()) is None:
            if not writer.wait_for_lease(_LEASE_S):
                raise LinkClosed("no lease came home")
            for _, home in writer.returned():
                ring.give_back(home)
        np.copyto(ring.pixels(slot), frame)
        seen = Observation(sent, stamp_of(frame))
        writer.send(FrameMessage(seen, layout, ring.ring_id, slot, ring.commit(slot), layout.size_bytes))
        sent += 1

    def close() -> None:
        ring.close()
        writer.close()
        ours.close()
        os.close(pipe_reader)

    return Ends(send, (_Descriptor(pipe_reader), ours), close)


class _Descriptor:
    """A file descriptor that is duplicated into the process that it is sent to while that is spawned."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __reduce__(self) -> tuple[Any, ...]:
        return _detach, (DupFd(self._fd),)


def _detach(duplicate: Any) -> int:
    return int(duplicate.detach())


def _ring_receiver(pipe_fd: int, leases: socket.socket) -> Receive:
    reader = LinkReader(pipe_fd, leases)
    ring: RingReader | None = None

    def receive() -> int:
        nonlocal ring
        message = reader.receive()
        if isinstance(message, RingMessage):
            ring = RingReader(reader.take_ring(message.ring_id))
            message = reader.receive()
        assert isinstance(message, FrameMessage), "the sender sends frames and nothing else"
        assert ring is not None, "the ring is announced first"
        stamp = stamp_of(ring.pixels(message.slot, message.size_bytes)[:8])
        ring.check(message.slot, message.generation)
        reader.give_back([(message.ring_id, message.slot)])
        return stamp

    return receive
