"""The RTSP server under clients that are odd, slow, silent or hostile; and the child process that it lives in."""

import asyncio
import gc
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from syncsvc.cameras import CameraSpec, VirtualCameras, rtp
from syncsvc.cameras.server import MAX_CONNECTIONS, Farm
from syncsvc.clock import sleep_s
from syncsvc.errors import BindError, LinkClosed, UsageError
from tests.processes import state_of

FAST = CameraSpec("north", fps=100, width=320, height=180)
HEAVY = CameraSpec("heavy", fps=50, width=640, height=360, noise=1, crf=5)


@pytest.fixture(scope="module")
def cameras() -> Iterator[VirtualCameras]:
    with VirtualCameras([FAST, HEAVY], session_timeout_s=2, max_backlog_s=0.5) as farm:
        yield farm


class Client:
    """An RTSP client that does what it is told."""

    def __init__(self, port: int, camera: str = "north") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.url = f"rtsp://127.0.0.1:{port}/{camera}"
        self.session = ""
        self._cseq = 0
        self._buffer = b""

    def close(self) -> None:
        self.socket.close()

    def request(self, method: str, url: str = "", **headers: str) -> bytes:
        self._cseq += 1
        lines = [f"{method} {url or self.url} RTSP/1.0", f"CSeq: {self._cseq}"]
        lines += [f"Session: {self.session}"] if self.session else []
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join(lines).encode() + b"\r\n\r\n"

    def ask(self, method: str, url: str = "", **headers: str) -> tuple[int, str]:
        self.socket.sendall(self.request(method, url, **headers))
        return self.answer()

    def answer(self) -> tuple[int, str]:
        """The next answer; pictures on the way to it are thrown away."""
        while True:
            if self._buffer[:1] == b"$" and len(self._buffer) >= 4:
                length = 4 + int.from_bytes(self._buffer[2:4], "big")
                if len(self._buffer) >= length:
                    self._buffer = self._buffer[length:]
                    continue
            elif (end := self._buffer.find(b"\r\n\r\n")) >= 0:
                head = self._buffer[:end].decode()
                length = re.search(r"Content-Length: (\d+)", head)
                end += 4 + (int(length[1]) if length else 0)
                if len(self._buffer) >= end:
                    text, self._buffer = self._buffer[:end].decode(), self._buffer[end:]
                    return int(text.split()[1]), text
            data = self.socket.recv(65536)
            if not data:
                raise EOFError
            self._buffer += data

    def setup(self, transport: str = "RTP/AVP/TCP;unicast;interleaved=0-1") -> tuple[int, str]:
        status, text = self.ask("SETUP", self.url + "/trackID=0", Transport=transport)
        found = re.search(r"Session: (\w+)", text)
        self.session = found[1] if found else ""
        return status, text

    def is_closed_by_peer(self) -> bool:
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionResetError:
            pass
        return True


@pytest.fixture
def client(cameras: VirtualCameras) -> Iterator[Client]:
    with closing(Client(cameras.port)) as client:
        yield client


def test_a_whole_session(client: Client) -> None:
    assert "Public: OPTIONS, DESCRIBE, SETUP, PLAY" in client.ask("OPTIONS", "*")[1]
    status, text = client.ask("DESCRIBE", Accept="application/sdp")
    assert status == 200
    assert f"Content-Base: {client.url}/\r\n" in text
    assert "sprop-parameter-sets=" in text
    status, text = client.setup()
    assert status == 200
    assert re.search(r"Transport: RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=[0-9A-F]{8}\r\n", text)
    assert re.search(r"Session: \w{16};timeout=2\r\n", text)
    status, text = client.ask("PLAY", Range="npt=0.000-")
    assert status == 200
    assert re.search(rf"RTP-Info: url={client.url}/trackID=0;seq=\d+;rtptime=\d+\r\n", text)
    assert client.ask("GET_PARAMETER")[0] == 200
    assert client.ask("SETUP", Transport="RTP/AVP/TCP")[0] == 455
    assert client.ask("PAUSE")[0] == 200
    assert client.ask("PLAY")[0] == 200
    assert client.ask("TEARDOWN")[0] == 200
    client.session = ""
    assert client.ask("PLAY")[0] == 454


def test_rtp_info_is_true(client: Client) -> None:
    client.setup()
    client.socket.sendall(client.request("PLAY"))
    data = b""
    while data.count(b"$\x00") < 1 or len(data) < 2000:
        data += client.socket.recv(4096)
    head, _, media = data.partition(b"\r\n\r\n")
    seq, timestamp = map(int, re.findall(rb"(?:seq|rtptime)=(\d+)", head))
    channels = []
    while media:
        channels.append(media[1])
        if media[1] == 0:
            break
        media = media[4 + int.from_bytes(media[2:4], "big") :]
    assert channels == [1, 0], "a sender report, then the first picture"
    assert int.from_bytes(media[6:8], "big") == seq
    assert (int.from_bytes(media[8:12], "big") - timestamp) % 2**32 < 90_000


@pytest.mark.parametrize(
    ("request_line", "headers", "status"),
    [
        (("DESCRIBE", "rtsp://127.0.0.1/nowhere"), {}, 404),
        (("DESCRIBE", "rtsp://127.0.0.1/"), {}, 404),
        (("DESCRIBE", "rtsp://127.0.0.1/north/trackID=7"), {}, 404),
        (("DESCRIBE", ""), {"Accept": "text/html"}, 406),
        (("SETUP", "rtsp://127.0.0.1/nowhere/trackID=0"), {"Transport": "RTP/AVP/TCP"}, 404),
        (("SETUP", ""), {"Transport": "RTP/AVP;multicast"}, 461),
        (("SETUP", ""), {"Transport": "RTP/SAVP;unicast;client_port=5000-5001"}, 461),
        (("SETUP", ""), {}, 461),
        (("PLAY", ""), {}, 454),
        (("PLAY", ""), {"Session": "1234"}, 454),
        (("PAUSE", ""), {}, 454),
        (("TEARDOWN", ""), {}, 454),
        (("GET_PARAMETER", ""), {"Session": "1234"}, 454),
        (("RECORD", ""), {}, 501),
        (("OPTIONS", "*"), {"Require": "implicit-play"}, 551),
    ],
)
def test_refusals_leave_the_connection_usable(
    client: Client, request_line: tuple[str, str], headers: dict[str, str], status: int
) -> None:
    assert client.ask(*request_line, **headers)[0] == status
    assert client.ask("OPTIONS", "*")[0] == 200


def test_a_second_setup_may_choose_another_transport(client: Client) -> None:
    assert client.setup("RTP/AVP;multicast")[0] == 461
    status, text = client.setup("RTP/AVP;unicast;client_port=50000-50001")
    assert status == 200
    server_port = re.search(r"server_port=(\d+)-(\d+)", text)
    assert server_port is not None
    assert int(server_port[1]) % 2 == 0
    assert int(server_port[2]) == int(server_port[1]) + 1
    assert client.setup()[0] == 200


def test_pipelined_and_split_requests_are_answered_in_order(client: Client) -> None:
    both = client.request("OPTIONS", "*") + b"$\x01\x00\x08" + bytes(8) + client.request("DESCRIBE") + b"\r\n"
    for byte in both:
        client.socket.sendall(bytes([byte]))
    client.socket.sendall(client.request("OPTIONS", "*") * 3)
    statuses = [client.answer() for _ in range(5)]
    assert [re.findall(r"CSeq: (\d+)", text) for _, text in statuses] == [["1"], ["2"], ["3"], ["3"], ["3"]]
    assert {status for status, _ in statuses} == {200}


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00", b"400"),
        (b"OPTIONS * RTSP/1.0\r\n" + b"X: y\r\n" * 4000, b"413"),
        (b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 99999999\r\n\r\n", b"413"),
    ],
)
def test_garbage_is_answered_once_and_hung_up_on(client: Client, data: bytes, status: bytes) -> None:
    with suppress(ConnectionError):
        client.socket.sendall(data)
    assert client.socket.recv(100).startswith(b"RTSP/1.0 " + status)
    assert client.is_closed_by_peer()


def test_a_request_without_cseq_or_of_another_version_is_refused(client: Client) -> None:
    client.socket.sendall(b"OPTIONS * RTSP/1.0\r\n\r\n")
    assert client.answer()[0] == 400
    client.socket.sendall(b"OPTIONS * RTSP/2.0\r\nCSeq: 1\r\n\r\n")
    assert client.answer()[0] == 505


def closed(cameras: VirtualCameras, name: str, cause: str) -> int:
    return cameras.stats(name).closed.get(cause, 0)


def wait_for_closed(cameras: VirtualCameras, name: str, cause: str, more_than: int) -> None:
    while closed(cameras, name, cause) <= more_than:
        sleep_s(0.05)  # pytest's timeout bounds this


def test_a_client_that_does_not_read_is_dropped_and_the_others_lose_nothing(cameras: VirtualCameras) -> None:
    before = closed(cameras, "heavy", "slow")
    with closing(Client(cameras.port, "heavy")) as slow, closing(Client(cameras.port)) as good:
        for client in (slow, good):
            client.setup()
            assert client.ask("PLAY")[0] == 200
        (session,) = cameras.stats("north").sessions
        while closed(cameras, "heavy", "slow") <= before:
            assert good.ask("GET_PARAMETER")[0] == 200
        (session,) = cameras.stats("north").sessions
        assert session.first_counter is not None
        assert session.last_counter is not None
        assert session.frames == session.last_counter - session.first_counter + 1
        assert cameras.stats("heavy").sessions == []


def test_a_silent_udp_session_times_out_and_reports_keep_it_alive(cameras: VirtualCameras) -> None:
    before = closed(cameras, "north", "timeout")
    with closing(Client(cameras.port)) as client, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rtcp:
        _, text = client.setup("RTP/AVP;unicast;client_port=50000-50001")
        server_port = re.search(r"server_port=\d+-(\d+)", text)
        assert server_port is not None
        assert client.ask("PLAY")[0] == 200
        for sent in range(1, 7):
            sleep_s(0.4)
            rtcp.sendto(b"\x80\xc9\x00\x01\x00\x00\x00\x01", ("127.0.0.1", int(server_port[1])))
            while cameras.stats("north").sessions[0].reports_received < sent:
                sleep_s(0.01)
        assert closed(cameras, "north", "timeout") == before
        wait_for_closed(cameras, "north", "timeout", before)
        assert client.is_closed_by_peer()


def test_a_connection_that_says_nothing_is_ended(client: Client) -> None:
    assert client.is_closed_by_peer()


def test_a_request_that_drips_is_not_waited_for(client: Client) -> None:
    def drip() -> None:
        for byte in client.request("OPTIONS", "*", X=200 * "y"):
            client.socket.sendall(bytes([byte]))
            sleep_s(0.05)

    with pytest.raises(ConnectionError):
        drip()


def test_a_client_that_vanishes_is_forgotten(cameras: VirtualCameras) -> None:
    before = closed(cameras, "north", "client")
    client = Client(cameras.port)
    client.setup()
    client.ask("PLAY")
    client.close()
    wait_for_closed(cameras, "north", "client", before)
    assert cameras.stats("north").sessions == []


def test_a_request_that_breaks_an_answer_holds_up_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtp, "session_description", lambda *_: 1 / 0)

    async def describe() -> bytes:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        async with Farm([FAST], "127.0.0.1", 0) as farm:
            reader, writer = await asyncio.open_connection("127.0.0.1", farm.port)
            writer.write(f"DESCRIBE {farm.urls['north']} RTSP/1.0\r\nCSeq: 1\r\n\r\n".encode())
            answer = await reader.read()
            writer.close()
            return answer

    assert asyncio.run(describe()) == b""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # asyncio leaves sockets half accepted
def test_clients_that_come_as_a_farm_ends_make_no_fuss() -> None:
    told: list[object] = []

    async def end_amid_arrivals(turns: int) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        with ExitStack() as opened:
            async with Farm([FAST], "127.0.0.1", 0) as farm:
                for _ in range(5):
                    opened.enter_context(closing(Client(farm.port)))
                for _ in range(turns):
                    await asyncio.sleep(0)

    for turns in range(6):
        asyncio.run(end_amid_arrivals(turns))
    gc.collect()
    assert told == []


def test_too_many_connections_are_refused() -> None:
    with VirtualCameras([FAST]) as farm, ExitStack() as opened:
        many = [opened.enter_context(closing(Client(farm.port))) for _ in range(MAX_CONNECTIONS)]
        assert {client.ask("OPTIONS", "*")[0] for client in many} == {200}
        last = opened.enter_context(closing(Client(farm.port)))
        assert last.socket.recv(100).startswith(b"RTSP/1.0 503 ")
        assert last.is_closed_by_peer()
        assert many[0].ask("OPTIONS", "*")[0] == 200


def test_wrong_orders_are_refused_with_the_key(cameras: VirtualCameras) -> None:
    with pytest.raises(UsageError, match="camera 'west': unknown; there are north, heavy"):
        cameras.set("west", latency_ms=1)
    with pytest.raises(UsageError, match="camera 'north': latency: unknown key"):
        cameras.set("north", latency=1)
    with pytest.raises(UsageError, match="camera 'north': crf: 77 is not allowed"):
        cameras.set("north", crf=77)
    assert cameras.stats("north").running


def test_a_port_in_use_is_a_bind_error(cameras: VirtualCameras) -> None:
    with (
        pytest.raises(BindError, match=rf"rtsp://127\.0\.0\.1:{cameras.port}: .*in use"),
        VirtualCameras([FAST], port=cameras.port),
    ):
        pass


def test_a_child_that_died_is_told(cameras: VirtualCameras) -> None:
    with VirtualCameras([FAST]) as farm:
        assert farm.pid is not None
        os.kill(farm.pid, signal.SIGKILL)
        for _ in range(2):
            with pytest.raises(LinkClosed):
                farm.stats("north")
    with pytest.raises(LinkClosed, match="not running"):
        farm.stats("north")


def test_the_child_dies_with_its_parent() -> None:
    code = (
        "from syncsvc.cameras import *; import time\n"
        "farm = VirtualCameras([CameraSpec('a')]).__enter__(); print(farm.pid, flush=True); time.sleep(60)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    while state_of(child) not in ("", "Z"):
        sleep_s(0.02)
