"""What a lossless subscriber says of what came: credit once per batch, acknowledgement when the next is asked for."""

import pytest

from syncsvc.client.lossless import Ledger, check_start
from syncsvc.errors import UsageError
from syncsvc.wire import Credit, Mark, Resume

WORD = Resume(1, "c", 0, "batch", 0)


def mark(seq: int, epoch: int = 1) -> Mark:
    return Mark("run", epoch, seq, None)


def test_a_batch_gives_its_credit_back_when_the_next_one_is_asked_for() -> None:
    ledger = Ledger(2)
    assert ledger.resume(WORD).credit == 2
    ledger.receive("lobby", mark(0), is_batch=True)
    ledger.receive("lobby", mark(1), is_batch=True)
    ledger.take()
    assert not ledger.has_news
    assert ledger.finish()
    assert ledger.credit("c", 0) == Credit(1, "c", 0, 3, {"lobby": (1, 0)})
    assert not ledger.finish(), "nothing was taken since"
    assert ledger.credit("c", 0) == Credit(1, "c", 0, 3, {})


def test_word_of_what_is_missing_is_acknowledged_and_costs_no_credit() -> None:
    ledger = Ledger(1)
    ledger.resume(WORD)
    ledger.receive("lobby", mark(4), is_batch=False)
    ledger.take()
    ledger.finish()
    assert ledger.credit("c", 0) == Credit(1, "c", 0, 1, {"lobby": (1, 4)})


def test_a_new_session_says_where_we_stand_and_asks_for_no_more_than_there_is_room_for() -> None:
    ledger = Ledger(2)
    ledger.resume(WORD)
    for seq in range(2):
        ledger.receive("lobby", mark(seq), is_batch=True)
    ledger.take()
    word = ledger.resume(WORD)
    assert (word.credit, word.received, word.acknowledged) == (0, {"lobby": mark(1)}, {})
    ledger.finish()
    assert ledger.credit("c", 1).credit == 1
    word = ledger.resume(WORD)
    assert (word.credit, word.acknowledged) == (1, {"lobby": (1, 0)})


def test_what_came_before_is_not_new_and_what_is_of_no_use_costs_nothing() -> None:
    ledger = Ledger(1)
    ledger.resume(WORD)
    assert ledger.is_new("lobby", mark(0))
    ledger.receive("lobby", mark(3), is_batch=True)
    assert [ledger.is_new("lobby", one) for one in (mark(3), mark(4), mark(0, 2), mark(9, 0))] == [
        False, True, True, False,
    ]  # fmt: skip
    assert ledger.is_new("yard", mark(0))
    ledger.refuse()
    assert ledger.has_news
    assert ledger.credit("c", 0).credit == 2


@pytest.mark.parametrize("start", [True, -1, 1.5, (1,), (1, -1), (1, 2, 3), "newest", 2**63])
def test_a_start_that_is_none_is_refused(start: object) -> None:
    with pytest.raises(UsageError, match="allowed are 'oldest', UTC nanoseconds, and"):
        check_start(("lobby",), None, start)  # type: ignore[arg-type]


def test_more_groups_than_a_word_may_name_are_refused() -> None:
    with pytest.raises(UsageError, match="257 names, at most 256"):
        check_start([f"g{number}" for number in range(257)], None, None)
