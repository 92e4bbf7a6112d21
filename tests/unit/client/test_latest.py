"""Which batch is the newest, and when what is here is too old to be it; how old what is handed out was."""

from collections import deque
from dataclasses import replace
from typing import Any

import pytest

from syncsvc import wire
from syncsvc.client.latest import MESSAGES_PER_LOOK, Latest
from syncsvc.client.recency import Recency
from syncsvc.client.sequence import Inbox, SubscriberStats
from syncsvc.errors import UsageError
from syncsvc.model import FrameBatch
from syncsvc.testing import ManualClock
from tests.batches import MS, T0, batch, frame, late_message, message_of

S = 1000 * MS
UNHEARD = 1100 * MS
"""From the start of a window of these batches until it leaves."""


class Subscription:
    """An inbox, the messages that are on their way to it, and a clock."""

    def __init__(self, group: Any = "lobby", **options: Any) -> None:
        self.inbox = Inbox(group, **({"yields_gaps": True} | options))
        self.recency, self.clock = Recency(), ManualClock(T0)
        self.on_their_way: deque[Any] = deque()

    def come(self, *batches: FrameBatch) -> None:
        self.on_their_way += [message_of(one) for one in batches]

    def pump(self) -> bool:
        if not self.on_their_way:
            return False
        self.inbox.feed(self.on_their_way.popleft())
        return True

    def search(self, timeout_s: float | None = None) -> Latest:
        return Latest(self.pump, self.inbox, self.recency, timeout_s, self.clock)

    def take(self) -> int:
        one = self.inbox.take()
        assert isinstance(one, FrameBatch)
        self.recency.hand_out(one, self.clock.utc_ns(), self.inbox.stats)
        return one.seq

    def goes_on(self, until_ns: int) -> None:
        self.clock.advance_to_utc(T0 + until_ns)


def left(number: int) -> int:
    """When the batch of that number leaves."""
    return number * S + UNHEARD


def test_the_newest_is_taken_and_what_was_passed_over_is_counted_gaps_apart() -> None:
    one = Subscription(yields_late=True)
    one.come(batch(0), batch(1), batch(4))
    one.on_their_way.append(late_message(frame("north", 3)))
    one.come(batch(5))
    one.goes_on(left(5))
    assert one.search().is_over()
    assert one.take() == 5
    assert one.inbox.take() is None, "gaps and late frames before it are passed over too"
    assert (one.inbox.stats.skipped, one.inbox.stats.received, one.inbox.stats.missed) == (3, 1, 2)
    assert one.inbox.header()["seq"] == 5


def test_where_nothing_is_here_there_is_nothing_to_take() -> None:
    one = Subscription()
    search = one.search(timeout_s=60)
    assert not search.is_over()
    left_ms = search.left_ms()
    assert left_ms is not None
    assert 0 < left_ms <= 60_000
    assert one.search().left_ms() is None


def test_of_several_groups_each_has_its_turn() -> None:
    one = Subscription(["lobby", "yard"])
    one.come(batch(0), batch(3, group="yard"), batch(1))
    one.goes_on(left(3) + 1)
    taken = []
    for number in range(4, 7):
        assert one.search().is_over()
        taken.append(one.take())
        one.come(batch(number, group="yard"))
        one.goes_on(left(number))
    assert taken == [3, 4, 5], "the other one is too old"
    one.come(batch(6))
    for _ in range(2):
        assert one.search().is_over()
        taken.append(one.take())
    assert sorted(taken[3:]) == [6, 6]


def test_what_has_a_successor_for_sure_is_not_the_newest_before_that_has_come() -> None:
    one = Subscription()
    one.come(batch(0), batch(1))
    one.goes_on(left(8))
    search = one.search()
    assert not search.is_over()
    assert search.left_ms() == 2000, "its window and a second"
    one.goes_on(left(9))
    one.come(batch(9))
    assert search.is_over()
    assert (one.take(), one.inbox.stats.skipped, one.inbox.stats.lag_ns) == (9, 2, 0)


def test_what_comes_no_sooner_is_taken_after_a_while_and_at_once_from_then_on() -> None:
    """Two hosts whose clocks are nine seconds apart."""
    one = Subscription()
    one.come(batch(0))
    one.goes_on(left(9))
    search = one.search()
    assert not search.is_over()
    one.come(batch(1), batch(2))
    one.goes_on(left(11))
    assert search.is_over()
    assert (one.take(), one.inbox.stats.lag_ns) == (2, 9 * S)
    one.come(batch(3))
    one.goes_on(left(12))
    assert one.search().is_over()
    one.take()
    one.come(batch(4))
    one.goes_on(left(30))
    assert not one.search().is_over(), "it waited for eighteen seconds more than they do"


def test_a_clock_that_is_behind_hides_no_wait_once_it_was_seen() -> None:
    one = Subscription()
    one.come(batch(9))
    one.goes_on(left(4))
    assert one.search().is_over()
    one.take()
    assert (one.inbox.stats.lag_ns, one.inbox.stats.age_ns) == (-5 * S, -5 * S + 100 * MS)
    one.come(batch(10))
    one.goes_on(left(9))
    assert not one.search().is_over()


def test_when_time_is_up_the_newest_is_taken_however_old() -> None:
    one = Subscription()
    one.come(batch(0), batch(1))
    one.goes_on(left(9))
    assert one.search(timeout_s=0).is_over()
    assert one.take() == 1
    one.come(batch(2))
    assert not one.search().is_over(), "nothing was learnt from that"


def test_the_last_batch_of_a_service_that_has_ended_is_the_newest() -> None:
    one = Subscription()
    one.come(batch(0), batch(1))
    one.on_their_way.append([wire.STATUS_TOPIC, wire.encode_status("run-1", batch().epoch, "ended", emitted_ns=1)])
    one.goes_on(left(60))
    assert one.search().is_over()
    assert one.take() == 1
    assert one.search().is_over(), "and then there is nothing to wait for"
    assert one.inbox.is_over


def test_a_flood_does_not_keep_anybody_from_looking_at_the_time() -> None:
    one = Subscription()
    one.on_their_way += [[b"batch/lobby", b"junk"]] * (10 * MESSAGES_PER_LOOK)
    assert not one.search().is_over()
    assert one.inbox.stats.invalid == MESSAGES_PER_LOOK
    one.on_their_way.extendleft([message_of(batch(0))])
    one.goes_on(left(0))
    assert not one.search().is_over(), "a newer one may be among the rest"
    assert one.search(timeout_s=0).is_over()


def test_the_age_counts_from_the_windows_end_and_the_lag_from_when_it_left() -> None:
    stats = SubscriberStats()
    Recency().hand_out(batch(0), T0 + 1500 * MS, stats)
    assert (stats.age_ns, stats.lag_ns) == (500 * MS, 400 * MS)
    cut_short = replace(batch(0), emitted_ns=T0 + 300 * MS)
    Recency().hand_out(cut_short, T0 + 400 * MS, stats)
    assert (stats.age_ns, stats.lag_ns) == (100 * MS, 100 * MS)


def test_several_groups_are_kept_each_by_itself() -> None:
    inbox = Inbox(["lobby", "yard", "lobby"], yields_gaps=True, yields_late=True)
    assert inbox.groups == ("lobby", "yard")
    assert inbox.topics == (b"batch/lobby", b"batch/yard")
    assert inbox.topics_later == (b"status", b"late/lobby", b"late/yard")
    for one in (batch(0), batch(7, group="yard"), batch(0, group="yard2"), batch(3), batch(9, group="yard")):
        inbox.feed(message_of(one))
    told: list[Any] = []
    while (item := inbox.take()) is not None:
        told.append((item.group, item.seq if isinstance(item, FrameBatch) else (item.first_seq, item.last_seq)))  # type: ignore[union-attr]
    assert told == [("lobby", 0), ("yard", 7), ("lobby", (1, 2)), ("lobby", 3), ("yard", (8, 8)), ("yard", 9)]
    assert (inbox.stats.missed, inbox.stats.missed_of) == (3, {"lobby": 2, "yard": 1})
    assert inbox.stats.ignored == {"other_group": 1}


@pytest.mark.parametrize("group", [[], 7, b"lobby", ["lobby", "Lobby"], ["lobby", 7], ("",)])
def test_a_list_that_names_no_group_is_refused(group: Any) -> None:
    with pytest.raises(UsageError, match=r"^group .*(at least one name|a name matches)"):
        Inbox(group, yields_gaps=True)
