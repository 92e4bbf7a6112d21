"""A receiver of a thousand streams, as the daemon sees it: what it is told and what it reports fits its channel."""

import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from msgspec import structs

from syncsvc.clock import SYSTEM_CLOCK
from syncsvc.daemon.child import Child, SpawnedChild
from syncsvc.errors import LinkClosed
from syncsvc.layout import Layout
from syncsvc.model import StreamState
from syncsvc.observe.events import GroupRules
from syncsvc.observe.records import ReloadRecord, RunRecord, decode
from syncsvc.plan.from_receiver import Bound, Done, FromReceiver, Report
from syncsvc.plan.plans import GroupPlan, ReceiverPlan, StreamPlan
from syncsvc.plan.to_receiver import Attach, Begin, Finish, KeepPage, Reload, Serve
from syncsvc.testing import MS, S
from syncsvc.transport.link import LinkWriter, open_link
from syncsvc.transport.messages import EndMessage
from syncsvc.transport.page import GroupPage
from syncsvc.transport.ring import RingWriter

PATIENCE_S = 120.0
"""A thousand threads beside other programs take their time."""
NAMES = tuple(f"camera-{number:04}" for number in range(1000))
Wanted = TypeVar("Wanted", bound=FromReceiver)


def plan() -> ReceiverPlan:
    streams = {name: StreamPlan("rtsp", "auto", None, 3 * S, 350 * MS, S, name=name) for name in NAMES}
    groups = {
        f"g{first}": GroupPlan(
            f"g{first}", GroupRules(NAMES[first : first + 100], S, 40 * MS, 500 * MS), False,
            {name: entry for entry, name in enumerate(NAMES[first : first + 100])},
        )
        for first in range(0, 1000, 100)
    }  # fmt: skip
    return ReceiverPlan("run", 1, "tcp://127.0.0.1:0", "tcp://127.0.0.1:0", 0, False, streams, groups)


@pytest.fixture
def receiver() -> Iterator[Child[FromReceiver]]:
    child: Child[FromReceiver] = SpawnedChild("syncsvc.receiver.process", "receiver", FromReceiver)
    yield child
    child.kill()
    assert child.reap(10) is not None


def await_message(receiver: Child[FromReceiver], kind: type[Wanted]) -> Wanted:
    """Its next message of this kind; others are passed over."""
    for _ in range(1000):
        received = receiver.channel.receive(PATIENCE_S)
        assert received is not None, "it fell silent"
        if isinstance(received[0], kind):
            return received[0]
    raise AssertionError(f"no {kind.__name__}")


def test_a_receiver_tells_of_a_thousand_streams_and_lives(receiver: Child[FromReceiver]) -> None:
    receiver.channel.send(Serve(plan()))
    await_message(receiver, Bound)
    for name in plan().groups:
        page = GroupPage.create(name)
        receiver.channel.send(KeepPage(name), page.fd)
        page.close()
    receiver.channel.send(Begin(SYSTEM_CLOCK.utc_ns()))
    while len((report := await_message(receiver, Report).report).streams) < len(NAMES):
        pass
    assert {stream.state for stream in report.streams.values()} <= {StreamState.STARTING, StreamState.ABSENT}
    assert len(report.groups) == 10
    assert await_message(receiver, Report).report.epoch == report.epoch
    receiver.channel.send(Finish("draining"), timeout_s=PATIENCE_S)
    await_message(receiver, Done)
    assert receiver.reap(PATIENCE_S) == 0


def test_a_configuration_that_is_read_again_before_the_beginning_is_what_begins(
    receiver: Child[FromReceiver], tmp_path: Path
) -> None:
    before = plan()
    after = structs.replace(before, streams={}, groups={})
    with (tmp_path / "log").open("wb") as log:
        receiver.channel.send(Serve(before, is_logged=True), log.fileno())
    await_message(receiver, Bound)
    receiver.channel.send(Reload(after))
    receiver.channel.send(Begin(SYSTEM_CLOCK.utc_ns()))
    receiver.channel.send(Finish("draining"))
    assert not await_message(receiver, Report).report.groups
    await_message(receiver, Done)
    assert receiver.reap(PATIENCE_S) == 0
    said = [decode(line) for line in (tmp_path / "log").read_bytes().splitlines()]
    assert [type(one) for one in said if isinstance(one, RunRecord | ReloadRecord)] == [RunRecord]


def two_streams() -> ReceiverPlan:
    rules = GroupRules(("a", "b"), S, 40 * MS, 500 * MS)
    streams = {name: structs.replace(plan().streams[NAMES[0]], name=name) for name in rules.streams}
    return structs.replace(plan(), streams=streams, groups={"all": GroupPlan("all", rules, False, {"a": 0, "b": 1})})


@pytest.fixture
def serving(receiver: Child[FromReceiver]) -> Child[FromReceiver]:
    """A receiver of the streams a and b."""
    receiver.channel.send(Serve(two_streams()))
    await_message(receiver, Bound)
    page = GroupPage.create("all")
    receiver.channel.send(KeepPage("all"), page.fd)
    page.close()
    receiver.channel.send(Begin(SYSTEM_CLOCK.utc_ns()))
    await_message(receiver, Report)
    return receiver


def test_a_capture_whose_descriptors_find_no_room_costs_its_stream_and_not_the_receiver(
    serving: Child[FromReceiver],
) -> None:
    limits = resource.prlimit(serving.pid, resource.RLIMIT_NOFILE)
    open_ones = {int(fd) for fd in os.listdir(f"/proc/{serving.pid}/fd")}
    lowest_free = min(set(range(len(open_ones) + 1)) - open_ones)
    resource.prlimit(serving.pid, resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
    attach(serving, "a").close()
    assert "RLIMIT_NOFILE" in await_problem(serving, "a")
    resource.prlimit(serving.pid, resource.RLIMIT_NOFILE, limits)
    assert_that_b_is_heard(serving)


def test_a_ring_that_the_receiver_cannot_map_costs_its_stream_and_not_the_receiver(
    serving: Child[FromReceiver],
) -> None:
    status = Path(f"/proc/{serving.pid}/status").read_text()
    size_bytes = 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmSize:")))
    limits = resource.prlimit(serving.pid, resource.RLIMIT_AS)
    resource.prlimit(serving.pid, resource.RLIMIT_AS, (size_bytes + (1 << 30), limits[1]))
    capture, layout = attach(serving, "a"), Layout("gray8", 1024, 1024)
    ring = RingWriter(1, 1, layout.size_bytes, most_slots=4096)  # room of 4 GiB, memory of one slot
    assert capture.hand_over(ring, layout)
    assert "4096 MiB cannot be mapped" in await_problem(serving, "a")
    with pytest.raises(LinkClosed):
        capture.send(EndMessage())
    capture.close()
    ring.close()
    assert_that_b_is_heard(serving)


def await_problem(receiver: Child[FromReceiver], stream: str) -> str:
    """What the receiver has against a stream's capture, once it has something."""
    while not (problem := await_message(receiver, Report).report.streams[stream].problem):
        pass
    return problem


def assert_that_b_is_heard(receiver: Child[FromReceiver]) -> None:
    capture = attach(receiver, "b")
    capture.send(EndMessage())
    while (seen := await_message(receiver, Report).report.streams["b"]).state is not StreamState.ENDED:
        pass
    assert seen.problem == ""
    capture.close()


def attach(receiver: Child[FromReceiver], stream: str) -> LinkWriter:
    """Tell it of a capture; the capture's end."""
    reader, writer, ours, theirs = open_link()
    receiver.channel.send(Attach(stream, 0), reader, ours.fileno())
    os.close(reader)
    ours.close()
    return LinkWriter(writer, theirs)
