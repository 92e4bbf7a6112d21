"""What a capture cannot do any more: tried for real, by code that runs where a decoder would that an attacker has."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncsvc.capture.sandbox import landlock

ROOT = Path(__file__).parents[2]
needs_landlock = pytest.mark.skipif(not landlock.version(), reason="this kernel has no Landlock")


@pytest.fixture
def elsewhere() -> Iterator[int]:
    """A port of this host at which somebody listens who is no camera."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def tried(folder: Path, port: int, kind: str, *how: str) -> dict[str, str]:
    """What became of each attempt of a process that was confined as a capture of this kind is."""
    command = [sys.executable, "-m", "tests.process.prisoner", str(folder), str(port), kind, *how]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=60)
    told: dict[str, str] = json.loads(done.stdout)
    return told


@needs_landlock
@pytest.mark.parametrize("kind", ["rtsp", "http", "file", "synthetic", "v4l2"])
def test_a_capture_breaks_out_in_no_way(kind: str, tmp_path: Path, elsewhere: int) -> None:
    (tmp_path / "secrets.yaml").write_text("password")
    free = tried(tmp_path, elsewhere, kind, "free")
    held = tried(tmp_path, elsewhere, kind)
    assert held.pop("missing") == ""
    if os.getuid() == 0:  # each attempt is one that nothing but the sandbox forbids; some machines' root lacks a right
        assert {what for what, how in free.items() if how == "PermissionError"} <= {"raise limits"}
    assert {what: how for what, how in held.items() if how != "PermissionError"} == {}
    assert len(held) >= 14
    assert (tmp_path / "secrets.yaml").read_text() == "password"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secrets.yaml"]


@needs_landlock
@pytest.mark.skipif(os.getuid() != 0, reason="only root has another user to become")
def test_root_is_left_where_nothing_needs_it(tmp_path: Path, elsewhere: int) -> None:
    held = tried(tmp_path, elsewhere, "http", "readable")
    assert held["uid"] == "65534"
    assert held["parent's end"] == "9", "it dies with its parent, though the kernel forgets that with the user"


def test_memory_ends_where_the_configuration_says_whatever_a_picture_claims(tmp_path: Path, elsewhere: int) -> None:
    held = tried(tmp_path, elsewhere, "synthetic", "memory")
    assert 256 <= int(held["MiB until it ends"]) <= 600


def test_what_the_kernel_lacks_is_named(tmp_path: Path, elsewhere: int) -> None:
    held = tried(tmp_path, elsewhere, "file", "no-landlock")
    assert held["missing"].startswith("landlock (")
    assert held["exec"] == "PermissionError", "and the others are held to"


def test_a_rule_that_does_not_hold_is_found_by_the_self_test(tmp_path: Path, elsewhere: int) -> None:
    held = tried(tmp_path, elsewhere, "synthetic", "leaky")
    assert "tried, and it went through" in held["missing"]
    assert held["missing"].count("went through") >= 10
