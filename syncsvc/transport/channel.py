"""Typed messages between the daemon and its children: MessagePack and descriptors on a socket pair, no pickle."""

import os
import select
import socket
from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from syncsvc.errors import LinkClosed, TransportError
from syncsvc.transport import memfd

MAX_MESSAGE_BYTES = 64 * 2**20
"""The longest message: what the receiver reports of 1,000 streams is a hundredth of it."""
_MAX_PACKET_BYTES = 64 * 1024
_MAX_FDS = 8


class Message(msgspec.Struct, frozen=True):
    """What crosses a channel: one direction's messages are a union of such, told apart by their tags."""

    _descriptors: ClassVar[int] = 0

    @property
    def descriptors(self) -> int:
        """How many descriptors come with it."""
        return self._descriptors


class _Parcel(msgspec.Struct, frozen=True, tag="parcel"):
    """A message that is too long for a packet: it lies in the memory whose descriptor comes last."""

    size_bytes: int


Received = TypeVar("Received", bound=Message)
_encoder = msgspec.msgpack.Encoder()


class Channel(Generic[Received]):
    """One end of a SOCK_SEQPACKET pair: messages arrive whole. One thread may send while another receives.

    ``Received`` is what the other end sends. A message that is none of these, or brings other descriptors than it
    says, is a TransportError; whoever sent it is not listened to any more.
    """

    def __init__(self, sock: socket.socket, received: Any) -> None:
        """Take over a connected socket; ``received`` is the union of what the other end may send."""
        self._socket = sock
        self._decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(received | _Parcel)

    @classmethod
    def pair(cls, received: Any) -> tuple["Channel[Received]", socket.socket]:
        """An end that receives these messages, and the socket of the other."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * _MAX_PACKET_BYTES)
        return cls(ours, received), theirs

    @classmethod
    def of(cls, fd: int, received: Any) -> "Channel[Received]":
        """The end that was inherited as ``fd``, and receives these messages."""
        return cls(socket.socket(fileno=fd), received)

    def fileno(self) -> int:
        """To poll on."""
        return self._socket.fileno()

    def send(self, message: Message, *fds: int, timeout_s: float | None = 2.0) -> None:
        """Send a message, and copies of descriptors with it.

        Raises:
            LinkClosed: the other end is gone, or did not read for ``timeout_s``.
            MemoryShortage: there is no memory for a message that is too long for a packet.
            TransportError: it is longer than any message may be.
        """
        data = _encoder.encode(message)
        if len(data) <= _MAX_PACKET_BYTES:
            self._send(data, fds, timeout_s)
            return
        if len(data) > MAX_MESSAGE_BYTES:
            raise TransportError(f"a message of {len(data)} bytes is too long for a channel")
        parcel = memfd.create("syncsvc-parcel", len(data))
        try:
            os.pwrite(parcel, data, 0)
            memfd.seal(parcel)
            self._send(_encoder.encode(_Parcel(len(data))), (*fds, parcel), timeout_s)
        finally:
            os.close(parcel)

    def _send(self, data: bytes, fds: tuple[int, ...], timeout_s: float | None) -> None:
        try:
            if not self._wait(select.POLLOUT, timeout_s):
                raise LinkClosed("the other end of a channel does not read")
            socket.send_fds(self._socket, [data], fds, socket.MSG_DONTWAIT)
        except (OSError, ValueError) as error:  # ValueError: closed by us meanwhile
            raise LinkClosed(f"the other end of a channel is gone: {error}") from error

    def _wait(self, event: int, timeout_s: float | None) -> bool:
        """Whether the socket can be used in time; ``poll``, because ``select`` ends at a thousand descriptors."""
        poller = select.poll()
        poller.register(self._socket, event)
        return bool(poller.poll(None if timeout_s is None else timeout_s * 1000))

    def receive(self, timeout_s: float | None) -> tuple[Received, list[int]] | None:
        """The next message and the descriptors with it (the caller's to close); None when none came in time.

        Raises:
            LinkClosed: the other end is gone.
            TransportError: it sent something that is no message of its.
        """
        try:
            if not self._wait(select.POLLIN, timeout_s):
                return None
            data, fds, flags, _ = socket.recv_fds(self._socket, _MAX_PACKET_BYTES, _MAX_FDS)
        except (OSError, ValueError) as error:
            raise LinkClosed(f"the other end of a channel is gone: {error}") from error
        if not data:
            raise LinkClosed("the other end of a channel is gone")
        try:
            if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                raise TransportError("a message is longer than a packet, or brings too many descriptors")
            message = self._unpack(data, fds)
            if len(fds) != message.descriptors:
                raise TransportError(f"{type(message).__name__} comes with {len(fds)} descriptors")
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
                    raise TransportError("a parcel has no content, or too much of it")
                message = self._decoder.decode(_content(fds.pop(), message.size_bytes))
                if isinstance(message, _Parcel):
                    raise TransportError("a parcel holds another")
        except (msgspec.MsgspecError, UnicodeDecodeError, OSError) as error:  # OSError: what came cannot be read from
            raise TransportError(f"a message cannot be read: {error}") from error
        received: Received = message
        return received

    def close(self) -> None:
        """Close this end."""
        self._socket.close()


def _content(fd: int, size_bytes: int) -> bytes:
    try:
        return os.pread(fd, size_bytes, 0)
    finally:
        os.close(fd)
