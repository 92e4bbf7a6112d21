"""Where a subscriber's messages come from: over ZeroMQ, or without a copy from a service on the same host."""

import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

from syncsvc.client.inlet import Inlet
from syncsvc.client.live import LiveInlet, check_endpoint
from syncsvc.client.local import LocalInlet
from syncsvc.client.sequence import SubscriberStats
from syncsvc.errors import SubscriberClosed, UsageError
from syncsvc.transport import leasing

Mode = Literal["live", "lossless", "local", "auto"]

PROBE_S = 1.0


class AutoInlet(Inlet):
    """The better of two ways, chosen when the service is met: ``local`` where it is to be had, else ``live``."""

    def __init__(self, endpoint: str, local: Callable[[socket.socket], LocalInlet], live: Callable[[], Inlet]) -> None:
        self._endpoint, self._local, self._live = endpoint, local, live
        self._inlet = Inlet()
        self._is_closed = self._was_seen = False

    def take(self) -> Sequence[Any] | None:
        """See ``Inlet``."""
        if self._is_closed:
            raise SubscriberClosed("this subscriber is closed")
        if self._inlet.fileno() is None:  # none was chosen
            self._inlet = self._choose() or self._inlet
        try:
            return self._inlet.take()
        except UsageError:  # no memory is shared with us: the local way may hear that long after it was chosen
            self._inlet.close()
            self._inlet = self._live()
            return None

    def _choose(self) -> Inlet | None:
        sock = leasing.connect(self._endpoint)
        if sock is not None:
            return self._local(sock)
        # A service binds ``live`` a moment before it listens here, so one look at it alone does not settle it.
        was_seen, self._was_seen = self._was_seen, _is_served(self._endpoint)
        return self._live() if was_seen and self._was_seen else None

    def wait(self, timeout_ms: int | None) -> None:
        """See ``Inlet``."""
        self._inlet.wait(timeout_ms)

    async def wait_async(self, timeout_ms: int | None) -> None:
        """See ``Inlet``."""
        await self._inlet.wait_async(timeout_ms)

    def subscribe(self, topic: bytes) -> None:
        """See ``Inlet``."""
        self._inlet.subscribe(topic)

    def leave(self) -> None:
        """See ``Inlet``."""
        self._is_closed = True
        self._inlet.leave()

    def close(self) -> None:
        """See ``Inlet``."""
        self._is_closed = True
        self._inlet.close()


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
    endpoint: str, group: str | None, topic: bytes, mode: Mode, stats: SubscriberStats, *, beyond_local: str = ""
) -> Inlet:
    """The way that a mode stands for; ``topic`` is what to subscribe to on ``live`` for the group, or for all (None).

    ``beyond_local`` is what is asked for that mode ``local`` does not have, if anything.

    Raises:
        UsageError: the mode is not known or not to be had, or the endpoint cannot be one.
    """
    if mode == "lossless":
        raise UsageError("mode 'lossless' is not available yet; 'live', 'local' and 'auto' are")
    if mode not in ("live", "local", "auto"):
        raise UsageError(f"mode {mode!r}: allowed are 'live', 'local' and 'auto'")
    check_endpoint(endpoint)
    if beyond_local and mode == "local":
        raise UsageError(f"mode 'local' has batches with their pixels; {beyond_local} is for mode 'live'")
    if beyond_local:
        mode = "live"
    if mode == "live" or (mode == "auto" and not leasing.is_on_this_host(endpoint)):
        return LiveInlet(endpoint, topic)
    if mode == "auto":
        return AutoInlet(endpoint, partial(LocalInlet, endpoint, group, stats), partial(LiveInlet, endpoint, topic))
    if not leasing.is_on_this_host(endpoint):
        raise UsageError(f"endpoint {endpoint!r}: mode 'local' is for a service on this host; mode 'live' reaches it")
    return LocalInlet(endpoint, group, stats)
