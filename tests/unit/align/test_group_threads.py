"""Who lets a group's batches go: the stream's thread that completes one, unless something would hold it up."""

import threading
from collections.abc import Callable

import pytest

from syncsvc.align.group import Group, GroupOutput
from syncsvc.lifecycle import Worker
from syncsvc.model import FrameBatch
from syncsvc.observe.events import Expect, GroupRules, Open
from syncsvc.testing import MS, T0, ManualClock, S, frame
from syncsvc.timing.utc import UtcMapper
from tests.e2e.harness import wait_for

FRAMES = 60


def group_of(streams: str, emit: Callable[[FrameBatch], None], is_free: Callable[[], bool]) -> Group:
    """A group with windows of 100 ms, on a clock that stands still: nothing ever leaves at its deadline."""
    rules = GroupRules(tuple(streams), 100 * MS, 5 * MS, 3600 * S, None)
    output = GroupOutput(emit, lambda *_: None, is_free)
    opening = Open(rules, 1, T0 // (100 * MS), 0, is_patient=False)
    group = Group("g", opening, UtcMapper(ManualClock()), output)
    for name in streams:
        group.tell(Expect(name, T0 - 1))
    return group


def test_a_batch_leaves_with_the_frame_that_completes_it_where_it_can_leave_at_once() -> None:
    left: list[FrameBatch] = []
    can_leave = [True, True, False]
    group = group_of("a", left.append, lambda: can_leave.pop(0))
    group.tell(frame("a", 0, T0 + 250 * MS))
    assert [one.seq for one in left] == [0]
    assert group.close_due()
    assert [one.seq for one in left] == [0, 1]


def test_a_stream_does_not_wait_for_another_that_sends_and_its_batch_follows() -> None:
    left: list[int] = []
    is_sending, may_go_on = threading.Event(), threading.Event()

    def emit(batch: FrameBatch) -> None:
        if not left:
            is_sending.set()
            assert may_go_on.wait(60)
        left.append(batch.seq)

    group = group_of("ab", emit, lambda: True)
    group.tell(frame("b", 0, T0 + 150 * MS))
    with Worker("a", lambda stop: group.tell(frame("a", 0, T0 + 150 * MS))) as first:
        assert is_sending.wait(60)
        group.tell(frame("b", 1, T0 + 250 * MS))
        group.tell(frame("a", 1, T0 + 250 * MS))
        assert left == []
        may_go_on.set()
        assert first.join(60)
    assert (first.error, left) == (None, [0, 1])


def test_no_batch_is_forgotten_between_threads_whoever_may_send(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncsvc.align.group.IDLE_WAIT_NS", 3600 * S)
    left: list[int] = []
    group = group_of("abc", lambda batch: left.append(batch.seq), lambda: len(left) % 3 != 1)

    def bring(stream: str) -> None:
        for n in range(FRAMES):
            group.tell(frame(stream, n, T0 + 50 * n * MS))

    complete = FRAMES * 50 // 100 - 1
    aligner = Worker("align", group.run).start()
    streams = [threading.Thread(target=bring, args=(name,)) for name in "abc"]
    for thread in streams:
        thread.start()
    wait_for(lambda: len(left) == complete, "every batch that frames complete")
    for thread in streams:
        thread.join()
    group.flush()
    assert aligner.join(60)
    assert (aligner.error, left) == (None, list(range(complete + 1)))
