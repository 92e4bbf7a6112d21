"""Runs our own programs as children that never outlive us: a daemon, virtual cameras, whatever a benchmark measures.

Every child ends with the thread that started it, so start them from the main thread.
"""

import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from syncsvc.lifecycle import Worker
from syncsvc.observe.logs import redact

READY_S = 30.0
STOP_S = 20.0
_KEPT_LINES = 20


def start_leashed(arguments: Sequence[str], **options: Any) -> "subprocess.Popen[bytes]":
    """Start ``python ARGUMENTS`` in a process group of its own, so that Ctrl-C is ours to handle; it dies with us.

    Args:
        arguments: for the interpreter, such as ``["-m", "syncsvc", "run", "x.yaml"]``.
        options: for ``subprocess.Popen``.
    """
    root = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    leash = [sys.executable, "-P", "-m", "syncsvc.lifecycle", str(os.getpid())]
    options = {"stdin": subprocess.DEVNULL, "env": {**os.environ, "PYTHONPATH": path}, **options}
    return subprocess.Popen([*leash, sys.executable, "-P", *arguments], process_group=0, **options)


@contextmanager
def leashed(arguments: Sequence[str], **options: Any) -> "Iterator[subprocess.Popen[bytes]]":
    """The same for the length of a ``with`` block: whatever of it still runs at the end is killed."""
    process = start_leashed(arguments, **options)
    try:
        yield process
    finally:
        end(process, 0.0)


def end(process: "subprocess.Popen[bytes]", grace_s: float) -> None:
    """Wait so long for a leashed process, kill what is left of it and of what it started, and close its pipes."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(grace_s)
    kill_group(process)
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with suppress(OSError):  # an order that a dead child never took
                pipe.close()


def kill_group(process: "subprocess.Popen[bytes]") -> None:
    """SIGKILL for a leashed process and whatever it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


class LeashedProgram:
    """A leashed program that says on stderr when it is ready; what it says last is kept.

    Args:
        ready: how the line begins that says so; ``key=value`` words may follow.
    """

    def __init__(self, ready: str) -> None:
        self._ready_line = ready
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._said_ready_or_ended = threading.Event()
        self.ready_words: dict[str, str] | None = None

    def start(self, arguments: Sequence[str]) -> Self:
        """Start ``python ARGUMENTS``; ``close`` is owed from here on, and nothing else may be asked before."""
        self.process = start_leashed(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self._log = Worker("program-log", lambda _: self._read()).start()
        return self

    def _read(self) -> None:
        assert self.process.stderr is not None
        for raw in self.process.stderr:
            line = raw.decode(errors="replace").rstrip()
            self._lines.append(line)
            if line.startswith(self._ready_line) and self.ready_words is None:
                self.ready_words = dict(word.partition("=")[::2] for word in line.split() if "=" in word)
                self._said_ready_or_ended.set()
        self._said_ready_or_ended.set()

    def await_ready(self, timeout_s: float) -> bool:
        """Wait for the ready line, the end, or the time to be over; whether the ready line came."""
        self._said_ready_or_ended.wait(timeout_s)
        return self.ready_words is not None

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.poll() is None

    @property
    def last_words(self) -> str:
        """The last line that it wrote, without passwords."""
        return redact(self._lines[-1]) if self._lines else "it said nothing"

    def terminate(self) -> None:
        """Ask for the end, without waiting for it."""
        if self.is_running:
            self.process.terminate()

    def wait(self, grace_s: float = STOP_S) -> int:
        """Wait for the end, and force it when it does not come in time; the exit code. Its last words are complete."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(grace_s)
        if self.is_running:
            kill_group(self.process)
        code = self.process.wait()
        self._log.join(5.0)
        return code

    def close(self) -> None:
        """SIGKILL for whatever of it still runs, and nothing is left."""
        kill_group(self.process)
        self.wait(0.0)
        end(self.process, 0.0)
