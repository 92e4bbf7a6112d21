"""A frame's pixels on their way out: one copy, the slot home at once, the buffer back when ZeroMQ let go of it."""

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from syncsvc.errors import SlotReclaimedError
from syncsvc.testing import TINY, MemoryLink
from syncsvc.transport.payload import BufferPool, CodedPart, SlotPayload
from syncsvc.transport.ring import RingReader, RingWriter

SIZE = 300_000


class Slots:
    """A ring with its reader, and a link that remembers what came home."""

    def __init__(self) -> None:
        self.writer = RingWriter(1, 4, SIZE)
        self.reader, self.link = RingReader(self.writer.fd), MemoryLink()

    def payload(self, value: int, users: int = 1) -> SlotPayload:
        slot = self.writer.acquire()
        assert slot is not None
        self.writer.pixels(slot)[:] = value
        link = self.link
        return SlotPayload(self.reader, link, 1, slot, self.writer.commit(slot), SIZE, users)  # type: ignore[arg-type]


@pytest.fixture
def slots() -> Iterator[Slots]:
    one = Slots()
    yield one
    one.writer.close()


def free(pool: BufferPool) -> int:
    return sum(len(some) for some in pool._free.values())


def test_the_first_copy_sends_the_slot_home_and_the_second_is_the_same_buffer(slots: Slots) -> None:
    pool, payload = BufferPool(), slots.payload(7, users=2)
    first = payload.copy_out(pool)
    assert slots.link.returned == [(1, 0)]
    slots.writer.pixels(0)[:] = 99
    second = payload.copy_out(pool)
    assert second is first
    assert (first == 7).all()
    assert payload.view() is first
    payload.release()
    payload.release()
    assert len(slots.link.returned) == 1


def test_the_coded_picture_behind_it_is_copied_by_itself_and_outlives_the_slot(slots: Slots) -> None:
    pool, slot = BufferPool(), slots.writer.acquire()
    assert slot is not None
    slots.writer.pixels(slot)[: SIZE - 9], slots.writer.pixels(slot)[SIZE - 9 :] = 1, 2
    generation, coded = slots.writer.commit(slot), CodedPart(TINY, 9)
    link: Any = slots.link
    payload = SlotPayload(slots.reader, link, 1, slot, generation, SIZE - 9, 1, coded)
    assert (payload.view() == 1).all()
    beside = payload.copy_coded(pool)
    assert beside is not None
    assert (beside.tolist(), slots.link.returned) == ([2] * 9, [])
    assert (payload.copy_out(pool) == 1).all()
    assert slots.link.returned == [(1, slot)]
    assert payload.copy_coded(pool) is beside
    payload.release()
    late = SlotPayload(slots.reader, link, 1, slot, generation, SIZE - 9, 1, coded)
    late.copy_out(pool)
    assert late.copy_coded(pool) is None, "the slot went home before anybody asked"
    assert slots.payload(7).copy_coded(pool) is None, "it has none"


def test_two_groups_share_it_and_the_last_one_lets_go(slots: Slots) -> None:
    pool, payload = BufferPool(), slots.payload(7, users=2)
    payload.release()
    assert slots.link.returned == []
    assert payload.copy_out(pool)[0] == 7
    payload.release()
    assert free(pool) == 1


def test_groups_go_on_with_the_copy_alone_and_the_last_one_lets_go(slots: Slots) -> None:
    pool = BufferPool()
    payload = slots.payload(7, users=2)
    copy = payload.copy_out(pool)
    assert slots.link.returned == [(1, 0)]
    assert payload.copy_out(pool) is copy
    assert payload.lease() is None
    payload.release()
    assert (payload.view() == 7).all()
    payload.release()
    assert free(pool) == 0, "somebody sends it yet"
    del copy
    assert free(pool) == 1


def test_a_slot_that_is_wanted_stays_beside_its_copy_until_the_last_reader_is_done(slots: Slots) -> None:
    pool, payload = BufferPool(), slots.payload(7)
    assert payload.copy_out(pool, keeps_slot=True)[0] == 7
    lease = payload.lease()
    assert lease is not None
    assert (lease.ring, lease.slot, lease.size_bytes) == (slots.reader, 0, SIZE)
    payload.release()
    assert slots.link.returned == []
    payload.release()
    assert slots.link.returned == [(1, 0)]


def test_a_slot_that_is_leased_does_not_go_home_with_a_copy(slots: Slots) -> None:
    pool, payload = BufferPool(), slots.payload(7)
    assert payload.lease() is not None
    payload.copy_out(pool)
    payload.release()
    assert slots.link.returned == []
    payload.release()
    assert slots.link.returned == [(1, 0)]


def test_without_a_copy_the_last_release_sends_the_slot_home(slots: Slots) -> None:
    payload = slots.payload(7, users=2)
    payload.release()
    assert slots.link.returned == []
    payload.release()
    assert len(slots.link.returned) == 1


def test_a_slot_that_was_rewritten_is_noticed_and_comes_home_on_release(slots: Slots) -> None:
    pool, payload = BufferPool(), slots.payload(7)
    slots.writer.give_back(0)
    slots.writer.acquire()
    with pytest.raises(SlotReclaimedError):
        payload.copy_out(pool)
    payload.release()
    assert slots.link.returned == [(1, 0)]
    gc.collect()
    assert free(pool) == 1, "the buffer of the copy that failed is not lost"


def test_a_buffer_comes_back_when_nobody_refers_to_it_not_even_a_slice() -> None:
    pool = BufferPool()
    buffer = pool.take(100)
    part = memoryview(buffer[10:20])
    del buffer
    assert free(pool) == 0
    assert pool.take(100) is not None
    del part
    assert free(pool) == 2
    pool.trim()
    assert free(pool) == 0


def test_the_pool_holds_no_more_buffers_than_were_in_use_at_once() -> None:
    pool = BufferPool()
    for _ in range(50):
        used = [pool.take(1000) for _ in range(3)]
        assert len(used) == 3
        del used
    assert free(pool) == 3


def test_a_buffer_is_used_again_only_after_zeromq_let_go_of_it(slots: Slots, tmp_path: Path) -> None:
    """The receiver does not read until every frame was sent: whatever ZeroMQ still holds must keep its pixels."""
    pool, count = BufferPool(), 60
    with zmq.Context() as context:
        push, pull = context.socket(zmq.PUSH), context.socket(zmq.PULL)
        push.set(zmq.SNDHWM, 8)
        push.set(zmq.SNDTIMEO, 5000)
        pull.set(zmq.RCVTIMEO, 5000)
        pull.set(zmq.RCVHWM, 2)
        push.bind(f"ipc://{tmp_path}/payloads")
        pull.connect(f"ipc://{tmp_path}/payloads")
        received: list[np.ndarray] = []
        for value in range(count):
            payload = slots.payload(value)
            push.send(payload.copy_out(pool), copy=False)
            payload.release()
            slots.writer.give_back(slots.link.returned[-1][1])
            if value >= 8:  # stay behind by a few
                received.append(np.frombuffer(pull.recv(), np.uint8))
        received += [np.frombuffer(pull.recv(), np.uint8) for _ in range(count - len(received))]
        assert all((pixels == value).all() and pixels.size == SIZE for value, pixels in enumerate(received))
        push.close()
        pull.close()
    gc.collect()
    back = free(pool)
    assert 1 <= back <= count, "buffers came back"
    payload = slots.payload(1)
    payload.copy_out(pool)
    assert free(pool) == back - 1, "and are used again"
    payload.release()
