"""Channels: typed messages and descriptors between processes, whole at any length, checked where they arrive."""

import os
import resource
import socket
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from msgspec import structs

from syncsvc.errors import DescriptorsLost, LinkClosed, TransportError
from syncsvc.model import Counts
from syncsvc.observe.events import GroupRules
from syncsvc.observe.status import IngestStatus, LocalStatus, ReceiverStatus
from syncsvc.plan.from_receiver import Done, FromReceiver, Report
from syncsvc.plan.plans import GroupPlan, ReceiverPlan, StreamPlan
from syncsvc.plan.to_receiver import Begin, Drain, KeepPage, Reload, Serve, ToReceiver
from syncsvc.transport import packets
from syncsvc.transport.channel import Channel
from tests.statuses import GROUP

STREAMS = [f"camera-{number:04}" for number in range(1000)]
Pair = tuple[Channel[Any], Channel[Any]]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """The receiver's end and the daemon's."""
    receiver, theirs = Channel.pair(ToReceiver)
    daemon: Channel[FromReceiver] = Channel(theirs, FromReceiver)
    yield receiver, daemon
    receiver.close()
    daemon.close()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_messages_and_descriptors_arrive_in_order(pair: Pair) -> None:
    receiver, daemon = pair
    reader, writer = os.pipe()
    daemon.send(KeepPage("lobby"), writer)
    daemon.send(Begin(5))
    os.close(writer)
    first = receiver.receive(0)
    assert first is not None
    assert first[0] == KeepPage("lobby")
    [copy] = first[1]
    assert not os.get_inheritable(copy)
    os.write(copy, b"through")
    assert os.read(reader, 7) == b"through"
    assert receiver.receive(0) == (Begin(5), [])
    assert receiver.receive(0) is None
    for fd in (copy, reader):
        os.close(fd)
    daemon.close()
    with pytest.raises(LinkClosed):
        receiver.receive(0)
    with pytest.raises(LinkClosed):
        receiver.send(Done())


def plan() -> ReceiverPlan:
    streams = {name: StreamPlan("rtsp", "auto", None, 1, 2, 3, name=name, source="0123456789") for name in STREAMS}
    entries = {name: number for number, name in enumerate(STREAMS)}
    groups = {"all": GroupPlan("all", GroupRules(tuple(STREAMS), 10**9, 2, 3), False, entries)}
    return ReceiverPlan("run", 1, "tcp://127.0.0.1:5555", "tcp://127.0.0.1:5556", 0, False, streams, groups)


def status() -> ReceiverStatus:
    counts = {name: Counts(captured=9, delivered=6, late=2, dropped={"ring_full": 1}) for name in STREAMS}
    streams = {name: IngestStatus(clock="rtcp", clock_problems={"model": "it has no pts"}) for name in STREAMS}
    groups = {"all": structs.replace(GROUP, streams=tuple(STREAMS), counts=counts)}
    return ReceiverStatus("run", 1, 10, 0, LocalStatus(), streams, groups)


def test_what_is_said_of_a_thousand_streams_arrives_whole_both_ways_and_leaves_nothing_behind(pair: Pair) -> None:
    receiver, daemon = pair
    reader, writer = os.pipe()
    before = descriptors()
    for message in (Serve(plan(), is_logged=True), Reload(plan())):
        fds = (writer,) if message.descriptors else ()
        daemon.send(message, *fds)
        heard = receiver.receive(0)
        assert heard is not None
        assert heard[0] == message
        for fd in heard[1]:
            os.write(fd, b"log")
            assert os.read(reader, 3) == b"log"
            os.close(fd)
    report = Report(status())
    for _ in range(3):
        receiver.send(report)
    assert [daemon.receive(0) for _ in range(4)] == [*[(report, [])] * 3, None]
    assert descriptors() == before
    os.close(reader)
    os.close(writer)


NONSENSE = {
    "no MessagePack": (b"\xc1", 0, "cannot be read"),
    "no map": (b"\x05", 0, "cannot be read"),
    "a type that is none": (msgspec.msgpack.encode({"type": "shutdown"}), 0, "shutdown"),
    "the other direction's": (msgspec.msgpack.encode({"type": "done"}), 0, "done"),
    "a wrong field": (msgspec.msgpack.encode({"type": "begin", "ready_ns": "soon"}), 0, "ready_ns"),
    "a descriptor too few": (msgspec.msgpack.encode({"type": "keep_page", "group": "lobby"}), 0, "0 descriptors"),
    "a descriptor too many": (msgspec.msgpack.encode({"type": "drain"}), 1, "1 descriptors"),
    "more descriptors than any": (msgspec.msgpack.encode({"type": "drain"}), 20, "more descriptors"),
    "a parcel without content": (msgspec.msgpack.encode({"type": "parcel", "size_bytes": 5}), 0, "no content"),
    "a parcel without end": (msgspec.msgpack.encode({"type": "parcel", "size_bytes": 2**40}), 1, "too much"),
    "a parcel that is no file": (msgspec.msgpack.encode({"type": "parcel", "size_bytes": 5}), 1, "cannot be read"),
    "longer than a packet": (b"x" * 100_000, 0, "longer than a packet"),
}


@pytest.mark.parametrize(("data", "fds", "problem"), NONSENSE.values(), ids=NONSENSE)
def test_nonsense_is_named_and_its_descriptors_are_closed(pair: Pair, data: bytes, fds: int, problem: str) -> None:
    receiver, daemon = pair
    before = descriptors()
    reader, writer = os.pipe()
    with socket.socket(fileno=os.dup(daemon.fileno())) as raw:
        socket.send_fds(raw, [data], [reader] * fds)
    os.close(reader)
    os.close(writer)
    with pytest.raises(TransportError, match=problem) as caught:
        receiver.receive(0)
    assert not isinstance(caught.value, LinkClosed)
    assert descriptors() == before


def flood(daemon: Channel[Any]) -> None:
    for _ in range(1000):
        daemon.send(Reload(plan()), timeout_s=0.01)


def test_a_channel_whose_other_end_does_not_read_gives_up(pair: Pair) -> None:
    before = descriptors()
    with pytest.raises(TransportError, match="does not read"):
        flood(pair[1])
    assert descriptors() == before


def test_a_message_without_end_is_not_sent(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packets, "MAX_MESSAGE_BYTES", 100_000)
    with pytest.raises(TransportError, match="is too long"):
        pair[1].send(Reload(plan()))


def test_a_channel_serves_a_process_with_thousands_of_descriptors() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    reader, writer = os.pipe()
    many = [os.dup(reader) for _ in range(1100)]
    ours: Channel[ToReceiver]
    ours, theirs = Channel.pair(ToReceiver)
    beyond: Channel[FromReceiver] = Channel(theirs, FromReceiver)
    assert ours.fileno() > 1024
    beyond.send(Drain())
    assert ours.receive(0) == (Drain(), [])
    ours.close()
    beyond.close()
    for fd in (*many, reader, writer):
        os.close(fd)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_channel_whose_other_end_closes_meanwhile_ends_the_wait(pair: Pair) -> None:
    receiver, daemon = pair
    ended = threading.Event()

    def wait() -> None:
        with pytest.raises(LinkClosed):
            receiver.receive(20)
        ended.set()

    thread = threading.Thread(target=wait)
    thread.start()
    daemon.close()
    assert ended.wait(10)
    thread.join()


def test_a_message_whose_descriptors_find_no_room_is_told_of_and_the_next_one_comes(pair: Pair) -> None:
    receiver, daemon = pair
    daemon.send(KeepPage("lobby"), 0)
    daemon.send(Drain())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    os.close(lowest := os.dup(0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        with pytest.raises(DescriptorsLost) as lost:
            receiver.receive(0)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert lost.value.message == KeepPage("lobby")
    assert receiver.receive(0) == (Drain(), [])
