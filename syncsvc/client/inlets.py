"""Where a subscriber's messages come from: live, out of the service's history, or without a copy on the same host."""

import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from syncsvc.certificates import ClientKeys
from syncsvc.client.inlet import Inlet
from syncsvc.client.live import LiveInlet, check_endpoint
from syncsvc.client.local import LocalInlet
from syncsvc.client.lossless import PAYLOADS, LosslessInlet, Start, check_start
from syncsvc.client.presence import is_served
from syncsvc.client.sequence import SubscriberStats, Wanted
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


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody asks for; ``topics`` are what to subscribe to on ``live`` for ``groups``, or for all (None)."""

    endpoint: str
    groups: Sequence[str] | None
    topics: Sequence[bytes]
    payload: Wanted
    late: bool
    name: str | None
    start: Start
    results: bool = False
    is_counted: bool = True
    keys: ClientKeys | None = None

    @property
    def beyond_local(self) -> str:
        """What mode ``local`` does not have, if anything."""
        return f"payload={self.payload!r}" if self.payload != "pixels" else self.of_live_alone

    @property
    def of_live_alone(self) -> str:
        """What only mode ``live`` has, if anything."""
        return "late=True" if self.late else "results=True" if self.results else ""

    @property
    def of_lossless_alone(self) -> str:
        """What only mode ``lossless`` has, if anything."""
        if self.name is not None:
            return f"name={self.name!r}"
        return "" if self.start is None else f"start={self.start!r}"


def open_inlet(wish: Asked, mode: Mode, stats: SubscriberStats) -> Inlet:
    """The way that a mode stands for.

    Raises:
        UsageError: the mode is not known or not to be had, or does not have what is asked for.
    """
    if mode not in _WAYS:
        raise UsageError(f"mode {mode!r}: allowed are 'live', 'lossless', 'local' and 'auto'")
    check_endpoint(wish.endpoint)
    if wish.results and (wish.late or wish.payload != "pixels"):
        raise UsageError("results=True has results alone: neither payload= nor late=True goes with it")
    if wish.of_lossless_alone and mode != "lossless":
        raise UsageError(f"mode {mode!r} keeps nothing; {wish.of_lossless_alone} is for mode 'lossless'")
    return _WAYS[mode](wish, stats)


def _live(wish: Asked, stats: SubscriberStats) -> Inlet:
    return LiveInlet(wish.endpoint, wish.topics, wish.keys)


def _local(wish: Asked, stats: SubscriberStats) -> Inlet:
    if wish.beyond_local:
        raise UsageError(f"mode 'local' has batches with their pixels; {wish.beyond_local} is for mode 'live'")
    if not leasing.is_on_this_host(wish.endpoint):
        problem = "mode 'local' is for a service on this host; mode 'live' reaches it"
        raise UsageError(f"endpoint {wish.endpoint!r}: {problem}")
    return LocalInlet(wish.endpoint, wish.groups, stats)


def _auto(wish: Asked, stats: SubscriberStats) -> Inlet:
    if wish.beyond_local or not leasing.is_on_this_host(wish.endpoint):
        return _live(wish, stats)
    local = partial(LocalInlet, wish.endpoint, wish.groups, stats)
    return AutoInlet(wish.endpoint, local, partial(_live, wish, stats))


def _lossless(wish: Asked, stats: SubscriberStats) -> Inlet:
    if wish.of_live_alone:
        raise UsageError(f"mode 'lossless' has batches alone; {wish.of_live_alone} is for mode 'live'")
    check_start(wish.groups, wish.name, wish.start)
    return LosslessInlet(
        wish.endpoint, wish.groups, PAYLOADS[wish.payload], wish.name, wish.start, wish.keys, is_counted=wish.is_counted
    )


_WAYS: Mapping[Mode, Callable[[Asked, SubscriberStats], Inlet]] = {
    "live": _live, "lossless": _lossless, "local": _local, "auto": _auto,
}  # fmt: skip
