"""What the ways that a subscriber's messages take have in common: the next one, and the wait for it."""

import asyncio
import os
import select
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from syncsvc.errors import SubscriberClosed, UsageError
from syncsvc.transport.bell import Bell

LOOK_MS = 50
JOIN_S = 5.0


class Inlet:
    """A way that messages take; this one leads nowhere yet: who waits is to look again soon."""

    def __init__(self) -> None:
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self._end = Bell()
        self.is_closed = False
        """Whether anybody left, from whichever thread: who waits wakes up then."""

    def check_open(self) -> None:
        """Raise SubscriberClosed once somebody has left."""
        if self.is_closed:
            raise SubscriberClosed("this subscriber is closed")

    @property
    def is_attached(self) -> bool:
        """Whether what leaves the service from now on comes here, as far as it can be known."""
        return True

    def take(self) -> Sequence[Any] | None:
        """The next message, ``[topic, header, *payloads]`` as buffers; None when none is here.

        Raises:
            SubscriberClosed: ``close`` was called.
            UsageError: the service refuses us.
        """
        return None

    def fileno(self) -> int | None:
        """Becomes readable when a message may be here, once all that were here are taken; None where nothing does."""
        return None

    def is_here(self) -> bool:
        """Whether there may be a message that ``fileno`` does not tell of, since it was here before."""
        return False

    def answer(self) -> None:
        """Note that we woke."""

    def wait(self, timeout_ms: int | None) -> None:
        """Wait until a message may be here, at most so long."""
        poller, fd = select.poll(), self.fileno()
        poller.register(self._end.fd, select.POLLIN)
        if fd is not None:
            poller.register(fd, select.POLLIN)
        if not self.is_here():
            poller.poll(_shorter(timeout_ms) if fd is None else timeout_ms)
        self.answer()

    async def wait_async(self, timeout_ms: int | None) -> None:
        """The same for asyncio."""
        loop, woken = asyncio.get_running_loop(), asyncio.Event()
        own_fd = self.own_fileno()  # a loop has one reader per descriptor, and other tasks may wait too
        if own_fd is None:
            timeout_ms = _shorter(timeout_ms)
        else:
            loop.add_reader(own_fd, woken.set)
        self._waiting.add((loop, woken))
        try:
            if not self.is_here() and not self.is_closed:
                with suppress(TimeoutError):
                    await asyncio.wait_for(woken.wait(), None if timeout_ms is None else timeout_ms / 1000)
        finally:
            self._waiting.remove((loop, woken))
            if own_fd is not None:
                loop.remove_reader(own_fd)
                os.close(own_fd)
        self.answer()

    def own_fileno(self) -> int | None:
        """``fileno`` as a descriptor of the caller's, which is the caller's to close."""
        fd = self.fileno()
        return None if fd is None else os.dup(fd)

    def acknowledge(self) -> None:
        """Note that all that was taken is done with: the user asks for the next."""

    def subscribe(self, topic: bytes) -> None:
        """Ask for what is sent under a topic too, where it does not come anyway."""

    def leave(self) -> None:
        """Leave the service without a wait, since nobody has the subscriber any more; from any thread."""
        self.is_closed = True
        self._end.ring()
        for loop, woken in tuple(self._waiting):
            with suppress(RuntimeError):  # the loop is over, and nobody waits in it
                loop.call_soon_threadsafe(woken.set)

    def close(self) -> None:
        """Leave the service; what was handed out stays valid. From any thread: who waits hears that it is closed."""
        self.leave()


class ThreadedInlet(Inlet):
    """One with a thread of its own, which hears the service and puts what came where ``take`` finds it.

    Who makes one has it ``begin`` once it is whole.
    """

    def __init__(self, endpoint: str) -> None:
        super().__init__()
        self._endpoint = endpoint
        self._items: deque[Sequence[Any]] = deque()
        self._wake, self._news = Bell(), Bell()  # for the thread, and for the user
        self.problem = ""
        """Why the service does not serve us."""

    def begin(self, name: str) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        """Hear the service until somebody has left, or it does not serve us."""
        raise NotImplementedError

    def check_served(self) -> None:
        """Raise UsageError where the service refuses us."""
        if self.problem:
            raise UsageError(f"endpoint {self._endpoint!r}: {self.problem}")

    def fileno(self) -> int:
        """See ``Inlet``."""
        return self._news.fd

    def is_here(self) -> bool:
        """See ``Inlet``: who takes some of what is here, and waits, has answered the bell for all of it."""
        return bool(self._items)

    def answer(self) -> None:
        """See ``Inlet``."""
        self._news.answer()

    def leave(self) -> None:
        """See ``Inlet``; the thread says so to the service."""
        super().leave()
        self._wake.ring()

    def close(self) -> None:
        """Leave, and wait until that is done."""
        self.leave()
        self._thread.join(JOIN_S)


def _shorter(timeout_ms: int | None) -> int:
    return LOOK_MS if timeout_ms is None else min(LOOK_MS, timeout_ms)
