"""Files that grow together: what belongs together is on the disk, or nothing of it is.

A disk that is full in the middle of it costs nothing that was there before: every file is cut back to what it was.
"""

import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from syncsvc.errors import DiskFull, NotRecorded

_BOX_HEAD_BYTES = 8
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class GrowingFile:
    """One file that only grows; it is made when something is to be in it.

    ``has_boxes``: what is added begins with a box's kind and size. These are written last, so that whoever is killed
    meanwhile leaves zeros there: readers take them for the end, and a box that is cut off for damage.
    """

    def __init__(self, path: Path, *, has_boxes: bool = False) -> None:
        self.path, self.size_bytes, self._has_boxes = path, 0, has_boxes
        self._pending: list[bytes] = []
        self._fd = -1

    @property
    def is_pending(self) -> bool:
        """Whether something waits to be written."""
        return bool(self._pending)

    def add(self, data: bytes) -> None:
        """To be written with the next ``grow``."""
        if data:
            self._pending.append(data)

    def write(self) -> int:
        """Write what waits, and go on waiting: it is not settled yet. Returns the file's size then.

        Raises:
            OSError: not all of it was written.
        """
        if self._fd < 0:
            self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        data, at = memoryview(b"".join(self._pending)), self.size_bytes
        head_bytes = _BOX_HEAD_BYTES if self._has_boxes else 0
        self._write(data[head_bytes:], at + head_bytes)
        self._write(data[:head_bytes], at)
        return at + len(data)

    def _write(self, left: memoryview, at: int) -> None:
        while left:
            count = os.pwrite(self._fd, left, at)
            left, at = left[count:], at + count

    def settle(self, size_bytes: int) -> None:
        """What was written belongs to the file from now on."""
        self.size_bytes = size_bytes
        self._pending.clear()

    def cut_back(self) -> None:
        """Take what was not settled away."""
        if self._fd >= 0:
            with suppress(OSError):
                os.ftruncate(self._fd, self.size_bytes)

    def sync(self) -> None:
        """Wait until the disk has what was written, so that it outlasts the machine's end too.

        Raises:
            OSError: it cannot have it.
        """
        if self._fd >= 0:
            os.fdatasync(self._fd)

    def close(self) -> None:
        """Let go of it; what waits is not written."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def grow(folder: Path, files: Sequence[GrowingFile]) -> None:
    """Write what waits for all files, in their order, or nothing.

    Raises:
        DiskFull: there is no room; it waits still, and every file is as it was.
        NotRecorded: it cannot be written at all; the same.
    """
    wanting = [file for file in files if file.is_pending]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sizes = [file.write() for file in wanting]
    except OSError as error:
        for file in wanting:
            file.cut_back()
        kind = DiskFull if error.errno in _FULL else NotRecorded
        raise kind(str(error.filename or folder), error.strerror or str(error)) from error
    for file, size_bytes in zip(wanting, sizes, strict=True):
        file.settle(size_bytes)
