"""A camera that is not as the others, beside two that are, on the real daemon: they keep their pairs."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from syncsvc import FrameBatch, FrameSet
from syncsvc.clock import NS_PER_S
from tests.e2e.harness import PATIENCE, Service, wait_for
from tests.e2e.test_align import align, lines_of, read_all, tail, whole_lines

SMALL = "size=160x90"
HEALTHY = {
    "a": {"url": f"synthetic:?fps=25&{SMALL}&seed=1"},
    "b": {"url": f"synthetic:?fps=25&{SMALL}&seed=2&phase_ms=9"},
}
GUESTS = {
    name: {"url": f"synthetic:?{how}&{SMALL}&seed=3"}
    for name, how in {
        "flaky": "fps=25&drop=0.9&phase_ms=17",
        "slow": "fps=2&phase_ms=27",
        "frozen": "fps=25&stall=3:1&phase_ms=17",
    }.items()
}
SECONDS = 6


APART_NS = 9_000_000
"""How much later ``b`` takes its pictures than ``a``."""


def sets_of(batches: Sequence[FrameBatch], start_ns: int) -> list[FrameSet]:
    """Those of some seconds."""
    until_ns = start_ns + SECONDS * NS_PER_S
    return [one for batch in batches if start_ns <= batch.window_start_ns < until_ns for one in batch.sets]


def pairs_alone(batches: Sequence[FrameBatch], start_ns: int) -> int:
    """How many pairs the two would form of what came of them in these seconds: a loaded machine may have lost some."""
    until_ns = start_ns + SECONDS * NS_PER_S
    times = {name: {frame.time_ns for batch in batches for frame in batch.frames[name]} for name in HEALTHY}
    return sum(start_ns <= time < until_ns and time + APART_NS in times["b"] for time in times["a"])


def test_it_costs_the_others_no_pair(tmp_path: Path) -> None:
    """Every kind of it, in windows and without, each with a group of its own."""
    groups = {
        f"{guest}-{window_ms or 'sets'}": {"streams": ["a", "b", guest], "window_ms": window_ms} | PATIENCE
        for guest in GUESTS
        for window_ms in (1000, None)
    }
    starts_ns = {}
    with Service(tmp_path, HEALTHY | GUESTS, groups=groups) as service, ExitStack() as following:
        histories = {name: following.enter_context(service.follow(name)) for name in groups}
        for name, history in histories.items():
            full = history.read_until(lambda b: any(not one.missing for one in b.sets), 400)
            starts_ns[name] = full.window_end_ns
        for name, history in histories.items():
            history.read_until(lambda b: b.sets != [], 800, since_ns=starts_ns[name] + (SECONDS + 1) * NS_PER_S)
        assert service.stop() == 0
    for name, history in histories.items():
        history.check()
        sets = sets_of(history.batches, starts_ns[name])
        pairs = [one for one in sets if "a" in one.frames and "b" in one.frames]
        alone = pairs_alone(history.batches, starts_ns[name])
        assert len(pairs) >= 0.985 * alone > 0, name
        same = [one for one in pairs if one.frames["b"].time_ns - one.frames["a"].time_ns == APART_NS]
        assert len(same) >= 0.97 * len(pairs), name
        assert any(not one.missing for one in sets), f"{name}: it is in full sets as well"


def test_a_run_with_it_replays_to_what_was_sent(tmp_path: Path) -> None:
    log, streams = tmp_path / "seen.jsonl", HEALTHY | {"flaky": GUESTS["flaky"]}
    groups = {"all": {"streams": list(streams), "window_ms": 200}}
    with (
        Service(
            tmp_path, HEALTHY | {"flaky": GUESTS["flaky"]}, "--log-observations", str(log), groups=groups
        ) as service,
        tail(service, tmp_path) as printed,
    ):
        wait_for(lambda: len(whole_lines(printed)) >= 20, "batches")
        assert service.stop() == 0, service.log
        replayed = lines_of(align(log, "--json"))
        sent = read_all(printed, replayed[-1])
    numbers = {json.loads(line)["seq"]: line for line in replayed}
    assert all(line == numbers[json.loads(line)["seq"]] for line in sent)
    assert any(json.loads(line)["sets"] for line in sent)


def test_a_group_of_one_stream_waits_for_nobody(tmp_path: Path) -> None:
    groups = {
        name: {"streams": ["a"], "window_ms": window_ms, "max_latency_ms": 30_000}
        for name, window_ms in {"seconds": 1000, "frames": None}.items()
    }
    with (
        Service(tmp_path, HEALTHY, groups=groups) as service,
        service.follow("seconds") as seconds,
        service.follow("frames") as frames,
    ):
        in_seconds, in_frames = seconds.read(3), frames.read(3)
        assert service.stop() == 0
    for history in (seconds, frames):
        history.check()
    assert all(batch.sets == [] for batch in (*in_seconds, *in_frames))
    assert [len(batch.frames["a"]) for batch in in_frames] == [1, 1, 1]
