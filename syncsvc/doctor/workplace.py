"""A folder for one examination; what doctors that were killed left behind goes with the next one's start."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from syncsvc.config.urls import MAX_IPC_BYTES
from syncsvc.errors import UsageError

PREFIX: Final = "syncsvc-doctor-"
LONGEST_NAME: Final = "control"
_RANDOM: Final = 8
"""Characters that ``tempfile`` puts behind a prefix."""


@contextmanager
def workplace() -> Iterator[Path]:
    """An empty folder for the length of the ``with`` block; its lock says that its doctor lives.

    Raises:
        UsageError: there can be none where TMPDIR says, or its name is too long for the sockets in it.
    """
    root = Path(tempfile.gettempdir())
    longest = len(os.fsencode(root / (PREFIX + _RANDOM * "x") / LONGEST_NAME))
    if longest > MAX_IPC_BYTES:
        most = MAX_IPC_BYTES - longest + len(os.fsencode(root))
        raise UsageError(f"TMPDIR: {root} is too long for the names of sockets in it: at most {most} bytes")
    for left in root.glob(f"{PREFIX}*"):
        _remove(left, _locked(left))
    lock = None
    try:
        while lock is None:  # another doctor, which starts now, may hold it for a left one
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))
            lock = _locked(folder)
    except OSError as error:
        raise UsageError(f"TMPDIR: there can be no folder in {root}: {error.strerror}") from error
    try:
        yield folder
    finally:
        _remove(folder, lock)


def _remove(folder: Path, lock: int | None) -> None:
    """Remove a folder that we hold."""
    if lock is not None:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _locked(folder: Path) -> int | None:
    """A descriptor that holds the folder; None where it is gone, somebody else's, no folder, or held."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found = os.fstat(lock)
        if found.st_uid == os.getuid() and found.st_nlink:
            return lock
    except BlockingIOError:
        pass  # its doctor lives
    os.close(lock)
    return None
