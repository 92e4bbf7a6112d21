"""``window_ms: null`` on the real daemon: one batch per set, whatever happens to its processes."""

import itertools
import json
import signal
from pathlib import Path
from typing import Any

from syncsvc import FrameBatch
from syncsvc.clock import NS_PER_S
from tests.e2e.harness import LIMIT_S, PATIENCE, History, Service, wait_for
from tests.e2e.test_align import align, lines_of, read_all, tail, whole_lines

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


def is_full(batch: FrameBatch) -> bool:
    """Whether it has a set of all streams."""
    return any(not some.missing for some in batch.sets)


def test_cameras_of_several_rates_give_a_full_set_per_frame_of_the_slowest(tmp_path: Path) -> None:
    group = {"all": GROUP["all"] | PATIENCE}
    in_a_row = itertools.count()

    def is_settled(batch: FrameBatch) -> bool:
        nonlocal in_a_row
        if not is_full(batch):
            return False
        if batch.sets[0].frames["c"].time_ns != batch.window_end_ns - 1:
            in_a_row = itertools.count()
        return next(in_a_row) == 15

    with Service(tmp_path, CAMERAS, groups=group) as service, service.follow() as history:
        begun_ns = history.read_until(is_settled, 400).window_end_ns  # who drives is chosen by the second before
        history.read_until(is_full, since_ns=begun_ns + NS_PER_S)
        status = service.status()["groups"]["all"]
        assert (status["window_ms"], status["sets"] > 0) == (None, True)
        assert service.stop() == 0
    check(history)
    settled = [batch for batch in history.batches if begun_ns <= batch.window_start_ns < begun_ns + NS_PER_S]
    taken = [frame.time_ns for batch in settled for frame in batch.frames["c"]]
    full = [batch.window_end_ns - 1 for batch in settled if is_full(batch)]
    assert full == taken, "each frame of the slowest has its set, and drives it"
    pairs = [some for batch in settled for some in batch.sets if some.missing]
    assert {some.missing for some in pairs} == {("c",)}, "what it leaves over forms sets too"
    assert not history.total("c", "late")


def test_killed_processes_come_back_and_no_time_is_sent_twice(tmp_path: Path) -> None:
    with Service(tmp_path, CAMERAS, groups=GROUP) as service, service.follow() as history:
        history.read_until(is_full, 200)
        back_ns = service.kill_capture("c")
        history.read_until(lambda batch: any("c" in some.missing for some in batch.sets), 200)
        full = history.read_until(is_full, 400, since_ns=back_ns)
        back_ns = service.kill_receiver()
        again = history.read_until(is_full, 400, since_ns=back_ns)
        assert again.epoch > full.epoch
        service.process.send_signal(signal.SIGTERM)
        history.read_until(lambda batch: set(batch.missing.values()) == {"draining"}, 200)
        assert service.process.wait(LIMIT_S) == 0
    check(history)
    assert set(history.dropped("a")) | set(history.dropped("c")) <= {"capture_died", "receiver_died"}


def test_a_stalled_camera_holds_nobody_back_for_long(tmp_path: Path) -> None:
    cameras = CAMERAS | {"c": {"url": f"synthetic:?fps=15&{SMALL}&stall=4:3", "stall_after_ms": 500}}
    with Service(tmp_path, cameras, groups=GROUP) as service, service.follow() as history:
        history.read_until(lambda batch: batch.missing.get("c") == "stalled" and batch.sets != [], 400)
        history.read_until(lambda batch: any("c" in some.frames for some in batch.sets), 400)
        assert service.stop() == 0
    check(history)
    for batch in history.batches:
        for frames in batch.frames.values():
            assert all(batch.emitted_ns - frame.time_ns < 3 * NS_PER_S for frame in frames), "for as long as it stalls"


def test_silence_is_told_every_second(tmp_path: Path) -> None:
    cameras = {"a": {"url": "rtsp://127.0.0.1:1/none"}}
    group = {"all": {"streams": ["a"], "window_ms": None}}
    with Service(tmp_path, cameras, groups=group) as service, service.follow() as history:
        history.read(2)
        assert service.stop() == 0
    check(history)
    assert {batch.window_end_ns - batch.window_start_ns for batch in history.batches} == {NS_PER_S}
    assert {batch.missing["a"] for batch in history.batches} <= {"starting", "absent"}


def last_of(printed: Path) -> dict[str, Any]:
    """The last batch that was printed."""
    found: dict[str, Any] = json.loads(whole_lines(printed)[-1])
    return found


def test_a_run_replays_to_what_was_sent(tmp_path: Path) -> None:
    log = tmp_path / "seen.jsonl"
    stormy = CAMERAS | {"b": {"url": f"synthetic:?fps=30&{SMALL}&jitter_ms=30&drop=0.05&stall=2:0.7"}}
    with (
        Service(tmp_path, stormy, "--log-observations", str(log), groups=GROUP) as service,
        tail(service, tmp_path) as printed,
    ):
        wait_for(lambda: len(whole_lines(printed)) >= 40, "batches")
        service.kill_capture("a")
        service.reload(groups={"all": GROUP["all"] | {"streams": ["b", "a"], "max_skew_ms": 20}})
        wait_for(lambda: list(last_of(printed)["streams"]) == ["b", "a"], "batches without c")
        service.reload(groups=GROUP)
        wait_for(lambda: list(last_of(printed)["streams"]) == ["a", "b", "c"], "batches with c")
        seen = len(whole_lines(printed))
        wait_for(lambda: len(whole_lines(printed)) >= seen + 40, "batches")
        assert service.stop() == 0, service.log
        replayed = lines_of(align(log, "--json"))
        sent = read_all(printed, replayed[-1])
    numbers = {json.loads(line)["seq"]: line for line in replayed}
    assert len(numbers) == len(replayed)
    assert len(sent) > 80
    assert all(line == numbers[json.loads(line)["seq"]] for line in sent)
    narrow = [json.loads(line) for line in lines_of(align(log, "--json", "--max-skew-ms", "5"))]
    assert max(some[0] for one in narrow for some in one["sets"]) <= 5_000_000
