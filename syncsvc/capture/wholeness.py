"""Whether a file ends before its container says so: cameras lose power, copies break off, and libav tells nobody."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_MOST_PARTS = 1_000_000


def missing_bytes(path: Path) -> int:
    """How many bytes a Matroska, MP4 or AVI file lacks of what it says; 0 where it lacks none, or says nothing.

    Raises:
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        parts = (
            _ebml if head[:4] == _EBML else _riff if head[:4] == b"RIFF" else _boxes if head[4:8] == b"ftyp" else None
        )
        return max(0, max(parts(file, size), default=0) - size) if parts is not None else 0


def _ebml(file: BinaryIO, size: int) -> Iterator[int]:
    """Where the header and the segment end.

    Source: RFC 8794, 4 and 6.
    """
    at = 0
    for _ in range(2):
        file.seek(at)
        head = file.read(12)
        if len(head) < 12 or head[:4] not in (_EBML, _SEGMENT) or not head[4]:
            return
        length = 9 - head[4].bit_length()
        value = int.from_bytes(head[4 : 4 + length], "big") & ((1 << 7 * length) - 1)
        if value == (1 << 7 * length) - 1:  # of unknown size, as of a stream
            return
        at += 4 + length + value
        yield at


def _riff(file: BinaryIO, size: int) -> Iterator[int]:
    """Where each RIFF chunk ends: big files have several."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        head = file.read(8)
        if head[:4] != b"RIFF":
            return
        length = int.from_bytes(head[4:], "little")
        if not length:  # never finished, so it says nothing
            return
        at += 8 + length + length % 2
        yield at - length % 2


def _boxes(file: BinaryIO, size: int) -> Iterator[int]:
    """Where each box of the file ends.

    Source: ISO/IEC 14496-12, 4.2.
    """
    at = 0
    for _ in range(_MOST_PARTS):
        file.seek(at)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if len(head) < 8 or length < 8 or not head[4:8].isascii():  # the last one may go to the end, and say 0
            return
        at += length
        yield at
        if at >= size:
            return
