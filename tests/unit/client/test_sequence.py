"""Gaps, epochs, duplicates and the end: what the inbox makes of messages."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncsvc import wire
from syncsvc.client.sequence import Inbox, SequenceTracker
from syncsvc.errors import UsageError
from syncsvc.model import FrameBatch, Gap
from tests.batches import batch, message_of

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
    assert feed(inbox, batch(1), batch(5)) == [1, Gap(2, 4, "lost", "lobby"), 5]
    assert (inbox.stats.gaps, inbox.stats.missed) == ({"lost": 1}, 3)


def test_gaps_are_counted_where_they_are_not_yielded() -> None:
    inbox = Inbox("lobby", yields_gaps=False)
    assert feed(inbox, batch(1), batch(5), batch(9)) == [1, 5, 9]
    assert (inbox.stats.gaps, inbox.stats.missed) == ({"lost": 2}, 6)


def test_a_new_epoch_is_whole_from_seq_0_on() -> None:
    inbox = Inbox("lobby", yields_gaps=True)
    assert feed(inbox, batch(7), batch(0, epoch=EPOCH + 1)) == [7, 0]
    assert feed(inbox, batch(2, epoch=EPOCH + 9)) == [Gap(0, 1, "restarted", "lobby"), 2]
    assert (inbox.stats.epochs, inbox.stats.gaps, inbox.stats.missed) == (3, {"restarted": 1}, 2)


def test_what_is_old_or_twice_is_dropped() -> None:
    inbox = Inbox("lobby", yields_gaps=True)
    assert feed(inbox, batch(5, epoch=EPOCH + 1), batch(6, epoch=EPOCH)) == [5]
    assert feed(inbox, batch(5, epoch=EPOCH + 1), batch(4, epoch=EPOCH + 1)) == []
    assert feed(inbox, batch(6, epoch=EPOCH + 1, run_id="other")) == []
    assert feed(inbox, batch(6, epoch=EPOCH + 1)) == [6]
    assert inbox.stats.ignored == {"old_epoch": 2, "duplicate": 2}


def test_groups_are_followed_apart() -> None:
    inbox = Inbox(None, yields_gaps=True)
    assert inbox.topic == b"batch/"
    assert feed(inbox, batch(1), batch(40, group="yard"), batch(2), batch(42, group="yard")) == [
        1,
        40,
        2,
        Gap(41, 41, "lost", "yard"),
        42,
    ]


def test_a_group_whose_name_starts_alike_is_left_out() -> None:
    inbox = Inbox("lobby", yields_gaps=True)
    assert inbox.topic == b"batch/lobby"
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
    assert feed(inbox, batch(3)) == [Gap(2, 2, "lost", "lobby"), 3]
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
    assert not inbox.has_frames
    feed(inbox, batch(1))
    assert inbox.has_frames


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
        refusal, gap = tracker.admit("lobby", f"run-{epoch}", epoch, seq)
        if gap is not None:
            named += [(epoch, n) for n in range(gap.first_seq, gap.last_seq + 1)]
        if not refusal:
            named.append((epoch, seq))
    assert named == sorted(set(named))
    for number, epoch in enumerate(sorted({epoch for epoch, _ in named})):
        seqs = [seq for one, seq in named if one == epoch]
        assert seqs == list(range(seqs[0], seqs[-1] + 1))
        assert number == 0 or seqs[0] == 0
