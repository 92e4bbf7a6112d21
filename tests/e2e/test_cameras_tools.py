"""Independent RTSP clients, and the command line."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from syncsvc.cameras import CameraSpec, VirtualCameras
from syncsvc.cli.cameras import cameras as command
from syncsvc.errors import BindError, UsageError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def farm() -> Iterator[VirtualCameras]:
    with VirtualCameras([CameraSpec("north", fps=50, noise=0.3)]) as cameras:
        yield cameras


def run_tool(*words: str) -> str:
    if shutil.which(words[0]) is None:
        pytest.skip(f"{words[0]} is not installed")
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_ffmpeg_plays_it_without_a_complaint(farm: VirtualCameras, transport: str) -> None:
    source = ("-rtsp_transport", transport, "-i", farm.urls["north"])
    # Times stay in RTP's ticks: in ffmpeg's own, of 1/50 s, two pictures that a busy camera took 16 ms apart collide.
    sink = ("-enc_time_base", "1:90000", "-frames:v", "50", "-f", "null", "-")
    said = run_tool("ffmpeg", "-nostdin", "-v", "warning", "-stats", *source, *sink)
    *_, last = re.split(r"[\r\n]+", said.strip())
    assert re.match(r"frame= *50 ", last)
    complaints = [line for line in re.split(r"[\r\n]+", said) if line.strip() and not line.startswith("frame=")]
    assert complaints == []


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_ffprobe_finds_what_the_description_says(farm: VirtualCameras, transport: str) -> None:
    entries = ("-show_entries", "stream=codec_name,width,height,avg_frame_rate", "-of", "json")
    said = run_tool("ffprobe", "-v", "error", "-rtsp_transport", transport, *entries, farm.urls["north"])
    (stream,) = json.loads(said)["streams"]
    assert (stream["codec_name"], stream["width"], stream["height"]) == ("h264", 640, 360)
    assert stream["avg_frame_rate"] == "50/1"


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_gstreamer_plays_it_without_a_complaint(farm: VirtualCameras, transport: str) -> None:
    source = f"rtspsrc location={farm.urls['north']} protocols={transport} latency=50"
    pipeline = f"{source} ! rtph264depay ! h264parse ! avdec_h264 ! identity eos-after=50 ! fakesink"
    if shutil.which("gst-inspect-1.0") is not None:
        for element in ("rtspsrc", "h264parse", "avdec_h264"):
            if subprocess.run(("gst-inspect-1.0", "--exists", element), check=False).returncode:
                pytest.skip(f"GStreamer's {element} is not installed")
    if shutil.which("gst-launch-1.0") is None:
        pytest.skip("gst-launch-1.0 is not installed")
    words = ("gst-launch-1.0", *pipeline.split())
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    said, is_over, _ = done.stdout.partition("Got EOS")  # then it may cut off its own PAUSE, and complains of that
    assert is_over, said
    assert "ERROR" not in said
    assert "WARNING" not in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_prints_its_urls_and_ends_with_a_signal(number: signal.Signals) -> None:
    code = "from syncsvc.cli.cameras import cameras; cameras()"
    words = [sys.executable, "-c", code, "north:fps=30,latency_ms=60", "south", "--port", "0", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as serving:
        assert serving.stdout is not None
        ready = json.loads(serving.stdout.readline())
        assert ready["urls"] == {name: f"rtsp://127.0.0.1:{ready['port']}/{name}" for name in ("north", "south")}
        serving.send_signal(number)
        _, errors = serving.communicate(timeout=20)
    assert serving.returncode == 0
    assert errors == b""


def test_the_command_ends_after_its_seconds(tmp_path: Path) -> None:
    spec = tmp_path / "farm.yaml"
    spec.write_text("north: {fps: 30}\nsouth:\n")
    done = CliRunner().invoke(command, [str(spec), "--port", "0", "--seconds", "0.2"], catch_exceptions=False)
    assert done.exit_code == 0
    assert re.fullmatch(r"rtsp://127\.0\.0\.1:\d+/north\nrtsp://127\.0\.0\.1:\d+/south\n", done.output)


def test_the_command_refuses_what_it_does_not_understand(farm: VirtualCameras) -> None:
    invoke = CliRunner().invoke
    for words, kind, message in (
        (["north:fps=0"], UsageError, "camera 'north': fps: 0 is not allowed"),
        (["north:fsp=25"], UsageError, "did you mean fps"),
        (["nowhere.yaml"], UsageError, "nowhere.yaml: No such file"),
        (["1", "--host", "0.0.0.0"], UsageError, "--allow-remote"),
        (["1", "--host", "example.org"], UsageError, "--allow-remote"),
        (["1", "--port", str(farm.port)], BindError, "in use"),
        (["1", "--port", "0", "--host", "203.0.113.1", "--allow-remote"], BindError, "assign"),
    ):
        done = invoke(command, words)
        assert isinstance(done.exception, kind), (words, done.exception)
        assert message in str(done.exception)
        assert "\n" not in str(done.exception)


def test_help_has_an_example() -> None:
    done = CliRunner().invoke(command, ["--help"])
    assert done.exit_code == 0
    assert "syncsvc cameras north:fps=30" in done.output
    assert "--allow-remote" in done.output
