"""The first words with an RTSP camera: who it is, what it has, whether it lets us in; libavformat comes after that.

It would follow a camera to any other host, and hand that the password; it takes the last of several challenges whether
it can answer that or not; and what it says of a failure is the name of an error. So we call ourselves, and whatever
goes wrong up to the description of the stream is said in our own words.
"""

import socket
import ssl
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, unquote, urljoin, urlsplit, urlunsplit

from syncsvc.capture.decode import describe
from syncsvc.capture.login import Challenge, best_of, challenges_in
from syncsvc.capture.rtp_jpeg import too_big
from syncsvc.capture.rtsp_messages import NotRtsp, RtspMessage, Wire
from syncsvc.capture.sdp import MAX_JPEG_SIDE, VideoDescription, video_in
from syncsvc.clock import NS_PER_S, Clock
from syncsvc.errors import AccessRefused, SourceUnavailable

MAX_REDIRECTS: Final = 5
_PORTS: Final = {"rtsp": 554, "rtsps": 322}
_AGENT: Final = "syncsvc"
_WORDS: Final = {
    403: "it forbids this stream to this user: look at the user's rights in the camera",
    404: "it has no such stream: the URL's path is another one there",
    405: "it lets nobody watch there: the URL's path may be another one",
    453: "its network has no room for another viewer",
    503: "it serves nobody now: it is starting, or has as many viewers as it can",
}


class OpeningTime:
    """How long a camera may take to open, all in all."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock, self.seconds = clock, seconds
        self._end_ns = clock.monotonic_ns() + round(seconds * NS_PER_S)

    def left_s(self) -> float:
        """Until it is over.

        Raises:
            TimeoutError: it is.
        """
        left_ns = self._end_ns - self._clock.monotonic_ns()
        if left_ns <= 0:
            raise TimeoutError
        return left_ns / NS_PER_S


@dataclass(frozen=True, slots=True)
class Place:
    """Where a camera is asked for its stream, without user and password."""

    scheme: str
    host: str
    port: int
    path: str
    """And the query."""

    @classmethod
    def of(cls, url: str) -> "Place":
        """Of a URL.

        Raises:
            ValueError: it has no host, or a port that is none.
        """
        parts = urlsplit(url)
        scheme = parts.scheme.lower()
        if not parts.hostname or scheme not in _PORTS:
            raise ValueError("no host")
        path = urlunsplit(SplitResult("", "", parts.path, parts.query, ""))
        return cls(scheme, parts.hostname, parts.port or _PORTS[scheme], path)

    @property
    def server(self) -> str:
        """Scheme, host and port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def url(self) -> str:
        """As a request has it."""
        return self.server + self.path


class RtspCall:
    """A connection to a camera that has described its stream, and what it said."""

    def __init__(self, source_id: str, url: str, patience: OpeningTime) -> None:
        """Call, and ask.

        Raises:
            SourceUnavailable: it is not there, refuses us, sends us elsewhere, or has no video that could be read.
        """
        self._source_id, self.patience = source_id, patience
        parts = urlsplit(url)
        self.user, self.password = unquote(parts.username or ""), unquote(parts.password or "")
        self._has_user = parts.username is not None
        self.challenge: Challenge | None = None
        self.greeting = RtspMessage.reply(200, "OK", {})
        self.description = RtspMessage.reply(200, "OK", {})
        self.video = VideoDescription()
        self._cseq = 0
        try:
            self.place = Place.of(url)
            self._ask_around()
        except ValueError as error:
            raise self.failed("its URL has a host or a port that is none") from error
        except NotRtsp as error:
            raise self.failed(self._no_rtsp(error.seen)) from error
        except (OSError, EOFError) as error:
            raise self.failed(self._broken(error)) from error

    def failed(self, why: str, kind: type[SourceUnavailable] = SourceUnavailable) -> SourceUnavailable:
        """The error that says it, without any URL's user and password."""
        return kind(self._source_id, f"cannot be opened: {why}")

    def refusal(self, reply: RtspMessage) -> SourceUnavailable:
        """What a reply other than success means, in words."""
        status = reply.status
        if status == 401:
            return self.failed(self._login_words(reply), AccessRefused)
        if 300 <= status < 400:
            return self.failed(f"{reply.reason}: {self._elsewhere(reply)}")
        words = _WORDS.get(status, "it does not say why")
        return self.failed(f"{reply.reason}: {words}", AccessRefused if status == 403 else SourceUnavailable)

    def let_in(self, headers: Iterable[str]) -> Challenge | None:
        """The challenge of these that is to be answered; None where none can be."""
        return best_of(challenges_in(headers))

    def close(self) -> None:
        """Hang up."""
        self.wire.connection.close()

    # How it goes.

    def _ask_around(self) -> None:
        for _ in range(MAX_REDIRECTS + 1):
            self._connect()
            try:
                reply = self._introduce()
                if reply.status == 200:
                    self._take(reply)
                    return
                to = self._next_place(reply)
            except BaseException:
                self.close()
                raise
            self.close()
            self.place, self.challenge = to, None
        raise self.failed(f"it sends us from one address to the next, {MAX_REDIRECTS} times and more")

    def _connect(self) -> None:
        place = self.place
        connection = socket.create_connection((place.host, place.port), self.patience.left_s())
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if place.scheme == "rtsps":
                connection.settimeout(self.patience.left_s())
                connection = _tls_context().wrap_socket(connection, server_hostname=place.host)
        except BaseException:
            connection.close()
            raise
        self.wire, self._cseq = Wire(connection, self.patience.left_s), 0

    def _introduce(self) -> RtspMessage:
        """Ask what it can do, which it need not say, and for its description: the reply to that."""
        greeting = self._ask("OPTIONS")
        if greeting.status == 200:
            self.greeting = greeting
        elif greeting.status == 401 or 300 <= greeting.status < 400:
            return greeting  # another question with the same password would be another attempt to log in
        return self._ask("DESCRIBE", Accept="application/sdp")

    def _ask(self, method: str, **headers: str) -> RtspMessage:
        """A request, and its reply; with user and password where they are asked for, once, and again for a new nonce.

        Raises:
            EOFError: it hung up.
        """
        reply = self._exchange(method, headers)
        for _ in range(2):
            if reply.status != 401 or not self._has_user:
                break
            before, self.challenge = self.challenge, self.let_in(reply.values("WWW-Authenticate"))
            if self.challenge is None or (before is not None and not self.challenge.is_stale):
                break
            try:
                reply = self._exchange(method, headers)
            except (EOFError, ConnectionError):  # some hang up on whom they refuse, and let him in when he calls again
                self.close()
                self._connect()
                reply = self._exchange(method, headers)
        return reply

    def _exchange(self, method: str, headers: dict[str, str]) -> RtspMessage:
        url = self.place.url
        self._cseq += 1
        told = {"CSeq": str(self._cseq), "User-Agent": _AGENT, **headers}
        if self.challenge is not None:
            told["Authorization"] = self.challenge.answer(method, url, self.user, self.password)
        self.wire.write(bytes(RtspMessage.request(method, url, told)))
        while True:
            came = self.wire.read()
            if came is None:
                raise EOFError
            if isinstance(came, RtspMessage) and came.status:
                return came

    def _take(self, reply: RtspMessage) -> None:
        """Keep the description, where it describes what can be read."""
        self.description, self.video = reply, video_in(reply.body.decode("utf-8", "replace"))
        if not self.video.is_there:
            raise SourceUnavailable(self._source_id, "has no video")
        size = self.video.size
        if self.video.is_jpeg and size is not None and max(size) > MAX_JPEG_SIDE:
            raise self.failed(too_big("{}x{}".format(*size)))

    @property
    def base(self) -> str:
        """What the addresses in the description are relative to."""
        for name in ("Content-Base", "Content-Location"):
            if told := self.description.value(name):
                return told if "://" in told else _joined(self.place, told)
        return self.place.url

    def _next_place(self, reply: RtspMessage) -> Place:
        """Where the camera sends us: to another path of its own, or nowhere."""
        if not 300 <= reply.status < 400:
            raise self.refusal(reply)
        location = reply.value("Location")
        with suppress(ValueError):
            to = Place.of(_joined(self.place, location))
            if location and to.server == self.place.server:
                return to
        raise self.refusal(reply)

    @property
    def too_late(self) -> str:
        """That it took too long, in words."""
        return f"timed out: it did not answer in {self.patience.seconds:g} s (`open_timeout_ms`)"

    # In words.

    def _elsewhere(self, reply: RtspMessage) -> str:
        try:
            where = Place.of(_joined(self.place, reply.value("Location"))).server
        except ValueError:
            return "it sends us to another address, and names none"
        return (
            f"it sends us on to {where}, which is not followed, because user and password would go there: "
            "if they may, make that the `url`"
        )

    def _login_words(self, reply: RtspMessage) -> str:
        asked = challenges_in(reply.values("WWW-Authenticate"))
        if not self._has_user:
            return f"{reply.reason}: it wants a user and a password: rtsp://USER:PASSWORD@HOST"
        if asked and best_of(asked) is None:
            kinds = " or ".join(dict.fromkeys(map(str, asked)))
            return (
                f"{reply.reason}: it asks for {kinds}, which libavformat cannot answer: let the camera offer "
                "Digest with MD5 too, or Basic"
            )
        return f"{reply.reason}: user or password is wrong"

    def _no_rtsp(self, seen: str) -> str:
        port = self.place.port
        if seen.startswith("HTTP/"):
            return f"port {port} speaks HTTP, not RTSP: cameras' RTSP is at port 554 most often"
        if not seen:
            return f"port {port} does not speak RTSP" + self._hint_at_tls()
        return f"port {port} does not speak RTSP: it says '{seen:.40}'"

    def _hint_at_tls(self) -> str:
        return "" if self.place.scheme == "rtsps" else "; if it speaks TLS, the scheme is rtsps"

    def _broken(self, error: BaseException) -> str:
        place = self.place
        if isinstance(error, TimeoutError):
            return self.too_late
        if isinstance(error, EOFError | ConnectionResetError | BrokenPipeError):
            return f"it hangs up without an answer: port {place.port} does not speak RTSP, or it refuses us" + (
                self._hint_at_tls()
            )
        if isinstance(error, ssl.SSLError):
            return f"port {place.port} does not speak TLS as we do: without TLS, the scheme is rtsp"
        return describe(error)


def _tls_context() -> ssl.SSLContext:
    """Cameras sign their own certificates, and never learn a new TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context


def _joined(place: Place, location: str) -> str:
    """A location as seen from a place; ``urljoin`` does not know every scheme of ours."""
    if "://" in location:
        return location
    return f"{place.scheme}:" + urljoin(f"http:{place.url.partition(':')[2]}", location).partition(":")[2]
