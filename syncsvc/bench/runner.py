"""Runs our programs from a benchmark: a real daemon on free ports, a measured child; never leaves a process behind.

Every process ends with the thread that started it, so start them from the main thread.
"""

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
import yaml

import syncsvc
from syncsvc.errors import LinkClosed
from syncsvc.lifecycle import Worker
from syncsvc.observe.logs import redact

READY_S = 30.0
STOP_S = 20.0
_KEPT_LINES = 20


def start_leashed(arguments: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start ``python ARGUMENTS`` in a process group of its own, so that Ctrl-C is ours to handle; it dies with us.

    Args:
        arguments: for the interpreter, such as ``["-m", "syncsvc", "run", "x.yaml"]``.
        options: for ``subprocess.Popen``.
    """
    root = str(Path(syncsvc.__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    leash = [sys.executable, "-P", "-m", "syncsvc.bench.leash", str(os.getpid())]
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
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._log: Worker | None = None
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._ready = threading.Event()
        self.live = self.control = self.http = ""

    @property
    def pid(self) -> int:
        """The daemon's process id."""
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the daemon has not ended yet."""
        return self._process is not None and self._process.poll() is None

    @property
    def last_words(self) -> str:
        """The last line that the daemon wrote, without passwords."""
        return redact(self._lines[-1]) if self._lines else "it said nothing"

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="syncsvc-")
        path = Path(self._folder.name, "config.yaml")
        path.write_text(yaml.safe_dump(self._config, sort_keys=False), encoding="utf-8")
        try:
            process = start_leashed(
                ["-m", "syncsvc", "run", str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
            self._process = process
            assert process.stderr is not None
            stderr = process.stderr
            self._log = Worker("daemon-log", lambda _: self._read(stderr)).start()
            if not self._ready.wait(READY_S) or not self.live:
                raise LinkClosed(f"the daemon did not become ready: {self.last_words}")
        except BaseException:  # a Ctrl-C too must leave nothing behind
            self.kill()
            self._clean_up()
            raise
        self._folder.cleanup()  # it was read; so a SIGKILL of ours leaves no file behind either
        return self

    def _read(self, stderr: IO[bytes]) -> None:
        for raw in stderr:
            line = raw.decode(errors="replace").rstrip()
            self._lines.append(line)
            if line.startswith("syncsvc: ready "):
                words = dict(word.partition("=")[::2] for word in line.split() if "=" in word)
                self.live, self.control, self.http = (words.get(key, "") for key in ("live", "control", "http"))
                self._ready.set()
        self._ready.set()  # the end: whoever waits need not wait longer

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
        """Process ids: ``daemon``, ``receiver``, and ``capture NAME`` per stream, of those that run now."""
        status = self.status()
        found = {"daemon": self.pid, "receiver": status["receiver"]["pid"]}
        found |= {f"capture {name}": stream["pid"] for name, stream in status["streams"].items()}
        return {name: pid for name, pid in found.items() if pid is not None}

    def terminate(self) -> None:
        """Ask for the drain; it goes on meanwhile, so keep receiving."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait(self, grace_s: float = STOP_S) -> int:
        """Wait for the end, and force it when it does not come in time; the exit code."""
        assert self._process is not None, "not started"
        try:
            return self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return self._process.wait()

    def kill(self) -> None:
        """SIGKILL for the whole tree."""
        if self._process is not None:
            kill_group(self._process)
            self._process.wait()

    def _clean_up(self) -> None:
        if self._log is not None:
            self._log.join(5.0)
        if self._process is not None and self._process.stderr is not None:
            self._process.stderr.close()
        if self._folder is not None:
            self._folder.cleanup()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.terminate()
            self.wait()
        finally:
            self.kill()
            self._clean_up()
