"""Finds the pictures in what a camera sends one after the other, and what it says of each in between; pure.

Cameras differ in everything that ``multipart/x-mixed-replace`` consists of: boundaries end with dashes, or are others
than those announced, lengths are wrong, types and blank lines are missing. What is always right is the JPEG itself. So
a picture ends where its own end is, and what stands between two of them is read for header lines; the delimiter is
learnt from the stream, and only separates what is no whole picture.

Source: ITU-T T.81, annex B; RFC 2046, 5.1.1.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

MAX_PART_BYTES = 32 << 20
SOI = b"\xff\xd8\xff"
_EOI = b"\xff\xd9"
_EDGE = re.compile(rb"\xff(?:\xd9|\xd8\xff)")
"""Where a scan ends, or another picture begins; a byte 0xFF of the scan itself has a 0 behind it."""
_SCAN = 0xDA
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})
"""Markers without a length."""
_MAX_HEAD_BYTES = 8192
_MAX_BETWEEN_BYTES = 1 << 20
_END_OF_HEAD = re.compile(rb"\A\r?\n|\r?\n\r?\n")
_NO_PICTURE = ("text/", "audio/", "application/json", "application/xml")


@dataclass(frozen=True, slots=True)
class Part:
    """One part: its headers by lower-case name, its body, and when its first and its last byte came."""

    headers: Mapping[str, str]
    body: bytes
    start_mono_ns: int
    end_mono_ns: int

    @property
    def is_picture(self) -> bool:
        """Whether it is one, or was meant to be one."""
        return self.body.startswith(SOI) or not self.headers.get("content-type", "").lower().startswith(_NO_PICTURE)


class JpegEnd:
    """Looks for the end of a JPEG that comes bit by bit.

    ``end`` is where it ends, ``broken_at`` where it goes on as no JPEG does: the picture was cut off.
    """

    def __init__(self) -> None:
        self._at = 2
        self._is_scan = False
        self.end: int | None = None
        self.broken_at: int | None = None

    def look(self, data: bytearray) -> None:
        """``data`` is what has come, from the picture's first byte on."""
        while not self._is_scan and self.end is None and self.broken_at is None:
            if self._at + 4 > len(data) and data[self._at : self._at + 2] != _EOI:
                return
            self._pass_marker(data)
        if not self._is_scan:
            return
        edge = _EDGE.search(data, self._at)
        if edge is None:
            self._at = max(self._at, len(data) - 2)
        elif edge[0] == _EOI:
            self.end = edge.end()
        else:
            self.broken_at = edge.start()

    def _pass_marker(self, data: bytearray) -> None:
        marker = data[self._at + 1]
        if data[self._at] != 0xFF or marker == 0xD8 or (marker < 0xC0 and marker != 0x01):
            self.broken_at = self._at
        elif marker == 0xFF:  # fill
            self._at += 1
        elif marker == _EOI[1]:
            self.end = self._at + 2
        elif marker in _ALONE:
            self._at += 2
        else:
            self._at += 2 + int.from_bytes(data[self._at + 2 : self._at + 4], "big")
            self._is_scan = marker == _SCAN


class PartReader:
    """Takes bytes as they come, and gives parts as they are complete.

    Guarantees: it holds at most ``MAX_PART_BYTES`` and what came with their end; a longer part, and whatever is no
    part, is passed over. A part starts behind its delimiter, which many cameras send with the picture before it.
    """

    def __init__(self) -> None:
        self._data = bytearray()
        self._delimiter = b""
        """The whole line, as this camera writes it; empty until one was seen."""
        self._step: Callable[[], bytes | None] = self._read_head
        self._start_mono_ns: int | None = None
        self._leave()

    def feed(self, data: bytes, mono_ns: int) -> Iterator[Part]:
        """Take ``data`` in, which came at ``mono_ns``; gives the parts that it completes."""
        self._data += data
        while True:
            if self._start_mono_ns is None and self._data and self._step != self._find_delimiter:
                self._start_mono_ns = mono_ns
            body = self._step()
            if body is None:
                return
            if body:
                yield self._part(body, mono_ns)

    def rest(self, mono_ns: int) -> Part | None:
        """What has come of a picture when no more will: some cameras leave its end out."""
        return self._part(bytes(self._data), mono_ns) if self._jpeg is not None else None

    def _part(self, body: bytes, mono_ns: int) -> Part:
        start_mono_ns = mono_ns if self._start_mono_ns is None else self._start_mono_ns
        part = Part(self._headers, body, start_mono_ns, mono_ns)
        self._leave()
        return part

    def _leave(self) -> None:
        """Be between two parts."""
        self._headers: Mapping[str, str] = {}
        self._start_mono_ns = None
        self._jpeg: JpegEnd | None = None
        self._searched = self._passed = 0
        self._step = self._find_delimiter if self._delimiter else self._read_head

    # A step takes what it can. It returns a part's body, or nothing of one, or None where it needs more bytes.

    def _find_delimiter(self) -> bytes | None:
        """Pass over everything up to the next delimiter: padding, or what follows a picture in its part."""
        at = self._delimiter_at()
        if at >= 0:
            del self._data[: at + len(self._delimiter)]
            self._searched, self._step = 0, self._read_head
            return b""
        self._passed += self._searched
        del self._data[: self._searched]
        self._searched = 0
        if self._passed <= _MAX_BETWEEN_BYTES:
            return None
        self._delimiter = b""  # it was none, or is none any more
        self._leave()
        return b""

    def _delimiter_at(self) -> int:
        if not self._delimiter:
            return -1
        at = self._data.find(self._delimiter, self._searched)
        self._searched = max(0, len(self._data) - len(self._delimiter))
        return at

    def _read_head(self) -> bytes | None:
        """Header lines, up to a blank line or the picture."""
        data, is_certain = self._data, bool(self._delimiter)
        if not is_certain:
            del data[: len(data) - len(data.lstrip(b"\r\n\0 "))]
        picture_at = data.find(SOI)
        blank = _END_OF_HEAD.search(data, 0, picture_at if picture_at >= 0 else _MAX_HEAD_BYTES)
        if blank is None and picture_at < 0:
            if len(data) > _MAX_HEAD_BYTES:
                del data[: -_MAX_HEAD_BYTES // 8]
            return None
        end = picture_at if blank is None else blank.end()
        lines = bytes(data[:end]).splitlines(keepends=True)
        if blank is not None and not is_certain and not any(b":" in line or line.startswith(b"--") for line in lines):
            after = data[end : end + 8].lstrip(b"\r\n")
            if len(after) < len(SOI):
                return None
            if not after.startswith(SOI):  # a preamble
                del data[:end]
                return b""
        if not is_certain:
            self._delimiter = next(filter(_is_delimiter, reversed(lines)), b"")
        pairs = (line.decode("latin-1").partition(":") for line in lines if not _is_delimiter(line))
        self._headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        del data[:end]
        self._step = self._begin_body
        return b""

    def _begin_body(self) -> bytes | None:
        data = self._data
        first = data[:8].lstrip(b"\r\n")
        if len(first) < len(SOI):
            return None
        if first.startswith(SOI):
            del data[: data.find(SOI)]
            self._jpeg = JpegEnd()
        self._step = self._take_body
        return b""

    def _take_body(self) -> bytes | None:
        if self._jpeg is not None:
            self._jpeg.look(self._data)
            if self._jpeg.end is not None:
                return self._cut(self._jpeg.end)
        broken_at = self._jpeg.broken_at if self._jpeg is not None else None
        said = self._headers.get("content-length", "")
        length = int(said) if re.fullmatch("[0-9]{1,9}", said) else 0
        if self._jpeg is not None and broken_at is None and len(self._data) < min(length, MAX_PART_BYTES):
            return None  # as long as nothing is odd, no delimiter is looked for
        at = self._delimiter_at()
        if at >= 0:
            return self._cut(at)
        if self._jpeg is not None and broken_at is None and len(self._data) <= MAX_PART_BYTES:
            return None
        if broken_at is not None and (self._data.startswith(SOI, broken_at) or not (self._delimiter or length)):
            return self._cut(broken_at)
        self._jpeg = None
        if 0 < length <= len(self._data):
            return self._cut(length)
        if len(self._data) > MAX_PART_BYTES or not (self._delimiter or length):
            del self._data[: -len(self._delimiter) or None]
            self._leave()
            return b""
        return None

    def _cut(self, end: int) -> bytes:
        body = bytes(self._data[:end]).rstrip(b"\r\n")
        del self._data[:end]
        if not body:
            self._leave()
        return body


def _is_delimiter(line: bytes) -> bool:
    return line.startswith(b"--") or (
        b":" not in line and re.fullmatch(rb"[!-~][ -~]{1,200}", line.rstrip()) is not None
    )
