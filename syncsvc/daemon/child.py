"""How a child process is talked to, watched and ended, however it was started; and how a fresh interpreter is."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Generic

import syncsvc
from syncsvc.lifecycle import holding_signals
from syncsvc.transport.channel import Channel, Received

_STREAM_BIG_COPIES = "glibc.cpu.x86_non_temporal_threshold=0x40000"
"""A frame that is copied into a ring of a hundred megabytes is not read again soon: stores that go past the cache cost
0.22 ms instead of 0.35 ms per 1080p frame. glibc's own threshold is most of the last-level cache, which on big servers
no frame ever reaches. Other C libraries and processors ignore it."""
_NO_THREADS = "OPENBLAS_NUM_THREADS"
"""numpy's linear algebra, which nobody here uses, starts a thread per core at import where this is not 1."""

_NEEDED = frozenset({"PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "GLIBC_TUNABLES"})
"""What an interpreter needs to start as ours did, with every name that begins with PYTHON."""


class Child(Generic[Received]):
    """A process whose parent we are, with one channel to it and nothing else."""

    def __init__(self, name: str, pid: int, channel: Channel[Received]) -> None:
        """Watch a child that runs; ``name`` is what messages call it."""
        self.name, self.pid, self.channel = name, pid, channel
        self.pidfd = os.pidfd_open(pid)
        self._code: int | None = None

    def fileno(self) -> int:
        """Becomes readable when the process ends."""
        return self.pidfd

    def kill(self) -> None:
        """SIGKILL."""
        if self.poll() is None:
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def reap(self, timeout_s: float) -> int | None:
        """Wait for the end and close what we hold of it; the exit code, or None when it did not end in time."""
        if self.poll() is None:
            poller = select.poll()
            poller.register(self.pidfd, select.POLLIN)
            poller.poll(timeout_s * 1000)
        code = self.poll()
        if code is not None and self.pidfd >= 0:
            self.channel.close()
            os.close(self.pidfd)
            self.pidfd = -1
        return code


class SpawnedChild(Child[Received]):
    """A child that was started by exec of a fresh interpreter."""

    def __init__(self, module: str, name: str, received: Any, *, without: Collection[str] = ()) -> None:
        """Start ``python -m MODULE CHANNEL_FD PARENT_PID NAME``; from the main thread (see ``die_with_parent``).

        Args:
            module: what runs.
            name: what messages call it.
            received: the union of what it may send.
            without: variables of our environment that it does not inherit, since they may hold passwords; those that
                an interpreter needs to start are passed on nevertheless.

        Raises:
            OSError: the machine has no room for another process, or no more descriptors can be open.
        """
        ours: Channel[Received]
        ours, theirs = Channel.pair(received)
        root = str(Path(syncsvc.__file__).parents[1])
        environment = _environment(without)
        environment.setdefault("GLIBC_TUNABLES", _STREAM_BIG_COPIES)
        environment[_NO_THREADS] = "1"
        if "site-packages" not in root:  # run from a source tree: the child must find it as we did
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, (root, environment.get("PYTHONPATH"))))
        with theirs, ExitStack() as failing, holding_signals():
            failing.callback(ours.close)
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", module, str(theirs.fileno()), str(os.getpid()), name],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr.fileno(),
                env=environment,
            )
            failing.callback(self._process.wait)
            failing.callback(self._process.kill)
            super().__init__(name, self._process.pid, ours)
            failing.pop_all()

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._process.poll()


def _environment(without: Collection[str]) -> dict[str, str]:
    hidden = {name for name in without if name not in _NEEDED and not name.startswith("PYTHON")}
    return {name: value for name, value in os.environ.items() if name not in hidden}
