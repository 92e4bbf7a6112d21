"""A recording on the sockets of a service: what subscribers see of it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from syncsvc import FrameBatch, Subscriber, UsageError
from syncsvc.cli import main
from syncsvc.client.inquiry import ask_status
from syncsvc.clock import NS_PER_MS as MS
from syncsvc.clock import SYSTEM_CLOCK
from syncsvc.lifecycle import StopToken, Worker
from syncsvc.replay.service import ReplayService, Terms
from syncsvc.replay.span import ReplaySpan
from tests.batches import T0
from tests.e2e.harness import LIMIT_S, command
from tests.recordings import NAMES, WINDOW_MS, MemoryRecording, number_of, recording, window, write_segments


@contextmanager
def read_beside(endpoint: str, **options: Any) -> Iterator[list[FrameBatch]]:
    """Another subscriber, in a thread of its own; at the end of the block it has all."""
    batches: list[FrameBatch] = []

    def read(_: StopToken) -> None:
        with Subscriber(endpoint, **options) as subscriber:
            batches.extend(subscriber)

    worker = Worker("reads beside", read).start()
    yield batches
    assert worker.join(LIMIT_S)
    assert worker.error is None, worker.error


@contextmanager
def replayed(
    ours: MemoryRecording, span: ReplaySpan | None = None, **more: Any
) -> Iterator[tuple[ReplayService, str, StopToken]]:
    """A replay in a thread of its own, from its binding to its end; it waits for one subscription."""
    terms = Terms("tcp://127.0.0.1:0", "tcp://127.0.0.1:0", **{"wait_for": 1, "speed": None} | more)
    service = ReplayService(ours, span or ReplaySpan(), terms, SYSTEM_CLOCK)
    stop = StopToken()
    live, _ = service.bind()
    worker = Worker("replays", lambda _: service.run(stop, lambda one: None)).start()
    try:
        yield service, live, stop
    finally:
        stop.set()
        assert worker.join(LIMIT_S)
        assert worker.error is None, worker.error


def rows(one: FrameBatch, shift_ns: int = 0) -> list[tuple[Any, ...]]:
    return [
        (each.stream, each.seq, each.time_ns - shift_ns, each.uncertainty_ns, each.arrival_ns - shift_ns, each.clock,
         each.keyframe, each.layout)
        for some in one.frames.values() for each in some
    ]  # fmt: skip


def members(one: FrameBatch) -> list[tuple[int, dict[str, int], tuple[str, ...]]]:
    return [(some.spread_ns, {name: each.seq for name, each in some.frames.items()}, some.missing) for some in one.sets]


def check_same(live: Sequence[FrameBatch], ours: Sequence[FrameBatch]) -> None:
    """The batches of a replay are those of the live run, all moved by one number of whole windows."""
    assert [one.seq for one in ours] == [one.seq for one in live]
    shifts = {one.window_start_ns - was.window_start_ns for was, one in zip(live, ours, strict=True)}
    assert len(shifts) == 1
    (shift_ns,) = shifts
    assert shift_ns % (WINDOW_MS * MS) == 0
    for was, one in zip(live, ours, strict=True):
        assert one.window_end_ns == was.window_end_ns + shift_ns
        assert rows(one, shift_ns) == rows(was)
        assert members(one) == members(was)
        assert (one.counts, one.missing, one.late_ns) == (was.counts, was.missing, was.late_ns)


def test_a_subscriber_gets_the_batches_of_the_live_run_with_their_pixels() -> None:
    before_ns = SYSTEM_CLOCK.utc_ns()
    with replayed(recording()) as (_, live, _), Subscriber(live, "lobby", gaps="yield") as subscriber:
        ours, shown = [], {}
        for one in subscriber:
            ours.append(one)
            for some in one.frames.values():
                shown |= {(each.stream, each.seq): each.to_bgr() for each in some if each.stream == "west"}
                shown |= {(each.stream, each.seq): number_of(each.pixels) for each in some if each.stream != "west"}
    check_same([window(number) for number in range(4)], ours)
    assert ours[0].window_end_ns + 60 * MS > before_ns, "as if it were now"
    assert {key: value for key, value in shown.items() if key[0] == "north"} == {
        ("north", seq): seq % 10 for seq in range(20) if seq != 9
    }


def test_headers_alone_and_coded_pictures_come_as_they_did() -> None:
    ours = recording()
    with (
        replayed(ours, wait_for=2) as (_, live, _),
        read_beside(live, payload="coded") as pictures,
        Subscriber(live, payload=None) as heads,
    ):
        told = list(heads)
    check_same([window(number) for number in range(4)], told)
    assert [members(one) for one in pictures] == [members(one) for one in told]
    kept = {
        (one.stream, one.seq): one.data for segment in ours.segments for some in segment.shown.values() for one in some
    }
    for one in pictures:
        for each in [*one.frames["north"], *one.frames["west"]]:
            assert (each.format, bytes(each.pixels)) == ("encoded", kept[each.stream, each.seq])
            each.to_bgr()
        assert {(each.format, each.payload) for each in one.frames["south"]} == {("i420", None)}, "it sent none"


def test_rounds_are_epochs_of_one_run_whose_windows_go_on() -> None:
    with replayed(recording(), is_endless=True) as (_, live, stop), Subscriber(live, gaps="yield") as subscriber:
        ours = [subscriber.receive(LIMIT_S) for _ in range(12)]
        stop.set()
    first, *later = [ours[at : at + 4] for at in (0, 4, 8)]
    assert [one.seq for one in first] == [3, 4, 5, 6]
    for number, some in enumerate(later, 1):
        assert [one.seq for one in some] == [0, 1, 2, 3]
        assert {one.epoch for one in some} == {first[0].epoch + number}
        assert [one.window_start_ns - number * 800 * MS for one in some] == [one.window_start_ns for one in first]
        assert [members(one)[0][0] for one in some] == [members(one)[0][0] for one in first]
    assert len({one.run_id for one in ours}) == 1
    assert subscriber.stats.missed == 0
    seqs = [each.seq for one in ours for each in one.frames["west"]]
    assert seqs == list(range(60))
    for one in ours:
        for each in one.frames["west"]:
            each.to_bgr()


def test_the_pace_of_the_live_run_or_another_one_changes_no_time() -> None:
    spans = {}
    for speed in (1.0, 4.0):
        with replayed(recording(), speed=speed) as (_, live, _), Subscriber(live) as subscriber:
            ours = list(subscriber)
        check_same([window(number) for number in range(4)], ours)
        spans[speed] = ours[-1].emitted_ns - ours[0].emitted_ns
        assert spans[speed] >= 3 * WINDOW_MS * MS / speed - 50 * MS
        assert all(one.emitted_ns >= one.window_end_ns for one in ours) or speed > 1
    assert spans[4.0] < spans[1.0]


def test_times_may_stay_as_they_were_and_a_part_may_be_played() -> None:
    span = ReplaySpan(T0 + WINDOW_MS * MS, T0 + 3 * WINDOW_MS * MS)
    with replayed(recording(), span, times="original") as (service, live, _), Subscriber(live) as subscriber:
        ours = list(subscriber)
    assert [rows(one) for one in ours] == [rows(window(number)) for number in (1, 2)]
    assert (service.played.batches, service.played.sets, service.played.lost) == (2, 10, 0)


def test_it_waits_for_subscriptions_says_what_it_is_and_has_no_memory_to_share() -> None:
    with replayed(recording(), wait_for=2) as (_, live, _):
        told = ask_status(live)
        assert (told["replays"], list(told["streams"]), told["groups"]["lobby"]["batches"]) == ("memory", [*NAMES], 0)
        with (
            Subscriber(live, mode="local") as local,
            pytest.raises(UsageError, match="a replay has no memory to share"),
        ):
            local.receive(LIMIT_S)
        with Subscriber(live) as early:
            early.wait_ready(LIMIT_S)  # wherever its control is
        with read_beside(live, mode="auto") as ours, Subscriber(live) as other:
            assert len(list(other)) == 4
    assert len(ours) == 4


def test_a_replay_that_is_stopped_drains_as_a_service_does() -> None:
    with replayed(recording(), speed=0.001) as (service, live, stop), Subscriber(live) as subscriber:
        subscriber.receive(LIMIT_S)
        stop.set()
        with pytest.raises(TimeoutError):  # it may come back: nobody says that it has ended
            subscriber.receive(0.5)
    assert service.played.batches == 1


def test_the_command_serves_a_folder_to_its_end_and_says_what_it_played(tmp_path: Path) -> None:
    write_segments(tmp_path, recording())
    (tmp_path / "000002/south.mp4").unlink()
    words = ("--live", "tcp://127.0.0.1:0", "--control", "tcp://127.0.0.1:0", "--wait-for", "1", "--speed", "max")
    with command("replay", str(tmp_path), *words) as process:
        assert process.stderr is not None
        ready = process.stderr.readline()
        endpoints = dict(word.split("=", 1) for word in ready.split() if "=" in word)
        assert ready.startswith("syncsvc: ready live=")
        assert f"replaying {tmp_path} since" in CliRunner().invoke(main, ["status", endpoints["control"]]).stdout
        with Subscriber(endpoints["live"], "lobby", gaps="yield") as subscriber:
            ours = list(subscriber)
        assert process.wait(LIMIT_S) == 1, "a file is missing"
        said = process.stderr.read()
    assert f"{tmp_path}/000002/south.mp4: is not there" in said
    check_same([window(0), window(1)], ours[:2])
    assert {one.counts["south"].dropped["not_recorded"] for one in ours[2:]} == {5}
    assert {one.missing["south"] for one in ours[2:]} == {"absent"}
    assert f"syncsvc: played 4 batches, 48 frames, 20 sets of {tmp_path}; 10 frames are not in it" in said


def test_a_lossless_subscriber_gets_every_batch_of_a_replay_too() -> None:
    with replayed(recording()) as (_, live, _), Subscriber(live, "lobby", mode="lossless", gaps="yield") as subscriber:
        ours = list(subscriber)
    check_same([window(number) for number in range(4)], ours)
    assert number_of(ours[3].frames["south"][2].pixels) == 7
