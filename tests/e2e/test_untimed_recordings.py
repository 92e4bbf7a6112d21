"""Recordings that do not say when they were made: told in one line, in honest doubt, and placed by ``offset_ms``."""

from pathlib import Path

import pytest

from tests.e2e.harness import History, Service
from tests.e2e.httpcamera import PERIOD_US, video

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
