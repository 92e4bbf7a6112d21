"""RTSP as a client reads and writes it: one message at a time, and never a byte of what follows.

Who takes no byte too many can give the connection away between two messages. Source: RFC 2326.
"""

import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

MAX_HEAD_BYTES = 1 << 16
MAX_BODY_BYTES = 1 << 20
_FIRST_LINE = re.compile(r"RTSP/\d+\.\d+ +(\d{3})(?: +(.*))?|([A-Z_]+) +(\S+) +RTSP/\d+\.\d+")
_PRINTABLE = re.compile(r"[^\x20-\x7e]")


class NotRtsp(Exception):
    """What came is no RTSP; ``seen`` is how it begins, printable, and may be empty."""

    def __init__(self, seen: bytes) -> None:
        super().__init__("it is no RTSP")
        self.seen = _PRINTABLE.sub("", seen[:80].decode("latin-1")).strip()


@dataclass(frozen=True, slots=True)
class RtspMessage:
    """A request or a reply, with its headers in their order."""

    first: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    @classmethod
    def request(cls, method: str, url: str, headers: dict[str, str]) -> Self:
        """A request without a body."""
        return cls(f"{method} {url} RTSP/1.0", tuple(headers.items()))

    @classmethod
    def reply(cls, status: int, reason: str, headers: dict[str, str], body: bytes = b"") -> Self:
        """A reply, with the length of its body."""
        length = {"Content-Length": str(len(body))} if body else {}
        return cls(f"RTSP/1.0 {status} {reason}", tuple({**headers, **length}.items()), body)

    @property
    def status(self) -> int:
        """Of a reply; 0 in a request."""
        match = _FIRST_LINE.match(self.first)
        return int(match[1] or 0) if match else 0

    @property
    def reason(self) -> str:
        """The number of a reply and its words."""
        return self.first.partition(" ")[2].strip()

    @property
    def method(self) -> str:
        """Of a request; empty in a reply."""
        match = _FIRST_LINE.match(self.first)
        return (match[3] or "") if match else ""

    @property
    def url(self) -> str:
        """Of a request; empty in a reply."""
        match = _FIRST_LINE.match(self.first)
        return (match[4] or "") if match else ""

    def values(self, name: str) -> list[str]:
        """Of each header of that name, in any case."""
        return [value for header, value in self.headers if header.lower() == name.lower()]

    def value(self, name: str) -> str:
        """Of the first header of that name; empty where there is none."""
        return next(iter(self.values(name)), "")

    def with_header(self, name: str, *values: str) -> Self:
        """The same with these values of a header instead of what it has."""
        kept = tuple(header for header in self.headers if header[0].lower() != name.lower())
        return replace(self, headers=(*kept, *((name, value) for value in values)))

    def __bytes__(self) -> bytes:
        lines = [self.first, *(f"{name}: {value}" for name, value in self.headers), "", ""]
        return "\r\n".join(lines).encode("utf-8", "surrogateescape") + self.body


class Wire:
    """One end of an RTSP connection: messages, and the packets of media between them."""

    def __init__(self, connection: socket.socket, left_s: Callable[[], float]) -> None:
        """Read and write with this patience: ``left_s`` says how long, and raises TimeoutError when it is over."""
        self.connection, self._left_s = connection, left_s

    def read(self) -> RtspMessage | bytes | None:
        """The next message, or a packet as it came, with its four bytes of head; None at the end.

        Raises:
            NotRtsp: it is neither.
            OSError: it did not come in time, or the connection broke.
        """
        first = self._take(1)
        while first in (b"\r", b"\n"):
            first = self._take(1)
        if not first:
            return None
        if first == b"$":
            head = first + self._exactly(3)
            return head + self._exactly(int.from_bytes(head[2:], "big"))
        lines = [self._line(first)]
        if _FIRST_LINE.match(lines[0]) is None:
            raise NotRtsp(lines[0].encode("utf-8", "surrogateescape"))
        size = 0
        while line := self._line(b""):
            lines.append(line)
            size += len(line)
            if size > MAX_HEAD_BYTES:
                raise NotRtsp(lines[0].encode())
        message = RtspMessage(lines[0], tuple(_headers(lines[1:])))
        length = message.value("Content-Length")
        if not re.fullmatch(r"\d{1,7}|", length) or int(length or 0) > MAX_BODY_BYTES:
            raise NotRtsp(f"Content-Length: {length}".encode())
        return replace(message, body=self._exactly(int(length or 0)))

    def write(self, data: bytes) -> None:
        """Send it all.

        Raises:
            OSError: it did not go in time, or the connection broke.
        """
        self.connection.settimeout(self._left_s())
        self.connection.sendall(data)

    def _line(self, begun: bytes) -> str:
        """Up to the next line's end, which does not belong to it."""
        line = bytearray(begun)
        while not line.endswith(b"\n"):
            byte = self._take(1)
            line += byte
            if not byte or len(line) > MAX_HEAD_BYTES:
                raise NotRtsp(bytes(line))
        return line.decode("utf-8", "surrogateescape").rstrip("\r\n")

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            part = self._take(size - len(data))
            if not part:
                raise ConnectionResetError("the connection ended within a message")
            data += part
        return bytes(data)

    def _take(self, size: int) -> bytes:
        self.connection.settimeout(self._left_s())
        return self.connection.recv(size)


def _headers(lines: list[str]) -> list[tuple[str, str]]:
    """Name and value of each line; a folded one goes on with the value before it, and what is none is left out."""
    headers: list[tuple[str, str]] = []
    for line in lines:
        name, colon, value = line.partition(":")
        if line[:1] in " \t" and headers:
            headers[-1] = headers[-1][0], f"{headers[-1][1]} {line.strip()}"
        elif colon:
            headers.append((name.strip(), value.strip()))
    return headers
