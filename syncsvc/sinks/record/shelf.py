"""How long recordings are kept, and how much of them: the oldest finished segments go first."""

import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from syncsvc.clock import NS_PER_S

_FINISHED = re.compile(r"[0-9]{6}(\.mcap)?")


class Shelf:
    """The finished segments of a folder.

    Args:
        folder: where they lie.
        keep_s: seconds after their end that they are kept; None: for ever.
        max_bytes: of all of them and of what is written now; None: no bound.
    """

    def __init__(self, folder: Path, keep_s: float | None, max_bytes: int | None) -> None:
        self._folder, self._keep_s, self._max_bytes = folder, keep_s, max_bytes
        self.removed = 0
        self._finished: list[tuple[Path, float, int]] | None = None

    def look_again(self) -> None:
        """A segment was finished."""
        self._finished = None

    def tidy(self, now_ns: int, written_bytes: int) -> None:
        """Take away what is too old, or too much.

        Args:
            now_ns: UTC.
            written_bytes: of the segment that is written now.
        """
        if self._keep_s is None and self._max_bytes is None:
            return
        if self._finished is None:
            self._finished = list(self._look())
        finished = self._finished
        while finished and (self._is_old(finished[0][1], now_ns) or self._is_much(written_bytes)):
            _remove(finished.pop(0)[0])
            self.removed += 1

    def _is_old(self, ended_s: float, now_ns: int) -> bool:
        return self._keep_s is not None and now_ns / NS_PER_S - ended_s > self._keep_s

    def _is_much(self, written_bytes: int) -> bool:
        finished_bytes = sum(one[2] for one in self._finished or ())
        return self._max_bytes is not None and written_bytes + finished_bytes > self._max_bytes

    def _look(self) -> Iterator[tuple[Path, float, int]]:
        """Path, end in UTC seconds, and bytes of each, oldest first."""
        for path in sorted(one for one in self._folder.iterdir() if _FINISHED.fullmatch(one.name)):
            stats = [one.stat() for one in (path.iterdir() if path.is_dir() else (path,))]
            yield path, max((one.st_mtime for one in stats), default=0.0), sum(one.st_size for one in stats)


def _remove(segment: Path) -> None:
    if segment.is_dir():
        shutil.rmtree(segment, ignore_errors=True)
    else:
        with suppress(OSError):
            segment.unlink()
