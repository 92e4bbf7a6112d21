"""Stamps inside the media, through real encoders, muxers and servers, held against the true time in the pictures."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler
from itertools import pairwise
from statistics import median

import pytest

from syncsvc.barcode import Barcode
from syncsvc.cameras import CameraSpec, VirtualCameras
from syncsvc.capture.spec import RtspSpec
from syncsvc.clock import SYSTEM_CLOCK
from syncsvc.model import Observation
from tests.e2e.httpcamera import FPS, HEIGHT, PERIOD_US, WIDTH, Respond, answer, http_camera, see, source_of, video

AT_US = 1_795_266_000_123_457  # 2026-11-21T13:00:00.123457Z
AVC, HEVC = b"MISPmicrosectime", bytes.fromhex("a8687dd4d7593758a5cef0338b6545f1")


def true_us(number: int) -> int:
    return AT_US + number * PERIOD_US


def sei(uuid: bytes, header: bytes) -> Callable[[int], bytes]:
    """A NAL unit per picture with its precision time stamp, start codes kept out as the standards demand."""

    def unit(number: int) -> bytes:
        raw = true_us(number).to_bytes(8, "big")
        message = uuid + b"\x1f" + b"\xff".join(raw[at : at + 2] for at in range(0, 8, 2))
        coded, zeros = bytearray(), 0
        for byte in bytes([5, len(message)]) + message + b"\x80":
            if zeros >= 2 and byte <= 3:
                coded.append(3)
                zeros = 0
            coded.append(byte)
            zeros = zeros + 1 if byte == 0 else 0
        return b"\x00\x00\x00\x01" + header + bytes(coded)

    return unit


@pytest.mark.parametrize("has_length", [True, False], ids=["a file", "a live body"])
@pytest.mark.parametrize(
    ("codec", "bframes", "add"),
    [("libx264", 0, sei(AVC, b"\x06")), ("libx264", 2, sei(AVC, b"\x06")), ("libx265", 2, sei(HEVC, b"\x4e\x01"))],
)
def test_precision_time_stamps_come_with_their_pictures(
    codec: str, bframes: int, add: Callable[[int], bytes], has_length: bool
) -> None:
    clip = video({number: true_us(number) for number in range(40)}, codec=codec, bframes=bframes, add=add)

    def serve(handler: BaseHTTPRequestHandler) -> None:
        answer(handler, "video/mp2t", clip if has_length else None)
        if not has_length:
            handler.wfile.write(clip)

    with http_camera({"/a": serve}) as url:
        seen, problem = see(source_of(f"{url}/a"))
    assert problem == "closed the connection"
    assert [code.counter for _, code in seen] == list(range(40))
    for one, code in seen:
        assert (one.stamp_ns, one.stamp_kind, one.doubt_ns) == (code.time_us * 1000, "media", 1000)


def test_an_encoders_own_messages_are_no_stamps() -> None:
    clip = video({number: true_us(number) for number in range(30)})
    with http_camera({"/a": lambda handler: answer(handler, "video/mp2t", clip)}) as url:
        seen, _ = see(source_of(f"{url}/a"))
    assert len(seen) == 30
    assert {(one.stamp_ns, one.stamp_kind) for one, _ in seen} == {(None, "")}


def date(number: int, zone_h: int = 0, digits: str = "milliseconds") -> str:
    """The program date of a picture, cut to its last digit."""
    zone = timezone(timedelta(hours=zone_h))
    return (
        (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=true_us(number)))
        .astimezone(zone)
        .isoformat(timespec=digits)
    )


class Playlist:
    """A playlist that has more to show whenever it is asked again."""

    def __init__(self, *editions: str, target_s: int = 1) -> None:
        head = f"#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{target_s}\n"
        self.editions = [head + edition for edition in editions]
        self.asked = 0

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        text = self.editions[min(self.asked, len(self.editions) - 1)]
        self.asked += 1
        answer(handler, "application/vnd.apple.mpegurl", text.encode())


def pieces(clip: bytes) -> tuple[bytes, list[bytes]]:
    """A fragmented MP4's head, and its fragments."""
    boxes, at = [], 0
    while at < len(clip):
        size = int.from_bytes(clip[at : at + 4], "big")
        boxes.append((clip[at + 4 : at + 8], clip[at : at + size]))
        at += size
    head = b"".join(data for kind, data in boxes if kind in (b"ftyp", b"moov"))
    pairs = zip([d for k, d in boxes if k == b"moof"], [d for k, d in boxes if k == b"mdat"], strict=True)
    return head, [moof + mdat for moof, mdat in pairs]


def segments(count: int, container: str = "mpegts", first: int = 0, bframes: int = 0) -> dict[str, Respond]:
    """Segments of one second each, ``/0`` and so on, and their ``/head``; pts go on from one to the next."""
    numbers = range(first, first + count * FPS)
    if container == "mp4":
        movflags = "+frag_keyframe+empty_moov+default_base_moof"
        head, parts = pieces(video({n: true_us(n) for n in numbers}, "mp4", movflags=movflags))
    else:
        head, cuts = b"", [numbers[at : at + FPS] for at in range(0, len(numbers), FPS)]
        parts = [video({n: true_us(n) for n in cut}, bframes=bframes) for cut in cuts]

    def give(data: bytes) -> Respond:
        return lambda handler: answer(handler, "application/octet-stream", data)

    return {"/head": give(head)} | {f"/{first // FPS + at}": give(part) for at, part in enumerate(parts)}


def errors_ms(seen: list[tuple[Observation, Barcode]]) -> list[float]:
    """Stamp less true time, in milliseconds."""
    return [(one.stamp_ns - code.time_us * 1000) / 1e6 for one, code in seen if one.stamp_ns is not None]


@pytest.mark.parametrize("container", ["mpegts", "mp4"])
def test_program_dates_of_a_live_playlist(container: str) -> None:
    head = '#EXT-X-MAP:URI="head"\n' if container == "mp4" else ""
    entries = [f"#EXT-X-PROGRAM-DATE-TIME:{date(n * FPS, zone_h=2)}\n#EXTINF:1.0,\n{n}\n" for n in range(5)]
    listing = Playlist(
        "#EXT-X-MEDIA-SEQUENCE:0\n" + head + "".join(entries[:4]),
        "#EXT-X-MEDIA-SEQUENCE:1\n" + head + "".join(entries[1:]) + "#EXT-X-ENDLIST\n",
    )
    with http_camera({"/live": listing, **segments(5, container, bframes=2)}) as url:
        seen, problem = see(source_of(f"{url}/live"))
    assert problem == "closed the connection"
    assert [code.counter for _, code in seen] == list(range(FPS, 5 * FPS)), "it begins three segments before the end"
    assert len(errors_ms(seen)) == len(seen)
    assert all(-1 < error <= 0 for error in errors_ms(seen)), "a date that was cut to milliseconds, and nothing else"
    assert {(one.stamp_kind, one.doubt_ns) for one, _ in seen} == {("playlist", 1_000_000)}
    steps = [(b.pts_ns or 0) - (a.pts_ns or 0) for (a, _), (b, _) in pairwise(seen)]
    assert all(abs(step - PERIOD_US * 1000) < 20_000 for step in steps), "one timeline over all segments"
    assert all(one.start_mono_ns == one.arrival_mono_ns for one, _ in seen)


def test_dates_are_carried_on_and_end_with_a_discontinuity() -> None:
    listing = Playlist(
        f"#EXT-X-PROGRAM-DATE-TIME:{date(0, digits='microseconds')}\n#EXTINF:1.0,\n0\n#EXTINF:1.0,\n1\n"
        "#EXT-X-DISCONTINUITY\n#EXTINF:1.0,\n40\n#EXT-X-ENDLIST\n"
    )
    with http_camera({"/live.m3u8": listing, **segments(2), **segments(1, first=1000)}) as url:
        seen, _ = see(source_of(f"{url}/live.m3u8?token=1"))
    assert [code.counter for _, code in seen] == [*range(50), *range(1000, 1025)]
    assert [one.stamp_ns is not None for one, _ in seen] == [True] * 50 + [False] * 25
    assert all(abs(error) < 0.02 for error in errors_ms(seen)), "a tick of 90 kHz"


def test_a_master_playlist_leads_to_its_best_variant_with_video() -> None:
    sound = '#EXT-X-STREAM-INF:BANDWIDTH=999,CODECS="mp4a.40.2"\nsound\n'
    video = '#EXT-X-STREAM-INF:BANDWIDTH=9,CODECS="avc1.42c01e"\nlive\n'
    routes: Mapping[str, Respond] = {
        "/master.m3u8": Playlist(sound + "#EXT-X-STREAM-INF:BANDWIDTH=1\nsmall\n" + video),
        "/live": Playlist("#EXTINF:1.0,\n0\n#EXT-X-ENDLIST\n"),
        **segments(1),
    }
    with http_camera(routes) as url:
        seen, _ = see(source_of(f"{url}/master.m3u8"))
    assert len(seen) == FPS
    assert errors_ms(seen) == []


@pytest.mark.parametrize(
    ("listing", "problem"),
    [
        (Playlist(""), "has no segment yet"),
        (Playlist("#EXTINF:1,\ngone\n"), "cannot be opened"),
        (Playlist("#EXTINF:1,\nfile:///etc/passwd\n"), "cannot be read: its playlist names something"),
        (
            Playlist("#EXT-X-MEDIA-SEQUENCE:9\n#EXTINF:1,\n0\n", "#EXTINF:1,\n0\n", target_s=0),
            "began its playlist anew",
        ),
    ],
)
def test_a_playlist_that_cannot_be_played_is_a_camera_that_is_not_there(listing: Playlist, problem: str) -> None:
    with http_camera({"/live": listing, **segments(1)}) as url:
        assert problem in see(source_of(f"{url}/live"))[1]


@pytest.mark.alone  # it holds medians of latencies against each other
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_frames_begin_to_arrive_when_they_were_taken_at_any_rate(transport: str) -> None:
    specs = [CameraSpec(f"at{fps}", fps=fps, width=WIDTH, height=HEIGHT) for fps in (15, 30)]
    with VirtualCameras(specs) as cameras:
        with ThreadPoolExecutor() as pool:
            looks = {
                name: pool.submit(see, source_of(url, RtspSpec, transport=transport), 40)
                for name, url in cameras.urls.items()
            }
        found = {name: look.result()[0] for name, look in looks.items()}
    utc_less_mono_ns = SYSTEM_CLOCK.utc_ns() - SYSTEM_CLOCK.monotonic_ns()
    latency_ms: dict[str, float] = {}
    for name, seen in found.items():
        assert seen[0][0].start_mono_ns is None, "nobody saw the first frame begin"
        after = [
            (one.start_mono_ns + utc_less_mono_ns - code.time_us * 1000, one)
            for one, code in seen
            if one.start_mono_ns is not None
        ]
        assert len(after) == len(seen) - 1
        assert all(late_ns > 0 for late_ns, _ in after), "no frame arrives before it is taken"
        assert all(one.start_mono_ns < one.arrival_mono_ns for _, one in after if one.start_mono_ns is not None)
        latency_ms[name] = median(late_ns for late_ns, _ in after) / 1e6
    assert abs(latency_ms["at15"] - latency_ms["at30"]) < 15, "a frame's period more would be 33 ms apart"


@pytest.mark.alone  # what came is read within the 20 ms until the next piece
def test_a_body_is_timed_by_its_bytes() -> None:
    clip = video({number: true_us(number) for number in range(100)})
    edges = [
        at for at in range(0, len(clip), 188) if clip[at + 1] & 0x40 and clip[at + 2] == 0 and clip[at + 1] & 0x1F == 1
    ]
    written: list[int] = []
    pause = threading.Event()

    def serve(handler: BaseHTTPRequestHandler) -> None:
        answer(handler, "video/mp2t")
        for begin, end in pairwise([*edges, len(clip)]):
            written.append(SYSTEM_CLOCK.monotonic_ns())
            handler.wfile.write(clip[0 if begin == edges[0] else begin : end])
            pause.wait(0.02)

    with http_camera({"/a": serve}) as url:
        seen, _ = see(source_of(f"{url}/a"))
    starts = {code.counter: one.start_mono_ns for one, code in seen}
    assert len(edges) == len(starts) == 100
    exact = 0
    for number, start_ns in starts.items():
        assert start_ns is not None
        assert start_ns >= written[number], "no frame arrives before it is sent"
        exact += number == 99 or start_ns < written[number + 1]
    assert exact > 80, "by its packets each would begin when the next one does"


@pytest.mark.parametrize("filler", [b"", b"\x47\x1f\xff\x10" + b"\xff" * 184], ids=["silent", "null packets only"])
def test_a_body_without_video_for_three_seconds_is_a_camera_that_is_gone(filler: bytes) -> None:
    clip = video({number: true_us(number) for number in range(50)})
    over = threading.Event()

    def serve(handler: BaseHTTPRequestHandler) -> None:
        answer(handler, "video/mp2t")
        handler.wfile.write(clip)
        while not over.wait(0.05):
            handler.wfile.write(filler)

    with http_camera({"/a": serve}) as url:
        seen, problem = see(source_of(f"{url}/a"))
        over.set()
    assert len(seen) >= 48
    assert problem == "stopped sending: timed out"
