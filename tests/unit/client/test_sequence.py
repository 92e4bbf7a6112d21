"""Gaps, epochs, duplicates and the end: what the inbox makes of messages."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncsvc import wire
from syncsvc.client.sequence import Inbox
from syncsvc.client.tracker import SequenceTracker
from syncsvc.errors import UsageError
from syncsvc.model import Counts, FrameBatch, Gap, LateFrame
from tests.batches import MS, T0, batch, frame, head_of, late_message, message_of, windows

S = 1000 * MS
EPOCH = 1_767_225_590_000


def seen(inbox: Inbox) -> list[Any]:
    """Everything that is ready: the number of a batch, or the gap."""
    items = []
    while (item := inbox.take()) is not None:
        items.append(item.seq if isinstance(item, FrameBatch) else item)
    return items


def feed(inbox: Inbox, *batches: FrameBatch) -> list[Any]:
    for one in batches:
        inbox.feed(message_of(one))
    return seen(inbox)


def status(state: Any, epoch: int = EPOCH) -> list[bytes]:
    return [wire.STATUS_TOPIC, wire.encode_status("run-1", epoch, state, emitted_ns=1)]


def test_the_first_batch_makes_no_gap() -> None:
    inbox = Inbox("lobby", yields_gaps=True)
    assert feed(inbox, batch(17), batch(18)) == [17, 18]
    assert (inbox.stats.received, inbox.stats.missed, inbox.stats.epochs) == (2, 0, 1)


def test_a_hole_in_seq_is_a_gap_before_the_next_batch() -> None:
    inbox = Inbox("lobby", yields_gaps=True)
    assert feed(inbox, batch(1), batch(5)) == [1, Gap(2, 4, "lost", "lobby", T0 + 2 * S, T0 + 4 * S), 5]
    assert (inbox.stats.gaps, inbox.stats.missed) == ({"lost": 1}, 3)


def test_gaps_are_counted_where_they_are_not_yielded() -> None:
    inbox = Inbox("lobby", yields_gaps=False)
    assert feed(inbox, batch(1), batch(5), batch(9)) == [1, 5, 9]
    assert (inbox.stats.gaps, inbox.stats.missed) == ({"lost": 2}, 6)


def test_a_new_epoch_is_whole_from_seq_0_on() -> None:
    inbox = Inbox("lobby", yields_gaps=True)
    assert feed(inbox, batch(7), batch(0, epoch=EPOCH + 1)) == [7, 0]
    assert feed(inbox, batch(2, epoch=EPOCH + 9)) == [Gap(0, 1, "restarted", "lobby", T0 + S, T0 + S), 2]
    assert (inbox.stats.epochs, inbox.stats.gaps, inbox.stats.missed) == (3, {"restarted": 1}, 2)


def later(seconds: int, *, epoch: int, seq: int = 0) -> FrameBatch:
    """The batch of the window that begins so many seconds after T0."""
    return replace(batch(seconds, epoch=epoch), seq=seq)


def test_windows_that_no_epoch_emitted_are_a_gap_without_batches() -> None:
    inbox = Inbox("lobby", yields_gaps=True)
    hole = Gap(0, -1, "restarted", "lobby", T0 + 8 * S, T0 + 10 * S)
    assert feed(inbox, batch(7), later(11, epoch=EPOCH + 1)) == [7, hole, 0]
    assert hole.batches == 0
    assert (inbox.stats.gaps, inbox.stats.missed) == ({"restarted": 1}, 0)


def test_a_hole_over_two_epochs_reaches_from_what_we_had_to_what_we_have() -> None:
    inbox = Inbox("lobby", yields_gaps=True)
    hole = Gap(0, 1, "restarted", "lobby", T0 + 8 * S, T0 + 12 * S)
    assert feed(inbox, batch(7), later(13, epoch=EPOCH + 1, seq=2)) == [7, hole, 2]


def test_a_group_that_begins_again_within_its_epoch_tells_of_the_windows_between() -> None:
    inbox = Inbox("lobby", yields_gaps=True)
    hole = Gap(8, 7, "restarted", "lobby", T0 + 8 * S, T0 + 8 * S)
    assert feed(inbox, batch(7), later(9, epoch=EPOCH, seq=8)) == [7, hole, 8]


def test_where_windows_have_any_length_a_gap_reaches_to_the_last_nanosecond() -> None:
    inbox = Inbox("lobby", yields_gaps=True)
    after = replace(batch(3), window_start_ns=T0 + 3 * S + 17, window_end_ns=T0 + 3 * S + 40 * MS)
    assert feed(inbox, batch(1), after) == [1, Gap(2, 2, "lost", "lobby", T0 + 2 * S, T0 + 3 * S + 16), 3]


def test_a_clock_that_was_set_back_leaves_no_hole() -> None:
    inbox = Inbox("lobby", yields_gaps=True)
    assert feed(inbox, batch(7), later(3, epoch=EPOCH + 1)) == [7, 0]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=20))
def test_batches_and_gaps_cover_every_window_once_and_in_order(steps: list[tuple[int, int]]) -> None:
    """Each batch so many windows after the one before, and so many epochs."""
    tracker, covered, second, epoch, seq = SequenceTracker(), list[int](), 0, 1, 0
    for passed, epochs in steps:
        second, epoch, seq = second + passed, epoch + epochs, 0 if epochs else seq + passed
        _, gap = tracker.admit(later(second, epoch=epoch, seq=seq))
        if gap is not None:
            covered += range(gap.first_window_ns, gap.last_window_ns + 1, S)
        covered.append(T0 + second * S)
        second, seq = second + 1, seq + 1
    assert covered == [T0 + number * S for number in range(second)][len(range(second)) - len(covered) :]
    assert len(covered) == (second - steps[0][0] if steps else 0)


def test_what_is_old_or_twice_is_dropped() -> None:
    inbox = Inbox("lobby", yields_gaps=True)
    assert feed(inbox, batch(5, epoch=EPOCH + 1), batch(6, epoch=EPOCH)) == [5]
    assert feed(inbox, batch(5, epoch=EPOCH + 1), batch(4, epoch=EPOCH + 1)) == []
    assert feed(inbox, batch(6, epoch=EPOCH + 1, run_id="other")) == []
    assert feed(inbox, batch(6, epoch=EPOCH + 1)) == [6]
    assert inbox.stats.ignored == {"old_epoch": 2, "duplicate": 2}


def test_groups_are_followed_apart() -> None:
    inbox = Inbox(None, yields_gaps=True)
    assert inbox.topics == (b"batch/",)
    assert feed(inbox, batch(1), batch(40, group="yard"), batch(2), batch(42, group="yard")) == [
        1,
        40,
        2,
        Gap(41, 41, "lost", "yard", T0 + 41 * S, T0 + 41 * S),
        42,
    ]


def test_a_group_whose_name_starts_alike_is_left_out() -> None:
    inbox = Inbox("lobby", yields_gaps=True)
    assert inbox.topics == (b"batch/lobby",)
    assert feed(inbox, batch(1, group="lobby2"), batch(1)) == [1]
    assert inbox.stats.ignored == {"other_group": 1}


@pytest.mark.parametrize(
    "parts",
    [
        [b"batch/lobby"],
        [b"batch/lobby", b"junk"],
        [b"batch/lobby", b""],
        [b"status"],
        [b"status", b"junk"],
        [b"status", status("ended")[1], b""],
        [b"batch/lobby", *message_of(batch(group="yard"))[1:]],
    ],
)
def test_garbage_is_counted_and_changes_nothing(parts: list[bytes]) -> None:
    inbox = Inbox("lobby", yields_gaps=True)
    assert feed(inbox, batch(1)) == [1]
    inbox.feed(parts)
    assert feed(inbox, batch(2)) == [2]
    assert inbox.stats.invalid == 1
    assert not inbox.is_over


def test_a_damaged_batch_shows_as_a_gap_too() -> None:
    inbox = Inbox("lobby", yields_gaps=True)
    damaged = message_of(batch(2))
    damaged[2] = damaged[2][:-1]
    feed(inbox, batch(1))
    inbox.feed(damaged)
    assert feed(inbox, batch(3)) == [Gap(2, 2, "lost", "lobby", T0 + 2 * S, T0 + 2 * S), 3]
    assert (inbox.stats.invalid, inbox.stats.missed) == (1, 1)


def test_the_end_comes_after_the_batches_before_it() -> None:
    inbox = Inbox("lobby", yields_gaps=True)
    inbox.feed(message_of(batch(1)))
    inbox.feed(status("ended"))
    assert not inbox.is_over
    assert seen(inbox) == [1]
    assert inbox.is_over


@pytest.mark.parametrize("parts", [status("running"), status("draining"), status("ended", EPOCH - 1)])
def test_other_states_and_old_epochs_do_not_end_it(parts: list[bytes]) -> None:
    inbox = Inbox("lobby", yields_gaps=True)
    feed(inbox, batch(1))
    inbox.feed(parts)
    assert not inbox.is_over
    assert inbox.stats.invalid == 0


def test_the_service_has_begun_with_the_first_frame() -> None:
    inbox = Inbox("lobby", yields_gaps=True)
    feed(inbox, batch(0, frames={"north": []}, missing={"north": "starting"}))
    assert not inbox.has_begun
    feed(inbox, batch(1, frames={"north": []}, counts={"north": Counts(1, 0, 1)}, missing={"north": "deadline"}))
    assert inbox.has_begun, "also where all of them are late: who wants these must get them"


def test_who_wants_no_pixels_gets_the_same_batches_and_gaps_from_their_headers() -> None:
    inbox = Inbox("lobby", yields_gaps=True, payload=None)
    assert inbox.topics == (b"head/lobby",)
    for parts in (message_of(batch(1)), message_of(batch(2, group="lobby2")), message_of(batch(3))):
        inbox.feed(head_of(parts))
    assert seen(inbox) == [1, Gap(2, 2, "lost", "lobby", *windows(2, 2)), 3]
    assert inbox.header()["seq"] == 3
    assert inbox.stats.invalid == 0
    with pytest.raises(UsageError, match="'pixels', 'coded' and None"):
        Inbox("lobby", yields_gaps=True, payload="gold")  # type: ignore[arg-type]  # what a user may say


def test_late_frames_come_as_they_are_where_they_are_wanted() -> None:
    late = late_message(frame("north", 40, T0 + 6990 * MS))
    wanting, others = Inbox("lobby", yields_gaps=True, yields_late=True), Inbox("lobby", yields_gaps=True)
    assert wanting.topics_later == (b"status", b"late/lobby")
    for inbox in (wanting, others):
        for parts in (
            message_of(batch(7)),
            late,
            late_message(frame("north", 41), group="lobby2"),
            message_of(batch(8)),
        ):
            inbox.feed(parts)
    items = [wanting.take() for _ in range(3)]
    assert [type(one) for one in items] == [FrameBatch, LateFrame, FrameBatch]
    assert isinstance(items[1], LateFrame)
    assert (items[1].frame.seq, items[1].seq, items[1].window_start_ns) == (40, 8, T0 + 6 * S)
    assert (wanting.stats.late, wanting.stats.received, wanting.stats.ignored) == (1, 2, {"other_group": 1})
    assert seen(others) == [7, 8]
    assert others.stats.ignored == {"other_group": 2}


def test_a_late_frame_of_an_epoch_that_is_over_is_none() -> None:
    inbox = Inbox("lobby", yields_gaps=True, yields_late=True)
    assert feed(inbox, batch(0, epoch=EPOCH + 1)) == [0]
    inbox.feed(late_message(frame("north", 40)))
    assert (seen(inbox), inbox.stats.ignored) == ([], {"old_epoch": 1})


def test_the_header_is_that_of_the_batch_taken_last() -> None:
    inbox = Inbox("lobby", yields_gaps=True)
    assert inbox.header() == {}
    feed(inbox, batch(1), batch(5))
    assert inbox.header()["seq"] == 5


@pytest.mark.parametrize("group", ["", "Lobby", "a b", "x" * 65, "lobby\n"])
def test_a_group_that_cannot_be_one_is_refused(group: str) -> None:
    with pytest.raises(UsageError, match="group"):
        Inbox(group, yields_gaps=True)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 12)), max_size=40))
def test_every_number_is_named_once_and_in_order(arrivals: list[tuple[int, int]]) -> None:
    """Within an epoch, batches and gaps together leave no number out; later epochs start at 0."""
    tracker = SequenceTracker()
    named: list[tuple[int, int]] = []
    for epoch, seq in arrivals:
        refusal, gap = tracker.admit(batch(seq, epoch=epoch, run_id=f"run-{epoch}"))
        if gap is not None:
            named += [(epoch, n) for n in range(gap.first_seq, gap.last_seq + 1)]
        if not refusal:
            named.append((epoch, seq))
    assert named == sorted(set(named))
    for number, epoch in enumerate(sorted({epoch for epoch, _ in named})):
        seqs = [seq for one, seq in named if one == epoch]
        assert seqs == list(range(seqs[0], seqs[-1] + 1))
        assert number == 0 or seqs[0] == 0
