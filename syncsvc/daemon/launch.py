"""Runs our programs from a benchmark: a real daemon on free ports, a measured child; never leaves a process behind.

Every process ends with the thread that started it, so start them from the main thread.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import msgspec

import syncsvc
from syncsvc.errors import LinkClosed
from syncsvc.lifecycle import Worker
from syncsvc.observe.logs import redact

READY_S = 30.0
STOP_S = 20.0
_KEPT_LINES = 20
_NURSERY = b"syncsvc.capture.nursery"


def start_leashed(arguments: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start ``python ARGUMENTS`` in a process group of its own, so that Ctrl-C is ours to handle; it dies with us.

    Args:
        arguments: for the interpreter, such as ``["-m", "syncsvc", "run", "x.yaml"]``.
        options: for ``subprocess.Popen``.
    """
    root = str(Path(syncsvc.__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    leash = [sys.executable, "-P", "-m", "syncsvc.daemon.leash", str(os.getpid())]
    return subprocess.Popen(
        [*leash, sys.executable, "-P", *arguments],
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path},
        process_group=0,
        **options,
    )


@contextmanager
def leashed(arguments: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """The same for the length of a ``with`` block: whatever of it still runs at the end is killed."""
    process = start_leashed(arguments, **options)
    try:
        yield process
    finally:
        kill_group(process)
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def kill_group(process: subprocess.Popen[bytes]) -> None:
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
        self._process: subprocess.Popen[bytes] | None = None
        self._log: Worker | None = None
        self.ready_words: dict[str, str] | None = None

    def start(self, arguments: Sequence[str]) -> Self:
        """Start ``python ARGUMENTS``; ``close`` is owed from here on."""
        process = start_leashed(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self._process = process
        assert process.stderr is not None
        stderr = process.stderr
        self._log = Worker("program-log", lambda _: self._read(stderr)).start()
        return self

    def _read(self, stderr: IO[bytes]) -> None:
        for raw in stderr:
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
    def process(self) -> "subprocess.Popen[bytes]":
        """The process, which has been started."""
        assert self._process is not None, "not started"
        return self._process

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process is not None and self._process.poll() is None

    @property
    def last_words(self) -> str:
        """The last line that it wrote, without passwords."""
        return redact(self._lines[-1]) if self._lines else "it said nothing"

    def terminate(self) -> None:
        """Ask for the end, without waiting for it."""
        if self.is_running:
            self.process.terminate()

    def wait(self, grace_s: float) -> int:
        """Wait for the end, and force it when it does not come in time; the exit code. Its last words are complete."""
        try:
            self.process.wait(grace_s)
        except subprocess.TimeoutExpired:
            kill_group(self.process)
        code = self.process.wait()
        if self._log is not None:
            self._log.join(5.0)
        return code

    def close(self) -> None:
        """SIGKILL for whatever of it still runs, and nothing is left."""
        if self._process is None:
            return
        kill_group(self._process)
        self.wait(0.0)
        if self._process.stderr is not None:
            self._process.stderr.close()


class DaemonRunner:
    """A real ``syncsvc run`` in a process tree of its own, while the ``with`` block lasts.

    Args:
        config: the configuration as plain values; ``publish`` and ``http`` get free ports where they are left out.

    Raises:
        LinkClosed: from ``with``: it ended, or did not become ready in time; the message has its last words.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = {
            "publish": {"live": "tcp://127.0.0.1:0", "control": "tcp://127.0.0.1:0"},
            "http": {"bind": "127.0.0.1:0"},
            **config,
        }
        self._program = LeashedProgram("syncsvc: ready ")
        self.live = self.control = self.http = ""

    @property
    def pid(self) -> int:
        """The daemon's process id."""
        return self._program.process.pid

    @property
    def is_running(self) -> bool:
        """Whether the daemon has not ended yet."""
        return self._program.is_running

    @property
    def last_words(self) -> str:
        """The last line that the daemon wrote, without passwords."""
        return self._program.last_words

    def __enter__(self) -> Self:
        with tempfile.TemporaryDirectory(prefix="syncsvc-") as folder:  # not longer: no SIGKILL leaves a file behind
            path = Path(folder, "config.yaml")
            path.write_text(json.dumps(self._config, indent=1), encoding="utf-8")  # JSON is YAML, and has no anchors
            try:
                if not self._program.start(["-m", "syncsvc", "run", str(path)]).await_ready(READY_S):
                    raise LinkClosed(f"the daemon did not become ready: {self.last_words}")
            except BaseException:  # a Ctrl-C too must leave nothing behind
                self._program.close()
                raise
        words = self._program.ready_words or {}
        self.live, self.control, self.http = (words.get(key, "") for key in ("live", "control", "http"))
        return self

    def status(self) -> dict[str, Any]:
        """What ``/api/status`` says.

        Raises:
            LinkClosed: nobody answers.
        """
        try:
            with urllib.request.urlopen(f"{self.http}/api/status", timeout=5) as answer:
                return msgspec.json.decode(answer.read(), type=dict[str, Any])
        except OSError as error:
            raise LinkClosed(f"the daemon does not answer: {error}") from error

    def pids(self) -> dict[str, int]:
        """Process ids: ``daemon``, ``receiver``, ``nursery``, ``capture NAME`` per stream, of those that run now."""
        status = self.status()
        found = {"daemon": self.pid, "receiver": status["receiver"]["pid"], "nursery": self._nursery_pid()}
        found |= {f"capture {name}": stream["pid"] for name, stream in status["streams"].items()}
        return {name: pid for name, pid in found.items() if pid is not None}

    def _nursery_pid(self) -> int | None:
        """The child of the daemon that captures are forked from, which no status tells of."""
        for child in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
            with suppress(OSError):  # gone meanwhile
                if _NURSERY in Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
        return None

    def terminate(self) -> None:
        """Ask for the drain; it goes on meanwhile, so keep receiving."""
        self._program.terminate()

    def wait(self, grace_s: float = STOP_S) -> int:
        """Wait for the end, and force it when it does not come in time; the exit code."""
        return self._program.wait(grace_s)

    def kill(self) -> None:
        """SIGKILL for the whole tree."""
        kill_group(self._program.process)
        self._program.wait(STOP_S)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.terminate()
            self.wait()
        finally:
            self._program.close()
