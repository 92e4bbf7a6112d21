"""One subscriber on this host, as the outlet has it: what it asked for, what it was sent, what it holds."""

import socket
from collections import Counter
from collections.abc import Sequence

from syncsvc.model import Frame
from syncsvc.publish.leases import GrantedLeases
from syncsvc.publish.outlet import BacklogOf, Prepared
from syncsvc.transport import leasing
from syncsvc.transport.leasing import FromSubscriber, LeaseSocket
from syncsvc.transport.payload import SlotLease
from syncsvc.wire import BATCH_PREFIX, batch_topic


class LocalSubscriber:
    """One connection: what it asked for, what it was sent, what it holds."""

    def __init__(self, sock: socket.socket, now_ns: int, backlog_of: BacklogOf) -> None:
        self._backlog_of = backlog_of
        self.link: LeaseSocket[FromSubscriber] = LeaseSocket(sock, FromSubscriber)
        self.since_ns, self.granted = now_ns, GrantedLeases()
        self.has_asked = self.has_begun = self.is_gone = self.is_silent = False
        self.groups: frozenset[str] | None = None
        self._untaken: Counter[str] = Counter()
        self._rings: dict[str, list[int]] = {}

    def wants(self, group: str) -> bool:
        """Whether it asked for the group."""
        return self.has_asked and not self.is_gone and (self.groups is None or group in self.groups)

    @property
    def topics(self) -> set[bytes]:
        """What it would subscribe to on ``live``."""
        return {BATCH_PREFIX} if self.groups is None else {batch_topic(group) for group in self.groups}

    def has_room(self, group: str) -> bool:
        """Whether another batch of the group may be sent."""
        return self._untaken[group] < self._backlog_of(group)

    def handle(self, message: FromSubscriber, now_ns: int) -> None:
        """Do what it says."""
        match message:
            case leasing.Hello(group, groups):
                wanted = groups if group is None else [group]
                self.has_asked, self.groups = True, None if wanted is None else frozenset(wanted)
            case leasing.Taken(group, count):
                self._untaken[group] = max(0, self._untaken[group] - count)
            case leasing.Freed(leases):
                self.granted.give_back(leases, now_ns)

    def send_batch(
        self, prepared: Prepared, group: str, leases: Sequence[tuple[Frame, SlotLease]], due_ns: int, until_ns: int
    ) -> bool:
        """Send a batch and lease its slots; false when it does not read: then nothing is leased.

        The times are those of ``GrantedLeases.grant``.

        Raises:
            LinkClosed: it is gone.
        """
        for frame, lease in leases:
            if not self._show(frame.stream, lease):
                return False
        places = [(one.ring.number, one.slot, one.generation, one.size_bytes) for _, one in leases]
        if not self.link.send(leasing.Leased(prepared.topic, prepared.header, self.granted.next_number, places)):
            return False
        for known in self._rings.values():
            del known[: -leasing.RINGS_KEPT]
        self.granted.grant([frame.payload for frame, _ in leases], due_ns, until_ns)
        self._untaken[group] += 1
        self.has_begun = True
        return True

    def _show(self, stream: str, lease: SlotLease) -> bool:
        known = self._rings.setdefault(stream, [])
        if lease.ring.number not in known:
            if not self.link.send(leasing.Ring(stream, lease.ring.number), lease.ring.fd):
                return False
            known.append(lease.ring.number)
        return True
