"""``window_ms: null`` on the real daemon: one batch per set, whatever happens to its processes."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from syncsvc import FrameBatch
from tests.e2e.harness import History, Service, find_data, wait_for
from tests.e2e.test_align import align, lines_of, read_all, tail
from tests.e2e.test_recordings import NAMES, play, reference_sets, streams
from tests.e2e.test_reload import reload

SMALL = "size=160x90"
CAMERAS = {
    "a": {"url": f"synthetic:?fps=25&{SMALL}&seed=1"},
    "b": {"url": f"synthetic:?fps=30&{SMALL}&seed=2&phase_ms=7"},
    "c": {"url": f"synthetic:?fps=15&{SMALL}&seed=3&jitter_ms=10"},
}
GROUP = {"all": {"streams": list(CAMERAS), "window_ms": None}}


def check(history: History) -> None:
    """What holds of every history of sets."""
    history.check()
    for before, batch in zip(history.batches, history.batches[1:], strict=False):
        assert batch.window_start_ns >= before.window_end_ns
        if (batch.epoch, batch.seq) == (before.epoch, before.seq + 1):
            assert batch.window_start_ns == before.window_end_ns
    for batch in history.batches:
        assert len(batch.sets) <= 1
        for some in batch.sets:
            assert some.spread_ns <= 40_000_000
            assert batch.window_end_ns - 1 in {frame.time_ns for frame in some.frames.values()}


def test_cameras_of_several_rates_give_a_batch_per_frame_of_the_slowest(tmp_path: Path) -> None:
    with Service(tmp_path, CAMERAS, groups=GROUP) as service, service.subscribe() as subscriber:
        history = History()
        history.read_until(subscriber, lambda batch: len(batch.sets) == 1 and not batch.sets[0].missing, 200)
        history.read(subscriber, 90)
        status = service.status()["groups"]["all"]
        assert (status["window_ms"], status["sets"] > 0) == (None, True)
        assert service.stop() == 0
    check(history)
    settled = history.batches[-45:]
    assert sum(len(batch.sets) for batch in settled) >= 40
    assert sum(not some.missing for batch in settled for some in batch.sets) >= 40
    assert {frame.time_ns for batch in settled for frame in batch.frames["c"]} >= {
        batch.window_end_ns - 1 for batch in settled if batch.sets
    }, "the slowest drives"
    assert not history.total("c", "late")


def test_killed_processes_come_back_and_no_time_is_sent_twice(tmp_path: Path) -> None:
    with Service(tmp_path, CAMERAS, groups=GROUP) as service, service.subscribe() as subscriber:
        history = History()

        def is_full(batch: FrameBatch) -> bool:
            return any(not some.missing for some in batch.sets)

        history.read_until(subscriber, is_full, 200)
        pid = service.capture_pid("c")
        os.kill(pid, signal.SIGKILL)
        history.read_until(subscriber, lambda batch: any("c" in some.missing for some in batch.sets), 200)
        wait_for(lambda: service.capture_pid("c") != pid, "the next capture")
        history.read_until(subscriber, is_full, 400)
        os.kill(service.status()["receiver"]["pid"], signal.SIGKILL)
        first = history.batches[-1].epoch
        history.read_until(subscriber, lambda batch: batch.epoch > first and is_full(batch), 400)
        service.process.send_signal(signal.SIGTERM)
        history.read_until(subscriber, lambda batch: set(batch.missing.values()) == {"draining"}, 200)
        assert service.process.wait(20) == 0
    check(history)
    assert set(history.dropped("a")) | set(history.dropped("c")) <= {"capture_died", "receiver_died"}


def test_a_stalled_camera_holds_nobody_back_for_long(tmp_path: Path) -> None:
    cameras = CAMERAS | {"c": {"url": f"synthetic:?fps=15&{SMALL}&stall=3:2", "stall_after_ms": 500}}
    with Service(tmp_path, cameras, groups=GROUP) as service, service.subscribe() as subscriber:
        history = History()
        history.read_until(subscriber, lambda batch: batch.missing.get("c") == "stalled" and batch.sets != [], 400)
        history.read_until(subscriber, lambda batch: any("c" in some.frames for some in batch.sets), 400)
        assert service.stop() == 0
    check(history)
    for batch in history.batches:
        for frames in batch.frames.values():
            assert all(batch.emitted_ns - frame.time_ns < 1_500_000_000 for frame in frames), "half a second, and slack"


def test_silence_is_told_every_second(tmp_path: Path) -> None:
    cameras = {"a": {"url": "rtsp://127.0.0.1:1/none"}}
    group = {"all": {"streams": ["a"], "window_ms": None}}
    with Service(tmp_path, cameras, groups=group) as service, service.subscribe() as subscriber:
        history = History()
        history.read(subscriber, 3)
        assert service.stop() == 0
    check(history)
    assert {batch.window_end_ns - batch.window_start_ns for batch in history.batches} == {1_000_000_000}
    assert {batch.missing["a"] for batch in history.batches} <= {"starting", "absent"}


@pytest.mark.parametrize("pace", ["asap", "realtime"])
def test_the_sets_of_real_recordings_are_the_recorders(tmp_path: Path, pace: str) -> None:
    folder = find_data("four-cameras")
    history, sets = play(tmp_path, streams(folder, pace, folder / "timestamps.csv"), window_ms=None)
    for name in NAMES:
        assert [frame.seq for frame in history.frames(name)] == list(range(48))
    assert sets == {frozenset(one.items()) for one in reference_sets(folder)}
    assert [len(batch.sets) for batch in history.batches].count(1) == 48


def last_of(printed: Path) -> dict[str, Any]:
    """The last batch that was printed."""
    found: dict[str, Any] = json.loads(printed.read_text().rpartition("\n")[0].splitlines()[-1])
    return found


def test_a_run_replays_to_what_was_sent(tmp_path: Path) -> None:
    log = tmp_path / "seen.jsonl"
    stormy = CAMERAS | {"b": {"url": f"synthetic:?fps=30&{SMALL}&jitter_ms=30&drop=0.05&stall=2:0.7"}}
    with (
        Service(tmp_path, stormy, "--log-observations", str(log), groups=GROUP) as service,
        tail(service, tmp_path) as printed,
    ):
        wait_for(lambda: printed.read_text().count("\n") >= 40, "batches")
        os.kill(service.capture_pid("a"), signal.SIGKILL)
        wait_for(lambda: service.status()["streams"]["a"]["restarts"] == 1, "another capture")
        reload(service, groups={"all": GROUP["all"] | {"streams": ["b", "a"], "max_skew_ms": 20}})
        wait_for(lambda: list(last_of(printed)["streams"]) == ["b", "a"], "batches without c")
        reload(service, groups=GROUP)
        wait_for(lambda: list(last_of(printed)["streams"]) == ["a", "b", "c"], "batches with c")
        seen = printed.read_text().count("\n")
        wait_for(lambda: printed.read_text().count("\n") >= seen + 40, "batches")
        assert service.stop() == 0, service.log
        replayed = lines_of(align(log, "--json"))
        sent = read_all(printed, replayed[-1])
    numbers = {json.loads(line)["seq"]: line for line in replayed}
    assert len(numbers) == len(replayed)
    assert len(sent) > 80
    assert all(line == numbers[json.loads(line)["seq"]] for line in sent)
    narrow = [json.loads(line) for line in lines_of(align(log, "--json", "--max-skew-ms", "5"))]
    assert max(some[0] for one in narrow for some in one["sets"]) <= 5_000_000
