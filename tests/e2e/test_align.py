"""``syncsvc align`` on logs of the real daemon: what was sent, byte for byte, whatever happened to its processes."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import PATIENCE, Service, find_data, wait_for
from tests.e2e.test_recordings import NAMES, streams

NORTH = {"url": "synthetic:?fps=50&size=160x90&seed=1&jitter_ms=15&drop=0.05"}
SOUTH = {"url": "synthetic:?fps=30&size=160x90&seed=2&jitter_ms=40&stall=2:0.9"}
EAST = {"url": "synthetic:?fps=15&size=160x90&seed=3", "clock": "arrival"}


@contextmanager
def tail(service: Service, folder: Path) -> Iterator[Path]:
    """The lines that ``tail --json`` prints of the service."""
    lines = folder / "tail.jsonl"
    with lines.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "syncsvc", "tail", service.live, "--json"], stdout=out, stderr=subprocess.DEVNULL
        )
        try:
            yield lines
        finally:
            process.kill()
            process.wait()


def whole_lines(printed: Path) -> list[str]:
    """What is there of a file that grows, without a line that is being written."""
    return printed.read_text().rpartition("\n")[0].splitlines()


def align(log: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "syncsvc", "align", str(log), *options],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def lines_of(done: "subprocess.CompletedProcess[str]") -> list[str]:
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def batches(lines: list[str], group: str) -> list[Any]:
    return [header for header in map(json.loads, lines) if header["group"] == group]


def read_all(lines: Path, last: str) -> list[str]:
    """What ``tail`` printed, once it has printed the last batch."""
    wait_for(lambda: last in whole_lines(lines), "the last batch")
    return whole_lines(lines)


def test_a_stormy_run_replays_to_what_was_sent(tmp_path: Path) -> None:
    log = tmp_path / "seen.jsonl"
    cameras = {"north": NORTH, "south": SOUTH, "east": EAST}
    groups = {
        "all": {"streams": list(cameras), "window_ms": 500, "max_latency_ms": 250},
        "two": {"streams": ["south", "east"], "max_skew_ms": 20, "reference": "east"},
    }
    with (
        Service(tmp_path, cameras, "--log-observations", str(log), groups=groups) as service,
        tail(service, tmp_path) as printed,
    ):
        wait_for(lambda: len(whole_lines(printed)) >= 6, "batches")
        service.kill_capture("north")
        fewer = {"all": groups["all"] | {"streams": ["north", "south"], "max_skew_ms": 10}}
        service.reload(groups=fewer)
        wait_for(lambda: batches(whole_lines(printed), "all")[-1]["streams"].keys() == {"north", "south"}, "it")
        service.reload(groups=groups)
        seen = len(batches(whole_lines(printed), "two"))
        wait_for(lambda: len(batches(whole_lines(printed), "two")) > seen + 1, "the group's return")
        assert service.stop() == 0, service.log
        replayed = lines_of(align(log, "--json"))
        sent = read_all(printed, replayed[-1])
    assert sent == replayed[len(replayed) - len(sent) :]
    assert {reason for line in sent for reason in json.loads(line)["missing"].values()} >= {"deadline", "draining"}
    assert lines_of(align(log, "--json", "--group", "two")) == [line for line in replayed if '"group":"two"' in line]
    assert stat_mode(log) == 0o600
    shows_what_other_settings_give(log, replayed)


def stat_mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def late(found: list[Any], stream: str) -> int:
    """Frames of a stream that came after their windows; one whose capture is being replaced is not waited for."""
    return sum(one["streams"][stream]["counts"]["late"] for one in found if stream in one["streams"])


def settled(found: list[Any], stream: str) -> list[Any]:
    """Without the account of what came before the stream was heard: until then no window waits for it."""
    heard = next(place for place, one in enumerate(found) if one["missing"].get(stream) != "starting")
    return found[heard + 1 :]


def awaited_in_vain(found: list[Any], stream: str) -> int:
    return sum(one["missing"].get(stream) == "deadline" for one in found)


def shows_what_other_settings_give(log: Path, replayed: list[str]) -> None:
    narrow = batches(lines_of(align(log, "--json", "--max-skew-ms", "5")), "all")
    before = batches(replayed, "all")
    assert [one["window"] for one in narrow] == [one["window"] for one in before]
    assert max(some[0] for one in before for some in one["sets"]) > 5_000_000
    assert max(some[0] for one in narrow for some in one["sets"]) <= 5_000_000
    patience = ("--group", "all", "--max-latency-ms", "10000", "--latency-ms", "east=3")
    patient = batches(lines_of(align(log, "--json", *patience)), "all")
    assert late(before, "south") > late(settled(patient, "south"), "south") == 0, "it stalls, and runs all the while"
    assert awaited_in_vain(before, "south") > awaited_in_vain(patient, "south") == 0
    table = lines_of(align(log, *patience))
    rows = {line[:28].strip(): line[28:].split() for line in table}
    assert rows["all"] == ["recorded", "now"]
    assert rows["batches"] == [str(len(before))] * 2
    assert rows["late frames"] == [
        str(sum(late(some, name) for name in ("north", "south", "east"))) for some in (before, patient)
    ]
    assert int(rows["complete"][0]) <= int(rows["complete"][1])


@pytest.mark.parametrize("pace", ["asap", "realtime"])
def test_recordings_replay_to_what_was_sent(tmp_path: Path, pace: str) -> None:
    folder, log = find_data("four-cameras"), tmp_path / "seen.jsonl"
    cameras = streams(folder, pace, folder / "timestamps.csv")
    groups = {"rig": {"streams": list(NAMES), "max_skew_ms": 60, **PATIENCE}}
    options = {"groups": groups, "publish": {"wait_for": 1}}
    with (
        Service(tmp_path, cameras, "--log-observations", str(log), **options) as service,
        tail(service, tmp_path) as printed,
    ):
        assert service.process.wait(60) == 0, service.log
        replayed = lines_of(align(log, "--json"))
        sent = read_all(printed, replayed[-1])
    assert sent == replayed[len(replayed) - len(sent) :]
    assert sum(len(json.loads(line)["frames"]) for line in sent) == 4 * 48, "only empty windows came before the tail"
    assert "48 sets, 48 of all streams; 192 of 192 frames in sets" in lines_of(align(log))[-1]


def test_the_log_outlives_its_receiver_and_its_daemon(tmp_path: Path) -> None:
    log = tmp_path / "seen.jsonl"
    group = {"all": {"streams": ["north", "east"], "window_ms": 200}}
    with (
        Service(tmp_path, {"north": NORTH, "east": EAST}, "--log-observations", str(log), groups=group) as service,
        tail(service, tmp_path) as printed,
    ):
        wait_for(lambda: len(whole_lines(printed)) >= 5, "batches")
        service.kill_receiver()
        wait_for(lambda: len(epochs(printed)) > 1 and epochs(printed)[-1] > 10, "batches of the next receiver")
        service.process.kill()
        service.process.wait()
        sent = whole_lines(printed)
    replayed = lines_of(align(log, "--json"))
    common = [line for line in sent if line in set(replayed)]
    assert common == [line for line in replayed if line in set(sent)], "each is what was sent, in that order"
    assert len(sent) - len(common) < 10, "only what was not on the disk when somebody was killed is not there"
    assert len({json.loads(line)["epoch"] for line in common}) == 2


def epochs(printed: Path) -> list[int]:
    """How many batches of each epoch were printed."""
    found = Counter(json.loads(line)["epoch"] for line in whole_lines(printed))
    return [found[epoch] for epoch in sorted(found)]


def test_a_log_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path) -> None:
    config = tmp_path / "syncsvc.yaml"
    config.write_text(json.dumps({"streams": {"north": NORTH}}))
    for target, problem in ((tmp_path / "none" / "seen", "cannot be written"), (config, "is no observation log")):
        done = subprocess.run(
            [sys.executable, "-m", "syncsvc", "run", str(config), "--log-observations", str(target)],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert done.returncode == 2
        assert problem in done.stderr
        assert done.stderr.count("\n") == 1
