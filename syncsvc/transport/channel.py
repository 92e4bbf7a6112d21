"""What the daemon and its children tell each other: every message typed, with as many descriptors as it says."""

import os
import select
import socket
from typing import Any, ClassVar, TypeVar

import msgspec

from syncsvc.errors import LinkClosed, TransportError
from syncsvc.transport.packets import Packets

PATIENCE_S = 0.4
"""Who has not read for so long, with a megabyte before it, is not waited for: the daemon is to hear signals."""
_MAX_DESCRIPTORS = 4


class Message(msgspec.Struct, frozen=True):
    """What crosses a channel: one direction's messages are a union of such, told apart by their tags."""

    _descriptors: ClassVar[int] = 0

    @property
    def descriptors(self) -> int:
        """How many descriptors come with it."""
        return self._descriptors


Received = TypeVar("Received", bound=Message)
Wanted = TypeVar("Wanted", bound=Message)


class Channel(Packets[Received]):
    """One end, which waits for the other. One thread may send while another receives.

    Who sends something that is no message of its is not listened to any more.
    """

    @classmethod
    def pair(cls, received: Any) -> tuple["Channel[Received]", socket.socket]:
        """An end that receives these messages, and the socket of the other."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(ours, received), theirs

    @classmethod
    def of(cls, fd: int, received: Any) -> "Channel[Received]":
        """The end that was inherited as ``fd``, and receives these messages."""
        return cls(socket.socket(fileno=fd), received)

    def send(self, message: Message, *fds: int, timeout_s: float | None = PATIENCE_S) -> None:
        """Send a message, and copies of descriptors with it.

        Raises:
            LinkClosed: the other end is gone.
            MemoryShortage: there is no memory for a message that is too long for a packet.
            TransportError: the other end did not read for ``timeout_s``, or it is longer than any message may be.
        """
        try:
            if not self._wait(select.POLLOUT, timeout_s):
                raise TransportError("it does not read what it is told")
            self._put(message, fds)
        except (OSError, ValueError) as error:  # ValueError: closed by us meanwhile
            raise LinkClosed(f"the other end of a channel is gone: {error}") from error

    def receive(self, timeout_s: float | None) -> tuple[Received, list[int]] | None:
        """The next message and the descriptors with it (the caller's to close); None when none came in time.

        Raises:
            LinkClosed: the other end is gone.
            DescriptorsLost: the message has come, and its descriptors have not.
            TransportError: it sent something that is no message of its.
        """
        try:
            if not self._wait(select.POLLIN, timeout_s):
                return None
            message, fds = self._take(_MAX_DESCRIPTORS)
        except BlockingIOError:
            return None
        except (OSError, ValueError) as error:
            raise LinkClosed(f"the other end of a channel is gone: {error}") from error
        if len(fds) != message.descriptors:
            for fd in fds:
                os.close(fd)
            raise TransportError(f"{type(message).__name__} comes with {len(fds)} descriptors")
        return message, fds

    def wait_for(self, kind: type[Wanted]) -> tuple[Wanted, list[int]]:
        """The next message, which must be of this kind, and the descriptors with it.

        Raises:
            LinkClosed: the other end is gone.
            TransportError: what came is of another kind, or no message at all.
        """
        received = self.receive(None)
        if received is None or not isinstance(received[0], kind):
            raise TransportError(f"{kind.__name__} is wanted first")
        return received[0], received[1]

    def _wait(self, event: int, timeout_s: float | None) -> bool:
        """Whether the socket can be used in time; ``poll``, because ``select`` ends at a thousand descriptors."""
        poller = select.poll()
        poller.register(self._socket, event)
        return bool(poller.poll(None if timeout_s is None else timeout_s * 1000))

    def close(self) -> None:
        """Close this end."""
        self._socket.close()
