"""What is refused at the start: one clear line, exit code 78, and nothing left running."""

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.e2e.harness import Service, wait_for
from tests.processes import told_of

SYNTHETIC = {"a": {"url": "synthetic:?size=320x180"}}
FREE = {"live": "tcp://127.0.0.1:0", "control": "tcp://127.0.0.1:0"}


def run(tmp_path: Path, config: Any, *options: str) -> subprocess.CompletedProcess[str]:
    path = tmp_path / "refused.yaml"
    path.write_text(config if isinstance(config, str) else json.dumps(config))
    return subprocess.run(
        [sys.executable, "-m", "syncsvc", "run", str(path), *options],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("what", ["live", "control", "http"])
def test_a_port_in_use_is_named(tmp_path: Path, what: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        publish = FREE | ({what: f"tcp://127.0.0.1:{port}"} if what != "http" else {})
        http = {"bind": f"127.0.0.1:{port if what == 'http' else 0}"}
        log = ["--log-observations", str(tmp_path / "seen.jsonl")]
        result = run(tmp_path, {"streams": SYNTHETIC, "publish": publish, "http": http}, *log)
    assert result.returncode == 78
    (line,) = result.stderr.splitlines()
    assert str(port) in line
    assert "in use" in line
    assert not (tmp_path / "seen.jsonl").exists(), "there is nothing in it"


def test_a_socket_path_that_is_served_is_not_taken_over(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/live.sock"
    with Service(tmp_path, SYNTHETIC, publish={"live": endpoint}) as service:
        result = run(tmp_path, {"streams": SYNTHETIC, "publish": FREE | {"live": endpoint}, "http": None})
        assert (result.returncode, result.stderr.count("\n")) == (78, 1)
        assert "live.sock: is already in use" in result.stderr
        assert service.stop() == 0


def test_a_recording_that_does_not_exist_is_named(tmp_path: Path) -> None:
    result = run(tmp_path, {"streams": {"a": {"url": "file:absent.mp4"}}, "publish": FREE, "http": None})
    assert result.returncode == 78
    (line,) = result.stderr.splitlines()
    assert "absent.mp4" in line
    assert "Traceback" not in result.stderr


def test_a_recording_without_times_of_its_own_is_named_with_the_remedy(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.h264"), "w", format="h264") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((72, 64), 16 * number, np.uint8), "yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    result = run(tmp_path, {"streams": {"a": {"url": "file:a.h264"}}, "publish": FREE, "http": None})
    assert result.returncode == 78
    (line,) = [line for line in result.stderr.splitlines() if " ready " not in line and " info " not in line]
    assert "a.h264: has no timestamps of its own; give them with `timestamps`, or remux it to mp4 or mkv" in line


def test_times_that_do_not_rise_are_refused_before_anything_is_played(tmp_path: Path) -> None:
    (tmp_path / "times.csv").write_text("stream,frame,time_s\na,0,5.0\na,1,4.0\n")
    (tmp_path / "a.mp4").write_bytes(b"")
    streams = {"a": {"url": "file:a.mp4", "timestamps": "times.csv"}}
    result = run(tmp_path, {"streams": streams, "publish": FREE, "http": None})
    assert result.returncode == 78
    assert "must rise" in result.stderr.splitlines()[-1]


def test_a_ring_that_the_machine_cannot_hold_is_refused_with_the_numbers(tmp_path: Path) -> None:
    streams = {"a": {"url": "synthetic:?fps=1000&size=8192x8192", "pixels": "bgr24", "max_pixels": 8192 * 8192}}
    groups = {"all": {"streams": ["a"], "window_ms": 60_000}}
    result = run(tmp_path, {"streams": streams, "groups": groups, "publish": FREE, "http": None})
    assert result.returncode == 78
    line = result.stderr.splitlines()[-1]
    assert "ceil(1000.00/s" in line
    assert "MiB" in line


def test_no_password_shows_when_a_camera_cannot_be_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMERA_PASSWORD", "c4nary-w0rd")
    url = "rtsp://admin:${CAMERA_PASSWORD}@127.0.0.1:1/stream"
    with Service(tmp_path, {"a": {"url": url}}) as service:
        wait_for(lambda: "cannot be opened" in service.log, "the first failure")
        processes = service.survivors()
        environments = [told_of(pid, "environ") for pid in processes if pid != service.process.pid]
        assert any(environments)
        told = [*environments, *(told_of(pid, "cmdline") for pid in processes)]
        assert "c4nary" not in service.log + json.dumps(service.status())
        assert b"c4nary" not in b"".join(told)
        assert service.stop() == 0


def test_a_probe_opens_every_stream_once_and_tells(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    streams = {"made": SYNTHETIC["a"], "gone": {"url": "rtsp://u:c4nary@127.0.0.1:1/x"}}
    for chosen, code in ((["made"], 0), (["made", "gone"], 1)):
        path.write_text(json.dumps({"streams": {name: streams[name] for name in chosen}}))
        result = subprocess.run(
            [sys.executable, "-m", "syncsvc", "check", "--probe", str(path)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert result.returncode == code
        assert "probe  made: ok: 320x180, 25.000 frames/s declared" in result.stdout
        assert ("probe  gone: FAILED: cannot be opened: Connection refused" in result.stdout) == (code == 1)
        assert "c4nary" not in result.stdout + result.stderr
