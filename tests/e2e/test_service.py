"""The service as its users see it: formats, groups, late frames, questions on the control socket, health over HTTP."""

import http.client
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import msgspec
import numpy as np
import pytest
import zmq

from syncsvc import Frame, FrameBatch, LateFrame, Subscriber, barcode
from syncsvc.cameras import CameraSpec, VirtualCameras
from tests.e2e.harness import LIMIT_S, PATIENCE, Service, patient, wait_for
from tests.e2e.httpcamera import answer, http_camera

SMALL = "size=320x180"


def true_time_ns(frame: Frame) -> int:
    found = barcode.read(frame.to_bgr())
    assert found is not None, "the barcode cannot be read"
    return found.time_us * 1000


def test_every_format_and_scaling_arrives_with_its_true_time(tmp_path: Path) -> None:
    formats = ("i420", "bgr24", "gray8")
    with VirtualCameras([CameraSpec("north", fps=20, width=640, height=360)]) as cameras:
        streams: dict[str, Any] = {}
        for pixels in formats:
            streams[f"north-{pixels}"] = {"url": cameras.urls["north"], "pixels": pixels, "size": [321, 181]}
            streams[f"made-{pixels}"] = {"url": "synthetic:?fps=20&size=322x182", "pixels": pixels}
        with Service(tmp_path, streams) as service, service.follow() as history:
            batch = history.read_until(
                lambda batch: (
                    batch.complete
                    and batch.sets != []
                    and {f.clock for pixels in formats for f in batch.frames[f"north-{pixels}"]} == {"rtcp"}
                )
            )
            for name, frames in batch.frames.items():
                place, pixels = name.split("-")
                frame, size = frames[0], (321, 181) if place == "north" else (322, 182)
                assert (frame.format, frame.width, frame.height) == (pixels, *size)
                assert frame.to_bgr().shape == (size[1], size[0], 3)
                assert not frame.pixels.flags.writeable
                assert abs(frame.time_ns - true_time_ns(frame)) < 1_000_000
                assert place == "north" or {frame.clock for frame in frames} == {"pts"}
            assert service.stop() == 0


def clocks(batch: FrameBatch) -> set[str]:
    return {frame.clock for frames in batch.frames.values() for frame in frames}


def test_cameras_over_udp_are_paired_by_their_own_clocks(tmp_path: Path) -> None:
    specs = [
        CameraSpec("north", fps=25, width=320, height=180, latency_ms=80, jitter_ms=10),
        CameraSpec("south", fps=30, width=320, height=180, phase_ms=5, jitter_ms=10),
    ]
    with VirtualCameras(specs) as cameras:
        streams = {name: {"url": url, "transport": "udp"} for name, url in cameras.urls.items()}
        with Service(tmp_path, streams) as service, service.follow() as history:
            batch = history.read_until(lambda batch: len(batch.sets) > 5 and clocks(batch) == {"rtcp"})
            assert service.stop() == 0
    for one in batch.sets:
        true = [true_time_ns(frame) for frame in one.frames.values()]
        assert max(true) - min(true) <= 40_000_000
        assert abs((max(true) - min(true)) - one.spread_ns) < 2_000_000
    history.check()


def test_a_camera_that_changes_its_size_loses_no_frame_and_is_never_mislabelled(tmp_path: Path) -> None:
    with (
        VirtualCameras([CameraSpec("north", fps=25, width=320, height=180, gop=10)]) as cameras,
        Service(tmp_path, {"north": {"url": cameras.urls["north"]}}) as service,
        service.follow(mode="live") as live,
        service.follow(mode="local") as local,
    ):
        for history in (local, live):
            history.read_until()
        cameras.set("north", width=640, height=360)
        for history in (local, live):  # leases end
            batch = history.read_until(lambda b: b.complete and {f.width for f in b.frames["north"]} == {640})
            assert all(abs(frame.time_ns - true_time_ns(frame)) < 5_000_000 for frame in batch.frames["north"])
        assert service.stop() == 0
    for history in (live, local):
        history.check()
        assert set(history.dropped("north")) <= {"decode_error"}, "no frame is lost for that"


def test_late_frames_and_headers_alone_reach_who_asks_for_them(tmp_path: Path) -> None:
    streams = {
        "prompt": {"url": f"synthetic:?fps=10&{SMALL}"},
        "tardy": {"url": f"synthetic:?fps=10&{SMALL}&latency_ms=2500&seed=2"},
    }
    groups = {"all": {"streams": ["prompt", "tardy"], "max_latency_ms": 1000}}
    with (
        Service(tmp_path, streams, groups=groups) as service,
        Subscriber(service.live, group="all", payload=None, late=True) as watching,
    ):
        lates: list[LateFrame] = []
        heads: list[FrameBatch] = []
        while not (lates and any(batch.seq == lates[0].seq for batch in heads)):
            item = watching.receive(LIMIT_S)
            lates += [item] if isinstance(item, LateFrame) else []
            heads += [item] if isinstance(item, FrameBatch) else []
        late, told = lates[0], next(batch for batch in heads if batch.seq == lates[0].seq)
        assert late.frame.stream == "tardy"
        assert late.window_start_ns <= late.frame.time_ns < late.window_end_ns <= told.window_start_ns
        assert told.counts["tardy"].late > 0, "it is the batch that counts it"
        assert abs(true_time_ns(late.frame) - late.frame.time_ns) < 1_000_000
        assert any(batch.frames["prompt"] for batch in heads)
        assert {frame.payload for batch in heads for frame in batch.frames["prompt"]} == {None}
        assert service.stop() == 0


def test_late_frames_are_counted_and_sent_apart(tmp_path: Path) -> None:
    streams = {
        "prompt": {"url": f"synthetic:?fps=10&{SMALL}"},
        "tardy": {"url": f"synthetic:?fps=10&{SMALL}&latency_ms=2500&seed=2"},
    }
    groups = {"all": {"streams": ["prompt", "tardy"], "max_latency_ms": 1000}}
    context = zmq.Context.instance()
    with (
        Service(tmp_path, streams, groups=groups) as service,
        service.follow() as history,
        context.socket(zmq.SUB) as late,
    ):
        late.set(zmq.RCVTIMEO, int(LIMIT_S * 1000))
        late.connect(service.live)
        late.subscribe(b"late/all")
        history.read_until(lambda batch: batch.counts["tardy"].late >= 10)
        topic, header, pixels = late.recv_multipart()
        said = msgspec.msgpack.decode(header)
        assert topic == b"late/all"
        ((stream, _, time_ns, *_),) = said["frames"]
        assert stream == "tardy"
        assert said["window"][0] <= time_ns < said["window"][1]
        assert len(pixels) == 320 * 180 * 3 // 2
        assert service.stop() == 0
    history.check()
    assert history.total("prompt", "late") == 0
    assert history.total("tardy", "captured") == history.total("tardy", "late") + history.total("tardy", "delivered")


def test_frames_that_never_came_are_counted_apart_and_a_slow_camera_is_not_accused(tmp_path: Path) -> None:
    with (
        VirtualCameras(
            [
                CameraSpec("lossy", fps=25, width=320, height=180, drop_pct=8),
                CameraSpec("slow", fps=8, width=320, height=180),
            ]
        ) as cameras,
        Service(
            tmp_path,
            {
                "lossy": {"url": cameras.urls["lossy"]},
                "slow": {"url": cameras.urls["slow"]},
                "made": {"url": f"synthetic:?fps=40&{SMALL}&drop=0.1"},
            },
            groups=patient("lossy", "slow", "made"),
        ) as service,
        service.follow() as history,
    ):
        history.read_until(
            lambda batch: history.total("lossy", "skipped") >= 5 and history.total("made", "skipped") >= 9
        )
        assert service.stop() == 0
        history.read_rest()
    history.check()
    for name, fps in (("lossy", 25), ("made", 40)):
        times = [frame.time_ns for frame in history.frames(name)]
        holes = round((times[-1] - times[0]) * fps / 1e9) + 1 - len(times) - history.told(name)
        assert 0.6 * holes <= history.total(name, "skipped") <= holes + 3, "those before the first window are told too"
    assert history.total("slow", "skipped") == 0


def test_a_stream_may_belong_to_two_groups_with_other_windows(tmp_path: Path) -> None:
    streams = {"a": {"url": f"synthetic:?fps=20&{SMALL}"}, "b": {"url": f"synthetic:?fps=10&{SMALL}&seed=2"}}
    groups = {"g": {"streams": ["a", "b"], **PATIENCE}, "g2": {"streams": ["a"], "window_ms": 250, **PATIENCE}}
    with (
        Service(tmp_path, streams, groups=groups, publish={"live": f"ipc://{tmp_path}/live.sock"}) as service,
        service.follow("g") as whole,
        service.follow("g2") as quarters,
    ):
        batch = whole.read_until(lambda batch: len(batch.frames["a"]) == 20 and len(batch.frames["b"]) == 10)
        assert batch.group == "g"
        assert len(batch.sets) == 10
        quarters.read_until(lambda quarter: quarter.window_start_ns >= batch.window_end_ns)
        assert {one.window_end_ns - one.window_start_ns for one in quarters.batches} == {250_000_000}
        within = [one for one in quarters.batches if one.window_start_ns >= batch.window_start_ns][:-1]
        assert {len(one.frames["a"]) for one in within} == {5}
        assert service.stop() == 0
    whole.check()
    quarters.check()


def ask(service: Service, kind: int, request: bytes) -> Any:
    with zmq.Context.instance().socket(kind) as sock:
        sock.set(zmq.RCVTIMEO, int(LIMIT_S * 1000))
        sock.set(zmq.LINGER, 0)
        sock.connect(service.control)
        sock.send(request)
        return msgspec.msgpack.decode(sock.recv())


def test_the_control_socket_answers_and_survives_garbage(tmp_path: Path) -> None:
    with Service(tmp_path, {"a": {"url": f"synthetic:?{SMALL}"}}) as service, service.follow() as history:
        history.read_until()
        for kind in (zmq.REQ, zmq.DEALER):
            hello = ask(service, kind, msgspec.msgpack.encode({"v": 1, "type": "hello"}))
            assert hello["type"] == "hello"
            assert hello["live"] == service.live
            assert hello["groups"]["all"]["streams"] == ["a"]
            status = ask(service, kind, msgspec.msgpack.encode({"v": 1, "type": "status"}))
            assert status["streams"]["a"]["state"] == "live"
            assert status["run_id"] == hello["run_id"]
        for garbage in (b"", b"\xc1", b"\x80", b"x" * 1000, msgspec.msgpack.encode({"v": 1, "type": "credit"})):
            assert ask(service, zmq.REQ, garbage)["type"] == "error"
        assert service.stop() == 0


def metrics_with(service: Service, sample: str) -> list[str]:
    """The lines of ``/metrics``, once that one is among them."""
    with urllib.request.urlopen(service.http + "/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return lines if sample in lines else []


def test_health_metrics_and_status_over_http(tmp_path: Path) -> None:
    with Service(tmp_path, {"a": {"url": f"synthetic:?{SMALL}"}}) as service, service.follow() as history:
        history.read_until()
        for path in ("/healthz", "/readyz"):
            with urllib.request.urlopen(service.http + path, timeout=5) as answer:
                assert answer.status == 200
        is_live = 'syncsvc_stream_state{state="live",stream="a"} 1.0'
        lines = wait_for(lambda: metrics_with(service, is_live), "a report of the stream")
        assert any(line.startswith('syncsvc_frames_delivered_total{group="all",stream="a"}') for line in lines)
        assert service.status()["streams"]["a"]["state"] == "live"
        with pytest.raises(urllib.error.HTTPError, match="404") as refused:
            urllib.request.urlopen(service.http + "/other", timeout=5)
        refused.value.close()
        connection = http.client.HTTPConnection(service.http.removeprefix("http://"), timeout=5)
        connection.request("GET", "/api/status", headers={"Host": "rebound.example"})
        assert connection.getresponse().status == 421
        connection.close()
        assert service.stop() == 0


@contextmanager
def video(kind: str, pieces: Callable[[], Iterator[bytes]]) -> Iterator[str]:
    """Where a camera sends video of that type without end, at its pace."""
    over = threading.Event()

    def respond(handler: BaseHTTPRequestHandler) -> None:
        answer(handler, kind)
        for piece in pieces():
            if over.wait(0.05):
                return
            handler.wfile.write(piece)

    with http_camera({"/video": respond}) as address:
        try:
            yield f"{address}/video"
        finally:
            over.set()


def picture(number: int) -> av.VideoFrame:
    luma = np.full((180 * 3 // 2, 320), 128, np.uint8)
    luma[:180, :] = (number * 5) % 200
    frame = av.VideoFrame.from_ndarray(luma, format="yuv420p")
    frame.pts, frame.time_base = number, Fraction(1, 20)
    return frame


def ts_pieces() -> Iterator[bytes]:
    sink = BytesIO()
    with av.open(sink, "w", format="mpegts") as container:
        stream = container.add_stream("libx264", rate=20)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        stream.options = {"tune": "zerolatency", "g": "10", "preset": "ultrafast"}
        for number in range(2000):
            container.mux(stream.encode(picture(number)))
            yield sink.getvalue()
            sink.seek(0)
            sink.truncate()


def mjpeg_pieces() -> Iterator[bytes]:
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 320, 180, "yuvj420p", Fraction(1, 20)
    for number in range(2000):
        for packet in encoder.encode(picture(number).reformat(format="yuvj420p")):
            data = bytes(packet)
            yield b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(data), data)


def test_cameras_over_http_are_stamped_by_their_pts_if_they_have_any(tmp_path: Path) -> None:
    with (
        video("video/mp2t", ts_pieces) as ts,
        video("multipart/x-mixed-replace; boundary=frame", mjpeg_pieces) as mjpeg,
        Service(tmp_path, {"model": {"url": ts}, "arrival": {"url": mjpeg}}) as service,
        service.follow() as history,
    ):
        for clock in ("model", "arrival"):
            batch = history.read_until(
                lambda batch, clock=clock: (
                    len(batch.frames[clock]) >= 5 and {frame.clock for frame in batch.frames[clock]} == {clock}
                )
            )
            assert all(frame.uncertainty_ns > 0 for frame in batch.frames[clock])
        assert service.stop() == 0
    history.check()
