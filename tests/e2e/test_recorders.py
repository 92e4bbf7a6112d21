"""``syncsvc record`` in every manner that it has, on one service; and what it says of a full disk, and of a stall."""

import json
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from syncsvc.cli import main
from syncsvc.model import Gap
from syncsvc.recording.contents import StoredBatch
from syncsvc.recording.folder import FolderRecording
from syncsvc.recording.verification import verify
from tests.e2e.harness import LIMIT_S, Service, wait_for
from tests.film import write_clip

GROUPS = {
    "both": {"streams": ["own", "plain"], "window_ms": 200, "max_latency_ms": 3000},
    "alone": {"streams": ["plain"], "window_ms": 400, "max_latency_ms": 3000},
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One for all: a recording that hands on its own pictures, and one that is decoded, again and again."""
    folder = tmp_path_factory.mktemp("service")
    write_clip(folder / "clip.mp4")
    streams = {"own": {"url": "file:clip.mp4", "loop": True, "pixels": "encoded"},
               "plain": {"url": "file:clip.mp4", "loop": True}}  # fmt: skip
    with Service(folder, streams, groups=GROUPS, publish={"history": 4}) as running:
        with running.subscribe(group="both", payload=None) as batches:
            assert any(all(batch.frames.values()) for batch in batches)
        yield running


def recorded(service: Service, folder: Path, *words: str) -> dict[str, Any]:
    """What the command says that it recorded; the recording must be whole."""
    result = CliRunner().invoke(main, ["record", service.live, str(folder), "--json", *words], catch_exceptions=False)
    assert (result.exit_code, result.stderr) == (0, "")
    findings = verify(FolderRecording(folder))
    assert (findings.differences, findings.notes) == ([], [])
    report: dict[str, Any] = json.loads(result.stdout)
    return report


@pytest.mark.parametrize("mode", ["live", "lossless"])
def test_either_mode_records_as_many_batches_as_were_asked_for(service: Service, tmp_path: Path, mode: str) -> None:
    report = recorded(service, tmp_path / "tape", "--group", "both", "--mode", mode, "--count", "3")
    assert (report["batches"], report["gaps"]) == (3, 0)
    assert all(one["frames"] > 0 for one in report["streams"].values())


def test_without_a_name_all_groups_are_in_one_recording(service: Service, tmp_path: Path) -> None:
    report = recorded(service, tmp_path / "tape", "--count", "6")
    recording = FolderRecording(tmp_path / "tape")
    batches = [one.batch for one in recording.segments[0].batches() if isinstance(one, StoredBatch)]
    assert {one.group for one in batches} == set(GROUPS)
    assert {name: (terms.streams, terms.window_ms) for name, terms in recording.groups.items()} == {
        name: (tuple(group["streams"]), group["window_ms"])
        for name, group in GROUPS.items()  # type: ignore[arg-type]
    }
    seqs = {one.seq for batch in batches for one in batch.frames["plain"]}
    assert report["streams"]["plain"]["frames"] == len(seqs), "a frame of two groups is there once"


def test_sets_of_encoded_streams_have_a_picture_of_each_that_was_coded_anew(service: Service, tmp_path: Path) -> None:
    report = recorded(service, tmp_path / "tape", "--group", "both", "--sets", "--codec", "ffv1", "--count", "4")
    assert report["equal_counts"]
    assert report["segments"] == 1
    assert {one["frames"] for one in report["streams"].values()} == {report["sets"]} != {0}
    assert sorted(one.name for one in (tmp_path / "tape").glob("*.mkv")) == ["own.mkv", "plain.mkv"]


def test_sets_of_several_groups_are_refused_in_one_line(service: Service, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["record", service.live, str(tmp_path / "tape"), "--sets", "--count", "1"])
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1), result.stderr
    assert "name one" in result.stderr


class Recording:
    """The command as a process of its own, and what it has said so far."""

    def __init__(self, service: Service, folder: Path) -> None:
        self.tape, self._said = folder / "tape", folder / "said"
        words = [sys.executable, "-m", "syncsvc", "record", service.live, str(self.tape), "--group", "both", "--json"]
        with self._said.open("wb") as said:
            self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=said, text=True)
        wait_for(lambda: (self.tape / "batches.jsonl").exists(), "the first batch")

    @property
    def said(self) -> list[str]:
        """Its lines on stderr."""
        return self._said.read_text().splitlines()

    @property
    def headers(self) -> int:
        """How many lines ``batches.jsonl`` has."""
        return (self.tape / "batches.jsonl").read_bytes().count(b"\n")

    def end(self) -> dict[str, Any]:
        """Ctrl-C; its report."""
        self.process.send_signal(signal.SIGINT)
        out, _ = self.process.communicate(timeout=LIMIT_S)
        assert self.process.returncode == 0, self.said
        findings = verify(FolderRecording(self.tape))
        assert (findings.differences, findings.notes) == ([], [])
        report: dict[str, Any] = json.loads(out)
        return report


@contextmanager
def recording(service: Service, folder: Path) -> Iterator[Recording]:
    one = Recording(service, folder)
    try:
        yield one
    finally:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate()


def gaps_of(tape: Path) -> list[Gap]:
    return [one for one in FolderRecording(tape).segments[0].batches() if isinstance(one, Gap)]


def test_while_the_disk_is_full_recording_pauses_and_says_so_once_and_then_goes_on(
    service: Service, tmp_path: Path
) -> None:
    with recording(service, tmp_path) as one:
        hard = resource.prlimit(one.process.pid, resource.RLIMIT_FSIZE)[1]
        most = max(path.stat().st_size for path in one.tape.iterdir())  # its word of it lies in a file too
        resource.prlimit(one.process.pid, resource.RLIMIT_FSIZE, (most, hard))
        wait_for(lambda: one.said, "word of the full disk")
        headers = one.headers
        resource.prlimit(one.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        wait_for(lambda: one.headers > headers + 1, "batches after that")
        report = one.end()
        full, room, *_ = one.said
    assert "recording pauses until there is room" in full
    assert "there is room again" in room
    assert report["pauses"] == 1


def test_a_recorder_that_stood_still_for_longer_than_the_history_says_what_it_missed(
    service: Service, tmp_path: Path
) -> None:
    with recording(service, tmp_path) as one:
        one.process.send_signal(signal.SIGSTOP)
        before = service.status()["groups"]["both"]["batches"]
        wait_for(lambda: service.status()["groups"]["both"]["batches"] > before + 12, "more batches than are kept")
        one.process.send_signal(signal.SIGCONT)
        wait_for(lambda: one.said, "word of what was missed")
        report = one.end()
        (line,) = one.said
    (gap,) = gaps_of(one.tape)
    assert (report["gaps"], report["missed_batches"]) == (1, gap.batches)
    assert f"{gap.batches} missed" in line
