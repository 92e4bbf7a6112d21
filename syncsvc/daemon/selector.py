"""What the daemon waits on: its children's words and ends, and whatever else becomes readable."""

import selectors
from collections.abc import Callable
from selectors import EVENT_READ
from typing import Any, Protocol

from syncsvc.daemon.child import Child

Act = Callable[[], None]


class Readable(Protocol):
    """What can be waited on."""

    def fileno(self) -> int:
        """Its descriptor."""
        ...


class Listening:
    """Calls back, from ``turn`` and so from one thread."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def to(self, source: Readable | int, act: Act) -> None:
        """Call ``act`` whenever something can be read."""
        self._selector.register(source, EVENT_READ, act)

    def to_child(self, child: Child[Any], spoke: Act, ended: Act) -> None:
        """Call ``spoke`` while a child's channel has words, ``ended`` from its end on until it is reaped."""
        self.to(child.pidfd, ended)
        self.to(child.channel, spoke)

    def hears(self, child: Child[Any]) -> bool:
        """Whether the child's channel is still listened to."""
        return child.channel.fileno() in self._selector.get_map()

    def no_more_to(self, child: Child[Any]) -> None:
        """The child closed its channel: only its end is waited for."""
        self._selector.unregister(child.channel)

    def reap(self, child: Child[Any]) -> int | None:
        """Stop listening to a child that ended; its exit code."""
        self._selector.unregister(child.pidfd)
        if self.hears(child):
            self.no_more_to(child)
        return child.reap(1.0)

    def turn(self, timeout_s: float) -> None:
        """Wait for something to happen, at most so long, and act on it."""
        for key, _ in self._selector.select(timeout_s):
            if self._selector.get_map().get(key.fd) is key:  # else one before it in this turn put an end to it
                key.data()

    def close(self) -> None:
        """Listen to nobody."""
        self._selector.close()
