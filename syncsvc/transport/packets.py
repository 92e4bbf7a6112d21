"""Typed messages in the packets of a Unix socket, descriptors with them, and memory for what is too long for a packet.

A message is MessagePack and arrives whole or not at all; what comes in is checked against the types that may come. One
that is too long lies in a sealed memfd, whose descriptor comes last.
"""

import os
import socket
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct

from syncsvc.errors import DescriptorsLost, LinkClosed, TransportError
from syncsvc.transport import memfd

MAX_MESSAGE_BYTES = 64 * 2**20
"""The longest message: what the receiver reports of 1,000 streams is a hundredth of it."""
_MAX_PACKET_BYTES = 64 * 1024
_MAX_FDS = 8

Received = TypeVar("Received")
_encoder = msgspec.msgpack.Encoder()


class _Parcel(Struct, tag="parcel", frozen=True):
    """A message that is too long for a packet: it lies in the memory that comes along."""

    size_bytes: int


class Packets(Generic[Received]):
    """One end of a connected SOCK_SEQPACKET socket; ``Received`` is what the other end sends. Nothing waits."""

    def __init__(self, sock: socket.socket, received: Any) -> None:
        """Take over the socket; ``received`` is the union of what the other end may send."""
        sock.setblocking(False)  # `send_fds` and `recv_fds` pass no flags on
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * _MAX_PACKET_BYTES)
        self._socket = sock
        self._decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(received | _Parcel)

    def fileno(self) -> int:
        """To poll on."""
        return self._socket.fileno()

    def _put(self, message: Struct, fds: Sequence[int]) -> None:
        """Send a message, and copies of descriptors with it.

        Raises:
            OSError: there is no room, or the other end is gone.
            MemoryShortage: there is no memory for one that is too long for a packet.
            TransportError: it is longer than any message may be.
        """
        data = _encoder.encode(message)
        if len(data) <= _MAX_PACKET_BYTES:
            socket.send_fds(self._socket, [data], list(fds))
            return
        if len(data) > MAX_MESSAGE_BYTES:
            raise TransportError(f"a message of {len(data)} bytes is too long")
        parcel = memfd.create("syncsvc-parcel", len(data))
        try:
            os.pwrite(parcel, data, 0)
            memfd.seal(parcel)
            note = _encoder.encode(_Parcel(len(data)))
            socket.send_fds(self._socket, [note], [*fds, parcel])
        finally:
            os.close(parcel)

    def _take(self, most_fds: int) -> tuple[Received, list[int]]:
        """The next message and the descriptors with it, which are the caller's to close.

        Raises:
            OSError: none is here (BlockingIOError), or the other end is gone.
            LinkClosed: the other end is gone.
            DescriptorsLost: the message has come, and its descriptors have not: no more can be open here.
            TransportError: it sent something that is no message of its, or more descriptors.
        """
        data, fds, flags = receive_packet(self._socket, _MAX_PACKET_BYTES, _MAX_FDS)
        try:
            if not data:
                raise LinkClosed("the other end is gone")
            is_short = flags & socket.MSG_CTRUNC and len(fds) < _MAX_FDS
            if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC) and not is_short:
                raise TransportError("a message is longer than a packet, or brings more descriptors than any")
            message = self._unpack(data, [] if is_short else fds)
            if is_short:
                raise DescriptorsLost(message)
            if len(fds) > most_fds:
                raise TransportError(f"{type(message).__name__} brings more descriptors than {most_fds}")
            for fd in fds:
                os.set_inheritable(fd, False)
        except BaseException:
            for fd in fds:
                os.close(fd)
            raise
        return message, fds

    def _unpack(self, data: bytes, fds: list[int]) -> Received:
        """Read a message; the descriptor of a parcel is closed, and taken out of ``fds``."""
        try:
            message = self._decoder.decode(data)
            if isinstance(message, _Parcel):
                if not fds or not 0 <= message.size_bytes <= MAX_MESSAGE_BYTES:
                    raise TransportError("a message has no content, or too much of it")
                message = self._decoder.decode(_content(fds.pop(), message.size_bytes))
                if isinstance(message, _Parcel):
                    raise TransportError("a message is wrapped twice")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OSError) as error:
            # RecursionError: nested without end, where nothing is read; OSError: what came cannot be read from
            raise TransportError(f"a message cannot be read: {error}") from error
        received: Received = message
        return received


def receive_packet(sock: socket.socket, most_bytes: int, most_fds: int) -> tuple[bytes, list[int], int]:
    """The next packet, the descriptors with it, and its flags; who left without reading all is still heard out."""
    try:
        return socket.recv_fds(sock, most_bytes, most_fds)[:3]
    except ConnectionResetError:  # told once, before what it said
        return socket.recv_fds(sock, most_bytes, most_fds)[:3]


def _content(fd: int, size_bytes: int) -> bytes:
    try:
        return os.pread(fd, size_bytes, 0)
    finally:
        os.close(fd)
