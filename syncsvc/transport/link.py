"""A pipe of small descriptors from one capture to the receiver, and the way back for leases.

One way, no pickle: every message has at most 512 bytes and goes in one write, so the kernel writes it whole or
not at all (PIPE_BUF is 4096), and a capture that is killed never leaves half of one. The writer never blocks. Rings are
handed over as file descriptors on the socket that carries the leases back, and with each what the frames in it look
like, which has no room in a descriptor: so a ring has one layout.
"""

import errno
import os
import select
import socket
import struct
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import msgspec
from msgspec import Struct

from syncsvc.errors import LinkClosed, TransportError
from syncsvc.layout import MAX_EXTRADATA_BYTES, Layout
from syncsvc.transport.messages import MAX_DESCRIPTOR_BYTES, DropMessage, Message, RingMessage, decode, encode
from syncsvc.transport.packets import receive_packet

if TYPE_CHECKING:
    from syncsvc.transport.ring import RingWriter

_LENGTH = struct.Struct("!i")
"""Before each message."""
_READ_BYTES = 1 << 16
"""All that a pipe holds."""

MAX_LEASES_PER_MESSAGE = 64
RETIRED = 2**32 - 1
"""In the place of a slot that comes home: the whole ring is to be exchanged."""


class _HandOver(Struct, frozen=True, array_like=True):
    """What comes with a ring's descriptor."""

    ring_id: int
    layout: Layout
    coded: Layout | None = None


_MAX_HAND_OVER_BYTES = 2 * (MAX_EXTRADATA_BYTES + 512)
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_HandOver)


def open_link() -> tuple[int, int, socket.socket, socket.socket]:
    """Descriptors of a pipe (reader, writer) and a pair of lease sockets (receiver's, capture's).

    Raises:
        OSError: no more descriptors can be open; none of these is.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        reader, writer = os.pipe2(os.O_CLOEXEC)
    except OSError:
        ours.close()
        theirs.close()
        raise
    return reader, writer, ours, theirs


@contextmanager
def passing_link() -> Iterator[tuple[int, int, socket.socket, socket.socket]]:
    """The same for who only hands the ends on: what they were sent to has its own, and these are closed at the end.

    Raises:
        OSError: no more descriptors can be open.
    """
    reader, writer, ours, theirs = open_link()
    try:
        yield reader, writer, ours, theirs
    finally:
        ours.close()
        theirs.close()
        os.close(reader)
        os.close(writer)


class _PipeEnd:
    """A descriptor of the pipe that is closed once, with its last user at the latest."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        """The descriptor.

        Raises:
            OSError: it is closed.
        """
        if self._fd < 0:
            raise OSError(errno.EBADF, "the pipe is closed")
        return self._fd

    def close(self) -> None:
        """Close it, if it is open."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()


class LinkWriter:
    """The capture's end; never blocks, except in ``wait_for_lease`` and where ``patient`` says so."""

    def __init__(self, pipe_fd: int, leases: socket.socket) -> None:
        os.set_blocking(pipe_fd, False)
        leases.setblocking(False)
        self._pipe = _PipeEnd(pipe_fd)
        self._leases = leases
        self._untold: list[DropMessage] = []
        self._handed_over: int | None = None

    def send(self, message: Message) -> bool:
        """Announce, after the losses before it; false when the pipe is full (nothing of the message was written).

        Raises:
            LinkClosed: the receiver is gone.
        """
        return self.flush() and self._write(message)

    def _write(self, message: Message) -> bool:
        try:
            data = encode(message)
            os.write(self._pipe.fileno(), _LENGTH.pack(len(data)) + data)
        except BlockingIOError:
            return False
        except OSError as error:
            raise LinkClosed("the receiver is gone") from error
        return True

    def hand_over(self, ring: "RingWriter", layout: Layout, span_ns: int = 0, coded: Layout | None = None) -> bool:
        """Hand a ring's descriptor to the receiver, once, then announce it; false when there is no room: call again.

        ``layout`` is that of all frames in it, ``span_ns`` how long one may stay, ``coded`` the layout of the coded
        pictures behind them, where there are such.

        Raises:
            LinkClosed: the receiver is gone.
        """
        if self._handed_over != ring.ring_id:
            try:
                socket.send_fds(self._leases, [_encoder.encode(_HandOver(ring.ring_id, layout, coded))], [ring.fd])
            except BlockingIOError:
                return False
            except OSError as error:
                raise LinkClosed("the receiver is gone") from error
            self._handed_over = ring.ring_id
        return self.send(RingMessage(ring.ring_id, ring.slots, ring.slot_bytes, span_ns))

    def drop(self, seq: int, cause: str) -> None:
        """Tell of a lost frame, at once or as soon as the pipe has room; neighbours travel as one."""
        last = self._untold[-1] if self._untold else None
        if last is not None and last.cause == cause and last.first_seq + last.count == seq:
            self._untold[-1] = DropMessage(last.first_seq, last.count + 1, cause)
        else:
            self._untold.append(DropMessage(seq, 1, cause))
        self.flush()

    def flush(self) -> bool:
        """Tell of the losses that the pipe had no room for; true when none is left."""
        while self._untold:
            if not self._write(self._untold[0]):
                return False
            self._untold.pop(0)
        return True

    def returned(self) -> Iterator[tuple[int, int]]:
        """Leases ``(ring, slot)`` that came home meanwhile."""
        while True:
            try:
                data = self._leases.recv(4096)
            except BlockingIOError:
                return
            except OSError as error:
                raise LinkClosed("the receiver is gone") from error
            if not data:
                raise LinkClosed("the receiver is gone")
            yield from cast(Iterator[tuple[int, int]], struct.iter_unpack("<II", data))

    def wait_for_lease(self, timeout_s: float) -> bool:
        """Wait until a lease may have come home; false when none did in time."""
        return bool(select.select([self._leases], [], [], timeout_s)[0])

    def wait_for_room(self, timeout_s: float) -> bool:
        """Wait until the pipe takes another message; false when it did not in time."""
        return bool(select.select([], [self._pipe], [], timeout_s)[1])

    def close(self) -> None:
        """Close both ways."""
        self._pipe.close()
        self._leases.close()


class LinkReader:
    """The receiver's end: one per stream and capture, read by one ingest thread."""

    def __init__(self, pipe_fd: int, leases: socket.socket) -> None:
        leases.setblocking(False)
        self._pipe = _PipeEnd(pipe_fd)
        self._messages: deque[bytes] = deque()
        self._rest = b""
        self._poller = select.poll()  # kept: to make one for each call costs 30 us
        self._poller.register(pipe_fd, select.POLLIN)
        self._leases = leases
        self._lock = threading.Lock()
        self._owed: list[tuple[int, int]] = []

    def poll(self, timeout_s: float) -> bool:
        """Whether a message (or the end) can be read now."""
        return bool(self._messages) or bool(self._poller.poll(timeout_s * 1000))

    @property
    def has_more(self) -> bool:
        """Whether a message was read together with the one before; false does not say that none waits in the pipe."""
        return bool(self._messages)

    def receive(self) -> Message:
        """Wait for the next message.

        Raises:
            LinkClosed: the capture is gone, or closed its end; everything it wrote was read before.
            TransportError: it sent something that is no message.
        """
        try:
            return decode(self._next())
        except EOFError as error:
            raise LinkClosed("the capture closed its pipe") from error
        except OSError as error:
            raise LinkClosed(f"the pipe broke: {error}") from error

    def _next(self) -> bytes:
        """The next message; everything that waits in the pipe is read at once.

        Raises:
            EOFError, OSError: the end of the pipe, clean or not.
            TransportError: what it says cannot be the length of a message.
        """
        while not self._messages:
            data = os.read(self._pipe.fileno(), _READ_BYTES)
            if not data:
                raise EOFError
            data, at = self._rest + data, 0
            while len(data) - at >= _LENGTH.size:
                start = at + _LENGTH.size
                end = start + _LENGTH.unpack_from(data, at)[0]
                if not start <= end <= start + MAX_DESCRIPTOR_BYTES:
                    raise TransportError(f"a descriptor of {end - start} bytes cannot be")
                if end > len(data):
                    break
                self._messages.append(data[start:end])
                at = end
            self._rest = data[at:]
        return self._messages.popleft()

    def take_ring(self, ring_id: int) -> tuple[int, Layout, Layout | None]:
        """The descriptor of the ring that was announced, which the caller closes, and the layout of the frames in it.

        The third is that of the coded pictures behind them, where there are such.

        Raises:
            TransportError: it did not come.
        """
        fds: list[int] = []
        try:
            data, fds, _ = receive_packet(self._leases, _MAX_HAND_OVER_BYTES, 1)
            brought = _decoder.decode(data)
            if len(fds) != 1 or brought.ring_id != ring_id:
                raise TransportError("another was brought")
            if (brought.layout.format == "encoded") != (brought.layout.codec is not None):
                raise TransportError("encoded frames have a codec, and no others")
        except (OSError, msgspec.MsgspecError, RecursionError, TransportError) as error:
            for fd in fds:
                os.close(fd)
            raise TransportError(f"ring {ring_id} was announced and did not come: {error}") from error
        return fds[0], brought.layout, brought.coded

    def give_back(self, leases: list[tuple[int, int]]) -> None:
        """Give leases back to the capture, from any thread; what does not fit now goes with the next."""
        with self._lock:
            self._owed += leases
            while self._owed:
                some = self._owed[:MAX_LEASES_PER_MESSAGE]
                try:
                    self._leases.send(b"".join(struct.pack("<II", *lease) for lease in some))
                except BlockingIOError:
                    return
                except OSError as error:
                    if error.errno not in (errno.EPIPE, errno.ECONNRESET, errno.EBADF, errno.ENOTCONN):
                        raise
                    self._owed.clear()  # the capture is gone, and its ring with it
                    return
                del self._owed[: len(some)]

    def retire(self, ring_id: int) -> None:
        """Say that a ring has lost slots for good, so that frames after this go into another one. From any thread."""
        self.give_back([(ring_id, RETIRED)])

    def close(self) -> None:
        """Close both ways; leases that are still out are void."""
        self._pipe.close()
        with self._lock:
            self._leases.close()
