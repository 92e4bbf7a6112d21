"""A group's account: what it tells of streams that come and go, of offsets and of latency."""

from collections.abc import Iterator

import pytest

from syncsvc.model import Counts
from syncsvc.observe.events import GroupRules
from syncsvc.plan.plans import GroupPlan
from syncsvc.receiver.account import Account
from syncsvc.receiver.promises import Promises
from syncsvc.testing import MS, ManualClock, S
from syncsvc.transport.page import GroupPage
from tests.batches import T0, batch, frame, together


def plan(*streams: str) -> GroupPlan:
    rules = GroupRules(streams, S, 40 * MS, 500 * MS)
    return GroupPlan("lobby", rules, False, {name: entry for entry, name in enumerate(("a", "b", "c"))})


@pytest.fixture
def account() -> Iterator[Account]:
    page = GroupPage.create("lobby")
    account = Account(page, ManualClock(), Promises())
    account.begin(plan("a", "b"), with_receiver=False)
    yield account
    page.close()


def test_streams_that_left_are_told_of_no_more_and_those_that_came_from_the_start(account: Account) -> None:
    account.before_send(batch(0, counts={"a": Counts(3, 3), "b": Counts(2, 2)}, frames={}, sets=[]), 40 * MS)
    assert account.status.counts == {"a": Counts(3, 3), "b": Counts(2, 2)}
    account.follow(plan("a", "c"))
    account.before_send(batch(1, counts={"b": Counts(1, 1), "c": Counts(1, 1)}, frames={}, sets=[]), 40 * MS)
    assert account.status.counts == {"a": Counts(3, 3), "c": Counts(1, 1)}


def test_how_late_after_its_window_a_batch_left_and_how_far_off_each_stream_is(account: Account) -> None:
    frames = {"a": [frame("a", 1, T0)], "b": [frame("b", 1, T0 + 20 * MS)]}
    some = together(frames["a"][0], frames["b"][0], group=("a", "b"))
    account.before_send(batch(0, counts={}, frames=frames, sets=[some]), 40 * MS)
    account.before_send(batch(1, counts={}, frames=frames, sets=[some]), None)
    told = account.status
    assert told.offsets_ms == {"a": -10.0, "b": 10.0}
    assert told.latency_s.buckets["0.025"] == 0
    assert told.latency_s.buckets["0.05"] == told.latency_s.buckets["+Inf"] == 1
    assert told.spread_s.sum == 0.04
    assert told.spread_s.quantiles == {"0.5": 0.02, "1": 0.02}


def test_a_late_frame_that_left_is_noted_until_a_batch_has_counted_it(account: Account) -> None:
    account.was_late("a")
    account.was_late("a")
    assert account.page.late(0) == 2
    account.before_send(batch(0, counts={"a": Counts(5, 4, 1)}, frames={}, sets=[]), None)
    assert (account.page.late(0), account.page.accounted(0)) == (1, 5)
    account.was_late("stranger")
    following = Account(account.page, ManualClock(), Promises())
    following.begin(plan("a", "b"), with_receiver=True)
    assert following.lost_with_receiver("a", 9) == (3, 1)
    assert following.lost_with_receiver("a", 9) == (0, 0)
