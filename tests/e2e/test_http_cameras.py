"""HTTP cameras against real servers: redirects, cookies and passwords, single pictures, FLV, files, and failures."""

import gzip
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler
from itertools import chain, islice, repeat
from pathlib import Path
from urllib.request import parse_http_list, parse_keqv_list

import cv2
import numpy as np
import pytest

from syncsvc import barcode
from syncsvc.capture.network import NetworkSource
from syncsvc.capture.source import Loss, Shot
from syncsvc.capture.spec import HttpSpec, RingPlan
from syncsvc.clock import NS_PER_S, SYSTEM_CLOCK
from syncsvc.errors import SourceUnavailable
from syncsvc.lifecycle import StopToken
from tests.aes import encrypted
from tests.e2e.httpcamera import (
    FPS,
    HEIGHT,
    PERIOD_US,
    WIDTH,
    Respond,
    answer,
    http_camera,
    picture,
    see,
    source_of,
    video,
)  # fmt: skip
from tests.e2e.test_mjpeg import CHALLENGES, PASSWORD, USER, is_logged_in, jpegs, part, sends, wants

LOGIN = "ann:p%C3%A4%40ss%20w%2Fo%22rd%3A@"
assert (USER, PASSWORD) == ("ann", 'pä@ss w/o"rd:'), "the same as in LOGIN"
CLIP = video({number: number * PERIOD_US for number in range(FPS)})
LISTED = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"


def moves_to(place: str, status: int = 302, **headers: str) -> Respond:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Location", place)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()

    return respond


def lists(place: str) -> Respond:
    return lambda handler: answer(handler, "application/vnd.apple.mpegurl", LISTED.format(place).encode())


def shown_number(shot: Shot) -> int:
    slot = np.empty(shot.picture.layout.size_bytes, np.uint8)
    shot.picture.write(slot)
    code = barcode.read(slot.reshape(HEIGHT, WIDTH))
    assert code is not None
    return code.counter


def clip(handler: BaseHTTPRequestHandler) -> None:
    answer(handler, "video/mp2t", CLIP)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("place", ["/stream?a=1", "stream?a=1", "{url}/stream?a=1"])
def test_a_redirect_on_the_same_server_is_followed_with_the_log_in(status: int, place: str) -> None:
    asked: list[str] = []

    def stream(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        sends(part(jpegs(1)[0][0]))(handler)

    with ExitStack() as running:
        routes: dict[str, Respond] = {"/stream": wants(CHALLENGES["md5"], stream)}
        url = running.enter_context(http_camera(routes))
        routes["/"] = wants(CHALLENGES["md5"], moves_to(place.format(url=url), status))
        seen, _ = see(source_of(url.replace("//", f"//{LOGIN}") + "/"))
    assert len(seen) == 1
    assert asked == ["/stream?a=1"]


@pytest.mark.parametrize("place", ["http://{other}/stream", "//{other}/stream", "https://{url}/stream"])
def test_a_redirect_to_another_server_is_refused_and_that_one_learns_nothing(place: str) -> None:
    asked: list[str] = []
    with http_camera({"/stream": lambda handler: asked.append(handler.path)}) as other, ExitStack() as running:
        routes: dict[str, Respond] = {}
        url = running.enter_context(http_camera(routes))
        routes["/"] = moves_to(place.format(other=other.removeprefix("http://"), url=url.removeprefix("http://")))
        _, problem = see(source_of(url.replace("//", f"//{LOGIN}") + "/"))
    assert problem.startswith(
        "cannot be opened: HTTP 302 Found, and redirects to another server are not followed (http"
    )
    assert asked == []


def test_a_redirect_to_itself_ends() -> None:
    with http_camera({"/": moves_to("/?again")}) as url:
        assert see(source_of(f"{url}/"))[1] == "cannot be opened: sends us on more than 10 times"


def test_playlists_and_segments_may_redirect_and_set_cookies() -> None:
    """As MediaMTX does it: a cookie is tried first, and whoever keeps none goes on with a parameter."""

    def index(handler: BaseHTTPRequestHandler) -> None:
        if "cookieCheck=1" not in handler.path:
            moves_to("/cam/index.m3u8?cookieCheck=1", Set_Cookie="cookieCheck=1; HttpOnly")(handler)
        else:
            text = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nmain.m3u8?session=11\n"
            answer(handler, "application/vnd.apple.mpegurl", text.encode())

    def main(handler: BaseHTTPRequestHandler) -> None:
        is_known = "session=11" in handler.path and "cookieCheck=1" in (handler.headers["Cookie"] or "")
        lists("seg?session=11")(handler) if is_known else handler.send_error(401)

    routes: dict[str, Respond] = {
        "/cam/index.m3u8": index, "/cam/main.m3u8": main, "/cam/seg": moves_to("/real/seg"), "/real/seg": clip,
    }  # fmt: skip
    with http_camera(routes) as url:
        seen, _ = see(source_of(f"{url}/cam/index.m3u8"))
    assert len(seen) == FPS


def test_segments_are_asked_for_beside_where_their_playlist_was_found() -> None:
    with http_camera({"/a": moves_to("/deep/list"), "/deep/list": lists("seg"), "/deep/seg": clip}) as url:
        assert len(see(source_of(f"{url}/a"))[0]) == FPS


def test_a_password_goes_to_its_own_server_and_to_no_other() -> None:
    told: list[str | None] = []

    def segment(handler: BaseHTTPRequestHandler) -> None:
        told.append(handler.headers["Authorization"])
        clip(handler)

    with ExitStack() as running:
        other = running.enter_context(http_camera({"/seg": segment}))
        routes: dict[str, Respond] = {"/seg": wants(CHALLENGES["basic"], clip)}
        url = running.enter_context(http_camera(routes))
        for place in (f"{other}/seg", f"{url}/seg"):
            routes["/"] = wants(CHALLENGES["basic"], lists(place))
            assert len(see(source_of(url.replace("//", f"//{LOGIN}") + "/"))[0]) == FPS
    assert told == [None]


def test_a_challenge_is_answered_once_for_a_whole_playlist() -> None:
    asked: list[bool] = []

    def counted(then: Respond) -> Respond:
        def respond(handler: BaseHTTPRequestHandler) -> None:
            asked.append(handler.headers["Authorization"] is not None)
            wants(CHALLENGES["sha-256"], then)(handler)

        return respond

    with http_camera({"/": counted(lists("seg")), "/seg": counted(clip)}) as url:
        assert len(see(source_of(url.replace("//", f"//{LOGIN}") + "/"))[0]) == FPS
    assert asked == [False, True, True]


class LiveServer:
    """A live playlist of one second per segment: in a window of three, one segment further with each question."""

    def __init__(self, lost: dict[str, Respond], *, last: int = 8) -> None:
        self._asked, self._lost, self._last = 0, lost, last
        self.routes: dict[str, Respond] = {"/": self.playlist}
        for number in range(last + 1):
            numbers = range(3 * number, 3 * number + 3)
            body = video({one: one * PERIOD_US for one in numbers})
            self.routes[f"/{number}"] = lost.get(f"/{number}", partial(answer, kind="video/mp2t", body=body))

    def playlist(self, handler: BaseHTTPRequestHandler) -> None:
        self._asked += 1
        if f"list {self._asked}" in self._lost:
            self._lost[f"list {self._asked}"](handler)
            return
        first = min(self._asked, self._last - 2)
        names = "".join(f"#EXTINF:0.1,\n{number}\n" for number in range(first, first + 3))
        end = "#EXT-X-ENDLIST\n" if first + 2 == self._last else ""
        head = f"#EXTM3U\n#EXT-X-TARGETDURATION:0.1\n#EXT-X-MEDIA-SEQUENCE:{first}\n"
        answer(handler, "application/vnd.apple.mpegurl", (head + names + end).encode())


def gone(handler: BaseHTTPRequestHandler) -> None:
    handler.send_error(404)


def no_video(handler: BaseHTTPRequestHandler) -> None:
    answer(handler, "video/mp2t", b"<html>no such segment</html>")


def test_what_is_missing_of_a_live_playlist_is_a_loss_and_no_frame_comes_twice() -> None:
    camera = LiveServer({"/1": gone, "/4": gone, "/5": no_video, "list 2": gone, "list 4": no_video})
    with http_camera(camera.routes) as url, source_of(f"{url}/") as source:
        shots = islice(source.shots(), 17)
        seen = [shot.cause if isinstance(shot, Loss) else shown_number(shot) for shot in shots]
    lost = "network_loss"
    assert seen == [*range(6, 12), lost, lost, *range(18, 27)]


def test_a_live_playlist_without_any_segment_is_gone_in_the_servers_words() -> None:
    camera = LiveServer({f"/{number}": gone for number in range(9)})
    with http_camera(camera.routes) as url:
        assert see(source_of(f"{url}/"))[1] == "cannot be opened: HTTP 404 Not Found"


def test_variables_of_the_master_playlist_lead_to_segments() -> None:
    master = '#EXTM3U\n#EXT-X-DEFINE:NAME="at",VALUE="deep"\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{$at}/list\n'
    media = LISTED.format("/{$at}/seg").replace("\n", '\n#EXT-X-DEFINE:IMPORT="at"\n', 1)
    routes: dict[str, Respond] = {
        "/": lambda handler: answer(handler, "application/vnd.apple.mpegurl", master.encode()),
        "/deep/list": lambda handler: answer(handler, "application/vnd.apple.mpegurl", media.encode()),
        "/deep/seg": clip,
    }
    with http_camera(routes) as url:
        assert len(see(source_of(f"{url}/"))[0]) == FPS


@pytest.mark.parametrize("gives_pieces", [True, False])
def test_pieces_of_one_file_are_segments_whether_the_server_cuts_or_not(gives_pieces: bool) -> None:
    clips = [video({3 * at + one: (3 * at + one) * PERIOD_US for one in range(3)}) for at in range(2)]
    first, second = map(len, clips)
    listed = f"#EXT-X-BYTERANGE:{first}@0\n#EXTINF:1,\nall\n#EXT-X-BYTERANGE:{second}\n#EXTINF:1,\nall"
    playlist = LISTED.replace("#EXTINF:1,\n{}", listed).encode()

    def whole(handler: BaseHTTPRequestHandler) -> None:
        if not gives_pieces:
            answer(handler, "video/mp2t", b"".join(clips))
            return
        at, end = map(int, handler.headers["Range"].removeprefix("bytes=").split("-"))
        handler.send_response(206)
        handler.end_headers()
        handler.wfile.write(b"".join(clips)[at : end + 1])

    routes = {"/": partial(answer, kind="application/vnd.apple.mpegurl", body=playlist), "/all": whole}
    with http_camera(routes) as url:
        assert [code.counter for _, code in see(source_of(f"{url}/"))[0]] == list(range(6))


def test_a_variant_that_is_not_there_is_passed_over_for_the_next_best_with_video() -> None:
    variants = ("BANDWIDTH=9,RESOLUTION=640x360\nnone", 'BANDWIDTH=8,CODECS="mp4a.40.2"\nsound', "BANDWIDTH=1\nlist")
    master = "#EXTM3U\n" + "".join(f"#EXT-X-STREAM-INF:{one}\n" for one in variants)
    routes = {"/": partial(answer, kind="x/y", body=master.encode()), "/none": gone, "/sound": gone, "/seg": clip}
    with http_camera(routes) as url:
        assert see(source_of(f"{url}/"))[1] == "cannot be opened: HTTP 404 Not Found"
        routes["/list"] = lists("/seg")
        assert len(see(source_of(f"{url}/"))[0]) == FPS


@pytest.mark.parametrize("is_endless", [False, True])
def test_a_master_playlist_behind_another_leads_to_segments_unless_they_name_one_another(is_endless: bool) -> None:
    outer, inner = (
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n" + name for name in ("deep/", "/" if is_endless else "list")
    )
    routes: dict[str, Respond] = {
        "/": partial(answer, kind="x/y", body=outer.encode()),
        "/deep/": partial(answer, kind="x/y", body=inner.encode()),
        "/deep/list": lists("/seg"),
        "/seg": clip,
    }
    with http_camera(routes) as url:
        seen, problem = see(source_of(f"{url}/"))
    if is_endless:
        assert problem == "cannot be read: its playlists name one another, and no segments"
    else:
        assert len(seen) == FPS


def test_what_comes_packed_though_nobody_asked_for_that_is_unpacked() -> None:
    def packed(handler: BaseHTTPRequestHandler) -> None:
        assert handler.headers["Accept-Encoding"] == "identity"
        body = gzip.compress(LISTED.format("seg").encode())
        answer(handler, "application/vnd.apple.mpegurl", body, **{"Content-Encoding": "gzip"})

    with http_camera({"/": packed, "/seg": clip}) as url:
        assert len(see(source_of(f"{url}/"))[0]) == FPS


class Counting:
    """A log-in that curl has no answer to, whose nonce serves twice; notes nonce and count of who is let in."""

    def __init__(self) -> None:
        self.let_in, self.refused = list[tuple[str, str]](), 0

    def guard(self, then: Respond) -> Respond:
        def respond(handler: BaseHTTPRequestHandler) -> None:
            nonce = f"n{len(self.let_in) // 2}"
            known, said = f'Digest realm="cam", nonce="{nonce}", qop="auth"', handler.headers["Authorization"] or ""
            words = parse_keqv_list(parse_http_list(said.partition(" ")[2]))
            is_stale = words.get("nonce", nonce) != nonce
            if words and not is_stale and is_logged_in(handler, [known]):
                self.let_in.append((nonce, words["nc"]))
                then(handler)
                return
            self.refused += 1
            handler.send_response(401)
            handler.send_header("WWW-Authenticate", 'Digest realm="cam", nonce="x", algorithm=NEW')
            handler.send_header("WWW-Authenticate", known + ", stale=true" * is_stale)
            handler.end_headers()

        return respond


def test_where_we_answer_ourselves_requests_are_counted_and_a_stale_nonce_is_renewed() -> None:
    camera = Counting()
    playlist = LISTED.format("1\n#EXTINF:1,\n2\n#EXTINF:1,\n3").encode()
    routes = {f"/{name}": camera.guard(clip) for name in "123"}
    routes["/"] = camera.guard(lambda handler: answer(handler, "application/vnd.apple.mpegurl", playlist))
    with http_camera(routes) as url:
        assert len(see(source_of(url.replace("//", f"//{LOGIN}") + "/"))[0]) == 3 * FPS
        assert camera.let_in == [("n0", "00000001"), ("n0", "00000002"), ("n1", "00000001"), ("n1", "00000002")]
        refused = camera.refused
        assert see(source_of(url.replace("//", "//ann:wrong@") + "/")) == (
            [],
            "cannot be opened: HTTP 401 Unauthorized",
        )
    assert camera.refused - refused <= 3, "so that no camera locks its account"


@pytest.mark.parametrize("key", [bytes(range(16)), b"too short"])
def test_an_encrypted_playlist_keeps_its_dates_and_asks_for_its_key_once_as_whoever_logs_in(key: bytes) -> None:
    small, asked = video({number: number * PERIOD_US for number in range(3)}), list[str]()

    def gives_key(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        answer(handler, "application/octet-stream", key)

    def playlist(handler: BaseHTTPRequestHandler) -> None:
        entries = "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T13:00:00.000Z\n#EXTINF:1,\n1\n#EXTINF:1,\n2\n#EXT-X-ENDLIST\n"
        head = '#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-KEY:METHOD=AES-128,URI="key"\n'
        answer(handler, "application/vnd.apple.mpegurl", (head + entries).encode())

    def segment(handler: BaseHTTPRequestHandler) -> None:
        iv = int(handler.path[1:]).to_bytes(16, "big")
        answer(handler, "video/mp2t", encrypted(small, bytes(range(16)), iv))

    routes = {"/": playlist, "/1": segment, "/2": segment, "/key": wants(CHALLENGES["md5"], gives_key)}
    with http_camera(routes) as url:
        seen, problem = see(source_of(url.replace("//", f"//{LOGIN}") + "/"))
    assert asked == ["/key"]
    if len(key) == 16:
        assert [code.counter for _, code in seen] == [0, 1, 2, 0, 1, 2]
        assert {one.stamp_kind for one, _ in seen} == {"playlist"}
    else:
        assert problem == "has a key of 9 bytes, and not 16"


class Snapshots:
    """A camera that answers with one picture, always the next."""

    def __init__(self, *, count: int = 50, length: bool = True) -> None:
        self._made, self._has_length = [jpeg for jpeg, _ in jpegs(count)], length
        self.asked_ns: list[int] = []
        self.lines: list[str | None] = []

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        self.lines.append(handler.headers["If-None-Match"] or handler.headers["If-Modified-Since"])
        self.asked_ns.append(SYSTEM_CLOCK.monotonic_ns())
        body = self._made[len(self.asked_ns) - 1]
        answer(handler, "image/jpeg", body if self._has_length else None)
        if not self._has_length:
            handler.wfile.write(body)


@pytest.mark.parametrize("length", [True, False])
def test_a_url_with_one_picture_is_a_camera_that_is_asked_at_a_pace(length: bool) -> None:
    camera = Snapshots(length=length)
    with http_camera({"/snap.jpg": camera}) as url:
        seen, problem = see(source_of(f"{url}/snap.jpg", every_s=0.2), 4)
    assert [code.counter for _, code in seen] == [0, 1, 2, 3]
    assert problem == ""
    gaps_ns = [later - earlier for earlier, later in zip(camera.asked_ns[1:], camera.asked_ns[2:], strict=False)]
    assert min(gaps_ns) > 0.1 * NS_PER_S
    assert [(one.pts_ns, one.stamp_ns, one.is_key) for one, _ in seen] == [(None, None, True)] * 4


@pytest.mark.parametrize("kind", [".png", ".webp"])
def test_pictures_of_other_kinds_are_asked_for_too_and_a_damaged_one_is_one_loss(kind: str) -> None:
    lossless, made = [cv2.IMWRITE_WEBP_QUALITY, 101] if kind == ".webp" else [], list[bytes]()
    for number in range(3):
        shown = picture(number, number).to_ndarray(format="gray")
        made.append(cv2.imencode(kind, shown, lossless)[1].tobytes())
    bodies = iter([made[0], made[0][:60], b"", *made[1:]])
    routes: dict[str, Respond] = {"/": lambda handler: answer(handler, "image/jpeg", next(bodies))}
    with http_camera(routes) as url, source_of(f"{url}/", every_s=0.02) as source:
        shots = list(islice(source.shots(), 4))
    assert [isinstance(one, Loss) for one in shots] == [False, True, False, False]
    sound = [one for one in shots if isinstance(one, Shot)]
    assert [shown_number(one) for one in sound] == [0, 1, 2]
    assert [(one.seen.pts_ns, one.seen.is_key) for one in sound] == [(None, True)] * 3


def test_its_rate_is_the_pace() -> None:
    with http_camera({"/": Snapshots()}) as url, source_of(url, every_s=0.5) as source:
        assert source.fps == 2


def test_pictures_in_one_answer_are_read_to_its_end() -> None:
    def pushes(handler: BaseHTTPRequestHandler) -> None:
        answer(handler, "image/jpeg")
        for jpeg, _ in jpegs(5):
            handler.wfile.write(jpeg)

    with http_camera({"/": pushes}) as url:
        seen, problem = see(source_of(url))
    assert [code.counter for _, code in seen] == list(range(5))
    assert problem == "closed the connection"


@pytest.mark.parametrize(
    ("name", "value", "every_s", "is_asked"),
    [("ETag", '"v1"', 0.05, True), ("Last-Modified", "Sat, 21 Nov 2026 13:00:00 GMT", 1.0, True),
     ("Last-Modified", "Sat, 21 Nov 2026 13:00:00 GMT", 0.05, False)],
)  # fmt: skip
def test_what_has_not_changed_is_no_new_picture(name: str, value: str, every_s: float, is_asked: bool) -> None:
    conditions: list[str | None] = []
    (first, _), (second, _) = jpegs(2)

    def camera(handler: BaseHTTPRequestHandler) -> None:
        condition = handler.headers["If-None-Match"] or handler.headers["If-Modified-Since"]
        conditions.append(condition)
        if condition == value and len(conditions) == 2:
            handler.send_response(304)
            handler.end_headers()
            return
        answer(handler, "image/jpeg", first if len(conditions) == 1 else second, **{name: value})

    with http_camera({"/": camera}) as url:
        seen, _ = see(source_of(url, every_s=every_s), 2)
    assert [code.counter for _, code in seen] == [0, 1]
    assert conditions == ([None, value, value] if is_asked else [None, None])


def test_a_camera_that_fails_now_and_then_is_asked_again_and_one_that_always_does_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(HttpSpec, "timeouts_s", (5.0, 0.5))
    camera, asked = Snapshots(), list[int]()

    def fails(handler: BaseHTTPRequestHandler) -> None:
        asked.append(1)
        if len(asked) == 2 or len(asked) > 4:
            handler.send_error(503)
        else:
            camera(handler)

    with http_camera({"/": fails}) as url:
        seen, problem = see(source_of(url, every_s=0.05))
    assert [code.counter for _, code in seen] == [0, 1, 2]
    assert problem == "cannot be opened: HTTP 503 Service Unavailable"


def test_an_answer_without_a_picture_is_no_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HttpSpec, "timeouts_s", (5.0, 0.3))
    bodies = chain([jpegs(1)[0][0]], repeat(b""))
    with http_camera({"/": lambda handler: answer(handler, "image/jpeg", next(bodies))}) as url:
        assert see(source_of(url, every_s=0.01))[1] == "answers without a picture"


def test_a_picture_without_an_end_is_shown_or_counted() -> None:
    def camera(handler: BaseHTTPRequestHandler) -> None:
        answer(handler, "image/jpeg", jpegs(1)[0][0][:-2])

    with http_camera({"/": camera}) as url, source_of(url, every_s=0.01) as source:
        assert len(list(islice(source.shots(), 2))) == 2


@contextmanager
def flv_camera(change: Callable[[list[bytes]], list[bytes]]) -> Iterator[str]:
    """A camera that sends FLV and then nothing more, without closing; ``change`` makes its tags others."""
    whole = video({number: number * PERIOD_US for number in range(10)}, "flv")
    tags, at, over = [], 13, threading.Event()
    while at < len(whole):
        end = at + 15 + int.from_bytes(whole[at + 1 : at + 4], "big")
        tags.append(whole[at:end])
        at = end

    def serve(handler: BaseHTTPRequestHandler) -> None:
        answer(handler, "video/x-flv")
        handler.wfile.write(b"FLV\1\5" + whole[5:13] + b"".join(change(tags)))
        over.wait()

    with http_camera({"/live.flv": serve}) as url:
        try:
            yield f"{url}/live.flv"
        finally:
            over.set()


def test_damaged_parameters_are_a_camera_that_is_not_there_for_who_wants_coded_pictures() -> None:
    def lie(tags: list[bytes]) -> list[bytes]:
        """Say that the first parameter set is longer than all of them."""
        begin = b"\x17\0\0\0\0\1"
        return [
            tag[: (at := tag.index(begin) + 11)] + b"\xff\xff" + tag[at + 2 :] if begin in tag else tag for tag in tags
        ]

    with flv_camera(lie) as url:
        spec = HttpSpec(name="a", url=url, pixels="encoded", ring=RingPlan(1_000_000_000), read_timeout_s=0.5)
        with pytest.raises(SourceUnavailable):
            NetworkSource(spec, SYSTEM_CLOCK, lambda position: None, StopToken())


def test_flv_is_open_once_its_first_picture_is_there_whatever_it_promises() -> None:
    """It promises sound too, which never comes: libavformat waited five seconds for it, then for the next packet."""
    with flv_camera(lambda tags: tags) as url, source_of(url) as source:
        shot = next(source.shots())
        assert not isinstance(shot, Loss)
        assert shot.seen.pts_ns == 0


def test_a_file_on_a_server_is_searched_in_with_the_log_in() -> None:
    whole = video({number: number * PERIOD_US for number in range(FPS)}, "mp4")
    assert whole.index(b"moov") > whole.index(b"mdat"), "what describes it is at its end"
    ranges: list[str | None] = []

    def serve(handler: BaseHTTPRequestHandler) -> None:
        said = handler.headers["Range"]
        ranges.append(said)
        first = int(said.removeprefix("bytes=").partition("-")[0]) if said else 0
        handler.send_response(206 if said else 200)
        handler.send_header("Accept-Ranges", "bytes")
        handler.send_header("Content-Length", str(len(whole) - first))
        handler.end_headers()
        handler.wfile.write(whole[first:])

    with http_camera({"/a.mp4": wants(CHALLENGES["sha-256"], serve)}) as url:
        seen, problem = see(source_of(url.replace("//", f"//{LOGIN}") + "/a.mp4"))
    assert [code.counter for _, code in seen] == list(range(FPS))
    assert problem == "closed the connection"
    assert any(ranges)


def test_no_traceback_of_a_library_is_written_when_a_body_breaks_off(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyAV wrote one where a read failed twice before it had told of the first."""
    monkeypatch.setattr(HttpSpec, "timeouts_s", (0.3, 0.3))
    over = threading.Event()

    def serve(handler: BaseHTTPRequestHandler) -> None:
        answer(handler, "video/mp2t")
        handler.wfile.write(CLIP[: len(CLIP) // 2])
        over.wait()

    with http_camera({"/": serve}) as url:
        problem = see(source_of(url))[1]
        over.set()
    assert problem == "stopped sending: timed out"
    assert capfd.readouterr().err == ""


def test_passwords_of_variables_log_in_whatever_is_in_them_and_show_nowhere(tmp_path: Path) -> None:
    camera = wants(CHALLENGES["md5"], sends(*(part(jpeg) for jpeg, _ in jpegs(3))))
    with http_camera({"/user=joe/key=abc123": camera}) as url:
        file = tmp_path / "site.yaml"
        place = url.replace("//", "//ann:${CAM_PASSWORD}@") + "/user=joe/key=abc123?Token=xyz987"
        file.write_text(f"streams: {{a: {{url: '{place}'}}}}\n")
        done = subprocess.run(
            [sys.executable, "-m", "syncsvc", "check", "--probe", str(file)],
            capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "CAM_PASSWORD": PASSWORD},
        )  # fmt: skip
    assert "probe  a: ok" in done.stdout, done.stdout + done.stderr
    for secret in (PASSWORD, LOGIN.partition(":")[2], "abc123", "xyz987", "joe"):
        assert secret not in done.stdout + done.stderr
