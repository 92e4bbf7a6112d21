"""Files that ``ipc://`` endpoints leave on the disk: ours are removed at the end, and no one else's ever."""

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self


class SocketFile(NamedTuple):
    """The file of a socket that was bound; another that takes its path is another, whatever it is called."""

    path: Path
    identity: tuple[int, int, int]

    @classmethod
    def of(cls, endpoint: str) -> Self | None:
        """That of an endpoint that has just been bound; None where it has none."""
        path = path_of(endpoint)
        identity = _identity(path) if path is not None else None
        return None if path is None or identity is None else cls(path, identity)

    def remove(self) -> None:
        """Remove it, if it is still there."""
        if _identity(self.path) == self.identity:
            with suppress(OSError):  # who may not write there may not have made it either
                self.path.unlink()


def path_of(endpoint: str) -> Path | None:
    """Where an endpoint lies on the disk, if it does."""
    path = endpoint.removeprefix("ipc://")
    return None if path == endpoint else Path(path)


def _identity(path: Path) -> tuple[int, int, int] | None:
    """Device, inode, and when that was made: numbers of inodes are given again."""
    try:
        seen = os.lstat(path)
    except OSError:
        return None
    return seen.st_dev, seen.st_ino, seen.st_ctime_ns
