"""Two subscriptions put together: batches by their numbers, and what becomes of one whose other half never comes."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import pytest
from msgspec import structs

from syncsvc.errors import SubscriptionEnded
from syncsvc.model import FrameBatch, Gap
from syncsvc.sinks.record import batch_feed
from syncsvc.sinks.record.batch_feed import BatchFeed, Fed
from syncsvc.wire import GroupTerms
from tests.batches import T0, batch, frame, windows

ENDED, SILENT = "ended", "silent"


class Script:
    """A subscription that says what it was told to, and the last word for ever."""

    def __init__(self, items: Iterable[Any]) -> None:
        self._items = deque(items)
        self.header: Mapping[str, Any] = {}
        self.is_closed = False

    def wait_ready(self, timeout_s: float) -> None:
        """It is there."""

    def receive(self, timeout_s: float | None) -> FrameBatch | Gap:
        item = self._items.popleft() if len(self._items) > 1 else self._items[0]
        if item == ENDED:
            raise SubscriptionEnded("the service has ended")
        if item == SILENT:
            raise TimeoutError(f"no batch within {timeout_s} s")
        assert isinstance(item, FrameBatch | Gap)
        self.header = {"of": item.run_id} if isinstance(item, FrameBatch) else {}
        return item

    def close(self) -> None:
        self.is_closed = True


def coded(seq: int) -> FrameBatch:
    return batch(seq)


def headed(seq: int) -> FrameBatch:
    return batch(seq, run_id="beside")


def feed_of(
    monkeypatch: pytest.MonkeyPatch, carries: Mapping[str, Any], *scripts: Script
) -> tuple[BatchFeed, list[Any]]:
    """A feed whose subscriptions are these, in the order in which it makes them, and what it asks them for."""
    asked: list[Any] = []
    left = deque(scripts)
    terms = {"lobby": GroupTerms(tuple(carries), 1000, 40.0, 500.0, dict(carries))}
    monkeypatch.setattr(batch_feed, "ask_terms", lambda endpoint, patience, keys: terms)

    def make(self: BatchFeed, payload: Any, *_: Any) -> Script:
        asked.append(payload)
        return left.popleft()

    monkeypatch.setattr(BatchFeed, "_open", make)
    return BatchFeed("tcp://127.0.0.1:1", "lobby", "lossless", wants_coded=True), asked


def read(feed: BatchFeed) -> list[Fed]:
    def batches() -> Iterator[Fed]:
        with suppress(SubscriptionEnded):
            while True:
                yield feed.receive()

    return list(batches())


def told(found: Iterable[Fed]) -> list[tuple[int, str, int]]:
    """Of each batch its number, whose header it has, and how many coded pictures."""
    return [(one.batch.seq, one.header["of"], len(one.coded)) for one in found]


@pytest.mark.parametrize(
    ("carries", "payloads"),
    [
        ({"north": "raw"}, ["pixels"]),
        ({"north": "coded", "south": "raw"}, ["pixels"]),
        ({"north": "both", "south": "coded"}, [None, "coded"]),
        ({"north": "both", "south": "raw"}, ["pixels", "coded"]),
    ],
)
def test_a_second_subscription_is_made_only_where_one_has_not_all_and_before_the_first(
    monkeypatch: pytest.MonkeyPatch, carries: dict[str, Any], payloads: list[Any]
) -> None:
    feed, asked = feed_of(monkeypatch, carries, *(Script([headed(0), ENDED]) for _ in payloads))
    assert [one.seq for one in (fed.batch for fed in read(feed))] == [0]
    assert asked == payloads


def test_batches_of_both_are_put_together_by_their_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    beside = Script([*map(headed, range(4)), ENDED])
    feed, _ = feed_of(monkeypatch, {"north": "both"}, beside, Script([coded(1), coded(2), coded(3), ENDED]))
    found = read(feed)
    assert told(found) == [(1, "beside", 1), (2, "beside", 1), (3, "beside", 1)]
    assert not any(one.gaps for one in found), "what came before the main one began is nobody's loss"


@pytest.mark.parametrize("end", [SILENT, ENDED])
def test_a_batch_whose_other_half_never_comes_is_kept_as_it_came_and_nobody_waits_for_ever(
    monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    beside = Script([headed(0), end])
    feed, _ = feed_of(monkeypatch, {"north": "both"}, beside, Script([*map(coded, range(3)), ENDED]))
    found = read(feed)
    assert told(found) == [(0, "beside", 1), (1, "run-1", 1), (2, "run-1", 1)]
    assert not any(one.gaps for one in found)


def test_what_the_second_one_missed_before_it_began_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    beside = Script([headed(2), ENDED])
    feed, _ = feed_of(monkeypatch, {"north": "both"}, beside, Script([*map(coded, range(3)), ENDED]))
    (only,) = read(feed)
    assert only.batch.seq == 2
    assert only.gaps == (Gap(0, 1, "lost", "lobby", *windows(0, 1)),)


def test_pixels_are_asked_for_once_a_stream_without_coded_pictures_joins(monkeypatch: pytest.MonkeyPatch) -> None:
    heads, pixels = Script([headed(0), headed(1), ENDED]), Script([headed(1), headed(2), ENDED])
    stranger = batch(1, frames={"south": [structs.replace(frame("south", 0, T0 + 10**9), payload=None)]})
    feed, asked = feed_of(monkeypatch, {"north": "both"}, heads, Script([coded(0), stranger, coded(2), ENDED]), pixels)
    assert [one.batch.seq for one in read(feed)] == [0, 1, 2]
    assert asked == [None, "coded", "pixels"]
    assert heads.is_closed
