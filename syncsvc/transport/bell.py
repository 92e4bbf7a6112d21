"""Wakes a thread that polls: another thread has news for it, or wants it to end."""

import os
from contextlib import suppress


class Bell:
    """Wakes whoever polls on it; may be rung from anywhere, and is closed with its last holder."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._is_ringing = False

    def ring(self) -> None:
        """Wake the other side; once is enough until it has answered."""
        if not self._is_ringing:
            self._is_ringing = True
            os.eventfd_write(self.fd, 1)

    def answer(self) -> None:
        """Note that we woke; what is rung from now on wakes us again, what was rung before is to be looked at now.

        Read first: were the bell rung between the two, it would count as ringing with nothing to be heard, for ever.
        """
        with suppress(BlockingIOError):
            os.eventfd_read(self.fd)
        self._is_ringing = False

    def __del__(self) -> None:
        os.close(self.fd)
