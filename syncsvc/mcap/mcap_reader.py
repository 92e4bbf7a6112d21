"""Reads MCAP files of ours as far as they are whole: every byte is checked before it is believed.

A writer that was killed leaves a chunk that is cut off at the end; bits that flipped are told, wherever they are.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple, Self

from syncsvc.mcap import mcap_records as records
from syncsvc.mcap.mcap_records import MAGIC, RECORD_HEAD, ChunkRow, McapChannel, McapMessage, McapSchema
from syncsvc.mcap.mcap_writer import DATA_END, FOOTER_BYTES, HEAD


class StoredChunk(NamedTuple):
    """A chunk that is whole, from ``at`` up to before ``end``; data are views of what was read."""

    at: int
    end: int
    messages: tuple[McapMessage, ...]


class FileDamage(NamedTuple):
    """What is not what was written, from byte ``at`` on.

    ``is_cut``: the file ends there before it should, as where a writer was killed, and nothing comes after it.
    """

    at: int
    problem: str
    is_cut: bool = False


class McapStep(NamedTuple):
    """What begins at a place of a file: a chunk that is whole, what is damaged, or both.

    ``behind`` is where it goes on, as far as known. ``is_end``: it is what finishes a file, whole or not.
    """

    chunk: StoredChunk | None = None
    damage: FileDamage | None = None
    behind: int | None = None
    is_end: bool = False


FIRST_AT: Final = len(HEAD)
"""Where the first chunk begins."""


class McapReader:
    """One file, opened for reading; it may grow meanwhile. Several threads may read.

    Raises:
        OSError: it cannot be opened, and in each method, not be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    @property
    def size_bytes(self) -> int:
        """Of the file, now."""
        return os.fstat(self._fd).st_size

    @property
    def is_finished(self) -> bool:
        """Whether it ends as a finished file does."""
        return self.size_bytes > FIRST_AT and self._read(self.size_bytes - len(MAGIC), len(MAGIC)) == MAGIC

    def chunks(self, at: int = 0) -> Iterator[StoredChunk | FileDamage]:
        """All chunks from a place on, and what is damaged, in their order.

        What comes behind a damaged chunk is found as long as its length is sound. A file that ends behind a chunk, and
        is not finished, has no damage.
        """
        behind: int | None = at
        while behind is not None:
            step = self.step(behind)
            yield from (one for one in (step.chunk, step.damage) if one is not None)
            behind = step.behind

    def step(self, at: int = 0) -> McapStep:
        """What begins at a place: 0, ``FIRST_AT``, or behind a chunk. Nothing at all where the file ends."""
        if at == 0:
            head = self._read(0, FIRST_AT)
            if head == HEAD:
                return McapStep(behind=FIRST_AT)
            problem = "it is cut off" if HEAD.startswith(head) else "it does not begin as an MCAP of ours does"
            return McapStep(damage=FileDamage(0, problem, HEAD.startswith(head)))
        if at >= self.size_bytes:
            return McapStep()
        if self._read(at, 1)[0] == records.DATA_END:
            return McapStep(damage=self._tail_damage(at), is_end=True)
        return McapStep(*self.chunk(at))

    def chunk(self, at: int) -> tuple[StoredChunk | None, FileDamage | None, int | None]:
        """The chunk that begins at a place, what is wrong with it, and where the next one begins, as far as known."""
        kind, size = self._record_head(at)
        begin, end = at + records.CHUNK_HEAD_BYTES, at + RECORD_HEAD.size + size
        if end > self.size_bytes or kind is None:
            return None, FileDamage(at, "a chunk is cut off", is_cut=True), None
        if kind != records.CHUNK or end < begin:
            return None, FileDamage(at, f"a chunk is wanted, found a record of kind {kind}, {size} bytes"), None
        data = memoryview(self._read(at, end - at))
        content = data[records.CHUNK_HEAD_BYTES :]
        try:
            messages, rows = _messages_of(content)
            around = records.frame_of(content, rows)
        except (ValueError, KeyError, struct.error):
            around = None
        if around is None or around.head != data[: len(around.head)]:
            return None, FileDamage(at, "a chunk is damaged, and left out"), self._behind_indexes(end)
        indexes = b"".join(around.indexes.values())
        there = self._read(end, len(indexes))
        if len(there) < len(indexes):
            return None, FileDamage(at, "a chunk's index is cut off", is_cut=True), None
        damage = None if there == indexes else FileDamage(end, "a chunk's index is damaged")
        behind = end + len(indexes)
        return StoredChunk(at, behind, messages), damage, behind

    def _behind_indexes(self, at: int) -> int:
        """Where the next chunk begins, as far as records follow each other there."""
        kind, size = self._record_head(at)
        while kind == records.MESSAGE_INDEX:
            at += RECORD_HEAD.size + size
            kind, size = self._record_head(at)
        return at

    def _tail_damage(self, at: int) -> FileDamage | None:
        """What is wrong with what finishes the file."""
        tail = self._read(at, self.size_bytes - at)
        end = len(tail) - len(MAGIC)
        footer, begin = end - FOOTER_BYTES, len(DATA_END)
        if footer < begin or tail[end:] != MAGIC:
            return FileDamage(at, "the summary is cut off", is_cut=True)
        start, _, crc = struct.unpack("<QQI", tail[footer + RECORD_HEAD.size : end])
        if tail[:begin] != DATA_END or start != at + begin or zlib.crc32(tail[begin : end - 4]) != crc:
            return FileDamage(at, "the summary is damaged")
        return None

    def _record_head(self, at: int) -> tuple[int | None, int]:
        """Kind and size of the record at a place; no kind where the file ends before."""
        head = self._read(at, RECORD_HEAD.size)
        return RECORD_HEAD.unpack(head) if len(head) == RECORD_HEAD.size else (None, 0)

    def _read(self, at: int, size: int) -> bytes:
        """So many bytes, or as many as there are."""
        data = os.pread(self._fd, size, at)
        while 0 < len(data) < size and (more := os.pread(self._fd, size - len(data), at + len(data))):
            data += more
        return data

    def close(self) -> None:
        """Let go of it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _messages_of(content: memoryview) -> tuple[tuple[McapMessage, ...], list[ChunkRow]]:
    """The messages of a chunk's records, and where they lie.

    Raises:
        ValueError, KeyError, struct.error: they are not what they should be.
    """
    schemas: dict[int, McapSchema] = {}
    channels: dict[int, McapChannel] = {}
    found, rows, at = list[McapMessage](), list[ChunkRow](), 0
    while at < len(content):
        kind, size = RECORD_HEAD.unpack_from(content, at)
        begin = at + RECORD_HEAD.size
        if size > len(content) - begin:
            raise ValueError("a record is longer than the chunk")
        record = content[begin : begin + size]
        if kind == records.MESSAGE:
            number, sequence, log_ns, publish_ns = records.MESSAGE_HEAD.unpack_from(record)
            data = record[records.MESSAGE_HEAD.size :]
            found.append(McapMessage(channels[number], log_ns, publish_ns, sequence, data))
            rows.append(ChunkRow(number, log_ns, at))
        elif kind == records.SCHEMA:
            schemas.update([records.schema_of(record)])
        elif kind == records.CHANNEL:
            channels.update([records.channel_of(record, schemas)])
        else:
            raise ValueError(f"a record of kind {kind} in a chunk")
        at = begin + size
    return tuple(found), rows
