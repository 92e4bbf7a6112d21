"""Words between the daemon and its children: MessagePack maps on a socket pair, descriptors with them, no pickle."""

import os
import select
import socket
from typing import Any

import msgspec

from syncsvc.errors import LinkClosed, TransportError

MAX_MESSAGE_BYTES = 192 * 1024
_MAX_FDS = 8


class Channel:
    """One end of a SOCK_SEQPACKET pair: messages arrive whole. One thread may send while another receives."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    @classmethod
    def pair(cls) -> tuple["Channel", "Channel"]:
        """Two connected ends."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * MAX_MESSAGE_BYTES)
        return cls(ours), cls(theirs)

    @classmethod
    def of(cls, fd: int) -> "Channel":
        """The end that was inherited as ``fd``."""
        return cls(socket.socket(fileno=fd))

    def fileno(self) -> int:
        """To poll on."""
        return self._socket.fileno()

    def send(self, message: dict[str, Any], fds: tuple[int, ...] = (), *, timeout_s: float | None = 2.0) -> None:
        """Send a map, and copies of descriptors with it.

        Raises:
            LinkClosed: the other end is gone, or did not read for ``timeout_s``.
        """
        data = msgspec.msgpack.encode(message)
        if len(data) > MAX_MESSAGE_BYTES:
            raise TransportError(f"a message of {len(data)} bytes is too long for the channel")
        try:
            if not select.select([], [self._socket], [], timeout_s)[1]:
                raise LinkClosed("the other end of a channel does not read")
            socket.send_fds(self._socket, [data], list(fds), socket.MSG_DONTWAIT)
        except (OSError, ValueError) as error:  # ValueError: closed by us meanwhile
            raise LinkClosed(f"the other end of a channel is gone: {error}") from error

    def receive(self, timeout_s: float | None) -> tuple[dict[str, Any], list[int]] | None:
        """The next map and the descriptors with it (the caller's to close); None when none came in time.

        Raises:
            LinkClosed: the other end is gone.
        """
        try:
            if not select.select([self._socket], [], [], timeout_s)[0]:
                return None
            data, fds, _, _ = socket.recv_fds(self._socket, MAX_MESSAGE_BYTES, _MAX_FDS)
        except (OSError, ValueError) as error:
            raise LinkClosed(f"the other end of a channel is gone: {error}") from error
        if not data:
            raise LinkClosed("the other end of a channel is gone")
        for fd in fds:
            os.set_inheritable(fd, False)
        return msgspec.msgpack.decode(data), fds

    def close(self) -> None:
        """Close this end."""
        self._socket.close()
