"""Streams damaged by chance on their way, beside a sound one: nothing hangs, no traceback, and the sound one is whole.

Many at once, over every protocol; who was damaged shows pictures again once that is over.
``python -m tests.mutated_streams --count 5000 --seed 1`` tries as many and tells what became of them; the suite tries a
few (``tests/e2e/test_damaged_streams.py``).
"""

import argparse
import asyncio
import re
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from random import Random

import cv2
import numpy as np

from syncsvc.cameras.farm import VirtualCameras
from syncsvc.cameras.settings import CameraSpec
from syncsvc.clock import SYSTEM_CLOCK
from tests.e2e.harness import PATIENCE, Following, Service, patient, wait_for
from tests.e2e.httpcamera import FPS, PERIOD_US, Respond, answer, http_camera, video
from tests.e2e.rtspcamera import rtsp_camera, steadily
from tests.mutated_files import PIXELS, WAYS, Specimen

PATHS = {
    "ts": "/ts", "flv": "/flv", "mjpeg": "/mjpeg", "hls": "/hls.m3u8", "fmp4": "/fmp4.m3u8",
    "still": "/still?every=200ms",
}  # fmt: skip
"""Of the streams over HTTP."""
KINDS = ("rtsp", "udp", *PATHS)
LIMIT_S = 120.0
_CHUNK_BYTES = 1316
_EVERY = 3
"""Of 25 pictures a second those that are sent: many streams at once are to be little work."""
_RATE_HZ = FPS / _EVERY


class Damage:
    """What one specimen does to the bytes that pass: none to the first, then some blows, and in the end nothing passes.

    The first kilobyte, where headers are, is more likely to be hit first than the next fifteen.
    """

    def __init__(self, specimen: Specimen) -> None:
        self._rng = Random(str(specimen))
        self._way = specimen.way
        self._until_first = int(2 ** self._rng.uniform(0, 14)) - 1
        self._blows = self._rng.randint(1, 6)
        self._rest = self._rng.randint(0, 8_000)
        self.falls_silent = self._rng.random() < 0.1
        """Whether it neither sends nor hangs up after its end."""

    @property
    def is_over(self) -> bool:
        """Whether nothing passes any more."""
        return self._rest < 0

    def pass_on(self, chunk: bytes) -> bytes:
        """What is left of a chunk."""
        sound, rest = chunk[: self._until_first], bytearray(chunk[self._until_first :])
        self._until_first -= len(sound)
        if rest and self._blows:
            self._blows -= 1
            self._way(rest, self._rng)
        elif not self._blows:
            self._rest -= len(rest)
        return sound + rest


@dataclass
class Quota:
    """How many streams are damaged, of each kind as many; and what is being damaged now."""

    each: int
    seed: int
    begun: Counter[str] = field(default_factory=Counter)
    now: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def damage(self, kind: str) -> Iterator[Damage | None]:
        """That of the next specimen of a kind; None when there were enough."""
        with self.lock:
            number = self.begun[kind]
            is_sound = number >= self.each
            self.begun[kind] += not is_sound
            self.now += not is_sound
        try:
            yield None if is_sound else Damage(Specimen(kind, WAYS[number % len(WAYS)], self.seed * 100_000 + number))
        finally:
            with self.lock:
                self.now -= not is_sound

    @property
    def is_used_up(self) -> bool:
        """Whether everything that comes from now on is sound."""
        with self.lock:
            return not self.now and all(self.begun[kind] >= self.each for kind in KINDS)


class Meddlers:
    """One port for each camera, where its stream comes damaged."""

    def __init__(self, cameras: Mapping[str, int], quota: Quota) -> None:
        self._cameras, self._quota = cameras, quota
        self._is_there = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self.ports: dict[str, int] = {}

    def __enter__(self) -> "Meddlers":
        self._thread.start()
        assert self._is_there.wait(LIMIT_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    async def _run(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        self._talks: set[asyncio.Task[None]] = set()
        servers = []
        for kind, port in self._cameras.items():
            servers.append(await asyncio.start_server(partial(self._begin, kind, port), "127.0.0.1", 0))
            self.ports[kind] = servers[-1].sockets[0].getsockname()[1]
        self._is_there.set()
        await self._over.wait()
        for server in servers:
            server.close()
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    def _begin(self, kind: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.create_task(self._talk(kind, port, reader, writer))
        self._talks.add(talk)
        talk.add_done_callback(self._talks.discard)

    async def _talk(self, kind: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: what is asked passes as it is, what is answered damaged."""
        with self._quota.damage(kind) as damage, suppress(OSError):
            from_camera, to_camera = await asyncio.open_connection("127.0.0.1", port)
            asking = asyncio.create_task(_pass(reader, to_camera))
            answering = asyncio.create_task(_pass(from_camera, writer, damage))
            try:
                await asyncio.wait({asking, answering}, return_when=asyncio.FIRST_COMPLETED)
                if damage is not None and damage.falls_silent:
                    await asking
            finally:
                for half in (asking, answering):
                    half.cancel()
                await asyncio.gather(asking, answering, return_exceptions=True)
                to_camera.close()
                writer.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, damage: Damage | None = None) -> None:
    while (damage is None or not damage.is_over) and (chunk := await reader.read(_CHUNK_BYTES)):
        writer.write(chunk if damage is None else damage.pass_on(chunk))
        await writer.drain()


@contextmanager
def web_cameras() -> Iterator[str]:
    """A server with everything that comes over HTTP; the value is its address."""
    over = threading.Event()

    def paced(kind: str, body: bytes, length_s: float) -> Respond:
        def respond(handler: BaseHTTPRequestHandler) -> None:
            answer(handler, kind)
            for at in range(0, len(body), _CHUNK_BYTES):
                handler.wfile.write(body[at : at + _CHUNK_BYTES])
                if over.wait(length_s * _CHUNK_BYTES / len(body)):
                    return

        return respond

    def multipart(handler: BaseHTTPRequestHandler) -> None:
        answer(handler, "multipart/x-mixed-replace; boundary=frame")
        while not over.wait(1 / _RATE_HZ):
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(still)}\r\n\r\n"
            handler.wfile.write(head.encode() + still + b"\r\n")

    times = {number: number * PERIOD_US for number in range(0, 4 * FPS, _EVERY)}
    still = cv2.imencode(".jpg", np.add.outer(np.arange(96), np.arange(160)).astype(np.uint8))[1].tobytes()
    segment = video(times)
    fragments = video(times, "mp4", movflags="frag_keyframe+empty_moov+default_base_moof")
    head, tail = (slice(None, fragments.index(b"moof") - 4), slice(fragments.index(b"moof") - 4, None))
    listed = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n{}#EXTINF:4,\n{}\n#EXT-X-ENDLIST\n"
    served = {
        "/still": ("image/jpeg", still),
        "/hls.m3u8": ("application/vnd.apple.mpegurl", listed.format("", "a.ts").encode()),
        "/fmp4.m3u8": ("application/vnd.apple.mpegurl", listed.format('#EXT-X-MAP:URI="head"\n', "tail").encode()),
        "/a.ts": ("video/mp2t", segment),
        "/head": ("video/mp4", fragments[head]),
        "/tail": ("video/mp4", fragments[tail]),
    }
    routes: dict[str, Respond] = {path: partial(answer, kind=kind, body=body) for path, (kind, body) in served.items()}
    routes |= {
        "/ts": paced("video/mp2t", video(times, codec="libx265"), 4.0),
        "/flv": paced("video/x-flv", video(times, "flv"), 4.0),
        "/mjpeg": multipart,
    }
    with http_camera(routes) as url:
        try:
            yield url
        finally:
            over.set()


@contextmanager
def all_cameras(quota: Quota) -> Iterator[tuple[str, dict[str, str]]]:
    """The URL of the sound camera, and those of the others by kind."""

    def payloads() -> Iterator[tuple[int, float, Sequence[bytes]]]:
        with quota.damage("udp") as damage:
            for timestamp, wait_s, sound in steadily(25, fps=_RATE_HZ)():
                yield timestamp, wait_s, sound if damage is None else [damage.pass_on(one) for one in sound]

    spec = partial(CameraSpec, fps=_RATE_HZ, width=160, height=96, gop=10)
    with (
        VirtualCameras([spec("sound"), spec("rtsp")]) as farm,
        web_cameras() as web,
        rtsp_camera(pictures=payloads, transports="udp") as by_udp,
        Meddlers({"rtsp": farm.port, **dict.fromkeys(PATHS, int(web.rpartition(":")[2]))}, quota) as meddlers,
    ):
        at = f"127.0.0.1:{meddlers.ports['rtsp']}"
        urls = {"rtsp": farm.urls["rtsp"].replace(f"127.0.0.1:{farm.port}", at), "udp": by_udp.url()}
        urls |= {kind: f"http://127.0.0.1:{meddlers.ports[kind]}{path}" for kind, path in PATHS.items()}
        yield farm.urls["sound"], urls


def try_beside_a_sound_one(
    folder: Path, count: int, seed: int, alike: int = 1, latency_ms: int = PATIENCE["max_latency_ms"]
) -> tuple[str, Counter[str]]:
    """Damage so many streams at least, of every kind ``alike`` at once.

    ``latency_ms`` is for how long windows wait, and rings have room: a machine that stands still longer loses frames.

    Returns:
        What went wrong, or nothing; and how often which problem was told.
    """
    quota = Quota(-(-count // len(KINDS)), seed)
    with ExitStack() as running:
        sound, urls = running.enter_context(all_cameras(quota))
        streams = {
            f"{kind}-{number}": {"url": url, "open_timeout_ms": 4000, "pixels": PIXELS[(at + number) % len(PIXELS)]}
            for at, (kind, url) in enumerate(urls.items())
            for number in range(alike)
        }
        # Less than a frame: no partner passes the one before it.
        groups = patient("sound", *streams, max_skew_ms=10, max_latency_ms=latency_ms)
        service = running.enter_context(Service(folder, {"sound": {"url": sound}} | streams, groups=groups))
        history = running.enter_context(service.follow(payload=None))
        history.read_until(lambda batch: bool(batch.frames["sound"]))
        problem = _what_went_wrong(service, history, quota, set(streams))
        return problem, _told(service.log)


def _what_went_wrong(service: Service, history: Following, quota: Quota, damaged: set[str]) -> str:
    try:
        wait_for(lambda: quota.is_used_up, "the end of all damage", LIMIT_S + quota.each * 10.0)
    except AssertionError as error:
        return f"hangs: {error}: {quota}: {service.log}"
    since_ns, shown = SYSTEM_CLOCK.utc_ns(), set[str]()
    end_ns = since_ns + round(LIMIT_S * 1e9)
    while not shown >= damaged:
        batch = history.next()
        if batch.window_start_ns > end_ns:
            return f"shows nothing any more: {damaged - shown}: {service.log}"
        if batch.window_start_ns >= since_ns:
            shown |= {name for name, frames in batch.frames.items() if frames}
    epochs = {batch.epoch for batch in history.batches}
    code = service.stop()
    history.read_rest()
    log = service.log
    if code or "Traceback" in log or len(epochs) > 1:
        return f"exit code {code}, {len(epochs)} receivers: {log}"
    twice = {name for name in damaged if max(Counter(frame.seq for frame in history.frames(name)).values()) > 1}
    if twice:
        return f"frames come twice: {twice}: {log}"
    if history.told("sound") or history.holes("sound") or not history.is_whole:
        return (
            f"the sound one lost {history.told('sound')}, {history.holes('sound')}: {history.dropped('sound')}: {log}"
        )
    return ""


def _told(log: str) -> Counter[str]:
    """Problems that streams had, with their numbers taken out."""
    lines = re.findall(r"(?:warning|error) daemon: stream [\w-]+: (.*)", log)
    return Counter(re.sub(r"\d[\d.,]*", "N", line)[:120] for line in lines)


def main() -> int:
    """Try many; the exit code tells whether something went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--alike", type=int, default=4, help="streams of every kind at once")
    parser.add_argument("--latency-ms", type=int, default=PATIENCE["max_latency_ms"], help="more for a busy machine")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        problem, told = try_beside_a_sound_one(
            Path(name), options.count, options.seed, options.alike, options.latency_ms
        )
    for line, number in told.most_common():
        sys.stdout.write(f"{number:6} {line}\n")
    sys.stdout.write(f"{problem or 'nothing went wrong'}\n")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
