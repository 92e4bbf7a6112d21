"""Where a subscriber's messages come from: over ZeroMQ, or without a copy from a service on the same host."""

import asyncio
import select
import socket
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

from syncsvc.client.live import AsyncLiveInlet, LiveInlet, check_endpoint
from syncsvc.client.local import LocalInlet
from syncsvc.client.sequence import SubscriberStats
from syncsvc.errors import SubscriberClosed, UsageError
from syncsvc.transport import leasing

Mode = Literal["live", "lossless", "local", "auto"]

LOOK_MS = 50
PROBE_S = 1.0


class Inlet(Protocol):
    """A way that messages take."""

    def take(self) -> Sequence[Any] | None:
        """The next message, ``[topic, header, *payloads]``; None when none is here."""
        ...

    def wait(self, timeout_ms: int | None) -> None:
        """Wait until a message may be here, at most so long."""
        ...

    async def wait_async(self, timeout_ms: int | None) -> None:
        """The same for asyncio."""
        ...

    def subscribe_status(self) -> None:
        """Ask for the service's state too."""
        ...

    def leave(self) -> None:
        """Leave the service without a wait, since nobody has the subscriber any more; from any thread."""
        ...

    def close(self) -> None:
        """Leave the service; what was handed out stays valid."""
        ...


class AutoInlet:
    """The better of two ways, chosen when the service is met: ``local`` where it is to be had, else ``live``."""

    def __init__(self, endpoint: str, local: Callable[[socket.socket], LocalInlet], live: Callable[[], Inlet]) -> None:
        self._endpoint, self._local, self._live = endpoint, local, live
        self._inlet: Inlet | None = None
        self._is_closed = self._was_seen = False

    def take(self) -> Sequence[Any] | None:
        """The next message; None when none is here.

        Raises:
            SubscriberClosed: ``close`` was called.
        """
        if self._is_closed:
            raise SubscriberClosed("this subscriber is closed")
        inlet = self._inlet = self._inlet or self._choose()
        if isinstance(inlet, LocalInlet) and inlet.problem:
            inlet.close()
            inlet = self._inlet = self._live()
        return None if inlet is None else inlet.take()

    def _choose(self) -> Inlet | None:
        sock = leasing.connect(self._endpoint)
        if sock is not None:
            return self._local(sock)
        # A service binds ``live`` a moment before it listens here, so one look at it alone does not settle it.
        was_seen, self._was_seen = self._was_seen, _is_served(self._endpoint)
        return self._live() if was_seen and self._was_seen else None

    def wait(self, timeout_ms: int | None) -> None:
        """Wait until a message may be here, at most so long."""
        if self._inlet is not None:
            self._inlet.wait(timeout_ms)
        else:
            select.poll().poll(_shorter(timeout_ms))

    async def wait_async(self, timeout_ms: int | None) -> None:
        """The same for asyncio."""
        if self._inlet is not None:
            await self._inlet.wait_async(timeout_ms)
        else:
            await asyncio.sleep(_shorter(timeout_ms) / 1000)

    def subscribe_status(self) -> None:
        """Ask for the service's state too."""
        if self._inlet is not None:
            self._inlet.subscribe_status()

    def leave(self) -> None:
        """Leave the service without a wait."""
        self._is_closed = True
        if self._inlet is not None:
            self._inlet.leave()

    def close(self) -> None:
        """Leave the service."""
        self._is_closed = True
        if self._inlet is not None:
            self._inlet.close()


def _shorter(timeout_ms: int | None) -> int:
    return LOOK_MS if timeout_ms is None else min(LOOK_MS, timeout_ms)


def _is_served(endpoint: str) -> bool:
    """Whether anything accepts connections there."""
    try:
        if endpoint.startswith("ipc://"):
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(PROBE_S)
                probe.connect(endpoint.removeprefix("ipc://"))
        else:
            host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), PROBE_S).close()
    except OSError:
        return False
    return True


def open_inlet(
    endpoint: str, group: str | None, topic: bytes, mode: Mode, stats: SubscriberStats, *, is_async: bool = False
) -> Inlet:
    """The way that a mode stands for.

    Args:
        endpoint: of ``live``.
        group: the one that is wanted; None takes all.
        topic: what to subscribe to on ``live``.
        mode: as the user said.
        stats: of the subscriber.
        is_async: an event loop will wait for it.

    Raises:
        UsageError: the mode is not known or not to be had, or the endpoint cannot be one.
    """
    if mode == "lossless":
        raise UsageError("mode 'lossless' is not available yet; 'live', 'local' and 'auto' are")
    if mode not in ("live", "local", "auto"):
        raise UsageError(f"mode {mode!r}: allowed are 'live', 'local' and 'auto'")
    check_endpoint(endpoint)

    def live() -> Inlet:
        return (AsyncLiveInlet if is_async else LiveInlet)(endpoint, topic)

    if mode == "live" or (mode == "auto" and not leasing.is_on_this_host(endpoint)):
        return live()
    if mode == "auto":
        return AutoInlet(endpoint, lambda sock: LocalInlet(endpoint, group, stats, sock), live)
    if not leasing.is_on_this_host(endpoint):
        raise UsageError(f"endpoint {endpoint!r}: mode 'local' is for a service on this host; mode 'live' reaches it")
    return LocalInlet(endpoint, group, stats)
