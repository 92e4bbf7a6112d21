"""A connection of ours takes the place of one that a library holds in this process: it reads on, unaware of that."""

import fcntl
import os
import socket
import struct
import termios
from contextlib import suppress
from typing import Final

from syncsvc.lifecycle import StopToken

_LOOK_S: Final = 0.001


def descriptor_of(accepted: socket.socket) -> int | None:
    """The descriptor in this process that is the other end of a connection; None where another process has it."""
    here, there = accepted.getsockname(), accepted.getpeername()
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        with suppress(OSError):  # no socket, not connected, or closed meanwhile
            other = socket.socket(fileno=descriptor)
            try:
                if other.getsockname() == there and other.getpeername() == here:
                    return descriptor
            finally:
                other.detach()
    return None


def hand_over(connection: socket.socket, descriptor: int, accepted: socket.socket, stop: StopToken) -> None:
    """Make ``descriptor``, the other end of ``accepted``, one more of ``connection``.

    The library has read everything that was sent to it when this happens, and what it has written is sent on. While it
    waits for more it wakes up, finds nothing, and waits again: for the other connection, without blocking, as before.

    Raises:
        OSError: it has closed its end.
    """
    while _unread_bytes(descriptor):
        if stop.sleep(_LOOK_S):
            return
    connection.setblocking(False)
    os.dup2(connection.fileno(), descriptor, inheritable=False)
    accepted.settimeout(1.0)
    while data := accepted.recv(1 << 16):  # written meanwhile; the end comes at once, since nobody has that any more
        connection.sendall(data)
    accepted.close()


def _unread_bytes(descriptor: int) -> int:
    waiting: int = struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0\0\0\0"))[0]
    return waiting
