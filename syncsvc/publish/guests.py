"""Who is connected to a bound socket, and how many may be: whoever comes beyond that is cut off, and counted.

libzmq takes in everybody until no descriptor is left, and captures need some too.
"""

import logging
import socket
import struct
from contextlib import suppress

import zmq

from syncsvc.clock import Clock
from syncsvc.observe.pace import Pace

MOST_GUESTS = 1024
"""Where nobody says how many there is room for."""
_EVENT = struct.Struct("=Hi")
"""First part of a monitor's message, zmq_socket_monitor(3): what happened, and the descriptor to which it did. pyzmq's
own reader imports asyncio, which is a quarter of the receiver's start."""

log = logging.getLogger(__name__)


class Guests:
    """The connections of one socket; from the socket's thread.

    Args:
        sock: bound.
        name: what the log calls it.
        most: how many there may be.
        clock: for how often the log tells of those that were cut off.
    """

    def __init__(self, sock: "zmq.Socket[bytes]", name: str, most: int, clock: Clock) -> None:
        self._socket, self._name, self._clock = sock, name, clock
        self._monitor = sock.get_monitor_socket(zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED)
        self._here: dict[int, None] = {}  # the order is that of their coming
        self._pace, self._untold = Pace(), 0
        self.most = most

    def __len__(self) -> int:
        return len(self._here)

    def look(self) -> None:
        """Take in who came and went; cut off who is too many."""
        while self._monitor.poll(0):
            event, descriptor = _EVENT.unpack(self._monitor.recv_multipart()[0])
            self._here.pop(descriptor, None)
            if event == zmq.EVENT_ACCEPTED:
                self._here[descriptor] = None
        for descriptor in list(self._here)[self.most :]:
            del self._here[descriptor]
            self._untold += 1
            _hang_up(descriptor)
        if self._untold and self._pace.allows(self._clock.monotonic_ns()):
            log.warning("%s: %d connections were cut off beyond the %d that there is room for", self._name,
                        self._untold, self.most)  # fmt: skip
            self._untold = 0

    def hang_up(self, descriptor: int) -> None:
        """Cut one of them off, if it is there still."""
        if self._here.pop(descriptor, self) is None:
            _hang_up(descriptor)

    def close(self) -> None:
        """Stop watching; before the socket is closed."""
        self._socket.disable_monitor()
        self._monitor.close(0)


def _hang_up(descriptor: int) -> None:
    """End a connection of libzmq's, which then finds it ended; it may be gone by now, and something else be there."""
    with suppress(OSError):
        connection = socket.socket(fileno=descriptor)
        try:
            if connection.type == socket.SOCK_STREAM:
                connection.shutdown(socket.SHUT_RDWR)
        finally:
            connection.detach()
