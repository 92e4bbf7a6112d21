"""``syncsvc init`` writes a configuration that runs, from cameras that it has looked at."""

import os
import subprocess
import sys
from pathlib import Path

from syncsvc.cameras import CameraSpec, VirtualCameras
from syncsvc.config.loader import load


def init(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "syncsvc", "init", *words],
        capture_output=True, text=True, timeout=120, check=False, cwd=folder,
    )  # fmt: skip


def test_urls_become_a_file_that_is_valid_says_what_was_seen_and_has_no_password(tmp_path: Path) -> None:
    with VirtualCameras([CameraSpec("north", fps=10, width=320, height=180)]) as cameras:
        url = cameras.urls["north"].replace("rtsp://", "rtsp://admin:g3heim@")
        done = init(url, "rtsp://admin:g3heim@127.0.0.1:1/south", "--out", "cams.yaml", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "cams.yaml").read_text()
    assert "g3heim" not in text + done.stdout + done.stderr
    assert "    # when this was written: 320x180, 10.000 frames/s declared" in text
    assert "Connection refused" in text
    assert "set NORTH_PASSWORD, SOUTH_PASSWORD in the environment" in done.stderr
    config = load(tmp_path / "cams.yaml", {"NORTH_PASSWORD": "g3heim", "SOUTH_PASSWORD": "g3heim"})
    assert config.streams["north"].url == url
    assert list(config.groups["all"].streams) == ["north", "south"]
    assert config.groups["all"].max_skew_ms == 100, "a frame of the slowest camera"


def test_a_camera_that_speaks_udp_alone_needs_no_word_for_it(tmp_path: Path) -> None:
    with VirtualCameras([CameraSpec("north", fps=10, width=320, height=180, udp_only=True)]) as cameras:
        done = init(cameras.urls["north"], folder=tmp_path)
        (tmp_path / "tcp.yaml").write_text(done.stdout.replace("    clock:", "    transport: tcp\n    clock:"))
        forced = subprocess.run(
            [sys.executable, "-m", "syncsvc", "check", "--probe", "tcp.yaml"],
            capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path,
        )  # fmt: skip
    assert "    # when this was written: 320x180, 10.000 frames/s declared" in done.stdout
    assert (forced.returncode, "north: FAILED" in forced.stdout) == (1, True), "the camera takes no TCP"


def test_a_file_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "cams.yaml").write_text("mine")
    done = init("synthetic:", "--out", "cams.yaml", folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "is there already" in done.stderr
    assert (tmp_path / "cams.yaml").read_text() == "mine"


def test_without_urls_the_streams_are_made_up_and_the_file_goes_to_standard_output(tmp_path: Path) -> None:
    done = init(folder=tmp_path)
    assert done.returncode == 0, done.stderr
    (tmp_path / "made-up.yaml").write_text(done.stdout)
    assert list(load(tmp_path / "made-up.yaml", {}).streams) == ["north", "south"]
    assert os.listdir(tmp_path) == ["made-up.yaml"]


def test_a_folder_that_is_not_there_is_said_before_anything_is_opened(tmp_path: Path) -> None:
    done = init("synthetic:", "--out", "no/cams.yaml", folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "syncsvc: no/cams.yaml: there is no such folder\n")


def test_a_url_that_is_none_is_one_line_and_code_2(tmp_path: Path) -> None:
    for url in ("ftp://h/a", "nothing", "rtsp://u:p/w@h/a"):
        done = init(url, "--out", "cams.yaml", folder=tmp_path)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert "p/w" not in done.stderr
    assert not (tmp_path / "cams.yaml").exists()
