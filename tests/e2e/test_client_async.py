"""The subscriber for asyncio: the same, without holding the loop up."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from syncsvc import AsyncSubscriber, Gap
from syncsvc.errors import SubscriberClosed, SubscriptionEnded, UsageError
from syncsvc.model import FrameBatch
from tests.batches import batch, windows
from tests.e2e.livesocket import LiveSocket

TOPIC = b"batch/lobby"
WAIT_S = 20.0


def name_of(item: FrameBatch | Gap) -> Any:
    return item.seq if isinstance(item, FrameBatch) else item


def test_batches_gaps_garbage_and_the_end() -> None:
    async def body(live: LiveSocket) -> list[Any]:
        seen = []
        async with AsyncSubscriber(live.endpoint, "lobby", gaps="yield") as batches:
            await asyncio.to_thread(live.wait_for, TOPIC)
            live.send(batch(2), [TOPIC, b"junk"])
            seen.append(name_of(await batches.receive(WAIT_S)))
            await asyncio.to_thread(live.wait_for, b"status")
            live.send(batch(0, group="lobby2"), batch(4))
            live.send_status("ended")
            async for item in batches:
                seen += [name_of(item)]
            assert (batches.stats.invalid, batches.stats.missed, batches.stats.ignored["other_group"]) == (1, 1, 1)
            with pytest.raises(SubscriptionEnded):
                await batches.receive()
        return seen

    with LiveSocket() as live:
        assert asyncio.run(body(live)) == [2, Gap(3, 3, "lost", "lobby", *windows(3, 3)), 4]
        assert live.subscriptions == [TOPIC, b"status"]


def test_a_wait_leaves_the_loop_to_others_and_wakes_up() -> None:
    async def body(live: LiveSocket) -> int:
        async with AsyncSubscriber(live.endpoint, "lobby") as batches:
            await asyncio.to_thread(live.wait_for, TOPIC)
            waiting = asyncio.create_task(batches.receive(WAIT_S))
            await asyncio.sleep(0)
            assert not waiting.done()
            live.send(batch(5))
            return (await waiting).seq

    with LiveSocket() as live:
        assert asyncio.run(body(live)) == 5


def test_batches_that_are_here_already_do_not_starve_other_tasks() -> None:
    async def body(live: LiveSocket) -> int:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async with AsyncSubscriber(live.endpoint, "lobby") as batches:
            await asyncio.to_thread(live.wait_for, TOPIC)
            task = asyncio.create_task(other())
            for seq in range(10):
                live.send(batch(seq))
                while batches.poll() is None:  # holds the loop until the batch is here, then asks for one more turn
                    pass
                before = turns
                with pytest.raises(TimeoutError):
                    await batches.receive(0)
                assert turns > before
            task.cancel()
        return turns

    with LiveSocket() as live:
        assert asyncio.run(body(live)) >= 10


def test_cancelled_waits_lose_nothing() -> None:
    """Waits are cancelled at every moment of a batch's arrival; each batch still comes exactly once."""

    async def body(live: LiveSocket) -> tuple[list[int], int]:
        seen: list[int] = []
        async with AsyncSubscriber(live.endpoint, "lobby") as batches:
            await asyncio.to_thread(live.wait_for, TOPIC)
            for seq in range(60):
                live.send(batch(seq))
                turns = seq % 5
                while not seen or seen[-1] != seq:
                    waiting = asyncio.create_task(batches.receive(WAIT_S))
                    for _ in range(turns):
                        await asyncio.sleep(0)
                    waiting.cancel()
                    done = await asyncio.gather(waiting, return_exceptions=True)
                    seen += [one.seq for one in done if isinstance(one, FrameBatch)]
                    turns += 1
            return seen, batches.stats.missed

    with LiveSocket() as live:
        assert asyncio.run(body(live)) == (list(range(60)), 0)


def test_nothing_yet_and_closed() -> None:
    async def body(live: LiveSocket) -> None:
        batches = AsyncSubscriber(live.endpoint, "lobby")
        assert batches.poll() is None
        with pytest.raises(BlockingIOError):
            batches.receive_nowait()
        with pytest.raises(TimeoutError, match=r"0\.01 s"):
            await batches.receive(0.01)
        batches.close()
        batches.close()
        with pytest.raises(SubscriberClosed):
            await batches.receive(1)

    with LiveSocket() as live:
        asyncio.run(body(live))


def test_it_can_be_made_outside_a_loop_and_used_in_one(tmp_path: Path) -> None:
    async def body() -> int:
        async with batches:
            await asyncio.to_thread(live.wait_for, TOPIC)
            live.send(batch(1))
            return (await batches.receive(WAIT_S)).seq

    with LiveSocket(f"ipc://{tmp_path}/live") as live:
        batches = AsyncSubscriber(live.endpoint, "lobby")
        assert asyncio.run(body()) == 1


def test_a_bad_endpoint_is_refused() -> None:
    with pytest.raises(UsageError, match="endpoint 'nowhere'"):
        AsyncSubscriber("nowhere")
