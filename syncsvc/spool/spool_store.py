"""What a spool hands out: batches that wait to be written and those that are, as a store that others stand before."""

import logging
import sqlite3
import threading
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Final

from syncsvc.mcap.mcap_reader import McapReader
from syncsvc.publish.store import LOST, Kept
from syncsvc.spool.index import Index, Row
from syncsvc.spool.segments import path_of, read
from syncsvc.spool.waiting import Waiting
from syncsvc.wire import BATCH_PREFIX, CODED_PREFIX, HEAD_PREFIX, Mark, Place

DAMAGED: Final = "damaged"
"""It is not what was written."""
_BEFORE_MEMORY: Final = -(1 << 62)
"""Whatever is on the disk comes before what is in memory."""

log = logging.getLogger(__name__)


class SpoolStore:
    """A store (see ``publish.store``) of one run; ``append`` from whoever sends, the rest from one other thread.

    A group's batches lie there under one topic. Those that went under ``batch/`` are handed out under ``coded/`` and
    ``head/`` too: what these would have is in them.
    """

    def __init__(
        self, folder: Path, waiting: Waiting, begin: Mark, keep_ns: int, report: Callable[[Row, str], None]
    ) -> None:
        """Prepare.

        Args:
            folder: of the spool.
            waiting: those on their way.
            begin: before every batch of this run.
            keep_ns: how far back it is to reach.
            report: told of what cannot be read.
        """
        self._folder, self._waiting, self._begin, self._report = folder, waiting, begin, report
        self.keep_ns, self.is_open = keep_ns, False
        self._index: Index | None = None
        self._lock = threading.Lock()
        self._groups: dict[str, bool] = {}
        self._newest: dict[str, Mark] = {}
        self._gone: dict[tuple[str, Place], str] = {}
        self._reader: McapReader | None = None

    # From the writer's thread.

    def open(self, index: Index | None) -> None:
        """The index agrees with the segments; None: it cannot be read now, and may be later."""
        groups = {} if index is None else index.groups()
        with self._lock:
            for name, is_whole in groups.items():
                self._groups[name] = self._groups.get(name, False) or is_whole
        if index is not None:
            self._index = Index(self._folder)
        self.is_open = True

    # From whoever sends.

    def append(self, batch: Kept) -> None:
        """A batch is on its way, or is not to be had, and it is the newest of its group either way."""
        with self._lock:
            is_whole = batch.topic.startswith(BATCH_PREFIX)
            self._groups[batch.group] = self._groups.get(batch.group, False) or is_whole
            self._newest[batch.group] = batch.mark

    # From who serves.

    @property
    def topics(self) -> Collection[bytes]:
        """See ``Store``."""
        with self._lock:
            groups = dict(self._groups)
        coded = {CODED_PREFIX + name.encode() for name in groups}
        return coded | {prefix + name.encode() for name, whole in groups.items() if whole
                        for prefix in (BATCH_PREFIX, HEAD_PREFIX)}  # fmt: skip

    def after(self, topic: bytes, place: Place) -> Kept | None:
        """See ``Store``."""
        name, whole = _asked(topic)
        newest = self._newest.get(name)
        if newest is not None and place >= newest.place:
            return None
        # Whatever is written meanwhile was among those that waited.
        waiting = self._waiting.find(lambda one: _suits(one, name, whole) and one.place > place)
        row = self._look(lambda index: index.after(name, place, whole=whole))
        if row is not None and (waiting is None or (row.epoch, row.seq) <= waiting.place):
            return self._of_row(topic, row)
        return None if waiting is None else self._of_waiting(topic, waiting)

    def oldest(self, topic: bytes) -> Kept | None:
        """See ``Store``."""
        name, whole = _asked(topic)
        waiting = self._waiting.find(lambda one: _suits(one, name, whole))
        row = self._look(lambda index: index.oldest(name, whole=whole))
        if row is not None:
            return self._of_row(topic, row)
        return None if waiting is None else self._of_waiting(topic, waiting)

    def newest(self, topic: bytes) -> Kept | None:
        """The last one of this run, also where it is not here; before the first, the beginning of the run."""
        name, _ = _asked(topic)
        if topic not in self.topics:
            return None
        mark = self._newest.get(name, self._begin)
        return Kept(topic, name, _BEFORE_MEMORY, mark, b"", (), 0, LOST)

    def at(self, topic: bytes, time_ns: int) -> Kept | None:
        """See ``Store``."""
        name, whole = _asked(topic)

        def is_later(one: Kept) -> bool:
            return _suits(one, name, whole) and one.mark.window is not None and one.mark.window[1] > time_ns

        waiting = self._waiting.find(is_later)
        row = self._look(lambda index: index.at(name, time_ns, whole=whole))
        if row is not None:
            return self._of_row(topic, row)
        return None if waiting is None else self._of_waiting(topic, waiting)

    def fetch(self, batch: Kept) -> Kept:
        """See ``Store``."""
        if not batch.is_stored:  # it waits, and is in memory
            return batch
        row = self._look(lambda index: index.here(batch.group, batch.place))
        if row is None:  # its segment was let go of meanwhile
            return self._let_go(batch, LOST)
        try:
            piece = read(self._reader_of(row.segment), row.at)
            it = piece.identity
            if (it.group, it.epoch, it.seq, it.run_id) != (row.name, row.epoch, row.seq, row.run_id):
                raise ValueError("it is another batch than the index says")
        except FileNotFoundError:
            return self._let_go(batch, LOST)
        except (ValueError, OSError) as error:
            self._report(row, str(error))
            return self._let_go(batch, DAMAGED)
        payloads = () if batch.topic.startswith(HEAD_PREFIX) else piece.payloads
        return replace(batch, header=piece.header, payloads=payloads)

    def _let_go(self, batch: Kept, why_not: str) -> Kept:
        self._gone[batch.group, batch.place] = why_not
        return batch.gone(why_not)

    def _look(self, ask: Callable[[Index], Row | None]) -> Row | None:
        if self._index is None:
            return None
        try:
            return ask(self._index)
        except sqlite3.Error as error:
            log.warning("spool: the index cannot be read: %s", error)
            return None

    def _reader_of(self, segment: int) -> McapReader:
        path = path_of(self._folder, segment)
        if self._reader is None or self._reader.path != path or not path.exists():
            self._close_reader()
            self._reader = McapReader(path)
        return self._reader

    def _of_row(self, topic: bytes, row: Row) -> Kept:
        why_not = self._gone.get((row.name, (row.epoch, row.seq)), "") or (DAMAGED if row.damage else "")
        return Kept(
            topic, row.name, _BEFORE_MEMORY + row.id, row.mark, b"", (), row.size_bytes, why_not, is_stored=True
        )

    @staticmethod
    def _of_waiting(topic: bytes, batch: Kept) -> Kept:
        payloads = () if topic.startswith(HEAD_PREFIX) else batch.payloads
        return replace(batch, topic=topic, payloads=payloads)

    def close(self) -> None:
        """Let go of the index, and of the segment that was read last."""
        self._close_reader()
        if self._index is not None:
            self._index.close()
            self._index = None

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def _asked(topic: bytes) -> tuple[str, bool]:
    """Whose batches lie under a topic, and whether they must be whole."""
    prefix, _, name = topic.partition(b"/")
    return name.decode(), prefix + b"/" != CODED_PREFIX


def _suits(batch: Kept, name: str, whole: bool) -> bool:
    return batch.group == name and (not whole or batch.topic.startswith(BATCH_PREFIX))
