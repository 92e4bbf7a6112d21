"""The newest batch and several groups at once, on real sockets and on the real service."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from syncsvc import AsyncSubscriber, FrameBatch, Gap, Subscriber
from syncsvc.clock import NS_PER_S
from syncsvc.errors import SubscriberClosed, SubscriptionEnded
from tests.batches import batch
from tests.e2e.harness import LIMIT_S, Service, wait_for
from tests.e2e.livesocket import LiveSocket

SMALL = "fps=25&size=160x90"
STREAMS = {"a": {"url": f"synthetic:?{SMALL}"}, "b": {"url": f"synthetic:?{SMALL}&seed=2"}}


def test_latest_skips_to_the_newest_and_waits_for_one_where_none_is() -> None:
    with LiveSocket() as live, Subscriber(live.endpoint, "lobby") as batches:
        live.wait_for(b"batch/lobby")
        with pytest.raises(TimeoutError):
            batches.latest(timeout_s=0.01)
        live.send(batch(0))
        assert batches.receive(LIMIT_S).seq == 0
        live.wait_for(b"status")
        live.send(batch(1), batch(2), batch(3))
        live.send_status("ended")
        assert wait_for(lambda: batches._pump() and batches._inbox.has_ended, "all of it")
        assert batches.latest().seq == 3
        assert (batches.stats.skipped, batches.stats.received, batches.header["seq"]) == (2, 2, 3)
        with pytest.raises(SubscriptionEnded):
            batches.latest()
        batches.close()
        with pytest.raises(SubscriberClosed):
            batches.latest()


def test_asyncio_has_the_latest_too() -> None:
    async def follow(live: LiveSocket) -> None:
        async with AsyncSubscriber(live.endpoint, "lobby") as batches:
            await asyncio.to_thread(live.wait_for, b"batch/lobby")
            with pytest.raises(TimeoutError):
                await batches.latest(timeout_s=0.01)
            live.send(batch(0), batch(1))
            newest = await batches.latest(LIMIT_S)
            while newest.seq != 1:
                newest = await batches.latest(LIMIT_S)
            assert batches.stats.skipped + batches.stats.received == 2

    with LiveSocket() as live:
        asyncio.run(follow(live))


@pytest.mark.parametrize("mode", ["live", "local"])
def test_who_comes_back_after_seconds_gets_what_is_new_and_is_told_how_old_the_rest_is(
    tmp_path: Path, mode: Any
) -> None:
    """Pictures are so large that two seconds of them are all that the way from the service to here holds."""
    streams = {name: {"url": f"synthetic:?fps=25&size=640x360&seed={seed}"} for seed, name in enumerate("ab")}
    groups = {"all": {"streams": ["a", "b"], "window_ms": 500}}
    with (
        Service(tmp_path, streams, groups=groups) as service,
        service.subscribe(group="all", mode=mode) as idle,
        service.subscribe(group="all", mode=mode) as reading,
        service.subscribe(group="all", payload=None) as clock,
    ):
        for one in (idle, reading):
            one.receive(LIMIT_S)
        begun = clock.receive(LIMIT_S)
        assert isinstance(begun, FrameBatch)
        while (now := clock.receive(LIMIT_S)).emitted_ns < begun.emitted_ns + 7 * NS_PER_S:  # type: ignore[union-attr]
            pass
        assert isinstance(now, FrameBatch)
        newest = idle.latest()
        assert newest.emitted_ns > now.emitted_ns - 2 * NS_PER_S, "what waited is no news"
        assert idle.stats.lag_ns <= idle.stats.age_ns
        assert idle.stats.skipped >= (mode == "live"), "in mode local leases are over, and what waited is a gap"
        waited = reading.receive(LIMIT_S)
        assert isinstance(waited, FrameBatch)
        assert waited.seq <= newest.seq, "who takes one after the other misses none that is here"
        assert reading.stats.lag_ns >= now.emitted_ns - waited.emitted_ns, "and is told that it waited"


OPTIONS: list[dict[str, Any]] = [{}, {"mode": "local"}, {"mode": "auto"}, {"payload": None}]


class Told:
    """What a subscriber to several groups is told: which batches, and which it missed."""

    def __init__(self, batches: Subscriber) -> None:
        self.batches = batches
        self.seqs: defaultdict[str, list[int]] = defaultdict(list)
        self.missed: defaultdict[str, int] = defaultdict(int)

    def take(self, end: Mapping[str, int]) -> bool:
        """Take what comes next; whether of every group a batch after its end is here."""
        item = self.batches.receive(LIMIT_S)
        if isinstance(item, Gap):
            self.seqs[item.group] += range(item.first_seq, item.last_seq + 1)
            self.missed[item.group] += item.batches
        elif isinstance(item, FrameBatch):
            self.seqs[item.group].append(item.seq)
        return all(self.seqs[name] and self.seqs[name][-1] > last for name, last in end.items())


def test_several_groups_come_and_no_other_and_each_has_its_own_gaps(tmp_path: Path) -> None:
    groups = {
        "yard": {"streams": ["a"], "window_ms": 100},
        "yard2": {"streams": ["b"], "window_ms": 100},
        "lobby": {"streams": ["a", "b"], "window_ms": 250},
    }
    names = ("yard", "lobby")
    end = dict.fromkeys(names, -1)
    with Service(tmp_path, STREAMS, groups=groups) as service, ExitStack() as stack:
        several = [
            Told(stack.enter_context(service.subscribe(group=list(names), gaps="yield", **options)))
            for options in OPTIONS
        ]
        clock = stack.enter_context(service.subscribe(group=list(names), payload=None))
        for told in several:
            wait_for(partial(told.take, end), "both groups")
        while min(end[name] - told.seqs[name][-1] for name in names for told in several) < 24:
            behind = clock.receive(LIMIT_S)
            assert isinstance(behind, FrameBatch)
            end[behind.group] = behind.seq  # who pauses loses some, but for headers: there is room for them
        for told, options in zip(several, OPTIONS, strict=True):
            wait_for(partial(told.take, end), "the present")
            assert told.seqs.keys() == set(names), options
            for name in names:
                assert told.seqs[name] == [*range(told.seqs[name][0], told.seqs[name][-1] + 1)], "a gap is its group's"
            stats = told.batches.stats
            assert stats.missed_of == told.missed
            assert stats.missed == sum(told.missed.values())
            if "payload" not in options:
                assert min(told.missed[name] for name in names) > 0, options
            assert (stats.invalid, stats.ignored["other_group"] > 0) == (0, "mode" not in options)
