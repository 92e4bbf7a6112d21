"""What people want of the daemon, said by signals: heard between two turns and never inside one, and never twice."""

import os
import select
import signal
import socket
from collections.abc import Iterable
from contextlib import suppress
from types import FrameType

from syncsvc.clock import NS_PER_MS, Clock

SETTLE_NS = 200 * NS_PER_MS
"""From a SIGHUP to its reload: what comes meanwhile means the same one."""
AGAIN_NS = 300 * NS_PER_MS
"""A second signal to stop that comes so soon is the first one's echo: ``timeout`` sends to us, then to our group."""

_TERMINAL = "/dev/tty"
"""The controlling one of whoever opens it, if there is any."""


class SignalPipe:
    """Catches signals from now on; readable when one came.

    However many of a kind came, they are one: the pipe only wakes, and may be full.
    """

    def __init__(self, numbers: Iterable[int]) -> None:
        self._came: set[int] = set()
        self._reader, self._writer = socket.socketpair()
        for end in (self._reader, self._writer):
            end.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, self._note)

    def _note(self, number: int, _: FrameType | None) -> None:
        self._came.add(number)

    def fileno(self) -> int:
        """To select on."""
        return self._reader.fileno()

    def read(self) -> set[int]:
        """The numbers of the signals that came since the last call."""
        with suppress(BlockingIOError):
            while self._reader.recv(4096):
                pass
        came, self._came = self._came, set()
        return came

    def close(self) -> None:
        """Stop catching."""
        signal.set_wakeup_fd(-1)
        self._reader.close()
        self._writer.close()


class Terminal:
    """The terminal that we were started from, if there was one; to be made before SIGHUP is caught."""

    def __init__(self) -> None:
        is_missed = signal.getsignal(signal.SIGHUP) != signal.SIG_IGN  # nohup: whoever started us wants us to stay
        self._was_there = is_missed and _has_terminal()

    @property
    def has_hung_up(self) -> bool:
        """Whether it is gone: a SIGHUP is its last word then, and no wish to read a configuration again."""
        return self._was_there and not _has_terminal()


class Wishes:
    """SIGTERM and SIGINT are a wish to stop, and so is SIGHUP of a terminal that hung up; any other means reload."""

    def __init__(self, clock: Clock) -> None:
        """Hear them from now on."""
        self._clock, self._terminal = clock, Terminal()
        self._pipe = SignalPipe((signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
        self._poller = select.poll()
        self._poller.register(self._pipe, select.POLLIN)
        self._wants_stop = False
        self._stopped_ns: int | None = None
        self._reload_ns: int | None = None

    def fileno(self) -> int:
        """To select on: whether there is something to ``hear``."""
        return self._pipe.fileno()

    @property
    def is_somebody_there(self) -> bool:
        """The same, now."""
        return bool(self._poller.poll(0))

    @property
    def is_waiting(self) -> bool:
        """Whether a reload will be wanted soon."""
        return self._reload_ns is not None

    def hear(self) -> None:
        """Take in what came."""
        came, now_ns = self._pipe.read(), self._clock.monotonic_ns()
        if signal.SIGHUP in came and self._terminal.has_hung_up:
            came = came - {signal.SIGHUP} | {signal.SIGTERM}
        if came & {signal.SIGTERM, signal.SIGINT} and not self._is_echo(now_ns):
            self._wants_stop, self._stopped_ns = True, now_ns
        if signal.SIGHUP in came and self._reload_ns is None:
            self._reload_ns = now_ns + SETTLE_NS

    def _is_echo(self, now_ns: int) -> bool:
        return self._stopped_ns is not None and now_ns < self._stopped_ns + AGAIN_NS

    def take_stop(self) -> bool:
        """Whether somebody wants the end; said once for each wish."""
        wants, self._wants_stop = self._wants_stop, False
        return wants

    def take_reload(self) -> bool:
        """Whether the configuration is to be read again now; said once."""
        if self._reload_ns is None or self._clock.monotonic_ns() < self._reload_ns:
            return False
        self._reload_ns = None
        return True

    def close(self) -> None:
        """Hear nothing any more."""
        self._pipe.close()


def _has_terminal() -> bool:
    try:
        os.close(os.open(_TERMINAL, os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
