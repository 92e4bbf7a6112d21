"""What a replay shows of other settings, and what it says of a log that cannot be replayed."""

from collections.abc import Sequence
from typing import Any

import pytest

from syncsvc.audit.decisions import Changes, Emission, Replay, WhatIf
from syncsvc.audit.summary import Summary
from syncsvc.errors import LogError
from syncsvc.model import ClockClass, FrameBatch, StreamState
from syncsvc.observe.events import AnyEvent, Close, Open
from syncsvc.observe.figures import Figures
from syncsvc.observe.records import AnyRecord, GroupRecord, LostRecords, SentRecord
from syncsvc.testing import MS, T0, frame
from tests.logs import LoggedBench


def recorded(
    *streams: tuple[str, float, ClockClass], seconds: float = 3, delay_ms: float = 60, **options: Any
) -> LoggedBench:
    """Streams at 10 fps, each with its offset in milliseconds and its clock, whose frames come after a delay."""
    bench = LoggedBench([name for name, _, _ in streams], **options)
    coming = sorted(
        (round((100 * n + offset_ms + delay_ms) * MS), name, n, offset_ms, clock)
        for name, offset_ms, clock in streams
        for n in range(round(seconds * 10))
    )
    for arrival_ns, name, n, offset_ms, clock in coming:
        bench.pass_to(T0 + arrival_ns)
        time_ns = T0 + round((100 * n + offset_ms) * MS)
        bench.add(frame(name, n, time_ns, arrival_ns=T0 + arrival_ns, clock=clock))
    bench.states(StreamState.ENDED)
    bench.settle()
    bench.finish()
    return bench


def what_if(log: Sequence[AnyRecord], **changes: Any) -> list[FrameBatch]:
    replay = WhatIf(Changes(**changes))
    return [one.batch for record in log for one in replay.feed(record)]


def sets(batches: Sequence[FrameBatch]) -> list[tuple[str, ...]]:
    return [tuple(some.frames) for batch in batches for some in batch.sets]


def test_a_smaller_skew_leaves_wide_sets_out() -> None:
    bench = recorded(("a", 0, "pts"), ("b", 10, "pts"), ("c", 30, "pts"), max_skew_ms=40)
    assert set(sets(bench.batches)) == {("a", "b", "c")}
    assert set(sets(what_if(bench.log(), max_skew_ns=15 * MS))) == {("a", "b")}


def test_another_reference_drives_its_groups() -> None:
    bench = recorded(("a", 0, "pts"), ("b", 10, "pts"), ("c", 45, "pts"), max_skew_ms=15)
    assert set(sets(bench.batches)) == {("a", "b")}
    assert sets(what_if(bench.log(), reference="c")) == []
    assert sets(what_if(bench.log(), reference="z")) == sets(bench.batches)


def test_frames_that_came_too_late_are_in_time_for_a_later_deadline_and_the_other_way_round() -> None:
    slow = recorded(("a", 0, "pts"), ("b", 0, "pts"), delay_ms=700, max_latency_ms=500)
    assert sum(batch.counts["b"].late for batch in slow.batches) > 0
    patient = what_if(slow.log(), max_latency_ns=900 * MS)
    assert sum(batch.counts["b"].late for batch in patient) == 0
    assert len(sets(patient)) == 30
    assert sum(batch.counts["b"].late for batch in what_if(slow.log(), max_latency_ns=100 * MS)) > 0


def test_windows_close_at_their_new_deadlines_also_when_nothing_came_then() -> None:
    bench = LoggedBench("a", max_latency_ms=500)
    bench.add(frame("a", 0, T0 + 100 * MS))
    bench.pass_to(T0 + 3600 * MS)
    replay = WhatIf(Changes(max_latency_ns=200 * MS))
    found = [one for record in bench.log() for one in replay.feed(record)]
    assert [one.latency_ns for one in found] == [200 * MS] * 3
    assert [one.batch.emitted_ns - T0 for one in found] == [1200 * MS, 2200 * MS, 3200 * MS]


@pytest.mark.parametrize(("clock", "recorded_ms"), [("model", 0), ("arrival", 25)])
def test_another_latency_moves_modelled_stamps_by_the_difference(clock: ClockClass, recorded_ms: int) -> None:
    bench = recorded(("a", 0, "rtcp"), ("b", 60, clock), max_skew_ms=40)
    assert {s.spread_ns for batch in bench.batches for s in batch.sets} == {40 * MS}, "with the next frame of a"
    moved = what_if(bench.log(recorded_ms * MS), latency_ns={"b": (recorded_ms + 58) * MS, "a": 500 * MS})
    assert {s.spread_ns for batch in moved for s in batch.sets} == {2 * MS}
    assert len(sets(moved)) == 30


def test_moved_stamps_still_rise_where_the_clock_changes() -> None:
    bench = LoggedBench("a")
    clocks: list[ClockClass] = ["model", "model", "rtcp", "rtcp", "arrival", "arrival"]
    for n, clock in enumerate(clocks):
        bench.add(frame("a", n, T0 + (500 + 40 * n) * MS, clock=clock))
    bench.finish()
    for latency_ms in (0, 200):
        [batch] = what_if(bench.log(100 * MS), latency_ns={"a": latency_ms * MS})
        times = [one.time_ns for one in batch.frames["a"]]
        assert times == sorted(set(times))
        assert len(times) == 6


def test_the_figures_of_an_outcome() -> None:
    bench = recorded(("a", 0, "pts"), ("b", 10, "pts"), ("c", 550, "pts"), max_skew_ms=30, reference="a")
    outcome = Summary()
    for batch, left_ns in zip(bench.batches, bench.left_at_ns, strict=True):
        outcome.add(Emission(batch, b"", left_ns - batch.window_end_ns))
    assert (outcome.sets, outcome.full_sets, outcome.frames, outcome.paired) == (30, 0, 90, 60)
    assert outcome.batches == len(bench.batches)
    assert Figures.of(outcome.spreads_ns).p99 == 10 * MS
    assert len(outcome.latencies_ns) == len(bench.batches)
    assert not Summary().spreads_ns


def replayed(log: Sequence[AnyRecord]) -> tuple[Replay, list[bytes]]:
    replay = Replay("seen")
    found = [replay.feed(number, record) for number, record in enumerate(log, 1)]
    return replay, [one.header for one in found if one is not None]


def test_after_lost_records_nothing_is_replayed_until_a_receiver_starts() -> None:
    first, second = recorded(("a", 0, "pts")), recorded(("a", 0, "pts"), ("b", 9, "pts"))
    place = [n for n, record in enumerate(first.log()) if isinstance(record, SentRecord)][1]
    log = [*first.log()[: place + 1], LostRecords(count=3), *first.log()[place + 4 :], *second.log()]
    replay, headers = replayed(log)
    assert headers == [*first.sent[:2], *second.sent]
    assert replay.losses == [f"seen:{place + 2}: 3 records are missing here: the disk was too slow"]
    assert replay.is_whole


def test_a_log_that_ends_in_the_middle_gives_what_was_sent_until_then() -> None:
    bench = recorded(("a", 0, "pts"), ("b", 9, "pts"))
    log = bench.log()
    for length in range(1, len(log)):
        _, headers = replayed(log[:length])
        assert headers == bench.sent[: len(headers)]
        assert len(headers) == sum(isinstance(record, SentRecord) for record in log[:length])


def event_of(record: AnyRecord) -> AnyEvent | None:
    return record.event if isinstance(record, GroupRecord) else None


@pytest.mark.parametrize(
    ("kind", "problem"),
    [(Open, "group bench never began"), (Close, "was sent, and never made"), (object, "group bench")],
)
def test_a_log_that_contradicts_itself_is_refused_with_its_line(kind: type[object], problem: str) -> None:
    bench = recorded(("a", 0, "pts"), ("b", 9, "pts"))
    log = [record for record in bench.log() if not (isinstance(record, GroupRecord) and isinstance(record.event, kind))]
    with pytest.raises(LogError, match=rf"seen:\d+: does not replay: .*{problem}"):
        replayed(log)


def test_a_frame_that_the_log_lacks_is_noticed() -> None:
    bench = recorded(("a", 0, "pts"), ("b", 9, "pts"))
    log = [record for record in bench.log() if getattr(event_of(record), "stream", "") != "b"]
    with pytest.raises(LogError, match="batch 0 was another one"):
        replayed(log)
