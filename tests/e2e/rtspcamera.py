"""RTSP cameras with habits of their own, for tests: a server on loopback that does as it is told."""

import hashlib
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

import av
import cv2
import numpy as np

from syncsvc.cameras import rtp
from syncsvc.clock import SYSTEM_CLOCK
from tests.e2e.httpcamera import FPS, HEIGHT, WIDTH, picture

TICKS = 90_000
USER, PASSWORD, REALM, NONCE = "ann", "p@ss word:1", "a camera", "4f2a"


@dataclass(frozen=True)
class Asked:
    """One request that came, without what it is for the protocol."""

    method: str
    url: str
    headers: dict[str, str]


@dataclass
class Habits:
    """What a camera does; the defaults are those of a good one."""

    challenges: Sequence[str] = ()
    """Of 401, until somebody answers by Digest and MD5, or Basic."""
    replies: dict[str, str] = field(default_factory=dict)
    """First line and more headers of the reply to a method, everywhere or below a path (``DESCRIBE /main``), instead of
    the usual one; ``{port}`` is our own."""
    transports: str = "tcp udp"
    describes_after: threading.Event | None = None
    sdp: str | None = None
    pictures: Callable[[], Iterator[tuple[int, float, Sequence[bytes]]]] | None = None
    """Timestamp, pause in seconds before it, and payloads of each picture; then nothing more comes."""
    payload_type: int = rtp.PAYLOAD_TYPE
    session: str = "8"
    raw: bytes | None = None
    """Whatever anybody says, this is the answer, and the end."""
    tls: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    hangs_up_on_refusal: bool = False


@cache
def coded(count: int = 50, **options: str) -> tuple[tuple[bytes, ...], ...]:
    """The NAL units of so many pictures with barcodes, in 25 a second by their own words."""
    context = cast(Any, av.CodecContext.create("libx264", "w"))
    context.width, context.height, context.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    context.time_base, context.framerate, context.gop_size = Fraction(1, FPS), Fraction(FPS), 10
    context.options = {
        "preset": "ultrafast",
        "tune": "zerolatency",
        "x264-params": "repeat-headers=1:annexb=1",
        **options,
    }
    units = []
    for number in [*range(count), None]:
        shown = None if number is None else picture(number, number)
        units += [tuple(rtp.split_nal_units(bytes(packet))) for packet in context.encode(shown)]
    return tuple(units)


def steadily(
    count: int = 100, fps: float = FPS, ticks: Callable[[int], int] = lambda number: 0, **options: str
) -> Callable[[], Iterator[tuple[int, float, Sequence[bytes]]]]:
    """So many pictures, at a pace; ``ticks`` is what the timestamp of one of them is wrong by."""

    def pictures() -> Iterator[tuple[int, float, Sequence[bytes]]]:
        units = coded(**options)
        for number in range(count):
            timestamp = round(number * TICKS / fps) + ticks(number)
            yield timestamp, 1 / fps if number else 0.0, rtp.packetise(units[number % len(units)])

    return pictures


def description(*lines: str, **options: str) -> str:
    """What the usual camera says of its stream, and more lines."""
    sets = {unit[0] & 31: unit for unit in coded(**options)[0]}
    text = rtp.session_description("a", "127.0.0.1", FPS, (sets[7], sets[8]), 1)
    kept = [line for line in text.splitlines() if not line.startswith("a=framerate")]
    return "\r\n".join([*kept, *lines]) + "\r\n"


class RtspCamera:
    """The server, and what it heard."""

    def __init__(self, habits: Habits) -> None:
        self.habits, self.asked = habits, list[Asked]()
        self.family = socket.AF_INET6 if ":" in habits.host else socket.AF_INET
        self.server = socket.create_server((habits.host, 0), family=self.family)
        self.port = self.server.getsockname()[1]
        self.is_over = threading.Event()
        self.threads = [threading.Thread(target=self._accept)]
        self.connections: list[socket.socket] = []
        self.threads[0].start()

    def url(self, path: str = "/main?channel=1", user: str = "") -> str:
        scheme, host = "rtsps" if self.habits.tls else "rtsp", self.habits.host
        host = f"[{host}]" if ":" in host else host
        return f"{scheme}://{user and user + '@'}{host}:{self.port}{path}"

    @property
    def methods(self) -> list[str]:
        """What was asked, in order."""
        return [one.method for one in self.asked]

    def close(self) -> None:
        self.is_over.set()
        for one in [self.server, *self.connections]:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join()
        for one in [self.server, *self.connections]:
            one.close()

    def _accept(self) -> None:
        while not self.is_over.is_set():
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            self.connections.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,))
            self.threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError, ValueError):
            if self.habits.tls is not None:
                connection = self.habits.tls.wrap_socket(connection, server_side=True)
                self.connections.append(connection)
            if self.habits.raw is not None:
                connection.recv(4096)
                connection.sendall(self.habits.raw)
            else:
                Conversation(self, connection).go_on()
        with connection, suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


class Conversation:
    """One connection."""

    def __init__(self, camera: RtspCamera, connection: socket.socket) -> None:
        self.camera, self.habits, self.connection = camera, camera.habits, connection
        self.sends = threading.Lock()
        self.target: tuple[socket.socket, tuple[str, int]] | None = None

    def go_on(self) -> None:
        """Until one of the two has enough; then nothing more is sent, and nothing stays open."""
        try:
            with self.connection.makefile("rb") as reader:
                self._listen(reader)
        finally:
            if self.target is not None:
                self.target[0].close()

    def _listen(self, reader: BinaryIO) -> None:
        while first := reader.read(1):
            if first == b"$":
                reader.read(int.from_bytes(reader.read(3)[1:], "big"))
                continue
            lines = [(first + reader.readline()).decode().strip()]
            while line := reader.readline().decode().strip():
                lines.append(line)
            method, url, _ = lines[0].split(" ")
            headers = {
                name.strip().lower(): value.strip() for name, _, value in (one.partition(":") for one in lines[1:])
            }
            self.camera.asked.append(Asked(method, url, headers))
            self._answer(self.camera.asked[-1])
            if method == "TEARDOWN":
                return

    def _answer(self, asked: Asked) -> None:
        habits = self.habits
        there = f"{asked.method} {urlsplit(asked.url).path}"
        other = habits.replies.get(there) or habits.replies.get(asked.method)
        if habits.challenges and not self._is_let_in(asked):
            self._reply(asked, "401 Unauthorized", *(f"WWW-Authenticate: {one}" for one in habits.challenges))
            if habits.hangs_up_on_refusal:
                raise ConnectionAbortedError
        elif other:
            self._reply(asked, *other.format(port=self.camera.port).split("\r\n"))
        elif asked.method == "DESCRIBE":
            if habits.describes_after is not None:
                habits.describes_after.wait(60.0)
            base = re.sub(r"//[^/]*", "//a.camera", asked.url) + "/"
            body = habits.sdp if habits.sdp is not None else description()
            self._reply(asked, "200 OK", f"Content-Base: {base}", "Content-Type: application/sdp", body=body)
        elif asked.method == "SETUP":
            self._set_up(asked)
        elif asked.method == "PLAY":
            self._reply(asked, "200 OK", f"Session: {habits.session}", "Range: npt=now-")
            thread = threading.Thread(target=self._play)
            self.camera.threads.append(thread)
            thread.start()
        else:
            self._reply(asked, "200 OK", "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER")

    def _set_up(self, asked: Asked) -> None:
        wanted = asked.headers["transport"]
        is_tcp = "TCP" in wanted
        if ("tcp" if is_tcp else "udp") not in self.habits.transports:
            self._reply(asked, "461 Unsupported Transport")
            return
        transport = "RTP/AVP/TCP;unicast;interleaved=0-1"
        if not is_tcp:
            ports = re.search(r"client_port=(\d+)-(\d+)", wanted)
            assert ports is not None
            ours = socket.socket(self.camera.family, socket.SOCK_DGRAM)
            ours.bind((self.habits.host, 0))
            self.camera.connections.append(ours)
            self.target = ours, (self.habits.host, int(ports[1]))
            port = ours.getsockname()[1]
            transport = f"RTP/AVP;unicast;client_port={ports[1]}-{ports[2]};server_port={port}-{port + 1}"
        self._reply(asked, "200 OK", f"Session: {self.habits.session}", f"Transport: {transport}")

    def _is_let_in(self, asked: Asked) -> bool:
        said = asked.headers.get("authorization", "")
        if said.startswith("Basic "):
            return any(one.lower().startswith("basic") for one in self.habits.challenges)
        words = dict(re.findall(r'(\w+)="?([^",]*)"?', said.removeprefix("Digest ")))
        secret, task = md5(f"{USER}:{REALM}:{PASSWORD}"), md5(f"{asked.method}:{asked.url}")
        middle = f"{words['nc']}:{words['cnonce']}:{words['qop']}:" if words.get("qop") else ""
        is_told = words.get("algorithm", "MD5") in ("MD5",) and words.get("uri") == asked.url
        return is_told and words.get("response") == md5(f"{secret}:{NONCE}:{middle}{task}")

    def _reply(self, asked: Asked, status: str, *headers: str, body: str = "") -> None:
        lines = [f"RTSP/1.0 {status}", f"CSeq: {asked.headers['cseq']}", *headers, f"Content-Length: {len(body)}"]
        with self.sends:
            self.connection.sendall(("\r\n".join(lines) + "\r\n\r\n" + body).encode())

    def _play(self) -> None:
        sender, pause = rtp.RtpSender(0xCAFE, 7), self.camera.is_over
        due_ns = SYSTEM_CLOCK.monotonic_ns()
        with suppress(OSError):
            for timestamp, wait_s, payloads in (self.habits.pictures or steadily())():
                due_ns += round(wait_s * 1e9)
                if pause.wait(max(0.0, (due_ns - SYSTEM_CLOCK.monotonic_ns()) / 1e9)):
                    return
                for packet in sender.packets_of(payloads, (1000 + timestamp) & 0xFFFFFFFF):
                    kind = packet[1] & 0x80 | self.habits.payload_type
                    self._send(packet[:1] + bytes([kind]) + packet[2:])

    def _send(self, packet: bytes) -> None:
        if self.target is not None:
            self.target[0].sendto(packet, self.target[1])
            return
        with self.sends:
            self.connection.sendall(struct.pack("!cBH", b"$", 0, len(packet)) + packet)


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def jpeg_payloads(width: int, height: int, told: tuple[int, int] | None = None) -> list[bytes]:
    """A Motion JPEG picture as RTP carries it; its header says what its sides leave in a byte, or what is ``told``."""
    noise = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    data = cv2.imencode(".jpg", noise, [cv2.IMWRITE_JPEG_QUALITY, 20])[1].tobytes()
    tables, at = b"", 2
    while data[at + 1] != 0xDA:
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] == 0xDB:
            tables += b"".join(data[table + 1 : table + 65] for table in range(at + 4, at + 2 + size, 65))
        at += 2 + size
    scan = data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") : -2]
    tables = tables if len(tables) == 128 else tables[:64] * 2
    sides = bytes([side // 8 & 255 for side in told or (width, height)])
    payloads = []
    for start in range(0, len(scan), 1300):
        head = struct.pack("!I", start) + bytes([1, 255]) + sides
        payloads.append(
            head + (struct.pack("!BBH", 0, 0, 128) + tables if not start else b"") + scan[start : start + 1300]
        )
    return payloads


@contextmanager
def rtsp_camera(**habits: Any) -> Iterator[RtspCamera]:
    """A camera of these habits, while the block runs."""
    camera = RtspCamera(Habits(**habits))
    try:
        yield camera
    finally:
        camera.close()
