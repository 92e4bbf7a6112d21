"""Our own way, as captures and receiver use it: a ring in shared memory, and a pipe of descriptors."""

import itertools
import os
import socket
from collections import deque
from multiprocessing.connection import Connection
from typing import Any, Final

import numpy as np

from syncsvc.bench.ways.way import Pixels, ReceivingEnd, SendingEnd, Way, stamp_of
from syncsvc.errors import LinkClosed
from syncsvc.layout import Layout
from syncsvc.model import Observation
from syncsvc.transport.link import LinkReader, LinkWriter, open_link
from syncsvc.transport.messages import FrameMessage, RingMessage
from syncsvc.transport.ring import RingReader, RingWriter

RING: Final = "ring"
HAND_OVER: Final = "ring, hand-over alone"
"""The same without the copy: what is left when the decoder would write into the slot itself."""
COPY: Final = "copy alone"
"""No way at all: the one copy into a ring that nobody reads, which bounds what a ring can cost."""
PACING: Final = "pacing alone"
"""Not even that: what the benchmark's own loop takes, which every way pays."""
SLOTS: Final = 16
_STAMP_BYTES = 8
_HELD = SLOTS // 2
"""Leases that the receiver keeps, as it does until a window closes: slots take turns, and none is warm in a cache."""
_LEASE_S = 5.0


def _open_ring(layout: Layout, copied_bytes: int) -> SendingEnd:
    pipe_reader, pipe_writer, ours, theirs = open_link()
    pipe = Connection(pipe_reader, writable=False)  # which is duplicated into the process that it is sent to
    writer, ring = LinkWriter(pipe_writer, theirs), RingWriter(1, SLOTS, layout.size_bytes)
    writer.hand_over(ring, layout)
    sent = 0

    def reclaim() -> None:
        for _, slot in writer.returned():
            ring.give_back(slot)

    def send(frame: Pixels) -> None:
        nonlocal sent
        reclaim()
        while (slot := ring.acquire()) is None:
            if not writer.wait_for_lease(_LEASE_S):
                raise LinkClosed("no lease came home")
            reclaim()
        np.copyto(ring.pixels(slot)[:copied_bytes], frame[:copied_bytes])
        seen = Observation(sent, stamp_of(frame))
        writer.send(FrameMessage(seen, ring.ring_id, slot, ring.commit(slot), layout.size_bytes))
        sent += 1

    def close() -> None:
        ring.close()
        writer.close()
        ours.close()
        pipe.close()

    return SendingEnd(send, (pipe, ours), close)


def _ring_receiver(remote: tuple[Connection, socket.socket], __: Layout) -> ReceivingEnd:
    pipe, leases = remote
    reader = LinkReader(os.dup(pipe.fileno()), leases)
    announced = reader.receive()
    assert isinstance(announced, RingMessage), "the ring is announced first"
    fd, *_ = reader.take_ring(announced.ring_id)
    ring = RingReader(fd)
    os.close(fd)
    held: deque[tuple[int, int]] = deque()

    def receive() -> int:
        message = reader.receive()
        assert isinstance(message, FrameMessage), "the sender sends frames and nothing else"
        stamp = stamp_of(ring.pixels(message.slot, message.size_bytes)[:_STAMP_BYTES])
        ring.check(message.slot, message.generation)
        held.append((message.ring_id, message.slot))
        if len(held) > _HELD:
            reader.give_back([held.popleft()])
        return stamp

    return ReceivingEnd(receive, reader.close)


def _open_copy(layout: Layout, _: Any) -> SendingEnd:
    ring = RingWriter(1, SLOTS, layout.size_bytes)
    ring.close()
    slots = itertools.cycle(range(SLOTS))
    return SendingEnd(lambda frame: np.copyto(ring.pixels(next(slots)), frame), None)


WAYS: Final[dict[str, Way]] = {
    RING: Way(lambda layout, _: _open_ring(layout, layout.size_bytes), _ring_receiver),
    HAND_OVER: Way(lambda layout, _: _open_ring(layout, _STAMP_BYTES), _ring_receiver),
    COPY: Way(_open_copy, None),
    PACING: Way(lambda *_: SendingEnd(lambda _: None, None), None),
}
