"""The book of leases: each comes home once, is revoked once, and forfeit only where its reader may read on."""

from hypothesis import given
from hypothesis import strategies as st

from syncsvc.publish.leases import GRACE_NS, GrantedLeases


class Slot:
    """A payload that was leased."""

    def __init__(self) -> None:
        self.released = self.forfeited = 0

    def release(self) -> None:
        self.released += 1

    def forfeit(self) -> None:
        assert not self.released, "the slot may be in use again"
        self.forfeited += 1


def granted(book: GrantedLeases, count: int, due_ns: int = 100, until_ns: int = 10 * GRACE_NS) -> list[Slot]:
    slots = [Slot() for _ in range(count)]
    book.grant(slots, due_ns, until_ns)  # type: ignore[arg-type]  # released and forfeited like one
    return slots


def test_a_lease_comes_home_once_and_strangers_are_passed_over() -> None:
    book = GrantedLeases()
    slots = granted(book, 3)
    book.give_back([1, 1, 7, -3], 0)
    assert [slot.released for slot in slots] == [0, 1, 0]
    assert len(book) == 2
    assert book.next_number == 3


def test_a_lease_is_revoked_once_when_it_is_due_and_overdue_after_the_grace() -> None:
    book = GrantedLeases()
    assert book.next_ns is None
    slots = granted(book, 1, due_ns=100) + granted(book, 1, due_ns=200)
    assert book.next_ns == 100
    assert book.revoke(99) == []
    assert book.revoke(100) == [0]
    assert book.revoke(150) == []
    assert book.next_ns == 200
    assert not book.is_overdue(100 + GRACE_NS - 1)
    assert book.is_overdue(100 + GRACE_NS)
    book.give_back([0], 100 + GRACE_NS)
    assert not book.is_overdue(100 + GRACE_NS)
    assert [slot.released for slot in slots] == [1, 0]


def test_who_gives_back_one_after_the_other_is_not_overdue() -> None:
    book = GrantedLeases()
    granted(book, 4)
    granted(book, 1, due_ns=10 * GRACE_NS)
    book.revoke(100)
    book.give_back([4], 50 + GRACE_NS)
    assert book.is_overdue(100 + GRACE_NS), "it gave something back, but not what was asked for"
    for step in range(1, 4):
        book.give_back([step], 50 + step * GRACE_NS)
        assert not book.is_overdue(49 + (step + 1) * GRACE_NS)
        assert book.next_ns == 50 + (step + 1) * GRACE_NS
    assert book.is_overdue(50 + 4 * GRACE_NS)


def test_who_gives_back_one_after_the_other_is_waited_for_while_the_slots_can_be_spared() -> None:
    book = GrantedLeases()
    granted(book, 5, until_ns=2 * GRACE_NS)
    book.revoke(100)
    for step in range(1, 4):
        book.give_back([step], step * GRACE_NS // 2)
    assert book.next_ns == 2 * GRACE_NS
    assert not book.is_overdue(2 * GRACE_NS - 1)
    assert book.is_overdue(2 * GRACE_NS)


def test_also_a_slot_that_is_needed_at_once_may_come_home_within_the_grace() -> None:
    book = GrantedLeases()
    granted(book, 1, until_ns=0)
    book.revoke(100)
    assert not book.is_overdue(99 + GRACE_NS)
    assert book.is_overdue(100 + GRACE_NS)


def test_who_ends_gives_back_and_who_falls_silent_forfeits() -> None:
    for is_silent in (False, True):
        book = GrantedLeases()
        slots = granted(book, 2)
        assert book.close(is_silent=is_silent) == 2
        assert [(slot.forfeited, slot.released) for slot in slots] == [(int(is_silent), 1)] * 2
        assert len(book) == 0
        assert book.close(is_silent=True) == 0


@given(st.lists(st.one_of(st.integers(1, 5), st.lists(st.integers(-2, 30))), max_size=20), st.booleans())
def test_whatever_comes_home_every_payload_is_released_exactly_once(events: list[int | list[int]], end: bool) -> None:
    book, slots = GrantedLeases(), list[Slot]()
    for event in events:
        if isinstance(event, int):
            slots += granted(book, event)
        else:
            book.give_back(event, 0)
    assert all(slot.released <= 1 for slot in slots)
    assert sum(slot.released == 0 for slot in slots) == len(book)
    book.close(is_silent=end)
    assert all(slot.released == 1 for slot in slots)
