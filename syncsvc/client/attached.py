"""A subscriber's way to its service: whose it is, whether the service is there, and how it ends."""

import os
import threading
import weakref
from abc import ABC, abstractmethod
from typing import Final

from syncsvc.client.inlet import LOOK_MS, Inlet
from syncsvc.client.outlook import Outlook
from syncsvc.client.presence import Patience
from syncsvc.errors import SubscriberClosed, SubscriptionEnded, UsageError
from syncsvc.lifecycle import patience_of

READY_S: Final = 2.0


class Attached(ABC):
    """One inlet, what is known of who is at its other end, and the process that may use it."""

    def __init__(self, inlet: Inlet, outlook: Outlook) -> None:
        self._inlet, self._outlook = inlet, outlook
        self._pid, self._is_iterated, self._closed_by = os.getpid(), False, 0
        # Threads of theirs would go on for ever without us.
        weakref.finalize(self, _leave, self._pid, inlet, outlook).atexit = False

    def close(self) -> None:
        """Leave the service; payloads already handed out stay valid. From another thread it ends the iteration."""
        if os.getpid() == self._pid:
            self._closed_by = threading.get_ident()
            self._inlet.close()
            self._outlook.close()

    @abstractmethod
    def _pump(self) -> bool:
        """Move one message from the inlet to the inbox, and tell the outlook; false when there is none."""

    def _check_owner(self) -> None:
        if os.getpid() != self._pid:
            raise UsageError("this subscriber is of the process that forked this one: make another one here")

    def _be_patient(self, timeout_s: float | None) -> Patience:
        self._outlook.forget()
        return Patience(patience_of(timeout_s))

    def _is_ready(self, patience: Patience) -> bool:
        self._check_owner()
        self._pump()
        return self._outlook.is_ready(patience.left_ms(), is_attached=self._inlet.is_attached)

    def _begin_step(self) -> None:
        """The next step of an iteration."""
        self._is_iterated = self._is_iterated or not self._inlet.is_closed

    def _is_end(self, error: SubscriptionEnded | SubscriberClosed) -> bool:
        """Whether an iteration ends with this: with its service, or with a ``close`` while it went on.

        A close by another thread may come before the first step; who closed it himself, and then begins, is mistaken.
        """
        return isinstance(error, SubscriptionEnded) or self._is_iterated or self._closed_by != threading.get_ident()


def _leave(pid: int, inlet: Inlet, outlook: Outlook) -> None:
    """Nobody has the subscriber any more; in a process that was forked that says nothing."""
    if os.getpid() == pid:
        inlet.leave()
        outlook.leave()


class Meets(Attached):
    """What threads wait with until the service is there."""

    def wait_ready(self, timeout_s: float | None = READY_S) -> None:
        """Wait until the service is there and has what was asked for; no batch need have come, and none is taken.

        In mode ``lossless`` every batch that leaves from then on comes.

        Args:
            timeout_s: how long a service may take that is not there yet; None waits for ever.

        Raises:
            NoAnswer: no service is there in time or, at once, something else is.
            UnknownGroup: the service does not have the group; the message says which ones it has.
            UsageError: the mode is not to be had.
            SubscriberClosed: ``close`` was called.
        """
        patience = self._be_patient(timeout_s)
        while not self._is_ready(patience):
            self._inlet.wait(LOOK_MS)


class MeetsAsync(Attached):
    """The same for asyncio."""

    async def wait_ready(self, timeout_s: float | None = READY_S) -> None:
        """Wait until the service is there; arguments and errors as with ``Subscriber.wait_ready``."""
        patience = self._be_patient(timeout_s)
        while not self._is_ready(patience):
            await self._inlet.wait_async(LOOK_MS)
