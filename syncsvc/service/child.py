"""How a child process is started, talked to, watched and ended: the same for captures and the receiver."""

import os
import signal
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import syncsvc
from syncsvc.transport.channel import Channel

_STREAM_BIG_COPIES = "glibc.cpu.x86_non_temporal_threshold=0x40000"
"""A frame that is copied into a ring of a hundred megabytes is not read again soon: stores that go past the cache cost
0.22 ms instead of 0.35 ms per 1080p frame. glibc's own threshold is most of the last-level cache, which on big servers
no frame ever reaches. Other C libraries and processors ignore it."""

_NEEDED = frozenset({"PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "GLIBC_TUNABLES"})
"""What an interpreter needs to start as ours did, with every name that begins with PYTHON."""


class Child:
    """A process of ours, started by exec of a fresh interpreter (spawn), with one channel to it and nothing else."""

    def __init__(self, module: str, name: str, *, without: Collection[str] = ()) -> None:
        """Start ``python -m MODULE CHANNEL_FD PARENT_PID NAME``; from the main thread (see ``die_with_parent``).

        Args:
            module: what runs.
            name: what messages call it.
            without: variables of our environment that it does not inherit, since they may hold passwords; those that
                an interpreter needs to start are passed on nevertheless.
        """
        self.name = name
        self.channel, theirs = Channel.pair()
        root = str(Path(syncsvc.__file__).parents[1])
        environment = _environment(without)
        environment.setdefault("GLIBC_TUNABLES", _STREAM_BIG_COPIES)
        if "site-packages" not in root:  # run from a source tree: the child must find it as we did
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, (root, environment.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, str(theirs.fileno()), str(os.getpid()), name],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),
            env=environment,
        )
        theirs.close()
        self.pid = self._process.pid
        self.pidfd = os.pidfd_open(self.pid)

    def fileno(self) -> int:
        """Becomes readable when the process ends."""
        return self.pidfd

    def kill(self) -> None:
        """SIGKILL."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        return self._process.poll()

    def reap(self, timeout_s: float) -> int | None:
        """Wait for the end and close what we hold of it; the exit code, or None when it did not end in time."""
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        self.channel.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1
        return code


def _environment(without: Collection[str]) -> dict[str, str]:
    hidden = {name for name in without if name not in _NEEDED and not name.startswith("PYTHON")}
    return {name: value for name, value in os.environ.items() if name not in hidden}
