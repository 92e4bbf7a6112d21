"""What the standard library offers, used as people use it first: pipes, a queue, and a shared array with a token."""

from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.queues import Queue
from multiprocessing.shared_memory import SharedMemory
from typing import Any, Final

import numpy as np

from syncsvc.bench.ways.way import Pixels, ReceivingEnd, SendingEnd, Way, image, stamp_of
from syncsvc.errors import LinkClosed
from syncsvc.layout import Layout

_QUEUE_LENGTH = 8
_TOKEN_S = 5.0


def _open_queue(layout: Layout, context: Any) -> SendingEnd:
    queue: Queue[Pixels] = context.Queue(_QUEUE_LENGTH)

    def close() -> None:
        queue.close()
        queue.join_thread()

    return SendingEnd(lambda frame: queue.put(image(frame, layout)), queue, close)


def _open_pipe(context: Any, send: Callable[[Connection, Pixels], None]) -> SendingEnd:
    reader, writer = context.Pipe(duplex=False)

    def close() -> None:
        reader.close()
        writer.close()

    return SendingEnd(lambda frame: send(writer, frame), reader, close)


def _open_shared_array(layout: Layout, context: Any) -> SendingEnd:
    """One array in named shared memory, found by its name; a pipe says whose turn it is."""
    block = SharedMemory(create=True, size=layout.size_bytes)
    array = np.ndarray((layout.size_bytes,), np.uint8, buffer=block.buf)
    ours, theirs = context.Pipe()
    is_first = True

    def send(frame: Pixels) -> None:
        nonlocal is_first
        if not is_first:  # the array is the reader's until it says so
            if not ours.poll(_TOKEN_S):
                raise LinkClosed("no token came back")
            ours.recv_bytes()
        is_first = False
        np.copyto(array, frame)
        ours.send_bytes(b"written")

    def close() -> None:
        nonlocal array
        del array
        block.close()
        block.unlink()
        ours.close()
        theirs.close()

    return SendingEnd(send, (block.name, theirs), close)


def _shared_array_receiver(remote: tuple[str, Connection], layout: Layout) -> ReceivingEnd:
    name, tokens = remote
    block = SharedMemory(name)
    array = np.ndarray((layout.size_bytes,), np.uint8, buffer=block.buf)

    def receive() -> int:
        tokens.recv_bytes()
        stamp = stamp_of(array[:8])
        tokens.send_bytes(b"read")
        return stamp

    def close() -> None:
        nonlocal array
        del array
        block.close()
        tokens.close()

    return ReceivingEnd(receive, close)


WAYS: Final[dict[str, Way]] = {
    "shared array, token": Way(_open_shared_array, _shared_array_receiver),
    "pipe, bytes": Way(
        lambda _, context: _open_pipe(context, lambda writer, frame: writer.send_bytes(frame.data)),
        lambda reader, _: ReceivingEnd(lambda: stamp_of(reader.recv_bytes()), reader.close),
    ),
    "pipe, pickled": Way(
        lambda layout, context: _open_pipe(context, lambda writer, frame: writer.send(image(frame, layout))),
        lambda reader, _: ReceivingEnd(lambda: stamp_of(reader.recv()), reader.close),
    ),
    "queue": Way(_open_queue, lambda queue, _: ReceivingEnd(lambda: stamp_of(queue.get()))),
}
