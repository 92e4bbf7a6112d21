"""What RTSP cameras do in the field: whom they let in, where they send us, what they answer, how slowly they do it."""

import os
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from syncsvc.capture.source import Shot
from syncsvc.capture.spec import RtspSpec
from syncsvc.errors import AccessRefused, SourceUnavailable
from tests.e2e.harness import Service, wait_for
from tests.e2e.httpcamera import see, source_of
from tests.e2e.rtspcamera import (
    NONCE,
    PASSWORD,
    REALM,
    RtspCamera,
    description,
    jpeg_payloads,
    rtsp_camera,
    steadily,
)

LOGIN = "ann:p%40ss%20word%3A1"
DIGEST = f'Digest realm="{REALM}", nonce="{NONCE}"'
SHA256 = f'{DIGEST}, algorithm="SHA-256"'


def look(camera: RtspCamera, most: int = 5, user: str = "", **options: Any) -> tuple[list[int], str]:
    """The numbers in the first pictures of a camera, and why there are no more, where there are fewer."""
    seen, problem = see(source_of(camera.url(user=user), RtspSpec, **options), most)
    return [code.counter for _, code in seen], problem


@pytest.mark.parametrize(
    "challenges",
    [
        [DIGEST],
        [f'{DIGEST}, algorithm="MD5"', SHA256],
        [SHA256, f"{DIGEST}, algorithm=MD5"],
        [f"{SHA256}, {DIGEST}, algorithm=md5"],
        [f'Basic realm="{REALM}"', SHA256, f'{DIGEST}, qop="auth,auth-int", algorithm=Md5'],
        [SHA256, f'Basic realm="{REALM}"'],
        [f'Digest qop="auth-int",realm="{REALM}",nonce="{NONCE}"', f'basic realm="{REALM}"'],
    ],
)
def test_the_way_in_that_can_be_answered_is_taken_wherever_a_camera_names_it(challenges: list[str]) -> None:
    with rtsp_camera(challenges=challenges) as camera:
        assert look(camera, user=LOGIN) == ([0, 1, 2, 3, 4], "")
        refused = [one.method for one in camera.asked if "authorization" not in one.headers]
        assert set(refused) == {"OPTIONS"}, "who knows the way in goes in by it"


def test_a_camera_that_hangs_up_on_whom_it_refuses_is_called_again() -> None:
    with rtsp_camera(challenges=[DIGEST], hangs_up_on_refusal=True) as camera:
        assert look(camera, user=LOGIN) == ([0, 1, 2, 3, 4], "")


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_camera_with_an_address_of_ipv6_is_one_like_others(transport: str) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with rtsp_camera(host="::1", challenges=[DIGEST]) as camera:
        assert look(camera, user=LOGIN, transport=transport) == ([0, 1, 2, 3, 4], "")


def test_a_way_in_that_nobody_here_can_go_is_said_in_words() -> None:
    with rtsp_camera(challenges=[SHA256, f"{DIGEST}, algorithm=SHA-512-256"]) as camera:
        numbers, problem = look(camera, user=LOGIN)
    assert numbers == []
    assert problem.startswith(
        "cannot be opened: 401 Unauthorized: it asks for Digest with SHA-256 or Digest with SHA-512-256"
    )
    assert "MD5" in problem
    assert not any("authorization" in one.headers for one in camera.asked), "no password was tried"


@pytest.mark.parametrize(
    ("habits", "user", "words"),
    [
        ({"challenges": [DIGEST]}, "ann:wrong", "401 Unauthorized: user or password is wrong"),
        ({"challenges": [DIGEST]}, "", "401 Unauthorized: it wants a user and a password: rtsp://USER:PASSWORD@HOST"),
        ({"replies": {"DESCRIBE": "403 Forbidden"}}, LOGIN, "403 Forbidden: it forbids this stream to this user"),
        ({"replies": {"SETUP": "403 Forbidden"}}, LOGIN, "403 Forbidden: it forbids this stream to this user"),
    ],
)
def test_who_is_refused_is_told_why_and_has_tried_once(habits: dict[str, Any], user: str, words: str) -> None:
    with (
        rtsp_camera(**habits) as camera,
        pytest.raises(AccessRefused) as refused,
        source_of(camera.url(user=user), RtspSpec),
    ):
        pass
    assert refused.value.problem.startswith(f"cannot be opened: {words}")
    assert sum("authorization" in one.headers for one in camera.asked) <= 1


@pytest.mark.parametrize("method", ["OPTIONS", "DESCRIBE", "SETUP"])
@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect"])
def test_a_camera_that_sends_us_elsewhere_hands_nobody_the_password(method: str, status: str) -> None:
    with rtsp_camera(challenges=[f'Basic realm="{REALM}"', DIGEST]) as other:
        moved = {method: f"{status}\r\nLocation: {other.url('/stolen')}"}
        with rtsp_camera(replies=moved, challenges=[f'Basic realm="{REALM}"']) as camera:
            numbers, problem = look(camera, user=LOGIN)
        assert (numbers, other.asked) == ([], [])
    assert f"{status}: it sends us on to rtsp://127.0.0.1:{other.port}, which is not followed" in problem
    assert PASSWORD not in problem
    assert "stolen" not in problem


@pytest.mark.parametrize("begin", ["rtsp://127.0.0.1:{port}", "RTSP://127.0.0.1:{port}", ""])
def test_another_path_of_the_same_camera_is_followed(begin: str) -> None:
    moved = {"DESCRIBE /main": f"302 Found\r\nLocation: {begin}/other?x=1"}
    with rtsp_camera(challenges=[DIGEST], replies=moved) as camera:
        assert look(camera, user=LOGIN) == ([0, 1, 2, 3, 4], "")
        described = [one.url for one in camera.asked if one.method == "DESCRIBE" and "authorization" in one.headers]
        assert described[-1] == f"rtsp://127.0.0.1:{camera.port}/other?x=1"


def test_a_camera_that_sends_us_round_in_a_circle_is_left() -> None:
    with rtsp_camera(replies={"DESCRIBE": "302 Found\r\nLocation: /main?channel=1"}) as camera:
        numbers, problem = look(camera)
    assert (numbers, problem) == ([], "cannot be opened: it sends us from one address to the next, 5 times and more")


@pytest.mark.parametrize(
    ("habits", "words"),
    [
        ({"replies": {"DESCRIBE": "404 Stream Not Found"}}, "404 Stream Not Found: it has no such stream"),
        ({"replies": {"DESCRIBE": "503 Service Unavailable"}}, "503 Service Unavailable: it serves nobody now"),
        ({"replies": {"DESCRIBE": "418 Teapot"}}, "418 Teapot: it does not say why"),
        ({"replies": {"SETUP": "453 Not Enough Bandwidth"}}, "453 Not Enough Bandwidth: its network has no room"),
        ({"replies": {"PLAY": "503 Service Unavailable"}}, "503 Service Unavailable: it serves nobody now"),
        ({"raw": b"HTTP/1.1 400 Bad Request\r\n\r\n"}, "port {port} speaks HTTP, not RTSP"),
        ({"raw": b"SSH-2.0-OpenSSH_9.2\r\n"}, "port {port} does not speak RTSP: it says 'SSH-2.0-OpenSSH_9.2'"),
        ({"raw": b"\x15\x03\x03\0\2\2\x28"}, "port {port} does not speak RTSP"),
        ({"raw": b""}, "it hangs up without an answer: port {port} does not speak RTSP, or it refuses us"),
        ({"raw": b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: many\r\n\r\n"}, "port {port} does not speak RTSP"),
    ],
)
def test_every_refusal_has_words_of_ours(habits: dict[str, Any], words: str) -> None:
    with rtsp_camera(**habits) as camera:
        numbers, problem = look(camera)
    assert numbers == []
    assert problem.startswith("cannot be opened: " + words.format(port=camera.port))


def test_a_host_that_nobody_knows_is_said_to_be() -> None:
    _, problem = see(source_of("rtsp://camera.invalid/main", RtspSpec))
    assert problem == "cannot be opened: its host's name is not known: no address was found for it"


def test_tls_where_there_is_none_and_none_where_there_is_are_told_apart() -> None:
    with rtsp_camera() as camera:
        _, problem = see(source_of(camera.url().replace("rtsp:", "rtsps:"), RtspSpec))
    assert problem.startswith(f"cannot be opened: port {camera.port} does not speak TLS as we do")
    with rtsp_camera(tls=tls()) as camera:
        _, problem = see(source_of(camera.url().replace("rtsps:", "rtsp:"), RtspSpec))
    assert problem.endswith("if it speaks TLS, the scheme is rtsps")


def tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(__file__).with_name("camera.pem"))
    return context


@pytest.mark.parametrize("transport", ["auto", "tcp", "udp"])
def test_a_camera_that_speaks_tls_is_read_through_us(transport: str) -> None:
    with rtsp_camera(tls=tls(), challenges=[SHA256, DIGEST]) as camera:
        assert look(camera, 40, user=LOGIN, transport=transport) == ([*range(40)], "")


@pytest.mark.parametrize(
    ("offered", "transport", "words"),
    [
        ("udp", "auto", ""),
        ("tcp", "auto", ""),
        ("udp", "udp", ""),
        ("udp", "tcp", "461 Unsupported Transport: it does not send over TCP: set `transport: udp`, or `auto`"),
        ("tcp", "udp", "461 Unsupported Transport: it does not send over UDP: set `transport: tcp`, or `auto`"),
    ],
)
def test_the_transport_that_a_camera_has_is_taken_or_named(offered: str, transport: str, words: str) -> None:
    with rtsp_camera(transports=offered) as camera:
        numbers, problem = look(camera, transport=transport)
    assert problem == (f"cannot be opened: {words}" if words else "")
    assert len(numbers) == (0 if words else 5)


def test_pictures_come_from_the_camera_itself_once_it_plays() -> None:
    with rtsp_camera() as camera, source_of(camera.url(), RtspSpec) as source:
        next(iter(source.shots()))
        peers = []
        for name in os.listdir("/proc/self/fd"):
            with suppress(OSError):  # it is none, or nobody is at its other end
                one = socket.socket(fileno=int(name))
                try:
                    peers.append(one.getpeername())
                finally:
                    one.detach()
        assert peers.count(("127.0.0.1", camera.port)) == 2, "libav's, and ours for the word that keeps the session"


def test_a_slow_camera_has_the_time_that_it_is_given() -> None:
    slowly = threading.Event()
    with rtsp_camera(describes_after=slowly) as camera:
        found: list[tuple[list[int], str]] = []
        looking = threading.Thread(target=lambda: found.append(look(camera, open_timeout_s=60.0)))
        looking.start()
        wait_for(lambda: "DESCRIBE" in camera.methods, "the question for its stream")
        _, problem = look(camera, open_timeout_s=0.3)
        assert problem == "cannot be opened: timed out: it did not answer in 0.3 s (`open_timeout_ms`)"
        slowly.set()
        looking.join()
    assert found == [([0, 1, 2, 3, 4], "")]


def test_a_camera_that_plays_and_sends_nothing_is_said_to() -> None:
    with rtsp_camera(pictures=steadily(0)) as camera:
        numbers, problem = look(camera, open_timeout_s=0.2, read_timeout_s=0.5)
    assert (numbers, problem) == ([], "sent nothing: timed out")


@pytest.mark.parametrize("is_tls", [False, True])
def test_a_session_is_kept_while_no_picture_comes(is_tls: bool) -> None:
    def rarely() -> Iterator[tuple[int, float, Sequence[bytes]]]:
        for number, payloads in enumerate([one[2] for one in steadily(6)()]):
            yield number * 90_000 * 60, 0.0, payloads
            if number == 3:
                wait_for(lambda: len(kept(camera)) >= 3, "three words that somebody is there")

    def kept(camera: RtspCamera) -> list[dict[str, str]]:
        return [one.headers for one in camera.asked if one.method == "GET_PARAMETER"]

    habits = {"challenges": [DIGEST], "session": "8;timeout=1", "pictures": rarely}
    with rtsp_camera(**habits, tls=tls() if is_tls else None) as camera:
        assert look(camera, user=LOGIN, read_timeout_s=60.0) == ([0, 1, 2, 3, 4], "")
        assert {one["session"] for one in kept(camera)} == {"8"}
        assert all("authorization" in one for one in kept(camera))
        assert camera.methods.count("PLAY") == 1


@pytest.mark.parametrize(
    ("size", "told", "lines", "is_refused"),
    [
        ((2560, 1440), None, ["a=x-dimensions:2560,1440"], True),
        ((2560, 1440), None, ["a=framesize:26 2560-1440"], True),
        ((2560, 1440), None, [], True),
        ((640, 2160), None, [], True),
        ((2560, 1440), (0, 0), [], True),
        ((2040, 2032), None, ["a=x-dimensions:2040,2032"], False),
        ((320, 192), None, [], False),
    ],
)
def test_motion_jpeg_that_rtp_cannot_tell_the_size_of_is_refused(
    size: tuple[int, int], told: tuple[int, int] | None, lines: list[str], is_refused: bool
) -> None:
    payloads = jpeg_payloads(*size, told)
    sdp = description(*lines).replace("RTP/AVP 96", "RTP/AVP 26").replace("a=rtpmap:96 H264/90000\r\n", "")

    def pictures() -> Iterator[tuple[int, float, Sequence[bytes]]]:
        return ((number * 9000, 0.1, payloads) for number in range(20))

    with rtsp_camera(sdp=sdp, pictures=pictures, payload_type=26) as camera:
        try:
            with source_of(camera.url(), RtspSpec) as source:
                layout = next(shot for shot in source.shots() if isinstance(shot, Shot)).picture.layout
                found, problem = (layout.width, layout.height), ""
        except SourceUnavailable as error:
            found, problem = (0, 0), error.problem
    assert found == ((0, 0) if is_refused else size)
    assert ("2040 (RFC 2435)" in problem) == is_refused


@pytest.mark.parametrize(("lines", "declared"), [((), 25.0), (("a=framerate:12.5",), 12.5)])
def test_the_declared_rate_is_that_of_pictures_not_of_fields(lines: tuple[str, ...], declared: float) -> None:
    with rtsp_camera(sdp=description(*lines)) as camera, source_of(camera.url(), RtspSpec) as source:
        assert (source.declared_fps, source.fps) == (declared, declared)


def test_a_wrong_password_is_tried_once_said_once_and_told_until_it_is_right(tmp_path: Path) -> None:
    with rtsp_camera(challenges=[SHA256, DIGEST], pictures=steadily(10_000)) as camera:
        streams = {
            "yard": {"url": camera.url(user="ann:guessed").replace("rtsp", "RTSP"), "pixels": "gray8"},
            "other": {"url": "synthetic:?fps=10&size=320x180", "pixels": "gray8"},
        }
        with Service(tmp_path, streams) as service, service.subscribe() as batches:
            wait_for(lambda: "401" in service.status()["streams"]["yard"]["problem"], "the refusal in the status")
            for _ in range(3):
                assert batches.receive(60.0).frames["yard"] == []
            told = service.status()["streams"]["yard"]
            assert "401 Unauthorized: user or password is wrong; tried again after 30 s" in told["problem"]
            assert (told["state"], told["fps"], told["declared_fps"]) == ("absent", 0.0, None)
            assert service.log.count("401 Unauthorized") == 1
            assert sum("authorization" in one.headers for one in camera.asked) == 1
            service.reload(streams={**streams, "yard": {**streams["yard"], "url": camera.url(user=LOGIN)}})
            wait_for(lambda: service.status()["streams"]["yard"]["state"] == "live", "the camera")
            wait_for(lambda: service.status()["streams"]["yard"]["fps"], "its rate")
            told = service.status()["streams"]["yard"]
            assert (told["problem"], told["declared_fps"]) == ("", 25.0)
            assert "ring of 50 slots = ceil(25.00/s" in service.log
            assert PASSWORD not in service.log + str(service.status())
