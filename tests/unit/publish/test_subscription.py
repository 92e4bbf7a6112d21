"""One lossless subscription without a socket: its cursors, its credit, what comes again, and what is missing."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from syncsvc import wire
from syncsvc.publish.store import LOST, TOO_BIG, Kept, MemoryStore
from syncsvc.publish.subscription import Subscription
from syncsvc.testing import T0, S
from syncsvc.wire import Credit, Mark, Missing, Resume
from tests.batches import batch, message_of
from tests.unit.publish.test_store import LOBBY, YARD, kept

FIRST = Resume(1, "c", 0, "batch", 2, ("lobby",))


def mark(seq: int, epoch: int = 1) -> Mark:
    return kept(seq, epoch=epoch).mark


class Line:
    """A history and a subscription to it."""

    def __init__(self, word: Resume = FIRST, *before: Kept, most: int = 4) -> None:
        self.history = MemoryStore(most, 1000)
        self.keep(*before)
        self.one = Subscription(word, 0)
        self.courses = self.one.resume(word, self.history, 0, is_new=True)

    def keep(self, *some: Kept) -> None:
        for each in some:
            self.history.append(each)
            self.one_looks()

    def one_looks(self) -> None:
        if hasattr(self, "one"):
            self.one.next(self.history)

    def given(self) -> list[Any]:
        """What it is sent now: numbers of batches, and words of what is missing."""
        found: list[Any] = []
        while (item := self.one.next(self.history)) is not None:
            self.one.sent(*item)
            found.append(item[0].mark.seq if item[1] is None else item[1])
        return found

    def credit(self, credit: int, **acknowledged: tuple[int, int]) -> bool:
        return self.one.credit(Credit(1, "c", 0, credit, acknowledged), 0)

    def again(self, **changes: Any) -> None:
        """Its subscriber is back, or another process of the same name."""
        self.one.leave(0)
        self.courses = self.one.resume(msgspec.structs.replace(FIRST, **changes), self.history, 0, is_new=False)


def test_it_is_sent_what_it_has_credit_for_and_no_more() -> None:
    line = Line()
    line.keep(*map(kept, range(4)))
    assert line.given() == [0, 1]
    assert line.credit(3, lobby=(1, 0))
    assert not line.credit(3), "a heartbeat is no news"
    assert line.given() == [2]


def test_what_the_history_passed_is_told_once_and_exactly() -> None:
    line = Line()
    line.keep(*map(kept, range(9)))
    line.credit(0)
    assert line.given() == [Missing(1, "lobby", LOST, mark(4), mark(-1)), 5, 6]
    line.keep(kept(9), kept(10), kept(11))
    line.credit(9)
    assert line.given() == [Missing(1, "lobby", LOST, mark(7)), 8, 9, 10, 11]


def test_a_batch_that_is_too_big_is_told_in_its_place() -> None:
    line = Line()
    line.keep(kept(0), kept(1, size_bytes=2000), kept(2))
    assert line.given() == [0, Missing(1, "lobby", TOO_BIG, mark(1)), 2]


def test_groups_come_in_the_order_in_which_they_left_and_others_not_at_all() -> None:
    line = Line(msgspec.structs.replace(FIRST, groups=None, credit=9))
    line.keep(kept(0), kept(1, 0, topic=YARD), kept(2, 1), kept(3, 0, topic=b"head/lobby"), kept(4, 1, topic=YARD))
    assert line.given() == [0, 0, 1, 1]


def test_another_process_goes_on_behind_what_was_acknowledged_and_is_told_what_comes_again() -> None:
    line = Line(msgspec.structs.replace(FIRST, name="n"))
    line.keep(*map(kept, range(4)))
    assert line.given() == [0, 1]
    line.credit(3, lobby=(1, 0))
    line.again(client="other", name="n", credit=4)
    assert line.courses["lobby"] == wire.Continuation(mark(0), (1, 3))
    header = message_of(batch(1))[1]
    whole = [Kept(LOBBY, "lobby", seq, mark(seq), header, (), 1) for seq in (1, 2)]
    assert [b"redelivered" in line.one.header_of(each) for each in whole] == [True, False]
    assert line.given() == [1, 2, 3]


def test_the_same_process_goes_on_behind_what_it_received_and_nothing_is_marked() -> None:
    line = Line()
    line.keep(*map(kept, range(4)))
    assert line.given() == [0, 1]
    line.again(session=1, credit=2, received={"lobby": mark(0)})
    assert line.given() == [1, 2]
    assert not line.one.is_done(line.history)
    assert line.one.header_of(kept(1)) == b""


def test_who_comes_from_another_service_of_the_same_epoch_gets_everything() -> None:
    line = Line()
    line.keep(kept(0), kept(1))
    line.again(session=1, received={"lobby": Mark("another", 1, 7, None)})
    assert line.given() == [0, 1]


def test_a_beginning_before_the_history_is_told_as_far_as_numbers_go() -> None:
    before = [kept(seq, seq) for seq in range(5, 12)]
    for start, first in ({"start_ns": T0 + 2 * S + 1}, 2), ({"start_ns": T0 - 90 * S}, 0), ({"start_at": (1, 3)}, 3):
        line = Line(msgspec.structs.replace(FIRST, credit=9, **start), *before)
        assert line.courses["lobby"].after == mark(first - 1)
        assert line.given() == [Missing(1, "lobby", LOST, mark(7)), 8, 9, 10, 11]
        line = Line(msgspec.structs.replace(FIRST, credit=9, **start))
        line.keep(kept(6))
        assert line.given() == [Missing(1, "lobby", LOST, mark(5), mark(first - 1)), 6]


def test_a_beginning_to_come_is_waited_for_and_nothing_is_missing() -> None:
    line = Line(msgspec.structs.replace(FIRST, start_ns=T0 + 3 * S), kept(0))
    line.keep(*map(kept, range(1, 5)))
    assert line.courses["lobby"].after is None
    assert line.given() == [3, 4]


def test_the_oldest_is_where_a_new_one_begins_that_wants_it() -> None:
    line = Line(msgspec.structs.replace(FIRST, oldest=True, credit=9), *map(kept, range(6)))
    assert line.courses["lobby"] == wire.Continuation(mark(1), (1, 5))
    assert line.given() == [2, 3, 4, 5]


def test_a_name_is_done_when_all_is_acknowledged_and_needs_what_is_not() -> None:
    for name, is_done in (None, True), ("n", False):
        line = Line(msgspec.structs.replace(FIRST, name=name))
        line.keep(kept(0))
        assert not line.one.is_done(line.history)
        assert line.given() == [0]
        assert line.one.is_done(line.history) is is_done
        assert line.one.needs(kept(0))
        assert not line.one.needs(kept(1, topic=YARD))
        line.credit(3, lobby=(1, 0))
        assert line.one.is_done(line.history)
        assert not line.one.needs(kept(0))


@given(st.lists(st.sampled_from(["batch", "take", "cut", "die"]), max_size=80), st.integers(1, 5))
def test_whatever_happens_every_batch_comes_or_is_told_and_again_only_what_was_in_hand(
    steps: list[str], most: int
) -> None:
    word = msgspec.structs.replace(FIRST, name="n", credit=1)
    line, order, client = Line(word, most=most), 0, 0
    expected, in_hand = 0, None
    for step in [*steps, "die", *["take"] * 90]:
        if step == "batch":
            line.keep(kept(order))
            order += 1
        elif step == "die":
            client += 1
            line.again(client=f"c{client}", name="n", credit=1)
            expected = expected if in_hand is None else in_hand
            was_in_hand, in_hand = in_hand, None
            again = line.one.next(line.history)
            if again is not None and again[1] is None and was_in_hand is not None:
                assert again[0].mark.seq == was_in_hand
        elif step == "cut":
            received = {} if expected == 0 else {"lobby": mark(expected - 1)}
            acknowledged = {} if in_hand is None or in_hand == 0 else {"lobby": mark(in_hand - 1).place}
            if in_hand is None and received:
                acknowledged = {"lobby": mark(expected - 1).place}
            held = in_hand is not None
            line.again(client=f"c{client}", name="n", credit=1 - held, received=received, acknowledged=acknowledged)
        else:
            if in_hand is not None:
                line.one.credit(Credit(1, "c", 0, line.one._allowed + 1, {"lobby": mark(in_hand).place}), 0)
                in_hand = None
            for found in line.given():
                if isinstance(found, Missing):
                    assert found.last.seq >= expected
                    expected = found.last.seq + 1
                    line.one.credit(Credit(1, "c", 0, line.one._allowed, {"lobby": found.last.place}), 0)
                else:
                    assert found == expected
                    expected, in_hand = found + 1, found
    assert expected == order
