"""How a subscriber ends that others have too: closed by another thread, or inherited by a process that was forked."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from syncsvc import AsyncSubscriber, Subscriber, SubscriberClosed
from syncsvc.lifecycle import StopToken, Worker
from tests.batches import batch
from tests.e2e.harness import Service, wait_for
from tests.e2e.livesocket import LiveSocket

WAIT_S = 30.0
MODES = ("live", "local", "auto")
STREAMS = {"a": {"url": "synthetic:?fps=25&size=320x180", "pixels": "gray8"}}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("service"), STREAMS) as service:
        yield service


@contextmanager
def closing(subscriber: Subscriber[Any] | AsyncSubscriber[Any], when: Callable[[], object]) -> Iterator[None]:
    """Another thread closes it once ``when`` says so."""

    def close(stop: StopToken) -> None:
        wait_for(when, "the moment to close")
        subscriber.close()

    with Worker("closes", close) as worker:
        yield
    assert worker.error is None


@pytest.mark.parametrize("mode", MODES)
def test_a_close_from_another_thread_ends_an_iteration_that_goes_on(service: Service, mode: Any) -> None:
    batches = Subscriber(service.live, mode=mode)
    with closing(batches, lambda: batches.stats.received > 0):
        seqs = [one.seq for one in batches]
    assert seqs == sorted(set(seqs))
    assert seqs
    with pytest.raises(SubscriberClosed):
        batches.receive()


@pytest.mark.parametrize("mode", MODES)
def test_a_close_from_another_thread_ends_an_iteration_that_waits_for_its_first_batch(
    tmp_path: Path, mode: Any
) -> None:
    batches = Subscriber(f"ipc://{tmp_path}/nobody", mode=mode)
    with closing(batches, lambda: batches._is_iterated):
        assert list(batches) == []
    assert list(batches) == []
    with pytest.raises(SubscriberClosed):
        batches.receive(WAIT_S)


@pytest.mark.parametrize("mode", MODES)
def test_who_waits_in_receive_hears_of_a_close(tmp_path: Path, mode: Any) -> None:
    batches = Subscriber(f"ipc://{tmp_path}/nobody", mode=mode)
    has_begun = threading.Event()
    with closing(batches, has_begun.is_set):
        has_begun.set()
        with pytest.raises(SubscriberClosed):
            batches.receive()


@pytest.mark.parametrize("mode", MODES)
def test_what_was_closed_before_is_no_iteration(tmp_path: Path, mode: Any) -> None:
    batches = Subscriber(f"ipc://{tmp_path}/nobody", mode=mode)
    batches.close()
    with pytest.raises(SubscriberClosed):
        list(batches)


@pytest.mark.parametrize("mode", MODES)
def test_asyncio_ends_cleanly_too(service: Service, mode: Any) -> None:
    async def body() -> list[int]:
        batches = AsyncSubscriber(service.live, mode=mode)
        with closing(batches, lambda: batches.stats.received > 0):
            seqs = [one.seq async for one in batches]
        with pytest.raises(SubscriberClosed):
            await batches.receive()
        return seqs

    assert asyncio.run(body())


def test_a_task_that_waits_is_woken_by_a_close_from_another_thread(tmp_path: Path) -> None:
    async def body() -> list[Any]:
        batches = AsyncSubscriber(f"ipc://{tmp_path}/nobody")
        with closing(batches, lambda: batches._inlet._waiting):
            return [one async for one in batches]

    assert asyncio.run(body()) == []


def test_a_close_at_any_moment_of_a_flood_ends_it_cleanly() -> None:
    """Closing a ZeroMQ socket while another thread reads it is undefined; here it is tried at many moments."""
    random = Random(1)
    with LiveSocket() as live:
        for _ in range(30):
            batches, limit = Subscriber(live.endpoint, "lobby"), random.randrange(20)
            live.subscriptions.clear()
            live.wait_for(b"batch/lobby", meanwhile=batches.poll)
            live.send(*[batch(seq) for seq in range(40)])
            with closing(batches, lambda batches=batches, limit=limit: batches.stats.received >= limit):
                seqs = [one.seq for one in batches]
            assert seqs == list(range(len(seqs)))
            assert len(seqs) >= limit


def in_a_child(body: Callable[[], object]) -> str:
    """What a forked process says that does this: what it returns, or its error."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            said = f"returned {body()}"
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as words:
        said = words.read()
    assert os.waitpid(pid, 0)[1] == 0
    return said


USES: dict[str, Callable[[Subscriber[Any]], object]] = {
    "receive": lambda batches: batches.receive(5),
    "receive_nowait": lambda batches: batches.receive_nowait(),
    "poll": lambda batches: batches.poll(),
    "wait_ready": lambda batches: batches.wait_ready(),
    "next": next,
    "list": list,
}


@pytest.mark.parametrize("mode", MODES)
def test_what_a_fork_inherits_raises_at_its_first_use_and_its_owner_goes_on(service: Service, mode: Any) -> None:
    with Subscriber(service.live, mode=mode) as batches:
        before = batches.receive(WAIT_S)
        for use in USES.values():
            said = in_a_child(lambda use=use: use(batches))
            assert said.startswith("UsageError: this subscriber is of the process that forked this one"), said
        assert in_a_child(batches.close) == "returned None"
        after = batches.receive(WAIT_S)
        assert after.seq == before.seq + 1 + batches.stats.missed
        assert all(frame.pixels.any() for frame in after.frames["a"])


def test_what_a_fork_inherits_raises_in_asyncio_too(service: Service) -> None:
    batches = AsyncSubscriber(service.live)
    try:
        for use in (batches.receive, batches.__anext__, batches.wait_ready):
            said = in_a_child(lambda use=use: asyncio.run(use()))
            assert said.startswith("UsageError: this subscriber is of"), said
    finally:
        batches.close()


def test_a_child_that_forgets_what_it_inherited_harms_nobody(service: Service) -> None:
    batches = [Subscriber(service.live, mode=mode) for mode in MODES]  # type: ignore[call-overload]
    for one in batches:
        one.receive(WAIT_S)
    assert in_a_child(batches.clear) == "returned None"
    for one in batches:
        assert one.receive(WAIT_S).frames["a"]
        one.close()


def test_a_child_has_a_subscriber_of_its_own(service: Service) -> None:
    with Subscriber(service.live) as batches:
        batches.receive(WAIT_S)

        def another() -> bool:
            with Subscriber(service.live) as own:
                return bool(own.receive(WAIT_S).frames["a"])

        assert in_a_child(another) == "returned True"
