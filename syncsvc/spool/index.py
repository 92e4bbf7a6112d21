"""Which batches the segments hold, and where: rows in SQLite, which can be made again from the segments."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple, Self

from syncsvc.wire import Mark, Place

FILE: Final = "index.sqlite"
VERSION: Final = 1
BUSY_S: Final = 5.0
_BROKEN: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS segments (
  number INTEGER PRIMARY KEY, size_bytes INTEGER NOT NULL, newest_ns INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS batches (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, epoch INTEGER NOT NULL, seq INTEGER NOT NULL, run_id TEXT NOT NULL,
  start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL, is_whole INTEGER NOT NULL, segment INTEGER NOT NULL,
  at INTEGER NOT NULL, size_bytes INTEGER NOT NULL, damage TEXT NOT NULL DEFAULT '', UNIQUE (name, epoch, seq));
CREATE INDEX IF NOT EXISTS by_time ON batches (name, end_ns);
CREATE INDEX IF NOT EXISTS by_segment ON batches (segment);
"""
_ROW: Final = "id, name, epoch, seq, run_id, start_ns, end_ns, is_whole, segment, at, size_bytes, damage"


class Row(NamedTuple):
    """Where a batch of the group ``name`` lies; ``damage`` says why it is not to be had."""

    id: int
    name: str
    epoch: int
    seq: int
    run_id: str
    start_ns: int
    end_ns: int
    is_whole: bool
    segment: int
    at: int
    size_bytes: int
    damage: str = ""

    @property
    def mark(self) -> Mark:
        """Which batch it is."""
        return Mark(self.run_id, self.epoch, self.seq, (self.start_ns, self.end_ns))


class SegmentRow(NamedTuple):
    """A segment as far as it is indexed; ``newest_ns`` is the last window's end in it."""

    number: int
    size_bytes: int
    newest_ns: int


class Index:
    """A connection to it, of one thread.

    Raises:
        sqlite3.Error: in each method; it is damaged, or cannot be read or written.
    """

    def __init__(self, folder: Path, *, is_synced: bool = False) -> None:
        """Open it; ``is_synced``: a row that is committed survives the machine's end too, not only ours."""
        self._path = folder / FILE
        self._db = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute(f"PRAGMA synchronous={'FULL' if is_synced else 'NORMAL'}")
            self._db.executescript(_TABLES)
        except sqlite3.Error:
            self._db.close()
            raise

    @classmethod
    def made_again(cls, folder: Path, *, is_synced: bool = False) -> Self:
        """An empty one in the place of one that is damaged."""
        for suffix in ("", "-wal", "-shm"):
            (folder / f"{FILE}{suffix}").unlink(missing_ok=True)
        return cls(folder, is_synced=is_synced)

    def check(self) -> None:
        """Look whether it is sound.

        Raises:
            sqlite3.DatabaseError: it is not.
        """
        (word,) = self._db.execute("PRAGMA quick_check").fetchone()
        if word != "ok":
            raise sqlite3.DatabaseError(str(word))

    @contextmanager
    def _together(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    # Written.

    def add(self, segment: SegmentRow, rows: Sequence[Row]) -> None:
        """Batches are in a segment, which is so long then. A batch that is there already stays where it is."""
        with self._together():
            marks = ", ".join("?" * len(Row._fields))
            self._db.executemany(f"INSERT OR IGNORE INTO batches ({_ROW}) VALUES ({marks})", rows)
            self._db.execute("INSERT OR REPLACE INTO segments VALUES (?, ?, ?)", segment)

    def forget(self, number: int) -> int:
        """A segment is gone; how many batches that are."""
        with self._together():
            count = self._db.execute("DELETE FROM batches WHERE segment = ?", (number,)).rowcount
            self._db.execute("DELETE FROM segments WHERE number = ?", (number,))
        return count

    def note_damage(self, row_id: int, damage: str) -> None:
        """A batch cannot be read."""
        self._db.execute("UPDATE batches SET damage = ? WHERE id = ?", (damage, row_id))

    # Read.

    def segments(self) -> list[SegmentRow]:
        """All of them, the oldest first."""
        return [SegmentRow(*row) for row in self._db.execute("SELECT * FROM segments ORDER BY number")]

    def places(self, number: int) -> list[int]:
        """Where the batches of a segment begin, in their order."""
        return [at for (at,) in self._db.execute("SELECT at FROM batches WHERE segment = ? ORDER BY at", (number,))]

    def groups(self) -> dict[str, bool]:
        """The groups that there are batches of, and whether some are whole."""
        found = self._db.execute("SELECT name, max(is_whole) FROM batches GROUP BY name")
        return {name: bool(is_whole) for name, is_whole in found}

    def after(self, name: str, place: Place, *, whole: bool) -> Row | None:
        """The first batch of a group behind a place."""
        order = "AND (epoch, seq) > (?, ?) ORDER BY epoch, seq"
        return self._one(f"{_named(whole)} {order}", (name, *place))

    def here(self, name: str, place: Place) -> Row | None:
        """The batch at a place."""
        return self._one("name = ? AND epoch = ? AND seq = ?", (name, *place))

    def oldest(self, name: str, *, whole: bool) -> Row | None:
        """The first one that is not damaged."""
        return self._one(f"{_named(whole)} AND damage = '' ORDER BY epoch, seq", (name,))

    def newest(self, name: str) -> Row | None:
        """The last one of a group."""
        return self._one("name = ? ORDER BY epoch DESC, seq DESC", (name,))

    def at(self, name: str, time_ns: int, *, whole: bool) -> Row | None:
        """The first one whose window ends after a time."""
        return self._one(f"{_named(whole)} AND end_ns > ? ORDER BY end_ns, epoch, seq", (name, time_ns))

    def last_id(self) -> int:
        """The highest number of a row; 0 where there is none."""
        (found,) = self._db.execute("SELECT max(id) FROM batches").fetchone()
        return found or 0

    def count(self) -> int:
        """How many batches there are."""
        (found,) = self._db.execute("SELECT count(*) FROM batches").fetchone()
        return int(found)

    def _one(self, where: str, values: Sequence[object]) -> Row | None:
        found = self._db.execute(f"SELECT {_ROW} FROM batches WHERE {where} LIMIT 1", values).fetchone()
        return None if found is None else Row(*found)

    def close(self) -> None:
        """Let go of it."""
        self._db.close()


def _named(whole: bool) -> str:
    return f"name = ?{' AND is_whole' * whole}"


def is_broken(error: Exception, *, at_open: bool = False) -> bool:
    """Whether it says that the index is damaged, and not that the disk is full, fails, or somebody is at it.

    ``at_open`` what belongs to another one may lie beside it, which is no error of the disk.
    """
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    is_odd = code in _BROKEN or (at_open and code == sqlite3.SQLITE_IOERR)
    return isinstance(error, sqlite3.DatabaseError) and is_odd
