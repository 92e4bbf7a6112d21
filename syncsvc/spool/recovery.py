"""Makes index and segments agree at a start, whatever the last one left: torn tails, lost rows, no index at all."""

import logging
import os
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

from syncsvc.mcap.mcap_reader import FileDamage, McapReader
from syncsvc.spool.index import FILE, Index, Row, SegmentRow, is_broken
from syncsvc.spool.segments import FoundBatch, numbers_in, path_of, scan

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Recovered:
    """What a spool begins with."""

    index: Index
    segments: list[SegmentRow] = field(default_factory=list)
    next_number: int = 1
    damages: int = 0
    """FoundBatch now; each was logged."""


def open_index(folder: Path, *, is_synced: bool) -> Index:
    """The index, or an empty one where it is damaged, or not there.

    Raises:
        sqlite3.Error, OSError: there can be none.
    """
    if not (folder / FILE).exists():
        return Index.made_again(folder, is_synced=is_synced)  # without what is left of one that is gone
    index: Index | None = None
    try:
        index = Index(folder, is_synced=is_synced)
        index.check()
        return index
    except sqlite3.Error as error:
        if index is not None:
            index.close()
        if not is_broken(error, at_open=True):
            raise
        log.warning("spool: the index is damaged (%s), and made again from the segments", error)
        return Index.made_again(folder, is_synced=is_synced)


def recover(folder: Path, *, is_synced: bool) -> Recovered:
    """Look at every segment that is not as the index has it.

    Raises:
        sqlite3.Error, OSError: the folder cannot be read or written.
    """
    found = Recovered(open_index(folder, is_synced=is_synced))
    indexed = {one.number: one for one in found.index.segments()}
    numbers = numbers_in(folder)
    for number in indexed.keys() - set(numbers):
        lost = found.index.forget(number)
        log.info(
            "spool: segment %d is gone, and %d batches with it, as where what is too old was let go of", number, lost
        )
    for number in numbers:
        known = indexed.get(number)
        row = _as_it_is(folder, number, known, found)
        if row is not None:
            found.segments.append(row)
    found.next_number = max([*numbers, *indexed], default=0) + 1
    return found


def _as_it_is(folder: Path, number: int, known: SegmentRow | None, found: Recovered) -> SegmentRow | None:
    """The row of a segment, read anew where it is not as long as it was; None where nothing is in it."""
    path = path_of(folder, number)
    with McapReader(path) as reader:
        if known is not None and known.size_bytes == reader.size_bytes:
            for damage in _ends(reader, found.index.places(number)):
                _tell(path, damage, found)
            return known
        places = found.index.places(number)
        rows, cut_at = _rows(reader, number, found)
    if cut_at is not None:
        log.info("spool: %s ends in the middle of a batch, as where a writer was killed: cut off", path.name)
        os.truncate(path, cut_at)
    size_bytes = os.stat(path).st_size
    lost = len(set(places) - {row.at for row in rows})
    found.index.forget(number)
    if not rows and not size_bytes:
        path.unlink()
        return None
    if lost:
        log.error("spool: %s has lost %d batches that were in it", path.name, lost)
        found.damages += lost
    row = SegmentRow(number, size_bytes, max((one.end_ns for one in rows), default=0))
    found.index.add(row, rows)
    return row


def _rows(reader: McapReader, number: int, found: Recovered) -> tuple[list[Row], int | None]:
    """The batches of a segment, and from where on it is torn."""
    rows, cut_at, next_id = list[Row](), None, found.index.last_id() + 1
    for one in scan(reader):
        if isinstance(one, FoundBatch):
            rows.append(row_of(one, number, next_id + len(rows)))
        elif one.is_cut:
            cut_at = one.at
        else:
            _tell(reader.path, one, found)
    return rows, cut_at


def row_of(one: FoundBatch, segment: int, number: int) -> Row:
    """The row of a batch that was found."""
    it, (start_ns, end_ns) = one.piece.identity, one.piece.identity.window
    return Row(number, it.group, it.epoch, it.seq, it.run_id, start_ns, end_ns, one.piece.is_whole, segment, one.at,
               one.end - one.at)  # fmt: skip


def _ends(reader: McapReader, places: list[int]) -> list[FileDamage]:
    """What is damaged before the first and behind the last batch: the others are looked at when they are read."""
    if not places:
        return []
    _, _, end = reader.chunk(places[-1])
    around = (reader.step(0).damage, *reader.chunks(end or reader.size_bytes))
    return [one for one in around if isinstance(one, FileDamage)]


def _tell(path: Path, damage: FileDamage, found: Recovered) -> None:
    log.error("spool: %s, byte %d: %s", path.name, damage.at, damage.problem)
    found.damages += 1
