"""Where a data set comes to lie: nothing is there until it is whole, and what is there already is never touched."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from syncsvc.errors import NotExported, UsageError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def require_new(path: Path) -> None:
    """See that something can be written there.

    Raises:
        UsageError: something is there, or no folder is around it.
    """
    if path.exists() or path.is_symlink():
        raise UsageError(f"{path}: found {'a folder' if path.is_dir() else 'a file'}; allowed: what is not there yet")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{path}: found no folder {path.absolute().parent}; allowed: a place in one that is there")


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """A hidden place beside ``path`` to write to; it is renamed when the block is through, or else removed.

    Raises:
        NotExported: the disk is full, or it cannot be written.
    """
    hidden = path.absolute().with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield hidden
        os.rename(hidden, path)
    except OSError as error:
        problem = "the disk is full" if error.errno in _FULL else error.strerror or str(error)
        raise NotExported(str(path), f"cannot be written: {problem}; nothing is left of it") from error
    finally:
        if hidden.is_dir():
            shutil.rmtree(hidden, ignore_errors=True)
        else:
            hidden.unlink(missing_ok=True)
