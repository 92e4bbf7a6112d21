"""A file that takes lines from any thread without ever making one wait for the disk."""

import fcntl
import logging
import os
import stat
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from syncsvc.errors import UsageError
from syncsvc.lifecycle import StopToken, Worker
from syncsvc.observe.records import MAX_LINE_BYTES, AnyRecord, LostRecords, RunRecord, decode, encode

FLUSH_S: Final = 0.25
MOST_PENDING_BYTES: Final = 16 << 20
"""What waits for a disk that stands still: four cameras fill it in four minutes."""
CLOSE_S: Final = 3.0

log = logging.getLogger(__name__)

_Line = tuple[bytes, int]
"""A line, and the number of records that are lost when it is not written."""


@dataclass(frozen=True, slots=True)
class JournalFile:
    """A log that is open for appending by ``fd``."""

    fd: int
    path: Path
    is_new: bool

    def close(self) -> None:
        """Close it, when nobody writes any more; a new file that nothing was written to is removed."""
        try:
            if self.is_new and os.fstat(self.fd).st_size == 0:
                self._remove()
        finally:
            os.close(self.fd)

    def _remove(self) -> None:
        with suppress(OSError):  # it stays, then: an empty file is no harm
            if os.path.samestat(os.stat(self.path), os.fstat(self.fd)):
                self.path.unlink()


def open_journal(path: Path) -> JournalFile:
    """Open a log for appending.

    A new file gets mode 0600. One that is there is appended to if it is an observation log, and else left alone.

    Raises:
        UsageError: it cannot be written, is no regular file, or is something else than an observation log.
    """
    is_new, flags = True, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    try:
        try:
            fd = os.open(path, flags | os.O_EXCL, 0o600)
        except FileExistsError:
            is_new, fd = False, os.open(path, flags, 0o600)
    except OSError as error:
        raise UsageError(f"the observation log {path} cannot be written: {error.strerror}") from error
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise UsageError(f"the observation log {path} cannot be written: it is no regular file")
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # of the open file: the receiver that gets it shares it
        if found.st_size and not _begins_with_a_run(os.pread(fd, MAX_LINE_BYTES, 0)):
            raise UsageError(f"{path} exists and is no observation log: nothing is written to it")
    except BlockingIOError as error:
        os.close(fd)
        raise UsageError(f"the observation log {path} cannot be written: another service writes to it") from error
    except UsageError:
        os.close(fd)
        raise
    return JournalFile(fd, path, is_new)


def _begins_with_a_run(data: bytes) -> bool:
    try:
        return isinstance(decode(data.split(b"\n", 1)[0]), RunRecord)
    except ValueError:
        return False


class Journal:
    """Appends records to a file, in the order of ``put``; a thread of its own writes them every quarter of a second.

    What the disk does not take is dropped in whole records and counted: a ``lost_records`` line stands where they would
    have stood, as soon as there is room for it.
    """

    def __init__(self, fd: int, *, most_pending_bytes: int = MOST_PENDING_BYTES) -> None:
        """Append to ``fd``, which stays the caller's."""
        self._fd, self._most_pending_bytes = fd, most_pending_bytes
        self._lock = threading.Lock()
        self._lines: list[_Line] = []
        self._pending_bytes = self._refused = 0
        self._unwritten = 0  # the writer's own: lost on their way to the disk, and not told yet
        self._is_mid_line = os.fstat(fd).st_size > 0  # whoever wrote before us may have been killed while writing
        self._has_warned = False
        self._writer = Worker("journal", self.run, self._on_failure)

    def __enter__(self) -> Self:
        self._writer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def put(self, record: AnyRecord) -> None:
        """Queue one record. From any thread; waits for nothing but other callers."""
        line = encode(record) + b"\n"
        with self._lock:
            if self._pending_bytes + len(line) > self._most_pending_bytes:
                self._refused += 1
                return
            self._tell_refused()
            self._lines.append((line, 1))
            self._pending_bytes += len(line)

    def close(self) -> None:
        """Write what waits, and end the thread; what is put later is not written."""
        if self._writer.is_alive and not self._writer.stop(CLOSE_S):
            log.warning("the observation log's disk stands still: its end is not written")

    def run(self, stop: StopToken) -> None:
        """Write until the stop, and then what still waits."""
        while not stop.sleep(FLUSH_S):
            self.flush()
        with self._lock:
            self._tell_refused()
        self.flush()

    def flush(self) -> None:
        """Write what waits. From one thread."""
        with self._lock:
            lines, self._lines, self._pending_bytes = self._lines, [], 0
        if self._unwritten:
            lines.insert(0, self._lost(self._unwritten))
        written = self._write(b"".join(line for line, _ in lines))
        self._unwritten = sum(records for _, records in lines[written:])

    def _tell_refused(self) -> None:
        if self._refused:
            self._lines.append(self._lost(self._refused))
            self._refused = 0

    def _lost(self, count: int) -> _Line:
        return encode(LostRecords(count=count)) + b"\n", count

    def _write(self, lines: bytes) -> int:
        """Write; returns how many of the lines are on the disk as a whole."""
        start = b"\n" if self._is_mid_line and lines else b""
        data, done = start + lines, 0
        try:
            while done < len(data):
                done += os.write(self._fd, memoryview(data)[done:])
            self._has_warned = self._has_warned and not data
        except OSError as error:  # a full disk, most likely: the service goes on, and the log says what it lacks
            if not self._has_warned:
                log.warning("the observation log cannot be written: %s", error.strerror)
                self._has_warned = True
        if done:
            self._is_mid_line = data[done - 1] != ord("\n")
        return max(0, data.count(b"\n", 0, done) - len(start))

    def _on_failure(self, name: str, error: BaseException) -> None:
        log.error("thread %s broke: the observation log ends here", name, exc_info=error)
