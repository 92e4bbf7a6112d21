"""Recordings that are damaged, cut off or none: one line, a counted error, exit code 1, and the others go on."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.e2e.harness import LIMIT_S, History, Service
from tests.mutated_files import FRAMES, KINDS, film, specimens, try_beside_a_sound_one
from tests.unit.capture.test_upright import portrait, quadrants


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds that are as they should be."""
    return film(tmp_path_factory.mktemp("films") / "sound.mkv", "mkv")


def play(folder: Path, urls: dict[str, Path | str], **keys: Any) -> tuple[History, int, str]:
    """Everything that comes of recordings, the exit code, and what was printed."""
    history = History()
    streams = {name: {"url": f"file:{path}", "pace": "asap", **keys} for name, path in urls.items()}
    with Service(folder, streams, publish={"wait_for": 1}) as service, service.subscribe() as subscriber:
        for batch in subscriber:
            history.take(batch)
        code = service.process.wait(LIMIT_S)
    history.check()
    return history, code, service.log


def told(log: str, stream: str) -> list[str]:
    return [line for line in log.splitlines() if f"error daemon: stream {stream}:" in line]


@pytest.mark.parametrize("pace", ["asap", "realtime"])
def test_a_recording_that_breaks_off_costs_what_is_missing_and_the_exit_code(
    tmp_path: Path, sound: Path, pace: str
) -> None:
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(sound.read_bytes()[: sound.stat().st_size // 2])
    history, code, log = play(tmp_path, {"sound": sound, "cut": cut}, pace=pace)
    assert code == 1, log
    assert len(history.frames("sound")) == FRAMES
    assert not history.dropped("sound")
    assert 5 < len(history.frames("cut")) < FRAMES
    assert history.dropped("cut") == {"read_error": 1}
    (line,) = told(log, "cut")
    assert "cut.mkv: breaks off" in line
    assert "Traceback" not in log


@pytest.mark.parametrize("pixels", ["i420", "encoded"])
def test_what_is_no_recording_ends_its_own_stream_alone(tmp_path: Path, sound: Path, pixels: str) -> None:
    (tmp_path / "text.mp4").write_text("no video" * 200)
    strange = film(tmp_path / "strange.avi", "avi")
    strange.write_bytes(strange.read_bytes().replace(b"FMP4", b"QQQ9"))
    urls: dict[str, Path | str] = {"sound": sound, "text": tmp_path / "text.mp4", "strange": strange}
    history, code, log = play(tmp_path, urls, pixels=pixels)
    assert code == 1, log
    assert len(history.frames("sound")) == FRAMES
    assert {name: batch.missing[name] for batch in history.batches[:1] for name in ("text", "strange")} == {
        "text": "ended", "strange": "ended",
    }  # fmt: skip
    assert len(told(log, "text")) == len(told(log, "strange")) == 1
    assert "no decoder here" in told(log, "strange")[0]
    assert "Traceback" not in log


def test_what_is_no_recording_is_refused_where_it_is_all_that_there_is(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video" * 200)
    path = tmp_path / "alone.yaml"
    publish = {"live": "tcp://127.0.0.1:0", "control": "tcp://127.0.0.1:0"}
    path.write_text(json.dumps({"streams": {"a": {"url": "file:text.mp4"}}, "publish": publish, "http": None}))
    done = subprocess.run(
        [sys.executable, "-m", "syncsvc", "run", str(path)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 78
    (line,) = [line for line in done.stderr.splitlines() if " ready " not in line and " info " not in line]
    assert "streams.a: " in line
    assert "text.mp4: cannot be opened" in line


def test_damage_by_chance_costs_nobody_else_anything(tmp_path: Path, sound: Path) -> None:
    damaged = [
        specimen.write(film(tmp_path / f"whole.{specimen.kind}", specimen.kind).read_bytes(), tmp_path)
        for specimen in specimens(2 * len(KINDS), seed=7)
    ]
    assert try_beside_a_sound_one(tmp_path, damaged, sound) == ""


def test_a_subscriber_gets_portraits_upright_or_is_told(tmp_path: Path) -> None:
    path = portrait(tmp_path / "held.mp4", 90)
    streams = {
        pixels: {"url": f"file:{path}", "pace": "asap", "pixels": pixels} for pixels in ("i420", "jpeg", "encoded")
    }
    history = History()
    with Service(tmp_path, streams, publish={"wait_for": 1}) as service, service.subscribe() as subscriber:
        for batch in subscriber:
            history.take(batch)
        assert service.process.wait(LIMIT_S) == 0, service.log
    for pixels in streams:
        frame = history.frames(pixels)[0]
        is_coded = pixels == "encoded"
        assert (frame.width, frame.height, frame.layout.rotation) == ((64, 48, 90) if is_coded else (48, 64, 0))
        upright = np.rot90(frame.to_bgr(), frame.layout.rotation // 90)
        assert np.abs(upright.astype(int) - np.rot90(quadrants())).mean() < 12


def test_a_folder_of_pictures_is_a_stream(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(12):
        cv2.imwrite(str(folder / f"{number:06d}.jpg"), np.full((48, 64, 3), 10 * number, np.uint8))
    history, code, log = play(tmp_path, {"all": folder, "numbered": "frames/%06d.jpg?fps=12"}, pixels="bgr24")
    assert code == 0, log
    for name, period_ns in (("all", 40_000_000), ("numbered", 83_333_333)):
        frames = history.frames(name)
        assert [round(float(frame.to_bgr().mean()) / 10) for frame in frames] == list(range(12))
        assert frames[1].time_ns - frames[0].time_ns == pytest.approx(period_ns, abs=2)
