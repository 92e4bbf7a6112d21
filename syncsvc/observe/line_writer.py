"""Writes lines to where nobody may be reading: a service must not stand still because its log does.

A pipe that is full, a terminal that was stopped with Ctrl-S and a journal that hangs are waited for a moment, once, and
from then on not at all until they take something again. What they do not take is lost, and counted by whoever wrote it.
"""

import os
import select
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TextIO

MOMENT_MS: Final = 200
"""How long a reader may be busy; less than what a signal may take to be heard."""
_MOST_LEFT_BYTES: Final = 1 << 16


class LineWriter:
    """Lines to the file behind a text stream, without its buffer; a stream without one is written to as it is.

    The file is opened anew where it may make its writer wait: others have it too, so it is not ours to change.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._fd, self._socket = stream, -1, None
        self._write: Callable[[bytes], int] | None = None
        self._left = b""
        self._is_read = True
        try:
            fd = stream.fileno()
            mode = os.fstat(fd).st_mode
        except (OSError, ValueError):
            return
        if stat.S_ISSOCK(mode):
            self._fd = os.dup(fd)
            self._socket = socket.socket(fileno=self._fd)
            self._write = lambda data: self._sent(data)
        elif stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
            self._fd = _opened_anew(fd)
            self._write = lambda data: os.write(self._fd, data[: select.PIPE_BUF])

    _socket: socket.socket | None

    def _sent(self, data: bytes) -> int:
        assert self._socket is not None, "it is one"
        return self._socket.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)

    def write(self, line: str) -> bool:
        """Write a line, with its end; false where nobody takes it."""
        if self._write is None:
            with suppress(ValueError, OSError):  # it is closed, or nobody is there any more
                self._stream.write(line)
                self._stream.flush()
            return True
        data = line.encode("utf-8", "backslashreplace")
        self._left = self._put(self._left)
        if self._left:
            return False
        rest = self._put(data)
        if len(rest) == len(data):
            return False
        self._left = rest[:_MOST_LEFT_BYTES]  # of a line that is begun: the next one is to begin a line
        return True

    def _put(self, data: bytes) -> bytes:
        """Write what is taken now, or in a moment; what is not is returned."""
        assert self._write is not None, "it has a file"
        while data and self._has_room():
            try:
                data = data[self._write(data) :]
            except (BlockingIOError, InterruptedError):
                continue
            except OSError:  # nobody is there any more: it is of no use to anybody
                return b""
        return data

    def _has_room(self) -> bool:
        poller = select.poll()
        poller.register(self._fd, select.POLLOUT)
        self._is_read = bool(poller.poll(MOMENT_MS if self._is_read else 0))
        return self._is_read

    def close(self) -> None:
        """Let go of the file; the stream is somebody else's."""
        if self._socket is not None:
            self._socket.close()
        elif self._fd >= 0:
            os.close(self._fd)
        self._fd, self._socket, self._write = -1, None, None


def _opened_anew(fd: int) -> int:
    """The same pipe or terminal, with a descriptor of our own that does not wait; where that may not be, a copy."""
    try:
        return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return os.dup(fd)
