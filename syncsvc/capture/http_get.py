"""GETs of one camera: every wait bounded, redirects on its own host alone, and we see when which byte came."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from http.client import responses
from urllib.parse import urljoin

import pycurl

from syncsvc.camera_http import Address, HttpTrouble, address_of, log_in, new_handle, words_of
from syncsvc.capture.login import Challenge, challenges_in, left_by_curl
from syncsvc.clock import NS_PER_S, Clock, sleep_s
from syncsvc.errors import AccessRefused, SourceUnavailable

_CHUNK_BYTES = 1 << 16
_KEPT_ARRIVALS = 8192
_LOOK_S, _NO_SOCKET_S = 0.1, 0.005
_MOST_REDIRECTS = 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_UNAUTHORIZED, _FORBIDDEN = 401, 403
OK, PART, NOT_MODIFIED = 200, 206, 304
_LOGINS = pycurl.HTTPAUTH_DIGEST | pycurl.HTTPAUTH_BASIC


class Answer:
    """The answer to a GET: its headers by lower-case name, and its body as it comes.

    It reads like a file for libav. Every read ends at the deadline that ``wait_at_most`` sets.
    """

    def __init__(self, source_id: str, url: str, clock: Clock, curl: pycurl.Curl, read_timeout_s: float) -> None:
        self._source_id, self.url, self._clock, self._curl = source_id, url, clock, curl
        self._read_timeout_s = read_timeout_s
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.challenges: list[str] = []
        """How it asks who we are."""
        self._lines: list[bytes] = []
        self._is_headed = self._is_over = False
        self._waiting: deque[bytes] = deque()
        self._come = 0
        self._arrivals: deque[tuple[int, int]] = deque(maxlen=_KEPT_ARRIVALS)
        curl.setopt(pycurl.HEADERFUNCTION, self._take_line)
        curl.setopt(pycurl.WRITEFUNCTION, self._take_data)
        self._multi: pycurl.CurlMulti | None = None

    def begin(self, multi: pycurl.CurlMulti, seconds: float) -> None:
        """Ask, and wait for the last header.

        Raises:
            HttpTrouble: there is no answer in time.
        """
        self._multi = multi
        multi.add_handle(self._curl)
        self.wait_at_most(seconds)
        while not self._is_headed:
            self._advance()
        self.wait_at_most(self._read_timeout_s)

    @property
    def kind(self) -> str:
        """The type of the body, without parameters, in small letters; empty where none is said."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def is_searchable(self) -> bool:
        """Whether it is a file of which pieces can be asked for."""
        said = self.headers.get("accept-ranges", "").lower() == "bytes" and "content-encoding" not in self.headers
        return said and self.headers.get("content-length", "").isdecimal()

    @property
    def redirect(self) -> str | None:
        """Where it sends us, if it does."""
        return self.headers.get("location") if self.status in _REDIRECTS else None

    def wait_at_most(self, seconds: float) -> None:
        """From now on, reads that end later fail."""
        self._deadline_ns = self._clock.monotonic_ns() + round(seconds * NS_PER_S)

    def read(self, size: int = _CHUNK_BYTES) -> bytes:
        """What is there, at most ``size`` bytes, waiting for the first of them; empty at the end of the body.

        Raises:
            SourceUnavailable: nothing came in time, or the connection broke; afterwards it is at its end.
        """
        if self._multi is None:
            return b""
        try:
            self._left_s()  # what was read ahead comes without a wait
            while not self._waiting and not self._is_over:
                self._advance()
        except HttpTrouble as trouble:
            self.close()  # libav asks again, and PyAV would write the second failure to stderr
            raise SourceUnavailable(self._source_id, f"stopped sending: {trouble}") from None
        if not self._waiting:
            return b""
        data = self._waiting.popleft()
        if len(data) > size:
            self._waiting.appendleft(data[size:])
            data = data[:size]
        return data

    def begins_with(self, size: int) -> bytes:
        """The first bytes of the body, at most ``size``, without taking them; raises as ``read`` does."""
        first = b""
        while len(first) < size and (data := self.read(size - len(first))):
            first += data
        if first:
            self._waiting.appendleft(first)
        return first

    def read_all(self, limit_bytes: int, limit_s: float, tick: Callable[[], None]) -> bytes:
        """The whole body, and no more of it; calls ``tick`` as it comes.

        Raises:
            SourceUnavailable: it is bigger, or did not come in time.
        """
        end_ns = self._clock.monotonic_ns() + round(limit_s * NS_PER_S)
        body = bytearray()
        with closing(self):
            while True:
                tick()
                self.wait_at_most(min(self._read_timeout_s, (end_ns - self._clock.monotonic_ns()) / NS_PER_S))
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
        """Ask for no more of it; a connection that is not at the body's end is closed."""
        self._is_over = True
        self._waiting.clear()
        if self._multi is not None:
            self._multi.remove_handle(self._curl)
            self._multi = None

    def _left_s(self) -> float:
        left_ns = self._deadline_ns - self._clock.monotonic_ns()
        if left_ns <= 0:
            raise HttpTrouble("timed out")
        return left_ns / NS_PER_S

    def _advance(self) -> None:
        """Let curl work on what is there, waiting for it where nothing is."""
        assert self._multi is not None, "what is over needs no work"
        if self._multi.select(min(self._left_s(), _LOOK_S)) < 0:
            sleep_s(_NO_SOCKET_S)  # no socket yet: a name is being looked up
        self._multi.perform()
        if self.headers and not self._is_headed:
            self.status = self._curl.getinfo(pycurl.RESPONSE_CODE)
            self._is_headed = self.status >= 200 and self.status != _UNAUTHORIZED  # which curl may answer by itself
        _, done, failed = self._multi.info_read()
        if failed:
            raise HttpTrouble(words_of(failed[0][1], self._curl))
        if done:
            self._is_headed = self._is_over = True

    def _take_line(self, line: bytes) -> None:
        """A line of the head; heads of answers that are not the last are followed by another."""
        if self._come:
            return  # a trailer
        if not line.strip():
            split = [text.decode(errors="replace").partition(":") for text in reversed(self._lines)]
            pairs = [(name.strip().lower(), value.strip()) for name, _, value in split]
            self.headers = dict(pairs)
            self.challenges = [value for name, value in reversed(pairs) if name == "www-authenticate"]
            self._lines.clear()
            return
        self._lines.append(line)

    def _take_data(self, data: bytes) -> None:
        self._waiting.append(data)
        self._come += len(data)
        self._arrivals.append((self._come, self._clock.monotonic_ns()))


class Client:
    """Asks one camera, one question at a time; connection, cookies and log-in last from one to the next."""

    def __init__(self, source_id: str, url: str, clock: Clock, timeouts_s: tuple[float, float]) -> None:
        """At the server that ``url`` names, the user and the password in it answer every challenge.

        Args:
            source_id: for messages.
            url: the camera's.
            clock: for deadlines, and for when what came.
            timeouts_s: how long an answer's head may take, and how long its body may be silent.

        Raises:
            SourceUnavailable: it is no URL.
        """
        self._source_id, self._clock = source_id, clock
        self._open_timeout_s, self._read_timeout_s = timeouts_s
        self._curl, self._multi = new_handle(), pycurl.CurlMulti()
        self._answer: Answer | None = None
        self._asked: list[str] = []
        self._challenge: Challenge | None = None
        """Where curl has no answer and we have one."""
        self._answered = 0
        try:
            self._home = address_of(url)
        except HttpTrouble as trouble:
            raise SourceUnavailable(source_id, f"cannot be opened: {trouble}") from None

    def get(self, url: str, range_bytes: tuple[int, int | None] | None = None, lines: Iterable[str] = ()) -> Answer:
        """Ask for ``url``, or for ``(offset, length)`` of it, with more header lines; lets go of the answer before.

        A server that gives no pieces answers with the whole: its status is 200 then, and not 206. Redirects are
        followed as long as they stay at the same scheme, host and port.

        Raises:
            AccessRefused: user or password are refused.
            SourceUnavailable: no answer in time, from the look for the host to the last header, or one other than
                success; the message has no URL.
        """
        end_ns = self._clock.monotonic_ns() + round(self._open_timeout_s * NS_PER_S)
        self._asked = ["Accept: */*", *lines]
        if range_bytes is None:
            self._curl.unsetopt(pycurl.RANGE)
        else:
            first, length = range_bytes
            self._curl.setopt(pycurl.RANGE, f"{first}-{'' if length is None else first + length - 1}")
        try:
            address = address_of(url)
            for _ in range(_MOST_REDIRECTS + 1):
                answer = self._ask(address, (end_ns - self._clock.monotonic_ns()) / NS_PER_S)
                if (place := answer.redirect) is None:
                    return _wanted(answer)
                address = _followed(answer, place, address)
            raise HttpTrouble(f"sends us on more than {_MOST_REDIRECTS} times")
        except HttpTrouble as trouble:
            is_refused = self._answer is not None and self._answer.status in (_UNAUTHORIZED, _FORBIDDEN)
            kind = AccessRefused if is_refused else SourceUnavailable
            raise kind(self._source_id, f"cannot be opened: {trouble}") from None

    def get_piece(self, url: str, offset: int) -> Answer:
        """Ask for ``url`` from there to its end; raises as ``get`` does, also where all of it comes."""
        answer = self.get(url, (offset, None))
        if answer.status != PART:
            raise SourceUnavailable(self._source_id, "cannot be opened: gives no piece of a file, only all of it")
        return answer

    def _ask(self, address: Address, seconds: float) -> Answer:
        who = self._home if address.user is None and address.origin == self._home.origin else address
        answer = self._ask_as(who, address, seconds)
        if answer.status != _UNAUTHORIZED or who.user is None or who.origin != self._home.origin:
            return answer
        before, self._challenge = self._challenge, left_by_curl(challenges_in(answer.challenges))
        if self._challenge is None or (before is not None and not self._challenge.is_stale):
            return answer
        self._answered = 0
        return self._ask_as(who, address, seconds)

    def _ask_as(self, who: Address, address: Address, seconds: float) -> Answer:
        self._let_go()
        self._curl.setopt(pycurl.URL, address.url)
        lines, curls = self._asked, who.user
        if self._challenge is not None and who.user is not None and who.origin == self._home.origin:
            self._answered += 1
            target = "/" + address.url.split("/", 3)[3]
            said = self._challenge.answer("GET", target, who.user, who.password, self._answered)
            lines, curls = [*lines, f"Authorization: {said}"], None
        log_in(self._curl, curls, who.password, _LOGINS)
        self._curl.setopt(pycurl.HTTPHEADER, [line.encode() for line in lines])
        self._answer = Answer(self._source_id, address.url, self._clock, self._curl, self._read_timeout_s)
        self._answer.begin(self._multi, seconds)
        return self._answer

    def _let_go(self) -> None:
        if self._answer is not None:
            self._answer.close()
            self._answer = None

    def close(self) -> None:
        """Disconnect."""
        self._let_go()
        self._multi.close()
        self._curl.close()


def _wanted(answer: Answer) -> Answer:
    if answer.status in (OK, PART, NOT_MODIFIED):
        return answer
    raise HttpTrouble(f"HTTP {answer.status} {responses.get(answer.status, '')}".rstrip())


def _followed(answer: Answer, place: str, before: Address) -> Address:
    try:
        url = urljoin(answer.url, place)
    except ValueError:
        raise HttpTrouble("sends us on to no address") from None
    address = address_of(url)
    if address.origin != before.origin:
        status = f"HTTP {answer.status} {responses[answer.status]}"
        scheme, host, port = address.origin
        raise HttpTrouble(f"{status}, and redirects to another server are not followed ({scheme}://{host}:{port})")
    return address._replace(user=before.user, password=before.password)


class Searchable:
    """A file that a camera has, for libav to search in: from where it was last told to read, it is asked for the rest.

    Args:
        client: asks.
        answer: the whole file, of a length that is told, by a server that says that it gives pieces.
    """

    def __init__(self, client: Client, answer: Answer) -> None:
        self._client, self._url, self._size_bytes = client, answer.url, int(answer.headers["content-length"])
        self._answer: Answer | None = answer
        self._at, self._seconds = 0, 0.0

    def wait_at_most(self, seconds: float) -> None:
        """From now on, reads that end later fail."""
        self._seconds = seconds
        if self._answer is not None:
            self._answer.wait_at_most(seconds)

    def read(self, size: int) -> bytes:
        """What is there, at most ``size`` bytes; raises as the answer's does."""
        if self._answer is None:
            if self._at >= self._size_bytes:
                return b""
            self._answer = self._client.get_piece(self._url, self._at)
            self._answer.wait_at_most(self._seconds)
        data = self._answer.read(size)
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Read from there on."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size_bytes}[whence]
        if start + offset != self._at:
            self._answer, self._at = None, start + offset
        return self._at

    def tell(self) -> int:
        """Where it reads next."""
        return self._at
