"""Batches from a service on this host: a thread hears descriptors, and answers for the frames that we hold."""

import os
import select
import socket
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from syncsvc.client.inlet import ThreadedInlet
from syncsvc.client.leases import HeldLeases, LeasedPayload
from syncsvc.client.sequence import SubscriberStats
from syncsvc.errors import LinkClosed, TransportError
from syncsvc.transport import leasing
from syncsvc.transport.leasing import Freed, FromService, FromSubscriber, Hello, LeaseSocket, Taken
from syncsvc.wire import BATCH_PREFIX, STATUS_TOPIC

RETRY_MS = 100
A_FEW = 8
"""Leases that are given back at a time, so that the service sees us at it while many are moved."""


def _group_of(parts: Sequence[Any]) -> str:
    return bytes(parts[0]).removeprefix(BATCH_PREFIX).decode()


def _hello(groups: Sequence[str] | None) -> Hello:
    """A service of before does not know of several, and sends all: what is too much is set aside here."""
    if groups is None or len(groups) == 1:
        return Hello(groups[0] if groups else None)
    return Hello(None, list(groups))


class LocalInlet(ThreadedInlet):
    """Messages of the service as they come on ``live``, with payloads leased instead of buffers."""

    def __init__(
        self, endpoint: str, groups: Sequence[str] | None, stats: SubscriberStats, sock: socket.socket | None = None
    ) -> None:
        """Connect when the service is there (``sock``, where somebody did already), and again whenever it comes back.

        ``groups`` None takes all of them; ``stats`` counts the frames that were reclaimed.
        """
        super().__init__(endpoint)
        self._groups, self._stats, self._first = groups, stats, sock
        self._taken: deque[str] = deque()
        self._outbox: deque[FromSubscriber] = deque()
        self.begin("syncsvc-local")

    # From the user's thread.

    def take(self) -> Sequence[Any] | None:
        """See ``Inlet``."""
        self.check_open()
        try:
            parts = self._items.popleft()
        except IndexError:
            self.check_served()
            return None
        if parts[0] != STATUS_TOPIC:
            self._taken.append(_group_of(parts))
            self._wake.ring()
        return parts

    # The inlet's own thread.

    def _run(self) -> None:
        while not self.is_closed and not self.problem:
            sock, self._first = self._first or leasing.connect(self._endpoint), None
            if sock is None:
                self._sleep(RETRY_MS)
                continue
            link: LeaseSocket[FromService] = LeaseSocket(sock, FromService)
            held = HeldLeases(self._wake.ring)
            try:
                if not leasing.is_trusted(link.peer_uid):
                    self.problem = "belongs to another user"
                    link.close()
                    break
                self._outbox.clear()
                self._taken.clear()
                self._outbox.append(_hello(self._groups))
                self._serve(link, held)
            except LinkClosed:  # what we held stays as it is: nobody writes there any more
                link.close()
                self._sleep(RETRY_MS)
                continue
            except TransportError as error:
                self.problem = str(error)
            if held.give_all_back():
                link.close()
            else:  # no memory for what somebody looks at: our end must not look like that of the leases
                sock.detach()
        if self._first is not None:  # somebody left before we came to it
            self._first.close()
        self._news.ring()

    def _sleep(self, timeout_ms: int) -> None:
        poller = select.poll()
        poller.register(self._wake.fd, select.POLLIN)
        poller.poll(timeout_ms)
        self._wake.answer()

    def _serve(self, link: LeaseSocket[FromService], held: HeldLeases) -> None:
        poller = select.poll()
        poller.register(link.fileno(), select.POLLIN)
        poller.register(self._wake.fd, select.POLLIN)
        while not self.is_closed and not self.problem:
            self._answer(link, held)
            poller.poll(RETRY_MS if self._outbox else None)
            self._wake.answer()
            while (received := link.receive()) is not None:
                self._handle(*received, link, held)

    def _answer(self, link: LeaseSocket[FromService], held: HeldLeases) -> None:
        """Say what was taken and what came home; what finds no room now is said later.

        Nobody hears us where the service has left; what it said before is still to be read, up to its last word.
        """
        while self._taken:
            self._outbox.append(Taken(self._taken.popleft(), 1))
        ended = held.ended()
        if ended:
            self._outbox.append(Freed(ended))
        try:
            while self._outbox and link.send(self._outbox[0]):
                self._outbox.popleft()
        except LinkClosed:
            self._outbox.clear()

    def _handle(self, message: FromService, fd: int | None, link: LeaseSocket[FromService], held: HeldLeases) -> None:
        match message:
            case leasing.Ring() if fd is not None:
                held.add_ring(message, fd)
                return
            case leasing.Leased(topic, header):
                self._items.append([topic, header, *held.take(message)])
                self._news.ring()
            case leasing.Said(status):
                self._items.append([STATUS_TOPIC, status])
                self._news.ring()
            case leasing.Revoked(leases, keeps):
                lost: set[LeasedPayload] = set()
                for first in range(0, len(leases), A_FEW):
                    free, some = held.give_back(leases[first : first + A_FEW], keeps=keeps)
                    lost.update(some)
                    self._outbox.append(Freed(free))
                    self._answer(link, held)
                self._stats.reclaimed += len(lost) - self._set_aside(lost)
            case leasing.Refused(problem):
                self.problem = problem
        if fd is not None:
            os.close(fd)

    def _set_aside(self, lost: set[LeasedPayload]) -> int:
        """A batch that the user did not take in time is none any more, but a gap; returns its frames."""
        frames = 0
        for parts in [parts for parts in tuple(self._items) if not lost.isdisjoint(parts[2:])]:
            with suppress(ValueError):  # it was taken meanwhile
                self._items.remove(parts)
                self._taken.append(_group_of(parts))
                frames += len(parts) - 2
        return frames
