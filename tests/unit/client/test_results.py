"""What a subscriber to results makes of messages: results in order, holes, duplicates, the end."""

from typing import Any

from msgspec.structs import replace

from syncsvc.client.results import ResultInbox
from syncsvc.model import Gap
from syncsvc.wire import encode_status
from syncsvc.wire.result import Result, encode_result, result_topic
from tests.batches import RESULT_IDENTITY, RESULT_ORIGIN, T0


def message(number: int, pool_id: str = "pool-1", group: str = "lobby") -> list[Any]:
    origin = replace(RESULT_ORIGIN, number=number, pool_id=pool_id)
    header, _ = encode_result(replace(RESULT_IDENTITY, group=group), origin, number)
    return [result_topic(group), header]


def status(state: Any, epoch: int = 5) -> list[Any]:
    return [b"status", encode_status("pool-1", epoch, state, emitted_ns=T0)]


def taken(inbox: ResultInbox) -> list[Any]:
    found = []
    while (item := inbox.take()) is not None:
        found.append((item.first_seq, item.last_seq, item.reason) if isinstance(item, Gap) else item.number)
    return found


def test_holes_in_the_numbers_are_gaps_and_what_came_before_is_ignored() -> None:
    inbox = ResultInbox("lobby", yields_gaps=True)
    for number in (4, 5, 5, 8, 7):
        inbox.feed(message(number))
    assert inbox.feed(message(9, group="lobby2")) is None
    assert taken(inbox) == [4, 5, (6, 7, "lost"), 8]
    inbox.feed(message(2, pool_id="pool-2"))
    assert taken(inbox) == [(0, 1, "restarted"), 2]
    stats = inbox.stats
    assert (stats.received, stats.missed, dict(stats.gaps)) == (4, 4, {"lost": 1, "restarted": 1})
    assert dict(stats.ignored) == {"duplicate": 2, "other_group": 1}
    assert inbox.header()["number"] == 2


def test_groups_are_counted_apart_and_gaps_may_only_be_counted() -> None:
    inbox = ResultInbox(None, yields_gaps=False)
    for group in ("a", "b"):
        for number in (0, 2):
            assert inbox.feed(message(number, group=group)) == group
    assert taken(inbox) == [0, 2, 0, 2]
    assert dict(inbox.stats.missed_of) == {"a": 1, "b": 1}
    assert inbox.topics == (b"result/", b"status")


def test_it_is_over_when_the_pool_says_so_and_all_was_taken_and_goes_on_when_another_comes() -> None:
    inbox = ResultInbox("lobby", yields_gaps=True)
    inbox.feed(message(0))
    inbox.feed(status("ended"))
    assert not inbox.is_over
    assert isinstance(inbox.take(), Result)
    assert inbox.is_over
    inbox.feed(status("ended", epoch=4))
    assert inbox.stats.ignored["old_epoch"] == 1
    inbox.feed(status("running", epoch=6))
    assert not inbox.is_over


def test_nonsense_is_counted_and_nothing_else() -> None:
    inbox = ResultInbox("lobby", yields_gaps=True)
    for parts in ([b"result/lobby"], [b"result/lobby", b"?"], [b"status"], [b"batch/lobby", message(0)[1]]):
        assert inbox.feed(parts) is None
    assert inbox.stats.invalid == 4
    assert inbox.take() is None
    assert inbox.header() == {}
