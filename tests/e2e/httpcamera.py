"""Cameras that speak HTTP, for tests: a server on loopback, and pictures that carry their true time."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from itertools import islice
from typing import Any, cast

import av
import numpy as np
from av.video.stream import VideoStream

from syncsvc import barcode
from syncsvc.capture.network import NetworkSource
from syncsvc.capture.source import Shot
from syncsvc.capture.spec import HttpSpec, RingPlan, RtspSpec
from syncsvc.clock import SYSTEM_CLOCK
from syncsvc.errors import SourceUnavailable
from syncsvc.lifecycle import StopToken
from syncsvc.model import Observation

WIDTH, HEIGHT, FPS = 320, 180, 25
PERIOD_US = 1_000_000 // FPS

Respond = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def http_camera(routes: Mapping[str, Respond]) -> Iterator[str]:
    """A server with these paths; the value is its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                routes[self.path.partition("?")[0]](self)
            except (OSError, KeyError):
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False  # so that server_close waits for their ends
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answer(handler: BaseHTTPRequestHandler, kind: str, body: bytes | None = None, **headers: str) -> None:
    """Headers, and the whole body where there is one; without one it is what the caller writes, till it closes."""
    handler.send_response(200)
    handler.send_header("Content-Type", kind)
    if body is not None:
        handler.send_header("Content-Length", str(len(body)))
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    if body is not None:
        handler.wfile.write(body)


def picture(number: int, time_us: int) -> av.VideoFrame:
    """A grey picture with its number and its true time."""
    luma = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
    barcode.draw(luma[:HEIGHT], 1, number, time_us)
    frame = av.VideoFrame.from_ndarray(luma, format="yuv420p")
    frame.pts, frame.time_base = number, Fraction(1, FPS)
    return frame


def video(
    times_us: Mapping[int, int], container: str = "mpegts", codec: str = "libx264", bframes: int = 0,
    add: Callable[[int], bytes] = lambda number: b"", metadata: Mapping[str, str] | None = None, **options: str,
) -> bytes:  # fmt: skip
    """A clip of the pictures ``{number: true time}``; ``add`` gives what stands before the coded picture ``number``."""
    sink = BytesIO()
    with av.open(sink, "w", format=container, options=options) as output:
        output.metadata.update(metadata or {})
        stream = cast(VideoStream, output.add_stream(codec, rate=FPS))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.time_base = Fraction(1, FPS)
        stream.options = {"preset": "ultrafast", "g": str(FPS), "bf": str(bframes), "x265-params": "log-level=none"}
        for number in [*times_us, None]:
            for packet in stream.encode(None if number is None else picture(number, times_us[number])):
                assert packet.pts is not None
                assert packet.time_base is not None
                coded = av.Packet(add(round(packet.pts * packet.time_base * FPS)) + bytes(packet))
                coded.pts, coded.dts, coded.time_base = packet.pts, packet.dts, packet.time_base
                coded.stream, coded.is_keyframe = stream, packet.is_keyframe
                output.mux(coded)
    return sink.getvalue()


@contextmanager
def source_of(url: str, kind: type[HttpSpec | RtspSpec] = HttpSpec, **options: Any) -> Iterator[NetworkSource]:
    """The production source, as a capture has it, from entering the block to its end."""
    spec = kind(name="a", url=url, pixels="gray8", ring=RingPlan(1_000_000_000), **options)
    with closing(NetworkSource(spec, SYSTEM_CLOCK, lambda position: None, StopToken())) as source:
        yield source


def see(
    opening: AbstractContextManager[NetworkSource], most: int = 1000
) -> tuple[list[tuple[Observation, barcode.Barcode]], str]:
    """Open the source and look at up to ``most`` pictures, then close it.

    Returns:
        What the source says of each picture, and what the picture says itself; and why it ended, if it did.
    """
    seen: list[tuple[Observation, barcode.Barcode]] = []
    try:
        with opening as source:
            for shot in islice(source.shots(), most):
                assert isinstance(shot, Shot), shot
                slot = np.empty(shot.picture.layout.size_bytes, np.uint8)
                shot.picture.write(slot)
                code = barcode.read(slot.reshape(HEIGHT, WIDTH))
                assert code is not None, "the barcode cannot be read"
                seen.append((shot.seen, code))
    except SourceUnavailable as error:
        return seen, error.problem
    return seen, ""
