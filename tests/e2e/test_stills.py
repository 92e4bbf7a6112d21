"""``syncsvc stills`` and ``syncsvc view`` as a user runs them, on a scripted service and on a real one."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from syncsvc.barcode import read
from syncsvc.layout import Layout
from tests.batches import MS, T0, batch, frame, message_of, somebody_missing, together
from tests.e2e.harness import Service, wait_for
from tests.e2e.livesocket import LiveSocket

WAIT_S = 60
NAMES = ("north", "south")
PIXELS = {"planes": "i420", "bgr": "bgr24", "grey": "gray8", "coded": "jpeg"}


@pytest.fixture
def live() -> Iterator[LiveSocket]:
    with LiveSocket() as socket:
        yield socket


@contextmanager
def command(*words: str) -> Iterator["subprocess.Popen[str]"]:
    line = [sys.executable, "-m", "syncsvc", *words]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def result(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, err = process.communicate(timeout=WAIT_S)
    return process.returncode, out, err


def refused(*words: str) -> str:
    """The one line with which a command line is refused."""
    with command(*words) as process:
        code, out, err = result(process)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    return err


def paired(seq: int) -> Any:
    at = T0 + seq * 1000 * MS
    layout = Layout("bgr24", 32, 24)
    frames = {
        name: [
            frame(name, seq * 2 + n, at + (n * 40 + late) * MS, layout, payload=bytes([value]) * layout.size_bytes)
            for n in range(2)
        ]
        for name, late, value in (("north", 0, 50), ("south", 2, 200))
    }
    sets = [together(frames["north"][n], frames["south"][n], group=NAMES) for n in range(2)]
    return batch(seq, frames=frames, sets=sets)


def test_stills_writes_what_comes_counts_what_is_missed_and_ends_in_time(live: LiveSocket, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    with command("stills", live.endpoint, str(folder), "--format", "png", "--count", "2", "--json") as process:
        live.wait_for(b"batch/")
        live.send(paired(1), paired(4))
        code, out, err = result(process)
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert (report["written"], report["missed_batches"], report["dropped"]) == (8, 2, {})
    assert report["streams"]["south"] == {
        "chosen": 4, "written": 4, "bytes": sum(path.stat().st_size for path in (folder / "south").iterdir()),
        "dropped": {},
    }  # fmt: skip
    assert sorted(path.name for path in (folder / "north").iterdir()) == [
        "20260101T000001.000000000Z_2.png", "20260101T000001.040000000Z_3.png",
        "20260101T000004.000000000Z_8.png", "20260101T000004.040000000Z_9.png",
    ]  # fmt: skip
    picture = cv2.imread(str(folder / "south" / "20260101T000001.002000000Z_2.png"))
    assert picture is not None
    assert (picture.shape, int(picture.min())) == ((24, 32, 3), 200)


def test_stills_of_sets_and_mosaics_end_with_the_service(live: LiveSocket, tmp_path: Path) -> None:
    words = ("--group", "lobby", "--every", "2")
    with (
        command("stills", live.endpoint, str(tmp_path / "sets"), "--sets", *words) as sets,
        command("stills", live.endpoint, str(tmp_path / "mosaics"), "--mosaic", *words) as mosaics,
    ):
        live.wait_for(b"batch/lobby")
        live.subscriptions.remove(b"batch/lobby")
        live.wait_for(b"batch/lobby")
        live.send(paired(1), paired(2))
        for _ in (sets, mosaics):
            live.wait_for(b"status")
            live.subscriptions.remove(b"status")
        live.send_status("ended")
        code, out, err = result(sets)
        assert result(mosaics)[0] == 0
    assert (code, err) == (0, "")
    assert out.splitlines()[-1].startswith("4 pictures, ")
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.jpg")) == [
        "mosaics/20260101T000001.000000000Z.jpg", "mosaics/20260101T000002.000000000Z.jpg",
        "sets/20260101T000001.000000000Z/north.jpg", "sets/20260101T000001.000000000Z/south.jpg",
        "sets/20260101T000002.000000000Z/north.jpg", "sets/20260101T000002.000000000Z/south.jpg",
    ]  # fmt: skip


def test_a_disk_that_takes_nothing_is_said_and_counted_and_what_it_takes_later_is_written(
    live: LiveSocket, tmp_path: Path
) -> None:
    (tmp_path / "north").touch()  # where a folder should be
    with command("stills", live.endpoint, str(tmp_path), "--json", "--how", "processes", "--workers", "1") as process:
        live.wait_for(b"batch/")
        live.send(paired(1))
        wait_for(lambda: len(list((tmp_path / "south").glob("*.jpg"))) == 2, "the pictures that could be written")
        assert process.stderr is not None
        line = process.stderr.readline()  # it is said by now that the others could not
        (tmp_path / "north").unlink()
        live.send(paired(2))
        wait_for(lambda: len(list((tmp_path / "north").glob("*.jpg"))) == 2, "the pictures after there was room")
        process.send_signal(signal.SIGINT)
        code, out, err = result(process)
    assert line.startswith(f"syncsvc: {tmp_path}/north/20260101T000001.000000000Z_2.jpg: Not a directory")
    assert (code, err.count("\n")) in ((1, 0), (1, 1))  # the second of them may have failed after the line
    assert json.loads(out)["streams"]["north"] == {
        "chosen": 4, "written": 2, "bytes": sum(path.stat().st_size for path in (tmp_path / "north").iterdir()),
        "dropped": {"unwritten": 2},
    }  # fmt: skip


def test_view_shows_the_newest_set_and_who_is_missing_from_it(live: LiveSocket, tmp_path: Path) -> None:
    file = tmp_path / "now.png"
    with command("view", live.endpoint, str(file), "--json") as process:
        live.wait_for(b"batch/")
        live.send(somebody_missing())  # no set in it
        some = paired(5)
        east = replace(some, frames={**some.frames, "east": []}, missing={"east": "stalled"})
        sets = [replace(one, missing=("east",)) for one in some.sets]
        live.send(message_of(replace(east, sets=sets)))
        code, out, err = result(process)
    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "file": str(file), "group": "lobby", "seq": 5, "epoch": some.epoch, "spread_ns": 2 * MS,
        "frames": {
            "north": {"seq": 11, "time_ns": T0 + 5040 * MS}, "south": {"seq": 11, "time_ns": T0 + 5042 * MS},
        },
        "missing": {"east": "stalled"},
    }  # fmt: skip
    found = cv2.imread(str(file))
    assert found is not None
    for value in (50, 200):
        assert (found == value).all(axis=2).sum() >= 24 * 32


def test_view_says_in_a_line_that_nothing_came_or_nothing_that_can_be_shown(live: LiveSocket, tmp_path: Path) -> None:
    file = tmp_path / "now.jpg"
    with command("view", live.endpoint, str(file), "--timeout", "4") as process:
        live.wait_for(b"batch/")
        live.send(somebody_missing())
        code, out, err = result(process)
    assert (code, out) == (1, "")
    assert err.endswith(": no set to show came in time: batches came, and none had a set\n")
    assert not file.exists()
    with command("view", f"ipc://{tmp_path}/nobody", str(file), "--timeout", "0.3") as process:
        code, out, err = result(process)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(f"syncsvc: ipc://{tmp_path}/nobody: no batch within 0.3 s: no service is there")


def test_wrong_words_are_refused_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    here, there = "tcp://127.0.0.1:5555", str(tmp_path / "stills")
    assert "--sets and --mosaic are two answers" in refused("stills", here, there, "--sets", "--mosaic")
    assert "every and per_second are two answers" in refused("stills", here, there, "--every", "2", "--per-second", "1")
    assert "png loses nothing" in refused("stills", here, there, "--format", "png", "--quality", "5")
    assert "file: is there, and no folder" in refused("stills", here, str(tmp_path / "file"))
    assert "ends with .jpg, .png or .webp is wanted" in refused("view", here, str(tmp_path / "now"))
    assert "format 'gif': allowed are jpg, png, webp" in refused("view", here, str(tmp_path / "now.gif"))
    if os.geteuid():
        tmp_path.chmod(0o500)
        assert "cannot be written" in refused("stills", here, str(tmp_path))
        tmp_path.chmod(0o700)


def test_stills_and_view_of_a_real_service_are_its_pictures(tmp_path: Path) -> None:
    streams = {name: {"url": "synthetic:?fps=10&size=640x360", "pixels": form} for name, form in PIXELS.items()}
    folder, file = tmp_path / "stills", tmp_path / "now.png"
    with Service(tmp_path, streams, publish={"live": f"ipc://{tmp_path}/live"}) as service:
        with command("view", service.live, str(file)) as process:
            code, out, err = result(process)
        assert (code, err) == (0, "")
        assert out.startswith(f"{file}: all  ")
        assert " 4 of 4 streams  spread " in out
        words = ("--count", "3", "--json", "--quality", "95")
        with command("stills", service.live, str(folder), *words) as process:
            code, out, err = result(process)
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert (report["dropped"], report["missed_batches"], set(report["streams"])) == ({}, 0, set(PIXELS))
    for name in PIXELS:
        paths = sorted((folder / name).iterdir())
        assert len(paths) == report["streams"][name]["written"] >= 20
        for path in paths:
            found = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            assert found is not None
            truth = read(np.asarray(found, np.uint8))
            assert truth is not None, f"{path} does not show its barcode"
            taken = datetime.strptime(path.name[:22], "%Y%m%dT%H%M%S.%f").replace(tzinfo=UTC)
            assert abs(taken.timestamp() - truth.time_us / 1e6) < 0.002
