"""Batches over ZeroMQ: one SUB socket, for threads or for asyncio."""

import re
from collections.abc import Sequence
from typing import Any

import zmq
import zmq.asyncio

from syncsvc.errors import SubscriberClosed, UsageError
from syncsvc.wire import BATCH_PREFIX, STATUS_TOPIC

_ENDPOINT = re.compile(r"tcp://[^\s/]+:(?P<port>[0-9]{1,5})|ipc://.+")
_OPTIONS = {
    zmq.LINGER: 0,
    zmq.RCVHWM: 2,  # more only means older batches, and each may be a hundred megabytes
    # A host that vanishes without a word is noticed by TCP. Not by ZMTP heartbeats: while a subscriber is at its
    # high-water mark they time out, and libzmq 4.3.5 aborts the process at the next receive ("_input_stopped").
    zmq.TCP_KEEPALIVE: 1,
    zmq.TCP_KEEPALIVE_IDLE: 2,
    zmq.TCP_KEEPALIVE_INTVL: 1,
    zmq.TCP_KEEPALIVE_CNT: 3,
    zmq.RECONNECT_IVL: 20,  # first pause; it doubles
    zmq.RECONNECT_IVL_MAX: 1000,
}
_ALL_GROUPS_MARK = 16


def check_endpoint(endpoint: str) -> None:
    """Refuse what cannot be an endpoint of ``live``.

    Raises:
        UsageError: it cannot.
    """
    found = _ENDPOINT.fullmatch(endpoint) if isinstance(endpoint, str) else None
    if not found or not 0 < int(found["port"] or 1) < 65_536:  # ZeroMQ itself would try a port of 99999 for ever
        raise UsageError(f"endpoint {endpoint!r}: allowed are tcp://HOST:PORT and ipc:///PATH")


class LiveInlet:
    """Messages of the service, whole, as they come."""

    _context: "zmq.Context[Any]"
    _socket: "zmq.Socket[bytes]"

    def __init__(self, endpoint: str, topic: bytes) -> None:
        """Connect when the service is there, and again whenever it comes back.

        Args:
            endpoint: that ``check_endpoint`` let pass.
            topic: the one subscription to make at first.

        Raises:
            UsageError: ZeroMQ does not take the endpoint.
        """
        # A context of its own: with the process-wide one, threads and descriptors would outlive ``close``.
        self._context = zmq.Context()
        self._socket = _connect(self._context, endpoint, topic)

    def take(self) -> Sequence[Any] | None:
        """The next message, ``[topic, header, *payloads]`` as buffers; None when none is here.

        Raises:
            SubscriberClosed: ``close`` was called.
        """
        if self._socket.closed:
            raise SubscriberClosed("this subscriber is closed")
        try:
            parts = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return None
        except zmq.ZMQError as error:
            raise SubscriberClosed(f"the socket is gone: {error}") from error
        # Views keep ZeroMQ's memory alive, so that pixels are copied when they are converted, and not before.
        return [part.buffer for part in parts]

    def wait(self, timeout_ms: int | None) -> None:
        """Wait until a message may be here, at most so long.

        Raises:
            SubscriberClosed: ``close`` was called.
        """
        try:
            self._socket.poll(timeout_ms)
        except zmq.ZMQError as error:
            raise SubscriberClosed(f"the socket is gone: {error}") from error

    async def wait_async(self, timeout_ms: int | None) -> None:
        """The same for asyncio; only ``AsyncLiveInlet`` can."""
        raise NotImplementedError

    def subscribe_status(self) -> None:
        """Subscribe to the service's state too."""
        self._socket.subscribe(STATUS_TOPIC)

    def leave(self) -> None:
        """Nothing is to be done: a socket that nobody has closes itself."""

    def close(self) -> None:
        """Leave the service; payloads already handed out stay valid."""
        self._context.destroy(linger=0)


class AsyncLiveInlet(LiveInlet):
    """The same, with a socket that an event loop can wait for."""

    def __init__(self, endpoint: str, topic: bytes) -> None:
        self._context = zmq.asyncio.Context()
        self._waiter: zmq.asyncio.Socket = _connect(self._context, endpoint, topic)
        # Waiting is asyncio's, taking is not: a message is never in a future that somebody cancels.
        self._socket = zmq.Socket.shadow(self._waiter.underlying)

    async def wait_async(self, timeout_ms: int | None) -> None:
        """Wait until a message may be here, at most so long.

        Raises:
            SubscriberClosed: ``close`` was called.
        """
        try:
            await self._waiter.poll(timeout_ms)
        except zmq.ZMQError as error:
            raise SubscriberClosed(f"the socket is gone: {error}") from error


def _connect(context: "zmq.Context[Any]", endpoint: str, topic: bytes) -> Any:
    """A SUB socket of the context's kind, connected, with its one subscription."""
    try:
        socket = context.socket(zmq.SUB)
        for option, value in _OPTIONS.items():
            socket.setsockopt(option, value)
        if topic == BATCH_PREFIX:  # every group: their windows close at the same instant
            socket.setsockopt(zmq.RCVHWM, _ALL_GROUPS_MARK)
        socket.setsockopt(zmq.SUBSCRIBE, topic)
        socket.connect(endpoint)
    except zmq.ZMQError as error:
        context.destroy(linger=0)
        raise UsageError(f"endpoint {endpoint!r}: {error.strerror}") from error
    return socket
