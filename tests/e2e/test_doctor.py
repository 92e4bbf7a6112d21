"""The doctor as a user calls it: on virtual cameras with known faults, on recordings of one scene, on nothing."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from syncsvc.cameras import CameraSpec, VirtualCameras
from syncsvc.doctor.own_daemon import OBSERVATIONS
from tests.e2e.harness import command, wait_for
from tests.unit.doctor.scene import Scene, View

SECRET = "hunter22secret"


@contextmanager
def doctor(folder: Path, streams: Mapping[str, Any], *options: str, **more: Any) -> Iterator[subprocess.Popen[str]]:
    """The command in a session of its own, which is empty at the end."""
    path = folder / "cameras.yaml"
    path.write_text(json.dumps({"streams": dict(streams), **more}))
    with command("doctor", str(path), *options) as process:
        yield process


def small(name: str, **keys: Any) -> CameraSpec:
    return CameraSpec(name, width=320, height=180, **keys)


def codes(stream: Mapping[str, Any]) -> set[str]:
    return {finding["code"] for finding in stream["findings"]} - {
        "pauses",
        "never_came",
    }  # a busy machine may stop a camera


@pytest.mark.alone  # arrivals tell of a clock as well as the machine lets packets through
def test_known_faults_are_found_beside_a_running_service(tmp_path: Path) -> None:
    specs = [
        small("fast", rtp_drift_ppm=80.0, latency_ms=30.0),
        small("slow", fps=30.0, latency_ms=60.0, phase_ms=13.0),
        small("zero", sr_mode="zero", latency_ms=20.0),
        small("uptime", fps=15.0, sr_mode="uptime", rtp_drift_ppm=-400.0),
        small("late", clock_offset_ms=-10_000.0),
    ]
    with VirtualCameras(specs) as cameras, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        streams = {name: {"url": url} for name, url in cameras.urls.items()}
        streams["gone"] = {"url": f"rtsp://user:{SECRET}@127.0.0.1:1/x"}
        publish = {"live": f"tcp://127.0.0.1:{taken.getsockname()[1]}", "control": "tcp://127.0.0.1:0"}
        with doctor(tmp_path, streams, "--seconds", "16", "--json", publish=publish) as process:
            output, errors = process.communicate(timeout=90)
    assert (process.returncode, errors) == (0, ""), output
    assert SECRET not in output
    found = json.loads(output)
    fast, slow, zero, uptime, late, gone = found["streams"].values()
    assert (fast["clock"], slow["clock"]) == ("rtcp", "rtcp")
    assert fast["drift_against"] == slow["drift_against"] == "ntp"
    assert fast["drift_ppm"] == pytest.approx(80, abs=6)
    assert slow["drift_ppm"] == pytest.approx(0, abs=6)
    # Against arrivals, on a machine that does other things: as well as it says itself, or what the least delay changes
    # by while others begin and end there, two milliseconds in twenty seconds.
    assert uptime["drift_ppm"] == pytest.approx(-400, abs=max(100, 1.5 * uptime["drift_doubt_ppm"]))
    assert uptime["drift_doubt_ppm"] < 150
    assert fast["latency_ms"] == pytest.approx(30, abs=2)
    assert slow["latency_ms"] == pytest.approx(60, abs=2)
    assert slow["behind_ms"] == pytest.approx(30, abs=3)
    for stream, fps in ((fast, 25.002), (slow, 30), (zero, 25), (uptime, 15), (late, 25)):
        assert stream["declared_fps"] == pytest.approx(fps, rel=0.001)
        assert stream["fps"] == pytest.approx(fps, rel=0.005)
        assert stream["parser_ms"] == pytest.approx(1000 / fps, rel=0.1)
        assert stream["losses"] == {}
    assert codes(fast) == codes(slow) == set()
    assert {stream["clock"] for stream in (zero, uptime, late)} <= {"model", "arrival"}
    assert all(stream["why_not"]["rtcp"] for stream in (zero, uptime, late))
    assert codes(zero) - {"doubtful"} == {"ntp_zero"}
    assert codes(uptime) - {"doubtful"} == {"ntp_uptime", "drift"}
    assert codes(late) - {"doubtful"} == {"ntp_behind"}
    assert late["ntp"]["offset_s"] == pytest.approx(-10, abs=0.05)
    assert [finding["text"] for finding in gone["findings"]] == ["no frame came: cannot be opened: Connection refused"]
    group = found["groups"]["all"]
    assert group["proposed_share"] >= 0.99
    assert 20 <= group["max_skew_ms"] <= 50
    assert 250 <= group["max_latency_ms"] <= 1000
    assert "latency_ms: " in found["snippet"]


def test_ctrl_c_ends_it_early_with_tables(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path_factory.mktemp("d")  # a short name, which leaves room for those of sockets
    monkeypatch.setenv("TMPDIR", str(place))

    def frames(stream: str) -> int:
        return sum(log.read_text().count(f'"s":"{stream}"') for log in place.glob(f"*/{OBSERVATIONS}"))

    streams = {"one": {"url": "synthetic:?fps=25&size=320x180"}, "two": {"url": "synthetic:?fps=20&size=320x180"}}
    with doctor(tmp_path, streams, "--seconds", "600") as process:
        wait_for(lambda: min(frames("one"), frames("two")) > 200, "frames of both")
        os.killpg(process.pid, signal.SIGINT)
        output, errors = process.communicate(timeout=40)
    assert (process.returncode, errors) == (0, ""), output
    assert "frames" in output
    assert "watched for " in output
    rows = [line.split() for line in output.splitlines() if line.split()[:2] == ["one", "pts"]]
    assert len(rows) == 1


@pytest.mark.parametrize(
    ("url", "code", "words"),
    [
        (f"rtsp://user:{SECRET}@127.0.0.1:1/x", 69, "no stream could be opened: cam: cannot be opened: Conn"),
        ("file:no-such-file.mp4", 78, "streams.cam.url: found no file"),
        ("gopher://somewhere", 78, "streams.cam.url"),
    ],
)
def test_what_cannot_be_opened_is_one_line(tmp_path: Path, url: str, code: int, words: str) -> None:
    with doctor(tmp_path, {"cam": {"url": url}}, "--seconds", "2") as process:
        output, errors = process.communicate(timeout=40)
    assert (process.returncode, output) == (code, "")
    assert errors.startswith("syncsvc: ")
    assert errors.count("\n") == 1
    assert words in errors
    assert SECRET not in errors


def film(path: Path, scene: Scene, view: View, fps: int, late_s: float, seconds: int) -> None:
    """A recording whose pictures show what was ``late_s`` before their pts."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast", "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = 160, 90, "yuv420p"
        for number in range(seconds * fps):
            small = scene.seen(number / fps - late_s + 1, view).astype(np.uint8)
            picture = np.ascontiguousarray(small.repeat(2, axis=0).repeat(2, axis=1))
            frame = av.VideoFrame.from_ndarray(picture, format="gray8").reformat(format="yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_the_lag_of_two_recordings_of_one_scene_is_seen(tmp_path: Path) -> None:
    scene = Scene(7, 70)
    film(tmp_path / "left.mp4", scene, View(), 12, 0.0, 64)
    film(tmp_path / "right.mp4", scene, View(turn_rad=0.2, scale=0.9), 10, 0.13, 64)
    streams = {name: {"url": f"file:{name}.mp4", "pace": "asap"} for name in ("left", "right")}
    with doctor(tmp_path, streams, "--seconds", "60", "--content", "--json") as process:
        output, errors = process.communicate(timeout=90)
    assert (process.returncode, errors) == (0, ""), output
    told = json.loads(output)
    (found,) = told["content"]
    assert found["accepted"], found
    assert (found["first"], found["second"]) == ("left", "right")
    assert found["lag_ms"] == pytest.approx(130, abs=10)
    assert found["disagreement_ms"] == found["lag_ms"]
    offsets = {name: stream["proposed_offset_ms"] for name, stream in told["streams"].items()}
    assert offsets == {"left": pytest.approx(130, abs=10), "right": 0.0}, "left began so much later"


@pytest.mark.alone  # arrivals tell of a clock as well as the machine lets packets through
def test_cameras_that_agree_are_to_be_vouched_for_and_the_doubt_is_explained(tmp_path: Path) -> None:
    with VirtualCameras([small("north", latency_ms=30.0), small("south", latency_ms=45.0)]) as cameras:
        streams = {name: {"url": url} for name, url in cameras.urls.items()}
        with doctor(tmp_path, streams, "--seconds", "16") as process:
            output, errors = process.communicate(timeout=90)
    assert (process.returncode, errors) == (0, ""), output
    assert "clock: rtcp  # 2 cameras agree: packets come " in output
    assert output.count("measured: packets come ") == 2
    assert "unknowable one way, hence ± " in output
