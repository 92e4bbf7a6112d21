"""Who is connected to a bound socket, and what each may take: whoever takes more is cut off, and counted.

libzmq takes in everybody until no descriptor is left, and captures need some too. Of what a peer sends it holds back as
much as has not been read, and for ever the parts of a message that never ends, whatever ``MAXMSGSIZE`` and ``RCVHWM``
say: 40 MB of either cost 1.8 GB of this process. So the kernel is asked how much came over each connection
(``TCP_INFO``), and what was read of it is subtracted. A peer over ``ipc`` is the same user, and is not watched.
"""

import logging
import socket
import struct
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

import zmq

from syncsvc.clock import NS_PER_MS, NS_PER_S, Clock
from syncsvc.lifecycle import give_memory_back
from syncsvc.observe.pace import Pace
from syncsvc.publish.gate import Gate, client_of
from syncsvc.transport.monitor import event_of

MOST_GUESTS = 1024
"""Where nobody says how many there is room for."""
MOST_UNREAD_BYTES = 1 << 20
"""Of one connection: sixteen of the longest words that anybody has to say."""
MOST_UNREAD_OF_ALL_BYTES = 32 << 20
HEARTBEAT_BYTES_PER_S = 64
"""What a connection may send that nobody reads: ZMTP's heartbeats, which libzmq answers itself."""
WATCH_NS, WATCH_OF_ONE_NS = 20 * NS_PER_MS, NS_PER_MS // 10
"""How often everybody is looked at: less often where there are many, so that it stays some percent of a processor."""
STILL_NS = NS_PER_S
"""Who has taken nothing for so long, though something waits for it, stands still."""
TIDY_NS = 5 * NS_PER_S
"""How long after somebody left the allocator is asked for what it keeps; not more often."""
_TCP_INFO = struct.Struct("=120xQQ8xI")
"""``tcpi_bytes_acked``, ``tcpi_bytes_received`` and ``tcpi_notsent_bytes`` of ``struct tcp_info``, <linux/tcp.h>."""

_HOARDS = "that sent more than is read of them"
_UNLISTED = "that are on the list of clients no more, or had yet to say who they are"

T = TypeVar("T")

log = logging.getLogger(__name__)


class _Guest:
    """One connection: since when, how many bytes of it were read, and since when it takes nothing of what waits.

    ``client`` is whose key it has, once it has said a word; empty until then, and where there are no keys.
    """

    __slots__ = ("came_ns", "client", "moved_ns", "read_bytes", "taken_bytes")

    def __init__(self, came_ns: int) -> None:
        self.came_ns = self.moved_ns = came_ns
        self.read_bytes = self.taken_bytes = 0
        self.client = ""


class Guests:
    """The connections of one socket; from the socket's thread.

    Args:
        sock: bound.
        name: what the log calls it.
        most: how many there may be.
        clock: for how often they are looked at, and the log tells of those that were cut off.
        let_go: called some seconds after somebody left, before the allocator gives back what it keeps.
        gate: who may come in by a key; None: there are no keys.
    """

    def __init__(
        self,
        sock: "zmq.Socket[bytes]",
        name: str,
        most: int,
        clock: Clock,
        let_go: Callable[[], None] = lambda: None,
        gate: Gate | None = None,
    ) -> None:
        self._socket, self._name, self._clock, self._let_go = sock, name, clock, let_go
        self._monitor = sock.get_monitor_socket(zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED)
        self._here: dict[int, _Guest] = {}  # the order is that of their coming
        self._pace, self._untold = Pace(), Counter[str]()
        self._watch_due_ns, self._tidy_due_ns = 0, 0
        self._gate, self._changes = gate, 0
        self._sealed_bytes = 33 if sock.get(zmq.MECHANISM) == zmq.CURVE else 0
        """What CURVE adds to each part (CurveZMQ, "MESSAGE"): name, nonce, authenticator and flags."""
        self.most = most

    def __len__(self) -> int:
        return len(self._here)

    def __contains__(self, descriptor: int) -> bool:
        return descriptor in self._here

    def look(self) -> None:
        """Take in who came and went; cut off who is too many, and who sent too much."""
        now_ns = self._clock.monotonic_ns()
        while self._monitor.poll(0):
            event, descriptor = event_of(self._monitor.recv_multipart())
            self._here.pop(descriptor, None)
            if event == zmq.EVENT_DISCONNECTED:
                self._tidy_due_ns = self._tidy_due_ns or now_ns + TIDY_NS
            if event == zmq.EVENT_ACCEPTED:
                self._here[descriptor] = _Guest(now_ns)
        for descriptor in list(self._here)[self.most :]:
            self.hang_up(descriptor, f"beyond the {self.most} that there is room for")
        if self._gate is not None and self._changes != self._gate.changes:
            self._changes = self._gate.changes
            self._turn_out(self._gate)
        if now_ns >= self._watch_due_ns:
            self._watch_due_ns = now_ns + max(WATCH_NS, len(self._here) * WATCH_OF_ONE_NS)
            self._watch(now_ns)
        if self._tidy_due_ns and now_ns >= self._tidy_due_ns:
            self._tidy_due_ns = 0
            self._let_go()
            give_memory_back()
        if self._untold and self._pace.allows(now_ns):
            for why, count in self._untold.items():
                log.warning("%s: %d connections were cut off %s", self._name, count, why)
            self._untold.clear()

    def note_read(self, part: "zmq.Frame") -> int | None:
        """Take note that a part was read; returns the descriptor that it came over, None where nobody sent it."""
        try:
            descriptor = int(part.get(zmq.SRCFD))
        except zmq.ZMQError:  # libzmq itself says what a peer that left had asked for
            return None
        if guest := self._here.get(descriptor):
            if self._gate is not None and (client := client_of(part)):
                guest.client = client
                if not self._gate.admits(client):
                    self.hang_up(descriptor, _UNLISTED)
                    return None
            size = len(part) + self._sealed_bytes
            guest.read_bytes += size + (2 if size < 256 else 9)  # ZMTP 3.1, "Framing"
        return descriptor

    def _turn_out(self, gate: Gate) -> None:
        """The list of clients is another one: cut off who is not on it, and who has yet to say a word.

        The latter may be anybody who was let in before; whoever is on the list comes again.
        """
        for descriptor in [one for one, guest in self._here.items() if not gate.admits(guest.client)]:
            self.hang_up(descriptor, _UNLISTED)

    def hang_up(self, descriptor: int, why: str = "") -> None:
        """Cut one of them off, if it is there still; ``why`` is for the log."""
        if self._here.pop(descriptor, None) is None:
            return
        if why:
            self._untold[why] += 1
        _borrow(descriptor, _reset if why else _shut)

    def hang_up_stillest(self) -> None:
        """Cut off who has taken nothing for longest though it has yet to be sent something, if anybody stands still."""
        still = {guest.moved_ns: descriptor for descriptor, guest in self._here.items()}
        if still and self._clock.monotonic_ns() - min(still) > STILL_NS:
            self.hang_up(still[min(still)], "that took nothing of what was sent to them")

    def _watch(self, now_ns: int) -> None:
        unread = dict[int, int]()
        for descriptor, guest in list(self._here.items()):
            taken, received, unsent = _tcp_info(descriptor)
            if taken != guest.taken_bytes or not unsent:
                guest.taken_bytes, guest.moved_ns = taken, now_ns
            unread[descriptor] = received - guest.read_bytes
            heartbeats = (now_ns - guest.came_ns) * HEARTBEAT_BYTES_PER_S // NS_PER_S
            if unread[descriptor] - heartbeats > MOST_UNREAD_BYTES:
                self.hang_up(descriptor, _HOARDS)
                del unread[descriptor]
        while sum(unread.values()) > MOST_UNREAD_OF_ALL_BYTES:
            worst = max(unread, key=unread.__getitem__)
            self.hang_up(worst, _HOARDS)
            del unread[worst]

    def close(self) -> None:
        """Stop watching; before the socket is closed."""
        self._socket.disable_monitor()
        self._monitor.close(0)


def _tcp_info(descriptor: int) -> tuple[int, int, int]:
    """Of a TCP connection the bytes that its peer has taken, that came, and that wait to be sent; else zeros."""
    told = _borrow(descriptor, lambda one: one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size))
    return _TCP_INFO.unpack(told) if told is not None and len(told) == _TCP_INFO.size else (0, 0, 0)


def _shut(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def _reset(connection: socket.socket) -> None:
    """A reset once libzmq closes it: what still waits in the kernel, in either direction, goes at once."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 0))
    _shut(connection)


def _borrow(descriptor: int, act: Callable[[socket.socket], T]) -> T | None:
    """Do something to a connection of libzmq's, which finds it done.

    It may be gone by now, and something else be there: what cannot be done to that is passed over.
    """
    try:
        connection = socket.socket(fileno=descriptor)
    except OSError:
        return None
    try:
        return act(connection) if connection.type == socket.SOCK_STREAM else None
    except OSError:
        return None
    finally:
        connection.detach()
