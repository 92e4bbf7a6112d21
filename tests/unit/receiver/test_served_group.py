"""A group comes, goes, returns and changes by itself: another one beside it does not notice."""

from collections.abc import Iterator

import pytest
from msgspec import structs

from syncsvc import wire
from syncsvc.model import Counts, FrameBatch
from syncsvc.observe.events import Drop
from syncsvc.receiver.served_group import ServedGroup
from syncsvc.testing import MS, T0, TINY, HeldPixels, S, frame
from tests.unit.receiver.stage import Stage, end, plan_of, stage


@pytest.fixture
def groups() -> Iterator[Stage]:
    with stage() as one:
        yield one


def feed(group: ServedGroup, first_second: int, seconds: int) -> None:
    """Two frames a second of streams ``a`` and ``b``, taken at the same moments."""
    for half in range(2 * first_second, 2 * (first_second + seconds)):
        for stream in "ab":
            group.consumer.tell(frame(stream, half, T0 + half * S // 2))


def windows(batches: list[FrameBatch]) -> list[tuple[int, int]]:
    """Number and second of each batch that has frames."""
    return [(one.seq, (one.window_start_ns - T0) // S) for one in batches if any(one.frames.values())]


def test_a_group_that_returns_goes_on_with_its_numbers_and_another_does_not_notice(groups: Stage) -> None:
    ours, other = groups.group("ours"), groups.group("other")
    for name, group in groups.groups.items():
        group.follow(plan_of(name, "ab"), 1, T0)
        feed(group, 0, 2)
    running = other.consumer
    end(ours)
    assert not ours.is_running
    assert other.is_running
    assert other.consumer is running
    feed(other, 2, 1)
    groups.clock.advance(2 * S)
    ours.follow(plan_of("ours", "ab"), 1)
    feed(ours, 2, 1)
    for group in (ours, other):
        end(group)
    assert windows(groups.of("ours")) == [(0, 0), (1, 1), (2, 2)]
    assert windows(groups.of("other")) == [(0, 0), (1, 1), (2, 2)]


@pytest.mark.parametrize("is_slow", [False, True], ids=["they have left", "they wait for the publisher"])
def test_no_window_is_emitted_twice_however_soon_a_group_returns(groups: Stage, is_slow: bool) -> None:
    group = groups.group("g")
    groups.is_slow = is_slow
    group.follow(plan_of("g", "ab"), 1, T0)
    feed(group, 0, 3)
    end(group)
    assert groups.pages["g"].emitted_end_ns == (0 if is_slow else T0 + 3 * S)
    group.follow(plan_of("g", "ab"), 1)
    feed(group, 2, 2)
    end(group)
    assert windows(groups.batches) == [(0, 0), (1, 1), (2, 2), (3, 3)]
    assert [one.frame.seq for one in groups.late] == [4, 4, 5, 5]


def test_another_receiver_goes_on_where_the_page_says(groups: Stage) -> None:
    groups.group("g")
    groups.pages["g"].emitted_end_ns = T0 + 2 * S
    groups.groups["g"].follow(plan_of("g", "ab"), 2, T0)
    feed(groups.groups["g"], 0, 3)
    end(groups.groups["g"])
    assert windows(groups.batches) == [(0, 2)]


def test_frames_that_a_receiver_took_down_with_it_are_counted_once(groups: Stage) -> None:
    group = groups.group("g")
    groups.pages["g"].account(0, 3)
    group.follow(plan_of("g", "ab"), 2, T0)
    for _ in range(2):
        group.attached("a", 8)
    feed(group, 0, 1)
    end(group)
    assert groups.batches[0].counts["a"] == Counts(7, 2, 0, {"receiver_died": 5})
    assert groups.pages["g"].accounted(0) == 3 + 7


def test_late_frames_that_a_receiver_had_sent_are_late_in_the_next_ones_batch_and_not_lost_again(groups: Stage) -> None:
    group, page = groups.group("g"), groups.pages["g"]
    page.account(0, 3)
    page.set_late(0, 2)
    group.follow(plan_of("g", "ab"), 2, T0)
    group.attached("a", 8)
    feed(group, 0, 1)
    end(group)
    assert groups.batches[0].counts["a"] == Counts(7, 2, 2, {"receiver_died": 3})
    assert page.late(0) == 0


def test_what_a_stream_took_while_it_had_left_is_nobodys(groups: Stage) -> None:
    group = groups.group("g")
    group.follow(plan_of("g", "ab"), 1, T0)
    group.attached("b", 0)
    group.follow(plan_of("g", "a"), 1)
    group.follow(plan_of("g", "ab"), 1)
    group.attached("b", 90)
    end(group)
    assert all(not one.counts["b"].dropped for one in groups.batches if "b" in one.counts)
    assert groups.pages["g"].accounted(1) == 90


def test_what_a_stream_took_before_there_was_the_group_is_nobodys(groups: Stage) -> None:
    group = groups.group("g")
    group.follow(plan_of("g", "ab"), 1)
    group.attached("a", 90)
    group.account.joined("b", 70)
    feed(group, 0, 1)
    end(group)
    assert all(not counts.dropped for one in groups.batches for counts in one.counts.values())
    group.follow(plan_of("g", "ab"), 1)
    group.account.joined("a", 300)
    assert groups.pages["g"].accounted(0) == 300, "what it took while there was no such group"
    assert groups.pages["g"].accounted(1) == 72


def test_a_change_touches_the_account_and_the_rules_of_the_group_alone(groups: Stage) -> None:
    ours, other = groups.group("ours"), groups.group("other")
    ours.follow(plan_of("ours", "ab"), 1, T0)
    other.follow(plan_of("other", "ab"), 1, T0)
    running = ours.consumer
    plan = plan_of("ours", "ab")
    ours.follow(structs.replace(plan, rules=structs.replace(plan.rules, max_skew_ns=7 * MS)), 1)
    assert ours.consumer is running
    assert (ours.consumer.rules.max_skew_ns, ours.account.status.max_skew_ms) == (7 * MS, 7.0)
    assert (other.consumer.rules.max_skew_ns, other.account.status.max_skew_ms) == (40 * MS, 40.0)


def test_a_late_frame_is_sent_or_given_back_as_the_group_says(groups: Stage) -> None:
    pixels = HeldPixels()
    for name, sends_late in (("sends", True), ("drops", False)):
        group = groups.group(name)
        group.follow(plan_of(name, "ab", sends_late=sends_late), 5, T0 + S)
        group.consumer.tell(frame("a", 0, T0 + S // 2, payload=pixels))
        end(group)
    assert [(one.group, one.frame.seq, one.epoch) for one in groups.late] == [("sends", 0, 5)]
    assert pixels.releases == 1


def test_its_headers_say_how_a_stream_looked_last_also_before_it_went_and_came_back(groups: Stage) -> None:
    group, other = groups.group("g"), groups.group("other")
    group.follow(plan_of("g", "ab"), 1, T0)
    feed(group, 0, 1)
    end(group)
    group.follow(plan_of("g", "ab"), 1)
    group.consumer.tell(frame("a", 9, T0 + S))
    end(group)
    silent = groups.batches[-1]
    assert not silent.frames["b"]
    assert group.leave(silent, T0, ()) == {}, "nobody wants it"
    told = wire.decode_header(group.leave(silent, T0, {b"batch/g"})[b"batch/g"])
    assert (told["run_id"], told["streams"]["b"]["format"]) == ("run-7", TINY.format)
    other.follow(plan_of("other", "ab"), 1, T0)
    assert wire.decode_header(other.leave(silent, T0, {b"head/g"})[b"head/g"])["streams"]["b"]["format"] is None


def test_the_first_batch_of_an_epoch_says_where_the_last_window_before_it_ended(groups: Stage) -> None:
    group = groups.group("g")
    groups.pages["g"].emitted_end_ns = T0 - 30 * S
    group.follow(plan_of("g", "ab"), 2, T0)
    feed(group, 0, 2)
    group.jump(3)
    feed(group, 2, 1)
    end(group)
    group.follow(plan_of("g", "ab"), 3)
    feed(group, 3, 1)
    end(group)
    told = [wire.decode_header(header) for header in groups.headers]
    assert {one["epoch"]: one["since_ns"] for one in told if "since_ns" in one} == {2: T0 - 30 * S, 3: T0 + 2 * S}
    assert [one["epoch"] for one in told if one["seq"] == 0 or "since_ns" in one] == [2, 3]


def test_where_nothing_was_emitted_before_nothing_is_said_of_it(groups: Stage) -> None:
    group = groups.group("g")
    group.follow(plan_of("g", "ab"), 2, T0)
    feed(group, 0, 1)
    end(group)
    assert "since_ns" not in wire.decode_header(groups.headers[0])


def test_its_status_adds_up_what_left(groups: Stage) -> None:
    group = groups.group("g")
    group.follow(plan_of("g", "ab"), 1, T0)
    assert group.account.status.last_batch_age_ms is None
    feed(group, 0, 2)
    group.consumer.tell(Drop("a", "ring_full", 2))
    end(group)
    groups.clock.advance(3 * MS)
    status = group.account.status
    assert (status.batches, status.complete_batches, status.sets, status.full_sets) == (2, 1, 4, 4)
    assert (status.last_window_end_ns, status.last_batch_age_ms) == (T0 + 2 * S, 3.0)
    assert (status.spread_p50_ms, status.spread_max_ms) == (0.0, 0.0)
    counts = status.counts["a"]
    assert (counts.captured, counts.delivered, counts.late, counts.dropped) == (6, 4, 0, {"ring_full": 2})
