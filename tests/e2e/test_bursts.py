"""Several batches that leave at once: who keeps up loses none of them, however small the windows are."""

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from syncsvc import FrameBatch
from syncsvc.clock import NS_PER_S, SYSTEM_CLOCK
from tests.e2e.harness import Following, Service
from tests.e2e.httpcamera import answer, http_camera
from tests.e2e.test_media_stamps import segments

SMALL = "fps=25&size=160x90"
PAUSING = {
    "steady": {"url": f"synthetic:?{SMALL}"},
    "pausing": {"url": f"synthetic:?{SMALL}&seed=2&stall=3:1.8"},
}
"""Of the second one the frames of 1.8 s come together, every 3 s."""


def at_once(batches: list[FrameBatch]) -> int:
    """Of how many windows in a row, at the most, all were over when the first left."""
    ends = [batch.window_end_ns for batch in batches]
    return max(bisect_right(ends, batch.emitted_ns) - place for place, batch in enumerate(batches))


def read_for(history: Following, seconds: int) -> None:
    """Take the batches of so much time."""
    begun_ns = history.next().window_end_ns
    history.read_until(lambda batch: batch.window_end_ns >= begun_ns + seconds * NS_PER_S, 2000)


def test_windows_that_wait_for_a_pause_reach_who_keeps_up(tmp_path: Path) -> None:
    groups = {"all": {"streams": list(PAUSING), "window_ms": 100, "max_latency_ms": 2800}}
    with (
        Service(tmp_path, PAUSING, groups=groups) as service,
        service.follow("all") as pictures,
        service.follow("all", payload=None) as heads,
    ):
        for history in (pictures, heads):
            read_for(history, 10)
            assert history.missed == 0
            assert at_once(history.batches) >= 15
            history.check()


@contextmanager
def live_playlist(seconds: int) -> Iterator[str]:
    """An HLS camera that is as old as three segments of a second, and goes on for so long; the value is its URL."""
    clips, begun_ns = segments(seconds), SYSTEM_CLOCK.utc_ns() - 3 * NS_PER_S

    def give(handler: BaseHTTPRequestHandler) -> None:
        over = min(seconds, (SYSTEM_CLOCK.utc_ns() - begun_ns) // NS_PER_S)
        entries = [
            f"#EXT-X-PROGRAM-DATE-TIME:{datetime.fromtimestamp(begun_ns // NS_PER_S + n, UTC).isoformat()}\n"
            f"#EXTINF:1.0,\n{n}\n"
            for n in range(over)
        ]
        text = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:0\n" + "".join(entries)
        answer(handler, "application/vnd.apple.mpegurl", text.encode())

    with http_camera({"/live.m3u8": give, **clips}) as url:
        yield f"{url}/live.m3u8"


def test_segments_that_come_in_one_piece_reach_who_keeps_up(tmp_path: Path) -> None:
    groups = {"all": {"streams": ["hls"], "window_ms": 100, "max_latency_ms": 8000}}
    with live_playlist(30) as url:
        streams = {"hls": {"url": url, "stall_after_ms": 5000}}
        with Service(tmp_path, streams, groups=groups) as service, service.follow("all") as history:
            history.read_until(lambda batch: bool(batch.frames["hls"]), 1000)
            read_for(history, 5)
            assert history.missed == 0
            assert at_once(history.batches) >= 8
            history.check()
