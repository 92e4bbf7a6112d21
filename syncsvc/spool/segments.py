"""The files of a spool: segments that grow by a checked chunk a batch, and are read as far as they are whole."""

import errno
import fcntl
import mmap
import os
import re
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from syncsvc.appending import GrowingFile, grow
from syncsvc.clock import NS_PER_MS, Clock
from syncsvc.errors import BindError, NotRecorded, WireError
from syncsvc.lifecycle import StopToken
from syncsvc.mcap.mcap_reader import FIRST_AT, FileDamage, McapReader
from syncsvc.mcap.mcap_records import CHUNK, CHUNK_HEAD_BYTES, RECORD_HEAD
from syncsvc.mcap.mcap_writer import McapWriter
from syncsvc.publish.store import Kept
from syncsvc.spool.pieces import Piece, message_of, piece_of

LOCK: Final = "lock"
CLAIM_NS: Final = 3000 * NS_PER_MS
"""A receiver that was killed may take a moment to be gone."""
_CHUNK: Final = bytes([CHUNK])
_SIZES: Final = struct.Struct("<QQQIIQ")
"""The head of a chunk behind that of its record: times, sizes, checksum, packing (none)."""
_NAME: Final = re.compile(r"(\d{10})\.mcap")


def path_of(folder: Path, number: int) -> Path:
    """The file of a segment."""
    return folder / f"{number:010}.mcap"


def numbers_in(folder: Path) -> list[int]:
    """The segments that are there, the oldest first."""
    return sorted(int(found[1]) for name in os.listdir(folder) if (found := _NAME.fullmatch(name)))


def claim(folder: Path, clock: Clock) -> int:
    """Make the folder ours, until the descriptor that is returned is closed, or this process ends.

    Raises:
        BindError: another service has it, or it cannot be written.
    """
    what = f"spool.folder {folder}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise BindError(what, f"{error.strerror}; allowed: a folder that can be written") from error
    until_ns, pause = clock.monotonic_ns() + CLAIM_NS, StopToken()
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except OSError as error:
            if error.errno != errno.EWOULDBLOCK or clock.monotonic_ns() >= until_ns:
                os.close(lock)
                raise BindError(what, "another service spools there; allowed: a folder of its own") from error
        pause.sleep(0.05)


class FoundBatch(NamedTuple):
    """A batch that is whole, and where its chunk begins and ends."""

    at: int
    end: int
    piece: Piece


class OpenSegment:
    """The one that is written; a failure ends it, and all that was settled before stays."""

    def __init__(self, folder: Path, number: int, begun_ns: int) -> None:
        """Begin one, monotonic; its file is made with its first batch."""
        self.number, self.begun_ns, self._folder = number, begun_ns, folder
        self._file, self._writer = GrowingFile(path_of(folder, number)), McapWriter()

    @property
    def size_bytes(self) -> int:
        """Of what is settled."""
        return self._file.size_bytes

    def append(self, batch: Kept) -> tuple[int, int]:
        """Add a batch; where its chunk begins and ends.

        Raises:
            DiskFull, NotRecorded: it is not there, and neither is any part of it; close this segment.
        """
        begin = self.size_bytes or FIRST_AT
        self._file.add(self._writer.chunk([message_of(batch)]))
        grow(self._folder, [self._file])
        return begin, self.size_bytes

    def sync(self) -> None:
        """Wait until the disk has it.

        Raises:
            NotRecorded: it has not.
        """
        try:
            self._file.sync()
        except OSError as error:
            raise NotRecorded(str(self._file.path), error.strerror or str(error)) from error

    def cut_back(self, size_bytes: int) -> None:
        """Take away what was added last: nobody knows of it."""
        self._file.settle(size_bytes)
        self._file.cut_back()

    def close(self, *, is_whole: bool = True) -> int:
        """Finish the file where it ``is_whole``, and let go of it; its size then. An empty one goes."""
        if is_whole and self.size_bytes:
            self._file.add(self._writer.tail())
            with suppress(NotRecorded):  # it is read without its end, too
                grow(self._folder, [self._file])
        self._file.close()
        if not self.size_bytes:
            self._file.path.unlink(missing_ok=True)
        return self.size_bytes


def scan(reader: McapReader) -> Iterator[FoundBatch | FileDamage]:
    """All batches of a segment, and what is damaged; behind what nobody knows the length of the next is searched."""
    head = reader.step(0).damage
    if head is not None:
        yield head
        if head.is_cut:
            return
    at: int | None = FIRST_AT
    while at is not None and at < reader.size_bytes:
        found, damage, end = reader.chunk(at)
        if found is not None:
            try:
                yield FoundBatch(found.at, found.end, piece_of(found.messages[0]))
            except (ValueError, WireError, IndexError) as error:
                yield FileDamage(at, f"no batch: {error}")
        if end is not None:
            yield from () if damage is None else (damage,)
            at = end
            continue
        following = _next_chunk(reader, at)
        is_torn = damage is not None and damage.is_cut and following is None and not reader.is_finished
        for one in reader.chunks(at) if head is None else [damage]:  # which know what the tail is
            if isinstance(one, FileDamage):
                yield one._replace(is_cut=is_torn or (one.is_cut and damage != one))
        at = following


def _next_chunk(reader: McapReader, at: int) -> int | None:
    """Where the next sound chunk begins behind a place, found by its form and its checksum."""
    with open(reader.path, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
        at = data.find(_CHUNK, at + 1)
        while at >= 0:
            head = data[at + RECORD_HEAD.size : at + CHUNK_HEAD_BYTES]
            if len(head) == _SIZES.size:
                (whole,) = struct.unpack_from("<Q", data, at + 1)
                _, _, size, _, packing, packed = _SIZES.unpack(head)
                if size == packed == whole - _SIZES.size and not packing and reader.chunk(at)[0] is not None:
                    return at
            at = data.find(_CHUNK, at + 1)
    return None


def read(reader: McapReader, at: int) -> Piece:
    """The batch whose chunk begins at a place.

    Raises:
        ValueError: it is not what was written.
        OSError: it cannot be read.
    """
    found, damage, _ = reader.chunk(at)
    if found is None or damage is not None or len(found.messages) != 1:
        raise ValueError(damage.problem if damage is not None else "a chunk without its batch")
    try:
        return piece_of(found.messages[0])
    except WireError as error:
        raise ValueError(str(error)) from error
