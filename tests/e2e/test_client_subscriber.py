"""The subscriber on a real socket: order, gaps, restarts, garbage, slowness, the end."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from syncsvc import Gap, Subscriber
from syncsvc.errors import SubscriberClosed, SubscriptionEnded, UsageError
from syncsvc.layout import Layout
from syncsvc.model import FrameBatch
from tests.batches import MS, T0, batch, frame, together, windows
from tests.e2e.livesocket import LiveSocket

TOPIC = b"batch/lobby"
WAIT_S = 20.0
NEXT_EPOCH = batch().epoch + 1


@pytest.fixture
def live() -> Iterator[LiveSocket]:
    with LiveSocket() as socket:
        yield socket


def seqs(subscriber: Subscriber[Any], number: int) -> list[Any]:
    items = [subscriber.receive(WAIT_S) for _ in range(number)]
    return [item.seq if isinstance(item, FrameBatch) else item for item in items]


def test_batches_come_whole_and_in_order(live: LiveSocket) -> None:
    north, south = frame("north", 1, T0), frame("south", 4, T0 + 3 * MS)
    sets = [together(north, south, group=("north", "south"))]
    with Subscriber(live.endpoint, group="lobby") as batches:
        live.wait_for(TOPIC)
        live.send(batch(0, frames={"north": [north], "south": [south]}, sets=sets), batch(1))
        first = batches.receive(WAIT_S)
        assert (first.seq, first.complete, list(first.frames)) == (0, True, ["north", "south"])
        assert first.sets[0].spread_ns == 3 * MS
        assert first.sets[0].frames["south"].to_bgr().shape == (2, 4, 3)
        assert bytes(first.frames["north"][0].pixels) == north.payload
        assert batches.header["sets"] == [[3 * MS, [0, 1]]]
        assert seqs(batches, 1) == [1]
    assert batches.stats.received == 2


def test_there_is_one_subscription_until_frames_have_come(live: LiveSocket) -> None:
    nothing = batch(0, frames={"north": []}, missing={"north": "starting"})
    with Subscriber(live.endpoint, group="lobby") as batches:
        live.wait_for(TOPIC)
        live.send(nothing)
        assert seqs(batches, 1) == [0]
        assert not batches._has_status
        live.send(batch(1))
        assert seqs(batches, 1) == [1]
        live.wait_for(b"status")
        assert live.subscriptions == [TOPIC, b"status"]


def test_without_a_group_all_groups_come(live: LiveSocket) -> None:
    with Subscriber(live.endpoint) as batches:
        live.wait_for(b"batch/")
        live.send(batch(0), batch(5, group="yard"), batch(1), batch(6, group="yard"))
        assert [(one.group, one.seq) for one in (batches.receive(WAIT_S) for _ in range(4))] == [
            ("lobby", 0),
            ("yard", 5),
            ("lobby", 1),
            ("yard", 6),
        ]


def test_a_group_whose_name_starts_alike_stays_out(live: LiveSocket) -> None:
    with Subscriber(live.endpoint, group="lobby") as batches:
        live.wait_for(TOPIC)
        live.send(batch(0, group="lobby2"), batch(0), batch(1, group="lobby2"), batch(1))
        assert [batches.receive(WAIT_S).group for _ in range(2)] == ["lobby", "lobby"]
    assert batches.stats.ignored["other_group"] == 2


def test_holes_come_as_gaps(live: LiveSocket) -> None:
    with Subscriber(live.endpoint, "lobby", gaps="yield") as batches:
        live.wait_for(TOPIC)
        live.send(batch(3), batch(6), batch(7))
        assert seqs(batches, 4) == [3, Gap(4, 5, "lost", "lobby", *windows(4, 5)), 6, 7]
    assert batches.stats.missed == 2


def test_holes_are_counted_by_default(live: LiveSocket) -> None:
    with Subscriber(live.endpoint, "lobby") as batches:
        live.wait_for(TOPIC)
        live.send(batch(3), batch(6), batch(2, epoch=NEXT_EPOCH))
        assert seqs(batches, 3) == [3, 6, 2]
    assert batches.stats.gaps == {"lost": 1, "restarted": 1}
    assert (batches.stats.missed, batches.stats.epochs) == (4, 2)


@pytest.mark.parametrize("options", [{"payload": None}, {"late": True}], ids=str)
def test_mode_local_refuses_what_it_does_not_have_and_auto_takes_the_other(live: LiveSocket, options: Any) -> None:
    with pytest.raises(UsageError, match=r"mode 'live'"):
        Subscriber(live.endpoint, "lobby", "local", **options)
    with Subscriber(live.endpoint, "lobby", "auto", **options) as batches:
        live.wait_for(b"head/lobby" if "payload" in options else TOPIC)
        live.send(batch(0))
        assert seqs(batches, 1) == [0]


@pytest.mark.parametrize("kind", ["tcp", "ipc"])
def test_a_restarted_service_is_found_again(kind: str, tmp_path: Path) -> None:
    place = "tcp://127.0.0.1:*" if kind == "tcp" else f"ipc://{tmp_path}/live"
    with LiveSocket(place) as before:
        endpoint = before.endpoint
        batches = Subscriber(endpoint, "lobby", gaps="yield")
        before.wait_for(TOPIC)
        before.send(batch(8))
        assert seqs(batches, 1) == [8]
        before.wait_for(b"status")
        before.send_status("draining")
    with batches, LiveSocket(endpoint) as after:
        after.wait_for(TOPIC, meanwhile=batches.poll)
        after.send(batch(9), batch(1, epoch=NEXT_EPOCH), batch(2, epoch=NEXT_EPOCH))
        assert seqs(batches, 4) == [9, Gap(0, 0, "restarted", "lobby", *windows(0, 0)), 1, 2]


def test_it_may_start_before_the_service(tmp_path: Path) -> None:
    with Subscriber(f"ipc://{tmp_path}/live", "lobby") as batches:
        assert batches.poll() is None
        with LiveSocket(f"ipc://{tmp_path}/live") as live:
            live.wait_for(TOPIC, meanwhile=batches.poll)
            live.send(batch(0))
            assert seqs(batches, 1) == [0]


def test_garbage_in_between_is_counted(live: LiveSocket) -> None:
    whole = [TOPIC, b"\x80"]
    with Subscriber(live.endpoint, "lobby", gaps="yield") as batches:
        live.wait_for(TOPIC)
        live.send(batch(0), [TOPIC], whole)
        assert seqs(batches, 1) == [0]
        live.send([TOPIC, b"\x91" * 5000, b"x"], batch(1))
        assert seqs(batches, 1) == [1]
    assert (batches.stats.invalid, batches.stats.received) == (3, 2)


def test_a_flood_of_garbage_does_not_keep_a_caller_from_its_timeout(live: LiveSocket) -> None:
    with Subscriber(live.endpoint, "lobby") as batches:
        live.wait_for(TOPIC)
        live.send([TOPIC, b"junk"])
        with pytest.raises(TimeoutError, match=r"no batch within 0\.05 s"):
            batches.receive(0.05)


def test_a_slow_subscriber_loses_batches_and_is_told_which(tmp_path: Path) -> None:
    big = Layout("gray8", 1024, 1024)
    payload = bytes(big.size_bytes)
    at = f"ipc://{tmp_path}/live"
    with LiveSocket(at, high_water_mark=2) as live, Subscriber(at, "lobby", gaps="yield") as batches:
        live.wait_for(TOPIC)
        named: list[int] = []
        for seq in range(40):  # far more than both high-water marks and the kernel's buffers hold
            live.send(batch(seq, frames={"north": [frame("north", seq, layout=big, payload=payload)]}))
        while not batches.stats.missed:
            seq += 1
            live.send(batch(seq, frames={"north": [frame("north", seq, layout=big, payload=payload)]}))
            while (item := batches.poll()) is not None:
                named += range(item.first_seq, item.last_seq + 1) if isinstance(item, Gap) else [item.seq]
        assert batches.stats.gaps["lost"] >= 1
        assert batches.stats.received < 40
    assert named == list(range(len(named)))


def test_a_subscriber_that_stalls_keeps_its_connection(live: LiveSocket) -> None:
    """ZMTP heartbeats and a full high-water mark make libzmq abort the process (zeromq/libzmq#3937): none are set."""
    with Subscriber(live.endpoint, "lobby") as batches:
        assert batches._inlet._socket.getsockopt(zmq.RCVHWM) == 2
        assert batches._inlet._socket.getsockopt(zmq.HEARTBEAT_IVL) == 0
        assert batches._inlet._socket.getsockopt(zmq.TCP_KEEPALIVE) == 1


def test_the_iteration_ends_with_the_service_after_the_last_batch(live: LiveSocket) -> None:
    with Subscriber(live.endpoint, "lobby") as batches:
        live.wait_for(TOPIC)
        live.send(batch(0))
        assert next(batches).seq == 0
        live.wait_for(b"status")
        live.send_status("running")
        live.send(batch(1))
        live.send_status("draining")
        live.send(batch(2))
        live.send_status("ended")
        assert [one.seq for one in batches] == [1, 2]
        assert list(batches) == []
        for ask in (batches.receive, batches.receive_nowait, batches.poll):
            with pytest.raises(SubscriptionEnded):
                ask()


def test_nothing_yet_is_said_in_three_ways(live: LiveSocket) -> None:
    with Subscriber(live.endpoint, "lobby") as batches:
        live.wait_for(TOPIC)
        assert batches.poll() is None
        with pytest.raises(BlockingIOError):
            batches.receive_nowait()
        with pytest.raises(TimeoutError):
            batches.receive(timeout_s=0)
        live.send(batch(0))
        assert seqs(batches, 1) == [0]


def test_closed_is_closed(live: LiveSocket) -> None:
    batches = Subscriber(live.endpoint, "lobby")
    live.wait_for(TOPIC)
    batches.close()
    batches.close()
    live.wait_until_alone()
    for ask in (batches.receive, batches.receive_nowait, batches.poll, batches.__next__):
        with pytest.raises(SubscriberClosed):
            ask()


def test_payloads_outlive_the_subscriber_and_cannot_be_written(live: LiveSocket) -> None:
    sent = frame("north", 1, layout=Layout("bgr24", 640, 360))
    with Subscriber(live.endpoint, "lobby") as batches:
        live.wait_for(TOPIC)
        live.send(batch(0, frames={"north": [sent]}))
        got = batches.receive(WAIT_S).frames["north"][0]
    assert isinstance(got.payload, memoryview)
    assert got.payload.readonly
    assert np.array_equal(got.pixels, np.frombuffer(sent.payload, np.uint8))
    with pytest.raises(ValueError, match="read-only"):
        got.pixels[0] = 1


@pytest.mark.parametrize(
    "endpoint",
    ["", "localhost:5555", "tcp://", "tcp://host", "http://host:1", "tcp://h:99999", "tcp://h:0", "ipc://", 7],
)
def test_an_endpoint_that_cannot_be_one_is_refused(endpoint: Any) -> None:
    with pytest.raises(UsageError, match="allowed are tcp://HOST:PORT and ipc:///PATH"):
        Subscriber(endpoint)


def test_an_ipc_path_that_is_too_long_is_refused() -> None:
    with pytest.raises(UsageError, match="File name too long"):
        Subscriber("ipc:///tmp/" + "x" * 200)


def test_words_that_are_not_known_are_refused() -> None:
    with pytest.raises(UsageError, match="mode 'live' keeps nothing; name='me' is for mode 'lossless'"):
        Subscriber("tcp://127.0.0.1:1", name="me")
    with pytest.raises(UsageError, match="mode 'lossless' has batches alone; late=True is for mode 'live'"):
        Subscriber("tcp://127.0.0.1:1", mode="lossless", late=True)
    with pytest.raises(UsageError, match="name 'a b'"):
        Subscriber("tcp://127.0.0.1:1", mode="lossless", name="a b")
    with pytest.raises(UsageError, match="start 'newest': allowed are 'oldest', UTC nanoseconds, and"):
        Subscriber("tcp://127.0.0.1:1", mode="lossless", start="newest")  # type: ignore[call-overload]
    with pytest.raises(UsageError, match="name one group"):
        Subscriber("tcp://127.0.0.1:1", mode="lossless", start=(1, 2))
    with pytest.raises(UsageError, match="mode 'fast'"):
        Subscriber("tcp://127.0.0.1:1", mode="fast")  # type: ignore[call-overload]
    with pytest.raises(UsageError, match="gaps 'hide'"):
        Subscriber("tcp://127.0.0.1:1", gaps="hide")  # type: ignore[call-overload]
    with pytest.raises(UsageError, match="group 'Lobby'"):
        Subscriber("tcp://127.0.0.1:1", group="Lobby")


def test_the_context_going_away_is_an_end_of_ours() -> None:
    batches = Subscriber("tcp://127.0.0.1:1", "lobby")
    batches._inlet._context.destroy(linger=0)
    with pytest.raises(SubscriberClosed):
        batches.receive(1)
