"""Iterate over batches with gaps made visible: ``Subscriber`` for threads, ``AsyncSubscriber`` for asyncio."""

import asyncio
import math
import re
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeVar, cast, overload

import zmq
import zmq.asyncio

from syncsvc.client.sequence import Inbox, Stats
from syncsvc.clock import NS_PER_S, SYSTEM_CLOCK
from syncsvc.errors import SubscriberClosed, SubscriptionEnded, UsageError
from syncsvc.model import FrameBatch, Gap
from syncsvc.wire import BATCH_PREFIX, STATUS_TOPIC

Item = TypeVar("Item", bound=FrameBatch | Gap)
Mode = Literal["live", "lossless", "local"]
Gaps = Literal["count", "yield"]

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
_MESSAGES_PER_POLL = 64  # a flood of garbage must not keep a caller from its timeout


class _Subscription(Generic[Item]):
    """What both subscribers are: one socket, one inbox, and the rules of when to subscribe to what."""

    def __init__(self, endpoint: str, group: str | None, mode: Mode, gaps: Gaps) -> None:
        if mode in ("lossless", "local"):
            raise UsageError(f"mode {mode!r} is not available yet; 'live' is")
        if mode != "live":
            raise UsageError(f"mode {mode!r}: allowed is 'live'")
        if gaps not in ("count", "yield"):
            raise UsageError(f"gaps {gaps!r}: allowed are 'count' and 'yield'")
        self._inbox = Inbox(group, yields_gaps=gaps == "yield")
        self._hears_status = False
        _check_endpoint(endpoint)
        self._open(endpoint)

    _context: "zmq.Context[Any]"
    _socket: zmq.Socket[bytes]

    def _open(self, endpoint: str) -> None:
        # A context of its own: with the process-wide one, threads and descriptors would outlive ``close``.
        self._context = zmq.Context()
        self._socket = _connect(self._context, endpoint, self._inbox.topic)

    def close(self) -> None:
        """Leave the service; payloads already handed out stay valid."""
        self._context.destroy(linger=0)

    @property
    def stats(self) -> Stats:
        """What was received, missed, refused; see ``Stats``."""
        return self._inbox.stats

    @property
    def header(self) -> dict[str, object]:
        """The header of the batch handed out last, as on the wire: maps, lists, strings, integers."""
        return self._inbox.header()

    def receive_nowait(self) -> Item:
        """The next item, if it is here already.

        Raises:
            BlockingIOError: nothing is here yet.
            SubscriptionEnded: the service has ended.
            SubscriberClosed: ``close`` was called.
        """
        item = self.poll()
        if item is None:
            raise BlockingIOError("no batch is here yet")
        return item

    def poll(self) -> Item | None:
        """The next item, or None when nothing is here yet.

        Raises:
            SubscriptionEnded: the service has ended.
            SubscriberClosed: ``close`` was called.
        """
        item = self._take()
        for _ in range(_MESSAGES_PER_POLL):
            if item is not None or not self._pump():
                break
            item = self._take()
        return item

    def _take(self) -> Item | None:
        item = cast("Item | None", self._inbox.take())  # the inbox makes gaps only where Item includes them
        if item is None and self._inbox.is_over:
            raise SubscriptionEnded("the service has ended: all its streams are over")
        return item

    def _pump(self) -> bool:
        """Move one message from the socket to the inbox; false when there is none."""
        if self._socket.closed:
            raise SubscriberClosed("this subscriber is closed")
        try:
            parts = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
            # Views keep ZeroMQ's memory alive, so that pixels are copied when they are converted, and not before.
            self._inbox.feed([part.buffer for part in parts])
            if self._inbox.has_frames and not self._hears_status:
                # Not earlier: a service that waits for N subscriptions must see one per subscriber.
                self._socket.subscribe(STATUS_TOPIC)
                self._hears_status = True
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            raise SubscriberClosed(f"the socket is gone: {error}") from error
        return True


class _Deadline:
    def __init__(self, timeout_s: float | None) -> None:
        self._timeout_s = timeout_s
        self._start_ns = SYSTEM_CLOCK.monotonic_ns()

    def left_ms(self) -> int | None:
        """What is left, rounded up; None means for ever. Raises TimeoutError when nothing is left."""
        if self._timeout_s is None:
            return None
        left_s = self._timeout_s - (SYSTEM_CLOCK.monotonic_ns() - self._start_ns) / NS_PER_S
        if left_s <= 0:
            raise TimeoutError(f"no batch within {self._timeout_s} s")
        return math.ceil(left_s * 1000)


def _check_endpoint(endpoint: str) -> None:
    found = _ENDPOINT.fullmatch(endpoint) if isinstance(endpoint, str) else None
    if not found or not 0 < int(found["port"] or 1) < 65_536:  # ZeroMQ itself would try a port of 99999 for ever
        raise UsageError(f"endpoint {endpoint!r}: allowed are tcp://HOST:PORT and ipc:///PATH")


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


class Subscriber(_Subscription[Item]):
    """Batches of one service, for one thread.

    ::

        with Subscriber("tcp://127.0.0.1:5555", group="lobby") as batches:
            for batch in batches: ...

    It connects when the service is there, reconnects by itself, and never holds the service up: what it does not take
    in time is lost and shows as a gap. The iteration ends when all streams of the service were recordings and are over.

    Args:
        endpoint: the service's ``publish.live``: ``tcp://HOST:PORT`` or ``ipc:///PATH``.
        group: name of the group; None takes all groups.
        mode: ``live``; ``lossless`` and ``local`` are not available yet.
        gaps: ``count`` counts missed batches in ``stats``; ``yield`` also hands out a Gap before the next batch.

    Raises:
        UsageError: the endpoint cannot be one, or a word is not known.
    """

    @overload
    def __init__(
        self: "Subscriber[FrameBatch]",
        endpoint: str,
        group: str | None = None,
        mode: Mode = "live",
        gaps: Literal["count"] = "count",
    ) -> None: ...

    @overload
    def __init__(
        self: "Subscriber[FrameBatch | Gap]",
        endpoint: str,
        group: str | None = None,
        mode: Mode = "live",
        *,
        gaps: Literal["yield"],
    ) -> None: ...

    def __init__(self, endpoint: str, group: str | None = None, mode: Mode = "live", gaps: Gaps = "count") -> None:
        super().__init__(endpoint, group, mode, gaps)

    def receive(self, timeout_s: float | None = None) -> Item:
        """Wait for the next item.

        Args:
            timeout_s: the longest wait; None waits for ever.

        Raises:
            TimeoutError: nothing came in time.
            SubscriptionEnded: the service has ended.
            SubscriberClosed: ``close`` was called.
        """
        deadline = _Deadline(timeout_s)
        while (item := self.poll()) is None:
            try:
                self._socket.poll(deadline.left_ms())
            except zmq.ZMQError as error:
                raise SubscriberClosed(f"the socket is gone: {error}") from error
        return item

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Item:
        try:
            return self.receive()
        except SubscriptionEnded:
            raise StopIteration from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncSubscriber(_Subscription[Item]):
    """The same for asyncio.

    ::

        async with AsyncSubscriber("tcp://127.0.0.1:5555", group="lobby") as batches:
            async for batch in batches: ...

    Arguments and errors are those of ``Subscriber``. Cancelling a wait loses no batch.
    """

    @overload
    def __init__(
        self: "AsyncSubscriber[FrameBatch]",
        endpoint: str,
        group: str | None = None,
        mode: Mode = "live",
        gaps: Literal["count"] = "count",
    ) -> None: ...

    @overload
    def __init__(
        self: "AsyncSubscriber[FrameBatch | Gap]",
        endpoint: str,
        group: str | None = None,
        mode: Mode = "live",
        *,
        gaps: Literal["yield"],
    ) -> None: ...

    def __init__(self, endpoint: str, group: str | None = None, mode: Mode = "live", gaps: Gaps = "count") -> None:
        super().__init__(endpoint, group, mode, gaps)

    def _open(self, endpoint: str) -> None:
        self._context = zmq.asyncio.Context()
        self._waiter: zmq.asyncio.Socket = _connect(self._context, endpoint, self._inbox.topic)
        # Waiting is asyncio's, taking is not: a message is never in a future that somebody cancels.
        self._socket = zmq.Socket.shadow(self._waiter.underlying)

    async def receive(self, timeout_s: float | None = None) -> Item:
        """Wait for the next item; arguments and errors as with ``Subscriber.receive``."""
        deadline = _Deadline(timeout_s)
        await asyncio.sleep(0)  # batches that are here already must not starve the loop's other tasks
        while (item := self.poll()) is None:
            try:
                await self._waiter.poll(deadline.left_ms())
            except zmq.ZMQError as error:
                raise SubscriberClosed(f"the socket is gone: {error}") from error
        return item

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        try:
            return await self.receive()
        except SubscriptionEnded:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
