"""How anything that lives long starts, ends and reports failure: one shape for every thread.

``python -m syncsvc.lifecycle PARENT_PID PROGRAM ARGUMENT...`` runs a program that ends when its parent ends, whatever
the program itself thinks of that: the kernel keeps the order through ``exec``.
"""

import ctypes
import errno
import os
import signal
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Self

from syncsvc.errors import UsageError

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION = 0x20080522
"""_LINUX_CAPABILITY_VERSION_3."""
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}.get(os.uname().machine)
"""Number of the system call, which the C library has no name for."""
_SCHED_ATTR = struct.Struct("=IIQiIQQQ")
"""``struct sched_attr``: size, policy, flags, nice, priority, runtime, deadline, period."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Of <malloc.h>."""
_KEPT_BYTES, _MOST_IN_POOLS_BYTES = 128 << 20, 32 << 20
_OF_THE_GROUP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
START_NS = 120 * 10**9
"""In which a process of ours is to have imported what it needs, on a machine that starts everything at once."""
LONG_TURN_NS = 10_000_000
"""Of the processor: about what decoding a picture takes."""

_FOR_EVER_S = 1e9
"""Thirty years: no wait is longer, and the system's take no number that is much bigger."""

_libc = ctypes.CDLL(None, use_errno=True)


def patience_of(timeout_s: float | None) -> float | None:
    """How long a caller waits, in seconds; None where he waits for ever, which he may say by infinity too.

    Raises:
        UsageError: it is no number.
    """
    if timeout_s is None or timeout_s >= _FOR_EVER_S:
        return None
    if timeout_s != timeout_s:
        raise UsageError("timeout_s: found nan; allowed: seconds, or None to wait for ever")
    return timeout_s if timeout_s > 0 else 0


def die_with_parent(parent_pid: int) -> None:
    """Ask the kernel to kill this process when its parent ends, however that ends.

    The signal comes when the *thread* that started us ends, so the parent starts its children from its main thread.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it ended before we asked
        os._exit(1)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, for good; whoever asks for it waits for them."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


@contextmanager
def holding_signals() -> Iterator[None]:
    """Hold back what a terminal or a service manager sends to a whole group: who is started meanwhile begins so.

    Its imports may take seconds, in which it would die of what is the parent's to handle; ours come when it is over.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _OF_THE_GROUP)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_signals_to_parent() -> None:
    """Ignore what a terminal or a service manager sends to a whole group: the parent says what is to be done."""
    for number in _OF_THE_GROUP:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _OF_THE_GROUP)


def name_process(name: str) -> None:
    """What ``ps`` and ``top`` call the calling thread, and so the process where it is the main one: 15 bytes of it."""
    _prctl(_PR_SET_NAME, name.encode())


def gain_no_privileges() -> None:
    """No program that this process or its children start gives them rights that they have not; for good."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def hide_memory() -> None:
    """Let nobody but root trace this process or read its memory, and have it leave no core where it breaks."""
    _prctl(_PR_SET_DUMPABLE, 0)


def keep_capabilities(kept: int) -> None:
    """Have the calling thread, and those that it starts, give up all capabilities of root's but these (a bit each)."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    if _libc.capset(header, struct.pack("=6I", kept, kept, 0, 0, 0, 0)) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def _prctl(option: int, argument: int | bytes) -> None:
    if _libc.prctl(option, argument, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")


def keep_freed_memory() -> None:
    """Let the C library keep what is freed instead of giving it back, for a process that handles picture after picture.

    Threads got a megabyte for each coded 1080p picture anew from the kernel, page by page: 2 of 11 ms; of a recorder's
    0.2 ms for a picture that comes coded it was 0.04. It keeps 128 MB
    at most in each of its pools. Where the C library is another (musl), nothing changes.
    """
    mallopt = getattr(_libc, "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_MMAP_THRESHOLD, _MOST_IN_POOLS_BYTES)


def give_memory_back() -> None:
    """Ask the C library to give the kernel what was freed and it keeps; where it is another (musl), nothing happens."""
    trim = getattr(_libc, "malloc_trim", None)
    if trim is not None:
        trim(0)


class StopToken:
    """Asks a body to end; every wait of the body goes through it, or is ended by what it was told to call."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._wakes: list[Callable[[], None]] = []

    def set(self) -> None:
        """Ask for the end."""
        self._event.set()
        for wake in self._wakes:
            wake()

    def on_set(self, wake: Callable[[], None]) -> None:
        """Call it when the end is asked for, or now if it was: for a body that waits for something else as well."""
        self._wakes.append(wake)
        if self._event.is_set():
            wake()

    @property
    def is_set(self) -> bool:
        """Whether the end was asked for."""
        return self._event.is_set()

    def sleep(self, seconds: float) -> bool:
        """Wait at most ``seconds``; true when the end was asked for meanwhile."""
        return self._event.wait(max(0.0, seconds))


class LongTurns(StopToken):
    """Of one who decodes: its turns of the processor are long, and whoever wakes up meanwhile goes before it.

    The shares stay as they are. The scheduler interrupts whoever has a longer slice for whoever has a shorter one
    (EEVDF, Linux 6.12). Where that is not known, or somebody chose another policy for us, nothing changes.
    """

    def begin(self) -> None:
        """Take long turns from now on: the calling thread, and those that it starts."""
        _take_turns(LONG_TURN_NS)

    def sleep(self, seconds: float) -> bool:
        """Wait at most ``seconds``, and wake up before others who take long turns; true when the end was asked for."""
        _take_turns(0)
        try:
            return super().sleep(seconds)
        finally:
            self.begin()


def _take_turns(length_ns: int) -> None:
    """Ask for a slice; 0 is the usual one. Where a sandbox or the C library (musl) lets nobody ask, nothing changes."""
    with suppress(OSError):
        if _SCHED_SETATTR is not None and os.sched_getscheduler(0) == os.SCHED_OTHER:
            nice = os.getpriority(os.PRIO_PROCESS, 0)
            attributes = _SCHED_ATTR.pack(_SCHED_ATTR.size, os.SCHED_OTHER, 0, nice, 0, length_ns, 0, 0)
            _libc.syscall(_SCHED_SETATTR, 0, attributes, 0)


class Standstill:
    """Whether something is stuck: it stood still while its watcher, a thread of the same process, looked often.

    Time alone accuses a thread whose whole process got none; its watcher did not get to look either.

    Args:
        looks: so many that found it where it was.
        apart_ns: what two looks are apart at least; any that comes earlier counts for nothing.
    """

    def __init__(self, looks: int, apart_ns: int) -> None:
        self._looks, self._apart_ns = looks, apart_ns
        self._mark: int | None = None
        self._seen = self._due_ns = 0

    def look(self, mark: int, now_ns: int) -> bool:
        """Look at how far it has come, at a moment of the monotonic clock; true when it is stuck."""
        if mark != self._mark:
            self._mark, self._seen, self._due_ns = mark, 0, now_ns + self._apart_ns
        elif now_ns >= self._due_ns:
            self._seen, self._due_ns = self._seen + 1, now_ns + self._apart_ns
        return self._seen >= self._looks


def begin(thread: threading.Thread) -> None:
    """Start a thread.

    Raises:
        BlockingIOError: the machine has no room for another (now); it says so in words.
    """
    try:
        thread.start()
    except RuntimeError as error:
        why = f"thread {thread.name} cannot be started: the machine has no room for another"
        raise BlockingIOError(errno.EAGAIN, why) from error


class Worker:
    """A thread with a name, a stop token, and an error that is kept instead of printed.

    Args:
        name: of the thread, seen in ``top -H``.
        body: runs until it returns or the token is set.
        on_failure: called once, from the thread, with what the body raised.
    """

    def __init__(
        self,
        name: str,
        body: Callable[[StopToken], None],
        on_failure: Callable[[str, BaseException], None] | None = None,
    ) -> None:
        self.name, self.error = name, None
        self.stop_token = StopToken()
        self._body, self._on_failure = body, on_failure
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    error: BaseException | None

    def _run(self) -> None:
        try:
            self._body(self.stop_token)
        except BaseException as error:  # a worker's top frame keeps everything and tells its owner
            self.error = error
            if self._on_failure is not None:
                self._on_failure(self.name, error)

    def start(self) -> Self:
        """Start the thread.

        Raises:
            BlockingIOError: the machine has no room for another.
        """
        begin(self._thread)
        return self

    @property
    def is_alive(self) -> bool:
        """Whether the body still runs."""
        return self._thread.is_alive()

    def stop(self, deadline_s: float = 5.0) -> bool:
        """Ask for the end and join; false when the body did not end in time."""
        self.stop_token.set()
        return self.join(deadline_s)

    def join(self, deadline_s: float) -> bool:
        """Wait for the body's own end; false when it did not come in time."""
        self._thread.join(deadline_s)
        return not self._thread.is_alive()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])
