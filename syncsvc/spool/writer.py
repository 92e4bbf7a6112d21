"""Writes batches to the disk, from a thread of its own, and lets go of the oldest; a disk that is full pauses it."""

import logging
import os
import sqlite3
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from syncsvc.clock import NS_PER_S, Clock
from syncsvc.errors import DiskFull, NotRecorded
from syncsvc.lifecycle import StopToken
from syncsvc.observe.pace import Pace
from syncsvc.observe.status import SpoolState, SpoolStatus
from syncsvc.publish.store import Kept
from syncsvc.spool.index import Index, Row, SegmentRow, is_broken
from syncsvc.spool.plan import SpoolPlan
from syncsvc.spool.recovery import recover
from syncsvc.spool.segments import OpenSegment, path_of
from syncsvc.spool.waiting import Waiting

IDLE_S: Final = 0.25
RETRY_NS: Final = NS_PER_S
LOOK_NS: Final = NS_PER_S
ROOM: Final = 4
"""A full disk is tried again once it has room for so many batches as the one that did not fit."""
MOST_SEGMENT_BYTES, LEAST_SEGMENT_BYTES = 256 << 20, 256 << 10
SEGMENTS: Final = 16
"""A spool that is full is about so many, so that letting go of one costs little of its reach."""
MOST_SEGMENT_NS, LEAST_SEGMENT_NS = 600 * NS_PER_S, NS_PER_S
TOO_SLOW, DISK_FULL, NOT_WRITTEN = "too_slow", "disk_full", "not_written"
CAUSES: Final = (TOO_SLOW, DISK_FULL, NOT_WRITTEN)
"""Why a batch is not in the spool; docs/operations.md says what to do."""

log = logging.getLogger(__name__)


class SpoolWriter:
    """One folder's; ``run`` is a thread's body, the rest may be asked from any."""

    def __init__(
        self, folder: Path, waiting: Waiting, clock: Clock, plan: SpoolPlan, *,
        on_open: Callable[[Index | None], None],
    ) -> None:  # fmt: skip
        """Prepare.

        Args:
            folder: claimed.
            waiting: what is to be written.
            clock: for segments, retries and what is too old.
            plan: how much is kept.
            on_open: called once, from the thread, when index and segments agree; with None where they cannot be read
                now, so that nobody waits for it, and then again.
        """
        self._folder, self._waiting, self._clock, self._on_open = folder, waiting, clock, on_open
        self._keep_ns, self._max_bytes, self._is_synced = plan.keep_ns, plan.max_bytes, plan.is_synced
        self._segment_bytes = min(MOST_SEGMENT_BYTES, max(LEAST_SEGMENT_BYTES, plan.max_bytes // SEGMENTS))
        self._segment_ns = min(MOST_SEGMENT_NS, max(LEAST_SEGMENT_NS, plan.keep_ns // SEGMENTS))
        self._index: Index | None = None
        self._segments: deque[SegmentRow] = deque()
        self._current: OpenSegment | None = None
        self._next_number, self._next_id = 1, 1
        self._problem, self._retry_ns, self._wanted_bytes, self._looked_ns = "", 0, 0, 0
        self._is_dirty = self._has_told = False
        self._skipped: Counter[str] = Counter()
        self._missed = self._written = self._damages = self._pauses = self._batches = 0
        self._reports: deque[tuple[int, str, str]] = deque()
        self._pace = Pace()

    # From any thread.

    def status(self) -> SpoolStatus:
        """How it does."""
        state: SpoolState = "paused" if self._problem else "running" if self._index is not None else "opening"
        segments = tuple(self._segments)
        return SpoolStatus(
            state, self._problem, self._batches, sum(one.size_bytes for one in segments), len(segments), self._written,
            dict.fromkeys(CAUSES, 0) | dict(self._skipped), self._damages, self._pauses, len(self._waiting),
        )  # fmt: skip

    def skip(self, batch: Kept, cause: str) -> None:
        """A batch is not written: who asks for it is told that it is missing."""
        self._skipped[cause] += 1
        if cause == TOO_SLOW and self._pace.allows(self._clock.monotonic_ns()):
            log.error("spool: the disk does not keep up: batch %d of %s is not there; %d wait already",
                      batch.mark.seq, batch.group, len(self._waiting))  # fmt: skip

    def report(self, row: Row, problem: str) -> None:
        """Somebody could not read a batch: it is not what was written."""
        self._reports.append((row.id, problem, f"batch {row.seq} of {row.name}, epoch {row.epoch}, in "
                              f"{path_of(self._folder, row.segment).name}, byte {row.at}"))  # fmt: skip

    # Its own thread.

    def run(self, stop: StopToken) -> None:
        """Write what comes, until nothing more does or the stop."""
        while not stop.is_set and not self._waiting.is_over:
            batch = self._waiting.first(IDLE_S)
            if batch is not None:
                self._take(batch)
                self._waiting.done()
            elif self._index is None:
                self._try(self._open)
            self._look_around()
        self._looked_ns = 0
        self._look_around()
        with suppress(sqlite3.Error):  # it is read anew then
            self._end_segment()
        if self._index is not None:
            self._index.close()

    def _take(self, batch: Kept) -> None:
        """Write a batch, or count it where that cannot be."""
        if self._try(lambda: self._write(batch), batch):
            self._written += 1
            if self._missed:
                log.warning("spool: it goes on; %d batches are missing", self._missed)
                self._missed = 0
        else:
            self._missed += 1
            self.skip(batch, DISK_FULL if self._wanted_bytes else NOT_WRITTEN)

    def _try(self, act: Callable[[], None], batch: Kept | None = None) -> bool:
        """Do what needs the disk, unless it is known not to be had now; whether it went."""
        now_ns = self._clock.monotonic_ns()
        if self._problem and (now_ns < self._retry_ns or not self._has_room()):
            return False
        try:
            if self._index is None:
                self._open()
            act()
        except (NotRecorded, OSError, sqlite3.Error, MemoryError) as error:
            self._pause(error, batch)
            return False
        self._problem, self._wanted_bytes = "", 0
        return True

    def _has_room(self) -> bool:
        try:
            found = os.statvfs(self._folder)
        except OSError:
            return False
        return found.f_bavail * found.f_frsize >= ROOM * self._wanted_bytes

    def _pause(self, error: Exception, batch: Kept | None) -> None:
        """Close what is open, and try again later."""
        is_full = isinstance(error, DiskFull) or getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL
        problem = "the disk is full" if is_full else str(error)
        self._wanted_bytes = (batch.size_bytes if batch is not None else 1 << 16) if is_full else 0
        self._retry_ns = self._clock.monotonic_ns() + RETRY_NS
        if not self._problem:
            self._pauses += 1
            log.error("spool: paused, %s: %s; it goes on by itself once there is room, live is as ever",
                      problem, self._folder)  # fmt: skip
        self._problem = problem
        if self._current is not None:
            if not self._current.close(is_whole=False):
                self._segments.pop()
            self._current = None
        if self._index is not None and is_broken(error):
            self._index.close()
            self._index = None  # it is made again
        if self._index is None and not self._has_told:
            self._has_told = True
            self._on_open(None)

    def _open(self) -> None:
        found = recover(self._folder, is_synced=self._is_synced)
        self._segments, self._next_number = deque(found.segments), found.next_number
        self._damages += found.damages
        self._next_id, self._batches = found.index.last_id() + 1, found.index.count()
        self._has_told = True
        self._on_open(found.index)
        self._index = found.index

    def _write(self, batch: Kept) -> None:
        """Put a batch into the current segment, and then into the index: from there on it is acknowledged."""
        assert self._index is not None, "it was opened"
        size_bytes = batch.size_bytes
        if self._current is not None and self._is_full(self._current, size_bytes):
            self._end_segment()
        self._make_room(size_bytes)
        if self._current is None:
            self._current = OpenSegment(self._folder, self._next_number, self._clock.monotonic_ns())
            self._next_number += 1
            self._segments.append(SegmentRow(self._current.number, 0, 0))
        current, (start_ns, end_ns) = self._current, batch.mark.window or (0, 0)
        at, end = current.append(batch)
        if self._is_synced:
            current.sync()
        mark, is_whole = batch.mark, batch.topic.startswith(b"batch/")
        row = Row(self._next_id, batch.group, mark.epoch, mark.seq, mark.run_id, start_ns, end_ns, is_whole,
                  current.number, at, end - at)  # fmt: skip
        segment = SegmentRow(current.number, end, max(self._segments[-1].newest_ns, end_ns))
        try:
            self._index.add(segment, [row])
        except sqlite3.Error:
            current.cut_back(self._segments[-1].size_bytes)
            raise
        self._segments[-1] = segment
        self._next_id, self._is_dirty, self._batches = self._next_id + 1, True, self._batches + 1

    def _is_full(self, current: OpenSegment, more_bytes: int) -> bool:
        is_old = self._clock.monotonic_ns() - current.begun_ns >= self._segment_ns
        return is_old or current.size_bytes + more_bytes > self._segment_bytes

    def _end_segment(self) -> None:
        current, self._current = self._current, None
        if current is not None and self._index is not None:
            last = self._segments[-1]._replace(size_bytes=current.close())
            self._segments[-1] = last
            self._index.add(last, [])

    def _make_room(self, more_bytes: int) -> None:
        """Let go of what is too old, and of the oldest while there would be too much."""
        too_old_ns = self._clock.utc_ns() - self._keep_ns
        while self._segments:
            oldest, size_bytes = self._segments[0], sum(one.size_bytes for one in self._segments)
            is_current = self._current is not None and oldest.number == self._current.number
            is_over = oldest.newest_ns < too_old_ns or size_bytes + more_bytes > self._max_bytes
            if not is_over or is_current:
                return
            self._let_go(oldest)

    def _let_go(self, segment: SegmentRow) -> None:
        assert self._index is not None, "it was opened"
        path_of(self._folder, segment.number).unlink(missing_ok=True)
        self._batches -= self._index.forget(segment.number)
        self._segments.popleft()

    def _look_around(self) -> None:
        """What is done once a second: let go of what is too old, note what was damaged, wait for the disk."""
        now_ns = self._clock.monotonic_ns()
        if self._index is None or now_ns - self._looked_ns < LOOK_NS:
            return
        self._looked_ns = now_ns
        with suppress(sqlite3.Error, OSError):  # the disk is full: there is a next time
            self._make_room(0)
            self._note_reports()
        if self._current is not None and self._is_dirty and not self._is_synced:
            self._is_dirty = False
            self._try(self._current.sync)

    def _note_reports(self) -> None:
        assert self._index is not None, "it was opened"
        while self._reports:
            number, problem, what = self._reports.popleft()
            self._damages += 1
            log.error("spool: %s is damaged, and is not handed out: %s", what, problem)
            self._index.note_damage(number, problem)
