"""MJPEG over HTTP against real servers: stamps right, wrong and absent, log-ins, and cameras that misbehave."""

import hashlib
import threading
from base64 import b64decode
from collections.abc import Callable, Sequence
from fractions import Fraction
from http.server import BaseHTTPRequestHandler
from itertools import islice
from urllib.parse import quote
from urllib.request import parse_http_list, parse_keqv_list

import av
import pytest

from syncsvc.capture.source import Loss
from syncsvc.capture.spec import HttpSpec
from syncsvc.clock import SYSTEM_CLOCK, sleep_s
from syncsvc.errors import AccessRefused
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


USER, PASSWORD = "ann", 'p\u00e4@ss w/o"rd:'


def is_logged_in(handler: BaseHTTPRequestHandler, challenges: Sequence[str]) -> bool:
    """Whether the request answers one of the challenges as RFC 7617 and RFC 7616 want it."""
    scheme, _, said = (handler.headers["Authorization"] or "").partition(" ")
    if scheme == "Basic":
        return any("Basic" in one for one in challenges) and b64decode(said).decode() == f"{USER}:{PASSWORD}"
    words = parse_keqv_list(parse_http_list(said)) if scheme == "Digest" else {}
    algorithm = words.get("algorithm", "MD5")
    if not words or not any("Digest" in one and algorithm.lower() in f"{one} md5".lower() for one in challenges):
        return False

    def hashed(*parts: str) -> str:
        name = "sha256" if algorithm.upper().startswith("SHA-256") else "md5"
        return hashlib.new(name, ":".join(parts).encode(), usedforsecurity=False).hexdigest()

    secret, what = hashed(USER, "cam", PASSWORD), hashed("GET", handler.path)
    if algorithm.upper().endswith("-SESS"):
        secret = hashed(secret, words["nonce"], words["cnonce"])
    between = [words["nc"], words["cnonce"], words["qop"]] if "qop" in words else []
    return words["uri"] == handler.path and words["response"] == hashed(secret, words["nonce"], *between, what)


def wants(challenges: Sequence[str], then: Respond) -> Respond:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        if is_logged_in(handler, challenges):
            then(handler)
            return
        handler.send_response(401)
        for challenge in challenges:
            handler.send_header("WWW-Authenticate", challenge)
        handler.end_headers()

    return respond


DIGEST = 'Digest realm="cam", nonce="n1"'
CHALLENGES = {
    "basic": ['Basic realm="cam"'],
    "old": [DIGEST],
    "md5": [f'{DIGEST}, qop="auth"'],
    "small letters": [f'{DIGEST}, qop="auth", algorithm=md5'],
    "in quotes": [f'{DIGEST}, qop="auth", algorithm="MD5"'],
    "session": [f'{DIGEST}, qop="auth", algorithm=MD5-sess'],
    "sha-256": [f'{DIGEST}, qop="auth", algorithm=SHA-256'],
    "sha-256 session": [f'{DIGEST}, qop="auth", algorithm=SHA-256-sess'],
    "md5 first": [f'{DIGEST}, qop="auth", algorithm=MD5', f'{DIGEST}, qop="auth", algorithm=SHA-256'],
    "sha-256 first": [f'{DIGEST}, qop="auth", algorithm=SHA-256', f'{DIGEST}, qop="auth", algorithm=MD5'],
    "a list of qop": [f'{DIGEST}, qop="auth,auth-int"'],
    "a list with spaces": [f'{DIGEST}, qop="auth-int, auth"'],
    "both in one line": [f'{DIGEST}, qop="auth", Basic realm="cam"'],
    "the other way round": [f'Basic realm="cam", {DIGEST}, qop="auth"'],
    "more fields": [f'Digest qop="auth", stale="FALSE", domain="::", opaque="", {DIGEST.removeprefix("Digest ")}'],
    "one that nobody knows first": [
        f'{DIGEST}, qop="auth", algorithm=BLAKE3',
        f'{DIGEST}, qop="auth", algorithm=SHA-256',
    ],
    "and the other is old": [f'{DIGEST}, algorithm=SHA-1, Basic realm="x"', DIGEST],
    "in one line": [f'{DIGEST}, algorithm=TOKEN, {DIGEST}, algorithm=MD5-sess, qop="auth"'],
    "one of no use": ["Negotiate", 'Bearer realm="cam"', f'{DIGEST}, qop="auth"'],
}


@pytest.mark.parametrize("challenges", CHALLENGES.values(), ids=CHALLENGES)
def test_user_and_password_answer_every_challenge(challenges: list[str]) -> None:
    camera = wants(challenges, sends(*(part(jpeg) for jpeg, _ in jpegs(2))))
    login = f"{USER}:{quote(PASSWORD, safe='')}"
    with http_camera({"/video": camera}) as url:
        seen, problem = see(source_of(url.replace("//", f"//{login}@") + "/video?size=1&a=%2F"))
    assert len(seen) == 2
    assert problem == "closed the connection"


@pytest.mark.parametrize("who", ["", "ann:wrong@", "bob@"])
@pytest.mark.parametrize("challenges", [CHALLENGES["basic"], CHALLENGES["sha-256"]])
def test_without_the_right_password_nothing_is_shown(challenges: list[str], who: str) -> None:
    with http_camera({"/": wants(challenges, sends())}) as url:
        assert see(source_of(url.replace("//", f"//{who}"))) == ([], "cannot be opened: HTTP 401 Unauthorized")


@pytest.mark.parametrize("status", [401, 403])
def test_a_log_in_that_is_refused_is_told_apart_from_a_camera_that_is_not_there(status: int) -> None:
    def refuses(handler: BaseHTTPRequestHandler) -> None:
        handler.send_error(status)

    with http_camera({"/": refuses}) as url, pytest.raises(AccessRefused, match=f"HTTP {status} "):
        source_of(url).__enter__()


def test_a_users_name_adds_no_line_to_a_request() -> None:
    asked: list[str] = []
    with http_camera({"/": lambda handler: asked.append(handler.path)}) as url:
        _, problem = see(source_of(url.replace("//", "//ann%0d%0aX-Added:%201:secret@")))
    assert problem == "cannot be opened: a user's name or a password with control characters, which no camera takes"
    assert asked == []


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
    monkeypatch.setattr(HttpSpec, "timeouts_s", (1.0, 3.0))
    with http_camera({"/": drips(data)}) as url:
        assert see(source_of(url), most=1) == ([], problem)


def test_a_body_whose_chunks_drip_has_one_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HttpSpec, "timeouts_s", (5.0, 1.0))

    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + TYPED + b"\r\n\r\n")
        body = part(jpegs(1)[0][0]) + b"--frame\r\n"
        drip(handler, b"%08x;" % len(body) + 40 * b"x")
        handler.wfile.write(b"\r\n" + body + b"\r\n0\r\n\r\n")

    with http_camera({"/": respond}) as url:
        assert see(source_of(url), most=1) == ([], "stopped sending: timed out")


def as_it_is(head: str, *chunks: bytes) -> Respond:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(f"{head}\r\n\r\n".encode() + b"".join(chunks))

    return respond


@pytest.mark.parametrize(
    "head",
    [
        "HTTP/1.1 200 OK\r\nContent-Type: multipart/mixed; boundary=other",
        'HTTP/1.0 200\r\nContent-Type: Multipart/X-Mixed-Replace;Boundary = "frame"',
        "ICY 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame",
        "HTTP/1.0 200 OK\r\nServer: cheap",
        "HTTP/1.0 200 OK\r\nContent-Type: text/plain",
    ],
)
def test_pictures_come_whatever_the_answer_calls_them(head: str) -> None:
    with http_camera({"/": as_it_is(head, *(part(jpeg) for jpeg, _ in jpegs(3)))}) as url:
        seen, problem = see(source_of(url))
    assert [code.counter for _, code in seen] == [0, 1, 2]
    assert problem == "closed the connection"


@pytest.mark.parametrize("more", [-100, -2, 60, 100_000])
def test_a_wrong_length_costs_no_picture(more: int) -> None:
    made = [jpeg for jpeg, _ in jpegs(5)]
    chunks = [part(one).replace(b"Length: %d" % len(one), b"Length: %d" % (len(one) + more)) for one in made]
    with http_camera({"/": sends(*chunks)}) as url:
        seen, _ = see(source_of(url))
    assert [code.counter for _, code in seen] == list(range(5))


def test_a_picture_that_was_cut_off_is_counted() -> None:
    (first, _), (second, _), (last, _) = jpegs(3)
    with http_camera({"/": sends(part(first), part(second[:-200]), part(last))}) as url, source_of(url) as source:
        items = list(islice(source.shots(), 3))
    assert [isinstance(item, Loss) for item in items][::2] == [False, False]
    assert len(items) == 3


def test_what_speaks_no_http_and_a_page_are_told_in_words() -> None:
    def noise(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"220 mail.example ESMTP\r\n")

    def page(handler: BaseHTTPRequestHandler) -> None:
        answer(handler, "text/html", b"<html>Please log in</html>")

    with http_camera({"/noise": noise, "/page": page, "/nothing": lambda handler: None}) as url:
        assert see(source_of(f"{url}/noise"))[1] == "cannot be opened: answers in another protocol than HTTP"
        assert see(source_of(f"{url}/page"))[1] == "answers with a page for people (text/html), and no video"
        assert see(source_of(f"{url}/nothing"))[1] == "cannot be opened: closed the connection without an answer"
    assert see(source_of("http://no.such.host.invalid/"))[1] == "cannot be opened: its name does not resolve"


def test_nobody_there() -> None:
    with http_camera({}) as url:
        pass
    assert see(source_of(url))[1] == "cannot be opened: Connection refused"
