"""Frames without a copy for readers on this host: rings as descriptors over a Unix socket, leases there and back.

One SOCK_SEQPACKET connection per subscriber, at an abstract address (no file to be left behind) that follows from the
endpoint of ``live``. A ring's descriptor rides on the message that announces it. None ever waits:
who does not read loses batches, and sees the hole in ``seq``.
"""

import errno
import hashlib
import os
import socket
import struct
from contextlib import suppress

from msgspec import Struct

from syncsvc.errors import LinkClosed, MemoryShortage
from syncsvc.transport.hosts import host_and_port, look_up
from syncsvc.transport.packets import Packets, Received

_NO_ROOM = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS})
"""Not sent, and nobody is gone: leases of the other end stand. The last: too many descriptors are on their way to
processes that do not read."""
_CREDENTIALS = struct.Struct("=iII")  # struct ucred: pid, uid, gid


class Hello(Struct, tag="hello", frozen=True):
    """A subscriber says what it wants: one group, or several, or (both None) all of them."""

    group: str | None
    groups: list[str] | None = None


class Taken(Struct, tag="taken", frozen=True):
    """The user took so many batches of a group: as many more may be sent."""

    group: str
    count: int


class Freed(Struct, tag="freed", frozen=True):
    """Leases that came home."""

    leases: list[int]


class Welcome(Struct, tag="welcome", frozen=True):
    """The service's first word; ``control`` is the endpoint, empty from a service that does not tell."""

    run_id: str
    control: str = ""


class Refused(Struct, tag="refused", frozen=True):
    """The service does not serve this process, and why."""

    problem: str


class Ring(Struct, tag="ring", frozen=True):
    """A ring that slots of the next batch lie in; its descriptor rides on this message.

    ``number`` is the service's own. With each batch a reader forgets a stream's rings but for the ``RINGS_KEPT`` that
    were announced last; one that is needed again is announced again.
    """

    stream: str
    number: int


class Leased(Struct, tag="lent", frozen=True):
    """A batch: topic and header as on ``live``; its frame ``i`` lies at ``places[i]``, with lease ``first_lease + i``.

    A place is the number of a ring, a slot of it, the slot's generation, and the payload's bytes.
    """

    topic: bytes
    header: bytes
    first_lease: int
    places: list[tuple[int, int, int, int]]


class Said(Struct, tag="said", frozen=True):
    """What is said under the topic ``status`` on ``live``."""

    status: bytes


class Revoked(Struct, tag="revoked", frozen=True):
    """The time of these leases is over: give them back at once, or lose the connection.

    Views that are in use are to be moved to memory of the reader's own first; where ``keeps`` says so (recordings
    played ``asap``, where nothing is lost) every frame that somebody still holds.
    """

    leases: list[int]
    keeps: bool


RINGS_KEPT = 3
FromSubscriber = Hello | Taken | Freed
FromService = Welcome | Refused | Ring | Leased | Said | Revoked


class LeaseSocket(Packets[Received]):
    """One end of a connection, which waits for nobody. One thread receives, any may send."""

    @property
    def peer_uid(self) -> int:
        """Who is at the other end, as the kernel knows."""
        size = _CREDENTIALS.size
        uid: int = _CREDENTIALS.unpack(self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))[1]
        return uid

    def send(self, message: Struct, fd: int | None = None) -> bool:
        """Send a message, and a copy of a descriptor with it; false when there is no room now.

        Raises:
            LinkClosed: the other end is gone.
        """
        try:
            self._put(message, () if fd is None else (fd,))
        except MemoryShortage:
            return False
        except OSError as error:
            if error.errno in _NO_ROOM:
                return False
            raise LinkClosed(f"the other end is gone: {error}") from error
        return True

    def receive(self) -> tuple[Received, int | None] | None:
        """The next message and the descriptor with it, which is the caller's to close; None when none is here.

        Raises:
            LinkClosed: the other end is gone.
            TransportError: it sent something that is no message.
        """
        try:
            message, fds = self._take(1)
        except BlockingIOError:
            return None
        except OSError as error:
            raise LinkClosed(f"the other end is gone: {error}") from error
        return message, fds[0] if fds else None

    def close(self) -> None:
        """Hang up, also where a process that was forked from this one still has the socket."""
        with suppress(OSError):  # the other end did so before
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def is_trusted(uid: int) -> bool:
    """Whether a peer may share memory with us: our own user, and root."""
    return uid in (os.geteuid(), 0)


def listen(endpoint: str) -> socket.socket:
    """Listen for the subscribers of a service whose ``live`` is bound to ``endpoint``.

    Raises:
        OSError: somebody listens there already.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        listener.bind(_address(os.geteuid(), _canonical(endpoint)))
        listener.listen(64)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def connect(endpoint: str, *, is_ours: bool = False) -> socket.socket | None:
    """A connection to the service at ``endpoint``, as a user writes that of ``live``: names of hosts are looked up.

    None when no service that we trust listens on this host: our own user's, and root's unless it ``is_ours`` alone.
    """
    for uid in {os.geteuid(): None} if is_ours else {os.geteuid(): None, 0: None}:
        for place in _places(endpoint):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            try:
                sock.connect(_address(uid, place))
            except OSError:
                sock.close()
                continue
            return sock
    return None


def _address(uid: int, place: str) -> bytes:
    """An abstract address: it needs no file, and goes with its last socket."""
    return b"\0syncsvc/%d/%s" % (uid, hashlib.sha256(place.encode()).hexdigest()[:32].encode())


def _canonical(endpoint: str) -> str:
    path = endpoint.removeprefix("ipc://")
    return endpoint if path == endpoint else f"ipc://{os.path.realpath(path)}"


def _places(endpoint: str) -> list[str]:
    """The endpoints that the service may have bound, for what a user may call it."""
    if not endpoint.startswith("tcp://"):
        return [_canonical(endpoint)]
    host, port = host_and_port(endpoint)
    try:
        found = [(family, str(address[0])) for family, address in look_up(host, port)]
    except OSError:
        return []
    here = [address for family, address in found if _is_of_this_host(family, address)]
    places = [f"tcp://{_bracketed(address)}:{port}" for address in here]
    return [*places, f"tcp://0.0.0.0:{port}", f"tcp://[::]:{port}"] if here else []


def is_on_this_host(endpoint: str) -> bool:
    """Whether the endpoint can be one of this host's."""
    return bool(_places(endpoint))


def _is_of_this_host(family: int, address: str) -> bool:
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
