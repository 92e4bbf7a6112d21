"""One GET, for cameras that speak HTTP: no redirects, every wait bounded, and we see when which byte came.

Certificates are not checked: cameras sign their own. User and password of the URL answer Basic and Digest.
"""

import base64
import http.client
import io
import socket
from collections import deque
from collections.abc import Callable
from contextlib import closing
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urlsplit

from syncsvc.camera_http import digest_answer, tls_context
from syncsvc.capture.decode import describe
from syncsvc.capture.spec import OPEN_TIMEOUT_S, READ_TIMEOUT_S
from syncsvc.clock import NS_PER_S, Clock
from syncsvc.errors import SourceUnavailable

_CHUNK_BYTES = 1 << 16
_KEPT_ARRIVALS = 8192
_FAULTS = (OSError, http.client.HTTPException, ValueError)


class _MovableDeadline:
    """When the other side's patience with us, or ours with it, ends; may be moved."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self.move(seconds)

    def move(self, seconds: float) -> None:
        """To so many seconds from now."""
        self._end_ns = self._clock.monotonic_ns() + round(seconds * NS_PER_S)

    def left_s(self) -> float:
        """Until then.

        Raises:
            TimeoutError: it is over.
        """
        left_ns = self._end_ns - self._clock.monotonic_ns()
        if left_ns <= 0:
            raise TimeoutError
        return left_ns / NS_PER_S


class _BoundedSocket(io.RawIOBase):
    """What http.client reads of a socket, until the deadline, however it drips; a time-out would be for each drop."""

    def __init__(self, connection: socket.socket, deadline: _MovableDeadline) -> None:
        self._connection, self._deadline = connection, deadline

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._connection.settimeout(self._deadline.left_s())
        return self._connection.recv_into(buffer)

    def close(self) -> None:
        self._connection.close()
        super().close()


class Answer:
    """The answer to a GET: its headers, and its body as it comes.

    It reads like a file for libav. Every read ends at the deadline that ``wait_at_most`` sets.
    """

    def __init__(
        self, source_id: str, url: str, clock: Clock, response: http.client.HTTPResponse, deadline: _MovableDeadline
    ) -> None:
        self._source_id, self.url, self._clock = source_id, url, clock
        self._response, self.headers, self._deadline = response, response.headers, deadline
        self._offset = 0
        self._arrivals: deque[tuple[int, int]] = deque(maxlen=_KEPT_ARRIVALS)

    def wait_at_most(self, seconds: float) -> None:
        """From now on, reads that end later fail."""
        self._deadline.move(seconds)

    def read(self, size: int = _CHUNK_BYTES) -> bytes:
        """What is there, at most ``size`` bytes, waiting for the first of them; empty at the end of the body.

        Raises:
            SourceUnavailable: nothing came in time, or the connection broke.
        """
        if self._response.isclosed():
            return b""
        try:
            self._deadline.left_s()  # what was read ahead comes without a wait
            data = self._response.read1(size)
        except _FAULTS as error:
            raise SourceUnavailable(self._source_id, f"stopped sending: {describe(error)}") from error
        self._offset += len(data)
        self._arrivals.append((self._offset, self._clock.monotonic_ns()))
        return data

    def read_all(self, limit_bytes: int, limit_s: float, tick: Callable[[], None]) -> bytes:
        """The whole body, and disconnect; calls ``tick`` as it comes.

        Raises:
            SourceUnavailable: it is bigger, or did not come in time.
        """
        end_ns = self._clock.monotonic_ns() + round(limit_s * NS_PER_S)
        body = bytearray()
        with closing(self):
            while True:
                tick()
                self.wait_at_most(min(READ_TIMEOUT_S, (end_ns - self._clock.monotonic_ns()) / NS_PER_S))
                data = self.read()
                if not data:
                    return bytes(body)
                body += data
                if len(body) > limit_bytes:
                    raise SourceUnavailable(self._source_id, f"sends more than {limit_bytes >> 20} MiB at once")

    def arrived_at(self, offset: int) -> int | None:
        """When the body's byte at ``offset`` came (CLOCK_MONOTONIC); to be asked in rising order."""
        while len(self._arrivals) > 1 and self._arrivals[0][0] <= offset:
            self._arrivals.popleft()
        return self._arrivals[0][1] if self._arrivals and self._arrivals[0][0] > offset else None

    def close(self) -> None:
        """Disconnect."""
        self._response.close()


def get(source_id: str, url: str, clock: Clock, range_bytes: tuple[int, int] | None = None) -> Answer:
    """Ask for ``url``, or for ``(offset, length)`` of it; a user and a password in it answer a challenge.

    Raises:
        SourceUnavailable: no answer in five seconds, from the look for the host to the last header, or one other than
            success; the message has no URL.
    """
    headers = {"User-Agent": "syncsvc", "Accept": "*/*", "Accept-Encoding": "identity", "Connection": "close"}
    if range_bytes is not None:
        headers["Range"] = f"bytes={range_bytes[0]}-{range_bytes[0] + range_bytes[1] - 1}"
    deadline = _MovableDeadline(clock, OPEN_TIMEOUT_S)
    try:
        parts = urlsplit(url)
        response = _ask(parts, headers, deadline)
        if response.status == 401 and parts.username is not None:
            authorization = _authorization(parts, response.headers.get_all("WWW-Authenticate", []))
            if authorization is not None:
                response.close()
                response = _ask(parts, headers | {"Authorization": authorization}, deadline)
    except _FAULTS as error:
        raise SourceUnavailable(source_id, f"cannot be opened: {describe(error)}") from error
    if response.status == (200 if range_bytes is None else 206):
        deadline.move(READ_TIMEOUT_S)
        return Answer(source_id, url, clock, response, deadline)
    response.close()
    why = f"HTTP {response.status} {http.client.responses.get(response.status, '')}".rstrip()
    if 300 <= response.status < 400:
        why += ", and redirects are not followed"
    raise SourceUnavailable(source_id, f"cannot be opened: {why}")


def _ask(parts: SplitResult, headers: dict[str, str], deadline: _MovableDeadline) -> http.client.HTTPResponse:
    is_tls = parts.scheme == "https"
    port = parts.port or (http.client.HTTPS_PORT if is_tls else http.client.HTTP_PORT)
    connection = _connect(parts.hostname or "", port, deadline)
    try:
        if is_tls:
            context = tls_context()
            connection.settimeout(deadline.left_s())
            connection = context.wrap_socket(connection, server_hostname=parts.hostname)
        lines = [f"GET {_target(parts)} HTTP/1.1", f"Host: {_host(parts)}", *map(": ".join, headers.items())]
        if any("\r" in line or "\n" in line for line in lines):
            raise ValueError("a user's name must not add lines of its own")  # a playlist may name any
        connection.settimeout(deadline.left_s())
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        answer: Any = _BoundedSocket(connection, deadline)
        response = http.client.HTTPResponse(answer, method="GET")
        response.begin()
        return response
    except BaseException:
        connection.close()
        raise


def _connect(host: str, port: int, deadline: _MovableDeadline) -> socket.socket:
    problem = OSError("has no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(deadline.left_s())
            connection.connect(address)
            return connection
        except OSError as error:
            connection.close()
            problem = error
    raise problem


def _host(parts: SplitResult) -> str:
    """Host and port, as they go into the Host line."""
    name = parts.hostname or ""
    name = f"[{name}]" if ":" in name else name.encode("idna").decode()
    return name if parts.port is None else f"{name}:{parts.port}"


def _target(parts: SplitResult) -> str:
    """Path and query, as they go into the request line."""
    return quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe="%/?:@!$&'()*+,;=~[]")


def _authorization(parts: SplitResult, challenges: list[str]) -> str | None:
    """The answer to the server's challenge, Digest before Basic; None where it asks for something else."""
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    schemes = {scheme.lower(): rest for scheme, _, rest in (text.strip().partition(" ") for text in challenges)}
    if "digest" in schemes:
        url = f"{parts.scheme}://{parts.hostname}{_target(parts)}"
        return digest_answer(schemes["digest"], "GET", url, user, password)
    if "basic" in schemes:
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    return None
