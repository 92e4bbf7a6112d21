"""A stream belongs to groups, moves between them and ends, and the groups it does not belong to do not notice."""

from collections.abc import Iterator

import pytest

from syncsvc.model import StreamState
from syncsvc.plan.plans import StreamPlan
from syncsvc.publish.leases import held_ns_of
from syncsvc.receiver.served_group import ServedGroup
from syncsvc.receiver.served_stream import ServedStream
from syncsvc.testing import MS, T0, TINY, MemoryLink, S, observation
from syncsvc.transport.messages import EndMessage, FrameMessage
from syncsvc.transport.ring import RingWriter
from tests.unit.receiver.stage import Stage, end, plan_of, stage

PLAN = StreamPlan("synthetic", "auto", None, 3 * S, 0, S, name="a")


@pytest.fixture
def groups() -> Iterator[Stage]:
    with stage() as one:
        yield one


@pytest.fixture
def ring() -> Iterator[RingWriter]:
    one = RingWriter(1, 8, TINY.size_bytes)
    yield one
    one.close()


def started(groups: Stage, *names: str) -> list[ServedGroup]:
    """Groups of stream ``a`` that run."""
    for name in names:
        groups.group(name).follow(plan_of(name, "a"), 1, T0)
    return [groups.groups[name] for name in names]


def capture_of(ring: RingWriter, first: int, count: int) -> MemoryLink:
    """A capture that took so many frames from this one on, 25 a second, and ended."""
    link = MemoryLink()
    link.send_ring(1, ring.slots, ring.slot_bytes, ring.fd)
    for seq in range(first, first + count):
        seen = observation(seq, 1000 * S + seq * 40 * MS, T0 + seq * 40 * MS, "pts")
        link.send(FrameMessage(seen, 1, seq % 8, 2, TINY.size_bytes))
    link.send(EndMessage())
    link.hang_up()
    return link


def read(stream: ServedStream, link: MemoryLink, next_seq: int) -> None:
    """Read a capture to its end, which is the stream's too."""
    stream.attach(link, next_seq)  # type: ignore[arg-type]  # reads like one
    stream.worker.stop_token.set()
    assert stream.worker.join(60)


def seqs(groups: Stage, name: str) -> list[int]:
    """Frames that one group emitted."""
    return [frame.seq for batch in groups.of(name) for frame in batch.frames["a"]]


def test_its_frames_go_to_the_groups_that_it_belongs_to_and_no_other(groups: Stage, ring: RingWriter) -> None:
    ours, both, other = started(groups, "ours", "both", "other")
    stream = ServedStream(PLAN, groups.shared)
    assert stream.follow(PLAN, [ours, both]).wait(60)
    read(stream, capture_of(ring, 0, 4), 0)
    for group in (ours, both, other):
        end(group)
    assert (seqs(groups, "ours"), seqs(groups, "both"), seqs(groups, "other")) == ([0, 1, 2, 3], [0, 1, 2, 3], [])
    assert groups.early == [(b"batch/ours", b"batch/both")] * 4
    assert stream.status.state is StreamState.ENDED


def test_it_moves_between_two_frames_and_owes_nothing_to_whom_it_joins(groups: Stage, ring: RingWriter) -> None:
    before, after = started(groups, "before", "after")
    stream = ServedStream(PLAN, groups.shared)
    assert stream.follow(PLAN, [before]).wait(60)
    first = capture_of(ring, 0, 3)
    stream.attach(first, 0)  # type: ignore[arg-type]  # reads like one
    stream.detach(3)
    while not first.is_closed:
        pass
    assert stream.follow(PLAN, [after]).wait(60)
    read(stream, capture_of(ring, 3, 2), 3)
    for group in (before, after):
        end(group)
    assert (seqs(groups, "before"), seqs(groups, "after")) == ([0, 1, 2], [3, 4])
    assert all(not batch.counts["a"].dropped for batch in groups.batches)
    assert groups.pages["after"].accounted(0) == 5, "what it took before it joined is not owed"


def test_what_a_receiver_took_down_with_it_is_said_once_for_all_groups(
    groups: Stage, ring: RingWriter, caplog: pytest.LogCaptureFixture
) -> None:
    served = started(groups, "ours", "other")
    groups.pages["ours"].account(0, 3)
    stream = ServedStream(PLAN, groups.shared)
    assert stream.follow(PLAN, served).wait(60)
    for _ in range(2):
        stream.attach(capture_of(ring, 8, 1), 8)  # type: ignore[arg-type]  # reads like one
    assert stream.leave().wait(60)
    assert stream.worker.join(60)
    assert [one.message for one in caplog.records if "lost" in one.message] == [
        "stream a: 8 frames lost: 8 receiver_died"
    ]


def test_a_stream_that_leaves_ends_and_its_groups_go_on(groups: Stage) -> None:
    (group,) = started(groups, "g")
    stream = ServedStream(PLAN, groups.shared)
    assert stream.follow(PLAN, [group]).wait(60)
    assert stream.leave().wait(60)
    assert stream.worker.join(60)
    assert group.is_running


def test_it_asks_for_a_longer_lease_once_and_for_the_longest_that_is_wanted(groups: Stage) -> None:
    (group,) = started(groups, "g")
    stream = ServedStream(PLAN, groups.shared)
    stream.follow(PLAN, [group])
    assert stream.longer_ns(lambda topic: False) is None
    assert stream.longer_ns(lambda topic: topic == b"batch/g") == held_ns_of(S)
    assert stream.longer_ns(lambda topic: True) is None, "it was told"
    assert stream.leave().wait(60)
    assert stream.longer_ns(lambda topic: True) is None, "it has no groups"
