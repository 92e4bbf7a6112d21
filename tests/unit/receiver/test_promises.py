"""What a group promises is looked at where its batches leave: breaches are in the header, the status and the log."""

import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest
from msgspec import structs

from syncsvc import wire
from syncsvc.receiver.promises import Promises
from syncsvc.receiver.served_group import ServedGroup
from syncsvc.testing import MS, T0, S, frame
from tests.batches import batch, together
from tests.unit.receiver.stage import Stage, end, plan_of, stage

RULES = plan_of("g", "ab").rules


@pytest.fixture
def groups() -> Iterator[Stage]:
    with stage() as one:
        yield one


@pytest.fixture
def promises() -> Promises:
    one = Promises()
    one.begin_epoch(1, 0)
    one.follow("g", RULES, T0)
    return one


def late_ns(header: bytes) -> int:
    return int(wire.decode_header(header)["late_ns"])


def begin(groups: Stage, *, is_slow: bool = False, seconds: int = 1) -> ServedGroup:
    """A group with frames of both streams, twice a second."""
    group = groups.group("g")
    groups.is_slow = is_slow
    group.follow(plan_of("g", "ab"), 1, T0)
    for half in range(2 * seconds):
        for stream in "ab":
            group.consumer.tell(frame(stream, half, T0 + half * S // 2))
    return group


def test_a_batch_in_time_is_not_late(groups: Stage) -> None:
    group = begin(groups)
    end(group)
    assert [late_ns(header) for header in groups.headers] == [0]
    assert (group.account.status.promises.late_batches, group.account.status.promises.late_max_ms) == (0, 0.0)
    assert group.account.status.promises.lateness_s.buckets["0.0"] == 1


def test_a_complete_batch_that_an_overloaded_host_lets_go_late_says_by_how_much(
    groups: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    group = begin(groups, is_slow=True)
    end(group)
    groups.clock.advance(S + 500 * MS + 1593 * MS)
    groups.let_go(groups.batches[0])
    told = wire.decode_header(groups.headers[0])
    assert told["late_ns"] == 1593 * MS == told["emitted_ns"] - told["window"][1] - 500 * MS
    kept = group.account.status.promises
    assert (kept.late_batches, kept.late_max_ms, kept.lateness_s.sum) == (1, 1593.0, 1.593)
    assert (kept.lateness_s.buckets["1.0"], kept.lateness_s.buckets["3.0"], kept.lateness_s.buckets["+Inf"]) == (
        0,
        1,
        1,
    )
    with caplog.at_level(logging.WARNING):
        group.promises.tell(groups.clock.monotonic_ns())
    assert caplog.messages == ["group g: 1 batch left later than max_latency_ms allows, by up to 1593 ms"]


@pytest.mark.parametrize("jump_ns", [3600 * S, -3600 * S])
def test_what_waited_while_the_hosts_clock_jumped_is_late_by_the_time_that_passed(groups: Stage, jump_ns: int) -> None:
    group = begin(groups, is_slow=True, seconds=2)
    groups.clock.advance(S)
    groups.clock.step_utc(jump_ns)
    assert groups.utc.update()
    group.jump(2)
    groups.clock.advance(2 * S)
    for one in groups.batches:
        groups.let_go(one)
    assert [one.epoch for one in groups.batches] == [1, 1]
    assert [late_ns(header) for header in groups.headers] == [1500 * MS, 500 * MS]
    end(group)


def test_recordings_as_fast_as_can_be_promise_no_latency(groups: Stage) -> None:
    groups.shared = replace(groups.shared, is_patient=True)
    group = begin(groups, is_slow=True)
    end(group)
    groups.clock.advance(3600 * S)
    groups.let_go(groups.batches[0])
    assert late_ns(groups.headers[0]) == 0
    assert group.account.status.promises.late_batches == 0


def test_a_set_that_is_too_wide_is_counted_and_said_and_ends_nothing(
    promises: Promises, caplog: pytest.LogCaptureFixture
) -> None:
    both = [frame("a", 1, T0), frame("b", 1, T0 + 40 * MS + 1)]
    wide = batch(0, epoch=1, frames={"a": both[:1], "b": both[1:]}, sets=[together(*both, group="ab")])
    assert promises.judge(wide, T0 + S, 0) == 0
    promises.follow("g", RULES, T0 + 60 * S)
    assert promises.status.wide_sets == 1
    promises.tell(0)
    assert caplog.messages == [
        "group g: 1 set left wider than max_skew_ms, up to 40.000 ms: that is a fault of the service"
    ]


@pytest.mark.parametrize("is_patient", [False, True])
@pytest.mark.parametrize("topics", [{wire.batch_topic("g")}, {wire.head_topic("g")}, {wire.coded_topic("g")}, set()])
def test_the_skew_is_looked_at_wherever_a_batch_leaves_at_any_pace_and_whoever_wants_it(
    groups: Stage, is_patient: bool, topics: set[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    groups.shared = replace(groups.shared, is_patient=is_patient)
    group = begin(groups, is_slow=True)
    end(group)
    both = [frame("a", 1, T0), frame("b", 1, T0 + 40 * MS + 1)]
    wide = batch(1, epoch=1, frames={"a": both[:1], "b": both[1:]}, sets=[together(*both, group="ab")])
    assert set(group.leave(wide, T0 + S, topics)) == topics
    kept = group.account.status.promises
    assert (kept.wide_sets, kept.late_batches) == (1, 0)
    group.promises.tell(groups.clock.monotonic_ns())
    assert [message.split(",")[0] for message in caplog.messages] == ["group g: 1 set left wider than max_skew_ms"]


def test_after_a_reload_recordings_as_fast_as_can_be_are_held_to_the_new_skew_from_the_next_batch_on(
    groups: Stage,
) -> None:
    groups.shared = replace(groups.shared, is_patient=True)
    group = begin(groups, is_slow=True)
    plan = plan_of("g", "ab")
    group.follow(structs.replace(plan, rules=structs.replace(plan.rules, max_skew_ns=10 * MS)), 1)
    both = [frame("a", 1, T0 + 8 * S), frame("b", 1, T0 + 8 * S + 30 * MS)]
    for seq in range(3):
        some = batch(seq, epoch=1, frames={"a": both[:1], "b": both[1:]}, sets=[together(*both, group="ab")])
        group.leave(some, T0, ())
    assert group.account.status.promises.wide_sets == 2, "the first may bring a set that was held over the edge"


def test_what_was_begun_before_a_reload_may_leave_by_what_was_promised_then(promises: Promises) -> None:
    both = [frame("a", 1, T0 + 2 * S), frame("b", 1, T0 + 2 * S + 30 * MS)]
    some = batch(2, epoch=1, frames={"a": both[:1], "b": both[1:]}, sets=[together(*both, group="ab")])
    stricter = structs.replace(RULES, max_skew_ns=10 * MS, max_latency_ns=100 * MS)
    promises.follow("g", stricter, T0 + 3100 * MS)
    assert promises.judge(some, T0 + 3500 * MS, 0) == 0
    assert promises.status.wide_sets == 0
    promises.adopted(1, 2)
    assert promises.judge(some, T0 + 3500 * MS, 0) == 0
    assert promises.status.wide_sets == 0, "a set that was held over the edge"
    promises.adopted(1, 1)
    assert promises.judge(some, T0 + 3500 * MS, 0) == 0
    assert promises.status.wide_sets == 1
    promises.follow("g", stricter, T0 + 60 * S)
    assert promises.judge(batch(61, epoch=1), T0 + 62_500 * MS, 0) == 400 * MS


def test_a_line_a_second_at_most_and_no_late_batch_is_left_out(
    promises: Promises, caplog: pytest.LogCaptureFixture
) -> None:
    for tenth in range(25):
        promises.judge(batch(0, epoch=1), T0 + 1500 * MS + (100 + tenth) * MS, 0)
        promises.tell(tenth * 100 * MS)
    promises.tell()
    assert [message.split()[2] for message in caplog.messages] == ["1", "10", "10", "4"]
    assert caplog.messages[-1].endswith("by up to 124 ms")


def test_the_moment_that_waking_up_takes_is_in_the_header_and_in_the_histogram_but_is_no_alarm(
    promises: Promises, caplog: pytest.LogCaptureFixture
) -> None:
    assert promises.judge(batch(0, epoch=1), T0 + 1500 * MS + 2 * MS, 0) == 2 * MS
    promises.tell()
    assert caplog.messages == []
    assert promises.status.late_batches == 0
    assert (promises.status.lateness_s.buckets["0.001"], promises.status.lateness_s.buckets["0.003"]) == (0, 1)
