"""Recordings that do not say when they were made: told in one line, in honest doubt, and placed by ``offset_ms``."""

import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from tests.e2e.harness import History, Service
from tests.e2e.httpcamera import PERIOD_US, video
from tests.unit.doctor.scene import Scene, View

FRAMES = 50


def record(folder: Path, name: str, container: str, first: int = 0) -> str:
    """Two seconds whose first picture has the pts ``first`` times 40 ms; the URL."""
    kind = {"mkv": "matroska", "mp4": "mp4"}[container]
    path = folder / f"{name}.{container}"
    path.write_bytes(video({n: n * PERIOD_US for n in range(first, first + FRAMES)}, kind))
    return f"file:{path}"


def play(folder: Path, streams: dict[str, dict[str, object]]) -> tuple[History, str]:
    history = History()
    asap = {name: {"pace": "asap", **keys} for name, keys in streams.items()}
    with Service(folder, asap, publish={"wait_for": 1}) as service, service.subscribe() as subscriber:
        for batch in subscriber:
            history.take(batch)
        assert service.process.wait(60) == 0, service.log
    history.check()
    return history, service.log


def test_files_without_times_claim_no_microseconds_of_each_other_and_one_line_says_so(tmp_path: Path) -> None:
    history, log = play(tmp_path, {name: {"url": record(tmp_path, name, "mp4")} for name in ("a", "b")})
    for name in ("a", "b"):
        assert {frame.uncertainty_ns for frame in history.frames(name)} == {1_000_011_112}
    lines = [line for line in log.splitlines() if "were started together" in line]
    assert len(lines) == 1
    assert "recordings a, b do not say when they were made" in lines[0]
    assert "offset_ms" in lines[0]


def test_a_file_alone_is_in_doubt_of_nobody(tmp_path: Path) -> None:
    groups = {name: {"streams": [name]} for name in ("a", "b")}
    streams = {name: {"url": record(tmp_path, name, "mkv"), "pace": "asap"} for name in ("a", "b")}
    with Service(tmp_path, streams, groups=groups) as service:
        assert service.process.wait(60) == 0
    assert "started together" not in service.log


@pytest.mark.parametrize("offset_ms", [480, -520.5])
def test_an_offset_is_added_to_every_stamp_and_vouched_for(tmp_path: Path, offset_ms: float) -> None:
    streams: dict[str, dict[str, object]] = {name: {"url": record(tmp_path, name, "mkv")} for name in ("a", "b")}
    streams["b"]["offset_ms"] = offset_ms
    history, log = play(tmp_path, streams)
    a, b = history.frames("a"), history.frames("b")
    assert b[0].time_ns - a[0].time_ns == round(offset_ms * 1e6)
    assert {frame.uncertainty_ns for frame in (*a, *b)} == {1_011_112}
    assert (len(a), len(b)) == (FRAMES, FRAMES)
    assert "started together" not in log


@pytest.mark.parametrize("container", ["mkv", "mp4"])
def test_a_video_that_starts_late_in_its_file_does(tmp_path: Path, container: str) -> None:
    streams: dict[str, dict[str, object]] = {
        "early": {"url": record(tmp_path, "early", container)},
        "late": {"url": record(tmp_path, "late", container, first=12)},
    }
    history, _ = play(tmp_path, streams)
    assert history.frames("late")[0].time_ns - history.frames("early")[0].time_ns == 12 * PERIOD_US * 1000


def film(folder: Path, name: str, view: View, begun_s: float) -> str:
    """What a camera saw of one scene that was switched on at a moment of it; the URL."""
    scene, path = Scene(4, 40.0), folder / f"{name}.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=12, options={"bf": "0", "preset": "ultrafast", "crf": "18"})
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for number in range(12 * 32):
            grey = np.kron(scene.seen(begun_s + number / 12, view), np.ones((4, 4))).astype(np.uint8)
            picture = np.full((270, 320), 128, np.uint8)
            picture[:180] = grey
            frame = av.VideoFrame.from_ndarray(picture, "yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return f"file:{path}"


def test_the_doctor_measures_the_offset_from_the_pictures(tmp_path: Path) -> None:
    urls = {"first": film(tmp_path, "first", View(), 0.0), "later": film(tmp_path, "later", View(0.25, 0.85), 1.4)}
    path = tmp_path / "site.yaml"
    path.write_text(json.dumps({"streams": {name: {"url": url, "pace": "asap"} for name, url in urls.items()}}))
    done = subprocess.run(
        [sys.executable, "-m", "syncsvc", "doctor", str(path), "--content", "--seconds", "60", "--json"],
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["content"][0]["accepted"], told["content"]
    assert told["streams"]["first"]["proposed_offset_ms"] == 0
    assert told["streams"]["later"]["proposed_offset_ms"] == pytest.approx(1400, abs=15)
    assert "    offset_ms: 0.0  # from what the pictures show" in told["snippet"]
