"""Puts files on the disk whole or not at all: under a temporary name first, then renamed."""

import os
from typing import Any, Final

from syncsvc.errors import UsageError

PART: Final = ".part"
"""What the temporary name has at its end; it lies beside the file that it becomes."""
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC


def write_whole(path: str, data: Any) -> int:
    """Write a file, its folder too where it is not there; what was there under the name is replaced at once.

    Args:
        path: of the file.
        data: a readable buffer of bytes, one-dimensional.

    Returns:
        Its size in bytes.

    Raises:
        OSError: it cannot be written; nothing is left of it.
    """
    part = path + PART
    try:
        fd = os.open(part, _FLAGS, 0o666)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        fd = os.open(part, _FLAGS, 0o666)
    try:
        try:
            size_bytes = len(data)
            done = os.write(fd, data)
            while done < size_bytes:  # a disk that fills up takes a part
                done += os.write(fd, data[done:])
        finally:
            os.close(fd)
        os.replace(part, path)
    except OSError:
        _forget(part)
        raise
    return size_bytes


def _forget(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:  # the disk that did not take it may not let it go either
        return


def require_folder(folder: "str | os.PathLike[str]") -> str:
    """Make a folder that one can write into, and its absolute path.

    Raises:
        UsageError: it cannot be made, is none, or is closed to us.
    """
    path = os.path.abspath(folder)
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        why = "is there, and no folder" if os.path.exists(path) else error.strerror
        raise UsageError(f"{os.fspath(folder)}: {why}") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise UsageError(f"{os.fspath(folder)}: cannot be written")
    return path
