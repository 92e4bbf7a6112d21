"""One turn of the transport benchmark: this process sends, a child of it receives, and both say what it took.

``python -m syncsvc.bench.handover WAY PIXELS FRAMES RATE``: 1080p, RATE frames a second (0: flat out); one JSON line.
"""

import multiprocessing
import os
import sys
from multiprocessing.connection import Connection
from typing import Any

import msgspec
import numpy as np

from syncsvc.bench import ways
from syncsvc.bench.child_answers import answer
from syncsvc.clock import NS_PER_MS, NS_PER_S, SYSTEM_CLOCK, cpu_ns, sleep_s
from syncsvc.errors import LinkClosed
from syncsvc.layout import Layout, PixelFormat
from syncsvc.lifecycle import die_with_parent
from syncsvc.observe.figures import Figures

WIDTH, HEIGHT = 1920, 1080
_WARM_UP = ways.SLOTS + 8  # every page was touched
_SOURCES = 4
_ANSWER_S = 60.0


class HandoverCost(msgspec.Struct, frozen=True):
    """CPU of both ends per frame, after the warm-up, and the time from before ``send`` to the frame in hand."""

    sender_ms: float
    receiver_ms: float
    latency_ms: Figures

    @property
    def cpu_ms(self) -> float:
        """Both ends."""
        return self.sender_ms + self.receiver_ms


def measure(way: str, pixels: PixelFormat, frames: int, rate_hz: float) -> HandoverCost:
    """Send ``frames`` frames to a child; nobody receives what is only copied."""
    layout = Layout(pixels, WIDTH, HEIGHT)
    context = multiprocessing.get_context("spawn")
    ends = ways.WAYS[way].open(layout, context)
    if ways.WAYS[way].receiver is None:
        return HandoverCost(_send(ends.send, layout, frames, rate_hz), 0.0, Figures())
    replies, tell = context.Pipe(duplex=False)
    child = context.Process(target=_receive, args=(os.getpid(), way, layout, ends.remote, frames, tell), daemon=True)
    child.start()
    try:
        tell.close()
        _reply(replies)  # it is up
        sender_ms = _send(ends.send, layout, frames, rate_hz)
        receiver_ms, latency_ms = _reply(replies)
        child.join(_ANSWER_S)
    finally:
        child.kill()
        child.join()
        replies.close()
        ends.close()
    return HandoverCost(sender_ms, receiver_ms, latency_ms)


def _reply(replies: Connection) -> Any:
    if not replies.poll(_ANSWER_S):
        raise LinkClosed("the receiving process does not answer")
    try:
        return replies.recv()
    except EOFError as error:
        raise LinkClosed("the receiving process is gone") from error


def _send(send: ways.Send, layout: Layout, frames: int, rate_hz: float) -> float:
    """CPU time of this process per frame, milliseconds."""
    noise = np.random.default_rng(1)
    sources = [noise.integers(0, 256, layout.size_bytes, np.uint8) for _ in range(_SOURCES)]
    started_ns, begun_ns = SYSTEM_CLOCK.monotonic_ns(), cpu_ns()
    for number in range(frames + _WARM_UP):
        if number == _WARM_UP:
            begun_ns = cpu_ns()
        if rate_hz:
            due_ns = started_ns + round(number / rate_hz * NS_PER_S)
            sleep_s((due_ns - SYSTEM_CLOCK.monotonic_ns()) / NS_PER_S)
        source = sources[number % _SOURCES]
        source[:8].view(np.int64)[0] = SYSTEM_CLOCK.monotonic_ns()
        send(source)
    return (cpu_ns() - begun_ns) / frames / NS_PER_MS


def _receive(parent: int, way: str, layout: Layout, remote: Any, frames: int, tell: Connection) -> None:
    """The other process: CPU time per frame, and the latencies, both in milliseconds."""
    die_with_parent(parent)
    make = ways.WAYS[way].receiver
    assert make is not None, "it was asked before"
    receiver = make(remote, layout)
    tell.send("up")
    latencies_ns: list[int] = []
    begun_ns = cpu_ns()
    for number in range(frames + _WARM_UP):
        if number == _WARM_UP:
            begun_ns = cpu_ns()
            latencies_ns.clear()
        stamp_ns = receiver.receive()
        latencies_ns.append(SYSTEM_CLOCK.monotonic_ns() - stamp_ns)
    spent_ms = (cpu_ns() - begun_ns) / frames / NS_PER_MS
    tell.send((spent_ms, Figures.of([value / NS_PER_MS for value in latencies_ns])))
    receiver.close()


if __name__ == "__main__":
    answer(measure(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))  # type: ignore[arg-type]  # ours
