"""Recordings that say when they were made are played beside each other as they were made."""

import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from syncsvc import barcode
from tests.e2e.harness import History, Service
from tests.e2e.httpcamera import PERIOD_US, video

BEGAN_US = {"late": 1_795_266_000_580_000, "early": 1_795_266_000_100_000}
FRAMES = 125


def record(folder: Path, name: str, container: str, *, is_dated: bool = True) -> str:
    """Five seconds that began when ``BEGAN_US`` says; the URL."""
    began = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=BEGAN_US[name])
    created = {"creation_time": began.isoformat()} if is_dated else {}
    kind = {"mkv": "matroska", "mp4": "mp4"}[container]
    clip = video({n: BEGAN_US[name] + n * PERIOD_US for n in range(FRAMES)}, kind, metadata=created)
    path = folder / f"{name}.{container}"
    path.write_bytes(clip)
    return f"file:{path}"


def play(tmp_path: Path, streams: dict[str, object], killed: str = "") -> tuple[History, dict[str, set[int]]]:
    """Run the daemon to the end; and by how much each stream's stamps differ from the true times, in milliseconds."""
    history, moved = History(), {name: set[int]() for name in streams}
    with Service(tmp_path, streams, publish={"wait_for": 1}) as service, service.subscribe() as subscriber:
        for batch in subscriber:
            history.take(batch)
            for name, frames in batch.frames.items():
                for frame in frames:
                    code = barcode.read(frame.to_bgr())
                    assert code is not None
                    moved[name].add(round((frame.time_ns / 1000 - code.time_us) / 1000))
            if killed and len(history.batches) == 2:
                os.kill(service.capture_pid(killed), signal.SIGKILL)
        assert service.process.wait(30) == 0, service.log
    history.check()
    return history, moved


@pytest.mark.parametrize(("pace", "killed"), [("asap", ""), ("realtime", "late")])
def test_files_of_one_group_keep_their_distance(tmp_path: Path, pace: str, killed: str) -> None:
    streams = {name: {"url": record(tmp_path, name, "mkv"), "pace": pace} for name in BEGAN_US}
    history, moved = play(tmp_path, dict(streams), killed)
    assert len(moved["early"] | moved["late"]) == 1, "one offset for all frames of both"
    assert history.frames("early")[0].time_ns % 1_000_000_000 == 0, "the earliest begins on an edge"
    assert all(frame.uncertainty_ns < 1_000_000 for name in streams for frame in history.frames(name))
    sets = [one for batch in history.batches for one in batch.sets]
    assert all(one.spread_ns < 1_000_000 for one in sets)
    if not killed:
        assert len(sets) == FRAMES - 12
    else:
        assert len(history.frames("late")) > FRAMES // 2


def test_whole_seconds_of_an_mp4_are_told_as_doubt(tmp_path: Path) -> None:
    streams = {name: {"url": record(tmp_path, name, "mp4"), "pace": "asap"} for name in BEGAN_US}
    history, _ = play(tmp_path, dict(streams))
    for name in BEGAN_US:
        assert all(frame.uncertainty_ns >= 1_000_000_000 for frame in history.frames(name))
        assert history.frames(name)[0].time_ns == history.batches[0].window_start_ns


def test_without_a_date_all_begin_together(tmp_path: Path) -> None:
    streams = {
        name: {"url": record(tmp_path, name, "mkv", is_dated=name == "late"), "pace": "asap"} for name in BEGAN_US
    }
    history, _ = play(tmp_path, dict(streams))
    begun = {history.frames(name)[0].time_ns for name in BEGAN_US}
    assert begun == {history.batches[0].window_start_ns}
