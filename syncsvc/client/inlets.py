"""Where a subscriber's messages come from: over ZeroMQ, or without a copy from a service on the same host."""

import socket
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

from syncsvc.client.inlet import Inlet
from syncsvc.client.live import LiveInlet, check_endpoint
from syncsvc.client.local import LocalInlet
from syncsvc.client.presence import is_served
from syncsvc.client.sequence import SubscriberStats
from syncsvc.errors import UsageError
from syncsvc.transport import leasing

Mode = Literal["live", "lossless", "local", "auto"]


class AutoInlet(Inlet):
    """The better of two ways, chosen when the service is met: ``local`` where it is to be had, else ``live``."""

    def __init__(self, endpoint: str, local: Callable[[socket.socket], LocalInlet], live: Callable[[], Inlet]) -> None:
        super().__init__()
        self._endpoint, self._local, self._live = endpoint, local, live
        self._inlet = Inlet()
        self._choosing = threading.Lock()
        self._was_seen = False

    def take(self) -> Sequence[Any] | None:
        """See ``Inlet``."""
        self.check_open()
        if self._inlet.fileno() is None:  # none was chosen
            self._choose()
        try:
            return self._inlet.take()
        except UsageError:  # no memory is shared with us: the local way may hear that long after it was chosen
            self._inlet.close()
            self._go_by(self._live())
            return None

    def _choose(self) -> None:
        sock = leasing.connect(self._endpoint)
        if sock is not None:
            self._go_by(self._local(sock))
            return
        # A service binds ``live`` a moment before it listens here, so one look at it alone does not settle it.
        was_seen, self._was_seen = self._was_seen, is_served(self._endpoint)
        if was_seen and self._was_seen:
            self._go_by(self._live())

    def _go_by(self, inlet: Inlet) -> None:
        """Take this way from now on, unless somebody closed us meanwhile, who knew of the other one only."""
        with self._choosing:
            if not self.is_closed:
                self._inlet = inlet
                return
        inlet.close()
        self.check_open()

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
        super().leave()
        self._inlet.leave()

    def close(self) -> None:
        """See ``Inlet``."""
        with self._choosing:
            super().leave()
        self._inlet.close()


def open_inlet(
    endpoint: str,
    groups: Sequence[str] | None,
    topics: Sequence[bytes],
    mode: Mode,
    stats: SubscriberStats,
    *,
    beyond_local: str = "",
) -> Inlet:
    """The way that a mode stands for; ``topics`` are what to subscribe to on ``live`` for the groups, or all (None).

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
        return LiveInlet(endpoint, topics)
    if mode == "auto":
        return AutoInlet(endpoint, partial(LocalInlet, endpoint, groups, stats), partial(LiveInlet, endpoint, topics))
    if not leasing.is_on_this_host(endpoint):
        raise UsageError(f"endpoint {endpoint!r}: mode 'local' is for a service on this host; mode 'live' reaches it")
    return LocalInlet(endpoint, groups, stats)
