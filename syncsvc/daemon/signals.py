"""Signals as something to select on, so that the daemon handles them between two turns and never inside one."""

import signal
import socket
from collections.abc import Iterable


class SignalPipe:
    """Catches signals from now on; readable when one came."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self._reader, self._writer = socket.socketpair()
        for end in (self._reader, self._writer):
            end.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, lambda *_: None)

    def fileno(self) -> int:
        """To select on."""
        return self._reader.fileno()

    def read(self) -> bytes:
        """The numbers of the signals that came, one byte each."""
        return self._reader.recv(64)

    def close(self) -> None:
        """Stop catching."""
        signal.set_wakeup_fd(-1)
        self._reader.close()
        self._writer.close()
