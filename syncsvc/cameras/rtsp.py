"""RTSP 1.0 messages (RFC 2326): bytes to requests and back, bounded, and without a socket."""

import asyncio
import http.client
import re
import struct
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import unquote, urlsplit

from syncsvc.cameras.rtp import TRACK

MAX_HEAD_BYTES: Final = 16 * 1024
MAX_BODY_BYTES: Final = 64 * 1024

REASONS: Final = http.client.responses | {
    451: "Parameter Not Understood",
    454: "Session Not Found",
    455: "Method Not Valid in This State",
    461: "Unsupported Transport",
    505: "RTSP Version Not Supported",
    551: "Option not supported",
}

_REQUEST_LINE: Final = re.compile(r"([A-Z_]{1,32}) (\S{1,2048}) (RTSP/\d{1,2}\.\d{1,2})")


class MessageError(Exception):
    """The peer does not speak RTSP as we do; ``status`` is the answer that it gets before we hang up."""

    def __init__(self, status: int, problem: str) -> None:
        super().__init__(problem)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """One request; header names are in lower case."""

    method: str
    url: str
    version: str
    headers: dict[str, str]
    body: bytes = b""

    @property
    def camera(self) -> str | None:
        """The camera that the URL's path names, with or without its track; None where it means nothing here."""
        try:
            parts = [unquote(part) for part in urlsplit(self.url).path.split("/") if part and part != "*"]
        except ValueError:  # a URL such as rtsp://[ cannot be split
            return None
        return parts[0] if len(parts) == 1 or parts[1:] == [TRACK] else None


async def read_message(stream: asyncio.StreamReader) -> Request | bytes:
    """The next request, or binary packet between the requests (RFC 2326 section 10.12), whichever channel it is for.

    The end of an empty line, which some clients send to keep a connection alive, is a packet without bytes.

    Args:
        stream: made with ``limit=MAX_HEAD_BYTES``.

    Raises:
        MessageError: this is not RTSP, or larger than we take. The stream cannot be read on.
        EOFError: the stream is at its end.
    """
    first = await stream.readexactly(1)
    if first in b"\r\n":
        return b""
    if first == b"$":
        _, size = struct.unpack("!BH", await stream.readexactly(3))
        return await stream.readexactly(size)
    if not b"A" <= first <= b"Z":
        raise MessageError(400, "a message begins with a method or with $")
    try:
        head = first + await stream.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError as error:
        raise MessageError(413, "the header has no end") from error
    request = _parse_head(head[:-4].decode("utf-8", "replace"))
    length = request.headers.get("content-length", "0")
    if not re.fullmatch(r"\d{1,9}", length):
        raise MessageError(400, "Content-Length is not a number")
    if int(length) > MAX_BODY_BYTES:
        raise MessageError(413, "the body is too large")
    return replace(request, body=await stream.readexactly(int(length)))


def _parse_head(head: str) -> Request:
    first, *lines = head.split("\r\n")
    match = _REQUEST_LINE.fullmatch(first)
    if match is None:
        raise MessageError(400, "the request line is not METHOD URL RTSP/x.y")
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise MessageError(400, "a header line has no colon")
        headers[name.strip().lower()] = value.strip()
    return Request(match[1], match[2], match[3], headers)


@dataclass(frozen=True, slots=True)
class Response:
    """One answer; the connection adds CSeq."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""

    def to_bytes(self, cseq: str | None) -> bytes:
        """The answer as it goes out."""
        body = self.body.encode()
        lines = [f"RTSP/1.0 {self.status} {REASONS[self.status]}"]
        lines += [f"CSeq: {cseq}"] if cseq is not None else []
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        lines += ["Server: syncsvc"]
        lines += [f"Content-Length: {len(body)}"] if body else []
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


@dataclass(frozen=True, slots=True)
class TransportOffer:
    """What a client asks for in SETUP: channels of the connection, or its own UDP ports; the first is for RTP."""

    is_tcp: bool
    first: int
    second: int


def choose_transport(header: str, *, udp_only: bool = False) -> TransportOffer | None:
    """The first alternative of a Transport header that we can serve, and want to; None if there is none."""
    for alternative in header.split(","):
        profile, *parameters = (word.strip() for word in alternative.split(";"))
        options = {key.lower(): value for key, _, value in (word.partition("=") for word in parameters)}
        if "multicast" in options or options.get("mode", "play").strip('"').lower() != "play":
            continue
        if profile.upper() == "RTP/AVP/TCP" and not udp_only:
            pair = _pair(options.get("interleaved", "0-1"), 255)
            if pair is not None:
                return TransportOffer(True, *pair)
        elif profile.upper() in ("RTP/AVP", "RTP/AVP/UDP"):
            pair = _pair(options.get("client_port"), 65_535)
            if pair is not None and pair[0] > 0:
                return TransportOffer(False, *pair)
    return None


def _pair(text: str | None, largest: int) -> tuple[int, int] | None:
    match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", text or "")
    if match is None:
        return None
    first = int(match[1])
    second = int(match[2]) if match[2] else first + 1
    return (first, second) if max(first, second) <= largest and first != second else None
