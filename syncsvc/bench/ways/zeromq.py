"""Plain ZeroMQ, without a copy in Python at either end, as its guide for arrays shows it."""

from collections import deque
from typing import Any, Final

import zmq

from syncsvc.bench.ways.way import Pixels, ReceivingEnd, SendingEnd, Way, stamp_of
from syncsvc.layout import Layout

_MARK = 1
_IN_FLIGHT = 3
"""Messages whose memory ZeroMQ may still read; the benchmark writes each frame's memory again after four."""


def _open(endpoint: str) -> SendingEnd:
    context: zmq.Context[Any] = zmq.Context()
    socket = context.socket(zmq.PUSH)
    socket.sndhwm, socket.linger = _MARK, 0
    socket.bind(endpoint)
    trackers: deque[zmq.MessageTracker] = deque()

    def send(frame: Pixels) -> None:
        if len(trackers) == _IN_FLIGHT:
            trackers.popleft().wait()
        tracker = socket.send(frame, copy=False, track=True)
        assert tracker is not None, "it was asked for"
        trackers.append(tracker)

    return SendingEnd(send, str(socket.last_endpoint.decode()), lambda: context.destroy(linger=0))


def _receiver(endpoint: str, _: Layout) -> ReceivingEnd:
    context: zmq.Context[Any] = zmq.Context()
    socket = context.socket(zmq.PULL)
    socket.rcvhwm = _MARK
    socket.connect(endpoint)
    return ReceivingEnd(lambda: stamp_of(socket.recv(copy=False).buffer), lambda: context.destroy(linger=0))


WAYS: Final[dict[str, Way]] = {
    "ZeroMQ ipc": Way(lambda *_: _open("ipc://*"), _receiver),
    "ZeroMQ tcp": Way(lambda *_: _open("tcp://127.0.0.1:*"), _receiver),
}
