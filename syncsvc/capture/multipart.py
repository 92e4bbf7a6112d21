"""Cuts ``multipart/x-mixed-replace`` into parts with their headers, which libavformat's MJPEG reader throws away; pure.

Lenient where cameras are sloppy: a boundary with or without its dashes, no Content-Length, or a wrong one.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

MAX_PART_BYTES = 32 << 20
_MAX_HEAD_BYTES = 8192
_END_OF_HEAD = re.compile(rb"\A\r?\n|\r?\n\r?\n")


@dataclass(frozen=True, slots=True)
class Part:
    """One part: its headers by lower-case name, its body, and when its first and its last byte came."""

    headers: Mapping[str, str]
    body: bytes
    start_mono_ns: int
    end_mono_ns: int


class PartReader:
    """Takes bytes as they come, and gives parts as they are complete.

    Guarantees: it holds at most ``MAX_PART_BYTES`` and what came with their end; a longer part, and whatever is no
    part, is passed over. A part starts behind its delimiter, which many cameras send with the picture before it.
    """

    def __init__(self, boundary: str) -> None:
        self._token = boundary.strip().strip("-").encode("latin-1", "replace")
        self._data = bytearray()
        self._is_inside = False
        self._headers: Mapping[str, str] | None = None
        self._start_mono_ns: int | None = None
        self._searched = 0
        self.is_over = False
        """Whether the closing delimiter was read: no part will follow."""

    def feed(self, data: bytes, mono_ns: int) -> Iterator[Part]:
        """Take ``data`` in, which came at ``mono_ns``; gives the parts that it completes."""
        self._data += data
        while self._is_inside or self._find_delimiter():
            if self._start_mono_ns is None and self._data:
                self._start_mono_ns = mono_ns
            if self._headers is None and not self._read_headers():
                return
            body = self._take_body()
            if body is None:
                return
            assert self._headers is not None
            assert self._start_mono_ns is not None
            part = Part(self._headers, body, self._start_mono_ns, mono_ns)
            self._leave()
            yield part

    def _find_delimiter(self) -> bool:
        while not self.is_over:
            end = self._data.find(b"\n")
            if end < 0:
                if len(self._data) > _MAX_HEAD_BYTES:
                    del self._data[:-256]  # no delimiter is longer
                return False
            line = bytes(self._data[:end]).strip()
            del self._data[: end + 1]
            name = line.strip(b"-")
            if line.startswith(b"--") and name and name == (self._token or name):
                self._token = name
                self.is_over = line.endswith(b"--")
                self._is_inside = not self.is_over
                return self._is_inside
        return False

    def _read_headers(self) -> bool:
        end = _END_OF_HEAD.search(self._data, 0, _MAX_HEAD_BYTES)
        if end is None:
            if len(self._data) > _MAX_HEAD_BYTES:
                self._leave()
            return False
        lines = self._data[: end.start()].decode("latin-1").splitlines()
        pairs = (line.partition(":") for line in lines)
        self._headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        del self._data[: end.end()]
        return True

    def _take_body(self) -> bytes | None:
        assert self._headers is not None
        length = self._headers.get("content-length", "")
        if re.fullmatch("[0-9]{1,9}", length) and 0 < int(length) <= MAX_PART_BYTES:
            if len(self._data) < int(length):
                return None
            body = bytes(self._data[: int(length)])
            del self._data[: int(length)]
            return body
        delimiter = b"--" + self._token
        found = self._data.find(delimiter, self._searched)
        if found < 0:
            self._searched = max(0, len(self._data) - len(delimiter))
            if len(self._data) > MAX_PART_BYTES:
                self._data.clear()
                self._leave()
            return None
        body = bytes(self._data[:found]).rstrip(b"-\r\n")
        del self._data[:found]
        return body

    def _leave(self) -> None:
        self._is_inside, self._headers, self._start_mono_ns, self._searched = False, None, None, 0
