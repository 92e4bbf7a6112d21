"""MJPEG over HTTP against real servers: stamps right, wrong and absent, log-ins, and cameras that misbehave."""

import base64
import hashlib
import socket
import threading
from collections.abc import Callable
from fractions import Fraction
from http.server import BaseHTTPRequestHandler
from itertools import islice
from urllib.request import parse_http_list, parse_keqv_list

import av
import pytest

from syncsvc.capture import http_get as http
from syncsvc.capture import mjpeg
from syncsvc.capture.source import Loss
from syncsvc.clock import SYSTEM_CLOCK, sleep_s
from tests.e2e.httpcamera import HEIGHT, PERIOD_US, WIDTH, Respond, answer, http_camera, picture, see, source_of

MULTIPART = "multipart/x-mixed-replace; boundary=frame"


def jpegs(count: int) -> list[tuple[bytes, int]]:
    """Coded pictures, and their true times."""
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = WIDTH, HEIGHT, "yuvj420p", Fraction(1, 25)
    made = []
    for number in range(count):
        time_us = SYSTEM_CLOCK.utc_ns() // 1000 + number * PERIOD_US
        coded = encoder.encode(picture(number, time_us).reformat(format="yuvj420p"))
        made.append((b"".join(bytes(packet) for packet in coded), time_us))
    return made


def part(jpeg: bytes, *headers: str) -> bytes:
    lines = ["--frame", "Content-Type: image/jpeg", f"Content-Length: {len(jpeg)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + jpeg + b"\r\n"


def sends(*chunks: bytes, pause: Callable[[], object] = lambda: None) -> Respond:
    """A camera that sends these bytes and hangs up."""

    def respond(handler: BaseHTTPRequestHandler) -> None:
        answer(handler, MULTIPART)
        for chunk in chunks:
            handler.wfile.write(chunk)
            pause()

    return respond


@pytest.mark.parametrize("off_s", [0, 10, -10])
def test_the_timestamp_of_a_part_is_reported_as_it_is(off_s: int) -> None:
    made = jpegs(10)
    chunks = [part(jpeg, f"x-timestamp: {at // 1_000_000 + off_s}.{at % 1_000_000:06d}") for jpeg, at in made]
    with http_camera({"/": sends(*chunks)}) as url:
        seen, problem = see(source_of(f"{url}/?action=stream"))
    assert problem == "closed the connection"
    assert [code.counter for _, code in seen] == list(range(10))
    for one, code in seen:
        assert one.stamp_ns == (code.time_us + off_s * 1_000_000) * 1000
        assert (one.stamp_kind, one.doubt_ns, one.pts_ns, one.is_key) == ("media", 1000, None, True)
        assert one.start_mono_ns is not None
        assert one.start_mono_ns <= one.arrival_mono_ns


@pytest.mark.parametrize(
    "header", ["", "X-Timestamp: 0.000000", "X-Timestamp: now", "Date: Sat, 21 Nov 2026 13:00:00 GMT"]
)
def test_without_a_timestamp_there_is_no_stamp(header: str) -> None:
    chunks = [part(jpeg, *filter(None, [header])) for jpeg, _ in jpegs(3)]
    with http_camera({"/": sends(*chunks)}) as url:
        seen, _ = see(source_of(url))
    assert [(one.stamp_ns, one.stamp_kind) for one, _ in seen] == [(None, "")] * 3


def test_a_part_that_comes_in_two_halves_began_with_the_first() -> None:
    jpeg = part(jpegs(1)[0][0])
    between: list[int] = []
    pause = threading.Event()

    def note() -> None:
        pause.wait(0.5)
        between.append(SYSTEM_CLOCK.monotonic_ns())

    with http_camera({"/": sends(jpeg[:200], jpeg[200:], pause=note)}) as url:
        seen, _ = see(source_of(url), 1)
    one = seen[0][0]
    assert one.start_mono_ns is not None
    assert one.start_mono_ns < between[0] <= one.arrival_mono_ns


def test_what_is_no_picture_is_lost_or_passed_over_and_the_rest_goes_on() -> None:
    (first, _), (last, _) = jpegs(2)
    text = part(b"hello").replace(b"image/jpeg", b"text/plain")
    sent = sends(part(first), part(b"no picture"), text, part(last))
    with http_camera({"/": sent}) as url, source_of(url) as source:
        items = list(islice(source.shots(), 3))
    assert [isinstance(item, Loss) for item in items] == [False, True, False]


def basic(handler: BaseHTTPRequestHandler) -> bool:
    return handler.headers["Authorization"] == "Basic " + base64.b64encode(b"ann:p@ss word").decode()


def digest(handler: BaseHTTPRequestHandler) -> bool:
    said = handler.headers["Authorization"] or ""
    if not said.startswith("Digest "):
        return False
    words = parse_keqv_list(parse_http_list(said.removeprefix("Digest ")))

    def md5(text: str) -> str:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    secret, what = md5("ann:cam:p@ss word"), md5(f"GET:{handler.path}")
    return words["response"] == md5(f"{secret}:n1:{words['nc']}:{words['cnonce']}:auth:{what}")


@pytest.mark.parametrize(
    ("challenge", "is_right"), [('Basic realm="cam"', basic), ('Digest realm="cam", nonce="n1", qop="auth"', digest)]
)
@pytest.mark.parametrize("password", ["p%40ss%20word", "wrong"])
def test_user_and_password_answer_a_challenge(
    challenge: str, is_right: Callable[[BaseHTTPRequestHandler], bool], password: str
) -> None:
    chunks = [part(jpeg) for jpeg, _ in jpegs(2)]

    def respond(handler: BaseHTTPRequestHandler) -> None:
        if is_right(handler):
            sends(*chunks)(handler)
            return
        handler.send_response(401)
        handler.send_header("WWW-Authenticate", challenge)
        handler.end_headers()

    with http_camera({"/video": respond}) as url:
        seen, problem = see(source_of(url.replace("//", f"//ann:{password}@") + "/video?size=1"))
    assert len(seen) == (2 if password != "wrong" else 0)
    assert problem == ("closed the connection" if seen else "cannot be opened: HTTP 401 Unauthorized")


def test_a_users_name_adds_no_line_to_a_request() -> None:
    asked: list[str] = []

    def respond(handler: BaseHTTPRequestHandler) -> None:
        asked.append(str(handler.headers))
        handler.send_response(401)
        handler.send_header("WWW-Authenticate", 'Digest realm="cam", nonce="n1", qop="auth"')
        handler.end_headers()

    with http_camera({"/": respond}) as url:
        _, problem = see(source_of(url.replace("//", "//ann%0d%0aX-Added:%201:secret@")))
    assert problem == "cannot be opened: ValueError"
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("netloc", "host"),
    [
        ("ann:secret@cam:8080", "cam:8080"),
        ("cam", "cam"),
        ("[::1]:8080", "[::1]:8080"),
        ("камера.рф:8080", "xn--80aaoslz.xn--p1ai:8080"),
        (63 * "a" + ":8080", 63 * "a" + ":8080"),
    ],
)
def test_the_host_is_named_as_dns_has_it(netloc: str, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    monkeypatch.setattr(http, "_connect", lambda *_: ours)
    with theirs:
        theirs.sendall(b"HTTP/1.1 404 Not Found\r\n\r\n")
        assert see(source_of(f"http://{netloc}/")) == ([], "cannot be opened: HTTP 404 Not Found")
        assert f"\r\nHost: {host}\r\n" in theirs.recv(4096).decode()


def redirects(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(302)
    handler.send_header("Location", "/elsewhere")
    handler.end_headers()


def hangs(handler: BaseHTTPRequestHandler) -> None:
    sends(part(jpegs(1)[0][0]), b"--frame\r\n")(handler)
    handler.rfile.read()  # until the other side has had enough


def babbles(handler: BaseHTTPRequestHandler) -> None:
    answer(handler, MULTIPART)
    while True:
        handler.wfile.write(bytes(1 << 16))


@pytest.mark.parametrize(
    ("respond", "problem"),
    [
        (redirects, "cannot be opened: HTTP 302 Found, and redirects are not followed"),
        (hangs, "stopped sending: timed out"),
        (babbles, "stopped sending: timed out"),
    ],
)
def test_cameras_that_misbehave_are_cameras_that_are_not_there(respond: Respond, problem: str) -> None:
    with http_camera({"/": respond}) as url:
        assert see(source_of(url))[1] == problem


def drip(handler: BaseHTTPRequestHandler, data: bytes) -> None:
    """Bytes one by one, each in time for a wait of its own."""
    for at in range(len(data)):
        handler.wfile.write(data[at : at + 1])
        sleep_s(0.05)


def drips(data: bytes) -> Respond:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        drip(handler, data)
        handler.wfile.write(b"\r\n\r\n" + part(jpegs(1)[0][0]) + b"--frame\r\n")

    return respond


TYPED = b"Content-Type: multipart/x-mixed-replace; boundary=frame"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"HTTP/1.1 200 OK\r\nX: " + 20 * b"y" + b"\r\n" + TYPED, "cannot be opened: timed out"),
        (2 * b"HTTP/1.1 100 Continue\r\n\r\n" + b"HTTP/1.1 200 OK\r\n" + TYPED, "cannot be opened: timed out"),
    ],
    ids=["headers", "continue"],
)
def test_an_answer_that_drips_has_one_deadline(data: bytes, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "OPEN_TIMEOUT_S", 1.0)
    with http_camera({"/": drips(data)}) as url:
        assert see(source_of(url), most=1) == ([], problem)


def test_a_body_whose_chunks_drip_has_one_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mjpeg, "READ_TIMEOUT_S", 1.0)

    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + TYPED + b"\r\n\r\n")
        body = part(jpegs(1)[0][0]) + b"--frame\r\n"
        drip(handler, b"%050x" % len(body))
        handler.wfile.write(b"\r\n" + body + b"\r\n0\r\n\r\n")

    with http_camera({"/": respond}) as url:
        assert see(source_of(url), most=1) == ([], "stopped sending: timed out")


def test_nobody_there() -> None:
    with http_camera({}) as url:
        pass
    assert see(source_of(url))[1] == "cannot be opened: Connection refused"
