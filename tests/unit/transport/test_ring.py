"""The ring in one process: leases, generations, seals, and what a hostile descriptor does."""

import errno
import fcntl
import mmap
import os
import struct
from collections.abc import Iterator

import numpy as np
import pytest

from syncsvc.errors import MemoryShortage, SlotReclaimedError, TransportError
from syncsvc.transport import memfd as memory
from syncsvc.transport.ring import RingReader, RingSlots, RingWriter
from syncsvc.transport.ring_size import ring_bytes


@pytest.fixture
def writer() -> Iterator[RingWriter]:
    ring = RingWriter(1, 3, 5000)
    yield ring
    ring.close()


def test_what_was_written_is_read(writer: RingWriter) -> None:
    reader = RingReader(writer.fd)
    for value in range(3):
        slot = writer.acquire()
        assert slot is not None
        writer.pixels(slot)[:] = value + 1
        generation = writer.commit(slot)
        assert (reader.pixels(slot, 5000) == value + 1).all()
        reader.check(slot, generation)
    assert (reader.slots, reader.slot_bytes) == (3, 5000)


def test_a_leased_slot_is_never_given_out(writer: RingWriter) -> None:
    slots = [writer.acquire() for _ in range(3)]
    assert sorted(slot for slot in slots if slot is not None) == [0, 1, 2]
    assert writer.acquire() is None
    assert writer.free == 0
    writer.give_back(1)
    assert writer.acquire() == 1
    assert writer.acquire() is None


MIB = 2**20


def taken_bytes(ring: RingWriter) -> int:
    return 512 * os.fstat(ring.fd).st_blocks


@pytest.fixture
def growing() -> Iterator[RingWriter]:
    ring = RingWriter(1, 3, MIB, most_slots=40)
    yield ring
    ring.close()


def test_room_to_grow_takes_no_memory_until_it_is_asked_for(growing: RingWriter) -> None:
    assert 3 * MIB < taken_bytes(growing) < 4 * MIB
    growing.allocate(8)
    assert 8 * MIB < taken_bytes(growing) < 9 * MIB
    assert (growing.slots, growing.free) == (3, 3), "they are there, and not yet in use"
    growing.grow(8)
    assert (growing.slots, growing.free, growing.most_slots) == (8, 8, 40)


def test_new_slots_are_written_only_when_no_other_is_free(growing: RingWriter) -> None:
    first = growing.acquire()
    assert first is not None
    growing.allocate(5)
    growing.grow(5)
    assert [growing.acquire(), growing.acquire()] == [1, 2]
    growing.give_back(first)
    assert growing.acquire() == first
    assert {growing.acquire(), growing.acquire()} == {3, 4}
    assert growing.acquire() is None


def test_who_had_the_ring_before_reads_what_came_after_it_grew(growing: RingWriter) -> None:
    reader, slots = RingReader(growing.fd), RingSlots(os.dup(growing.fd))
    growing.allocate(40)
    growing.grow(40)
    *_, last = [growing.acquire() for _ in range(40)]
    assert last == 39
    growing.pixels(last)[:] = 7
    generation = growing.commit(last)
    reader.check(last, generation)
    assert (reader.pixels(last, MIB) == 7).all()
    assert (slots.view(last, generation, MIB) == 7).all()
    growing.give_back(last)


def test_a_ring_that_the_machine_lacks_the_memory_to_grow_stays_as_it_was(
    growing: RingWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = taken_bytes(growing)
    monkeypatch.setattr(memory, "available_bytes", lambda: memory.RESERVE_BYTES + 36 * MIB)
    with pytest.raises(MemoryShortage, match="37 MiB wanted, 164 MiB available of which 128 MiB stay free"):
        growing.allocate(40)
    assert taken_bytes(growing) == before
    growing.allocate(39)
    growing.allocate(3)
    assert taken_bytes(growing) > 39 * MIB


def test_memory_is_not_waited_for_longer_than_a_watchdog_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "TRY_S", 0)
    with open("/proc/meminfo") as figures:
        fcntl.flock(figures, fcntl.LOCK_EX)
        RingWriter(1, 17, MIB).close()
        with pytest.raises(MemoryShortage):
            RingWriter(1, 1000, memory.available_bytes() // 500)


@pytest.mark.parametrize("slot", [-1, 3, 99])
def test_a_slot_that_does_not_exist_cannot_come_home(writer: RingWriter, slot: int) -> None:
    with pytest.raises(TransportError):
        writer.give_back(slot)


def test_a_slot_comes_home_once(writer: RingWriter) -> None:
    slot = writer.acquire()
    assert slot is not None
    writer.give_back(slot)
    with pytest.raises(TransportError):
        writer.give_back(slot)


def test_a_reader_that_was_robbed_notices(writer: RingWriter) -> None:
    reader = RingReader(writer.fd)
    slot = writer.acquire()
    assert slot is not None
    generation = writer.commit(slot)
    writer.give_back(slot)
    assert writer.acquire() == slot, "the lease came home too early: it is written again"
    with pytest.raises(SlotReclaimedError):
        reader.check(slot, generation)
    writer.commit(slot)
    with pytest.raises(SlotReclaimedError):
        reader.check(slot, generation)


def test_a_slot_acquired_in_vain_leaves_an_even_generation(writer: RingWriter) -> None:
    slot = writer.acquire()
    assert slot is not None
    writer.give_back(slot)
    assert writer.acquire() == slot
    assert writer.commit(slot) % 2 == 0


def test_the_readers_views_cannot_be_written(writer: RingWriter) -> None:
    view = RingReader(writer.fd).pixels(0, 100)
    assert not view.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1


def test_the_kernel_refuses_to_map_the_ring_for_writing_to_write_or_to_resize_it(writer: RingWriter) -> None:
    size = os.fstat(writer.fd).st_size
    refusals = [
        lambda: mmap.mmap(writer.fd, 0),
        lambda: os.pwrite(writer.fd, b"x", 0),
        lambda: os.ftruncate(writer.fd, size // 2),
        lambda: os.ftruncate(writer.fd, 2 * size),
        lambda: memory.seal(writer.fd),
    ]
    for refused in refusals:
        with pytest.raises(OSError, match="not permitted") as caught:
            refused()
        assert caught.value.errno == errno.EPERM
    writer.pixels(0)[0] = 7
    assert RingReader(writer.fd).pixels(0, 1)[0] == 7, "the mapping that was there before goes on writing"


def test_a_view_outlives_the_writer_and_its_descriptor() -> None:
    ring = RingWriter(1, 1, 100)
    slot = ring.acquire()
    assert slot is not None
    ring.pixels(slot)[:] = 9
    view = RingReader(ring.fd).pixels(slot, 100)
    ring.close()
    ring.close()
    del ring
    assert (view == 9).all()


@pytest.mark.parametrize(("slot", "size"), [(3, 10), (-1, 10), (0, 5001)])
def test_what_does_not_fit_is_refused(writer: RingWriter, slot: int, size: int) -> None:
    with pytest.raises(TransportError):
        RingReader(writer.fd).pixels(slot, size)


def _header(magic: int, slots: int, slot_bytes: int, offset: int, size: int) -> int:
    fd = memory.create("hostile", size)
    mapped = mmap.mmap(fd, 0)
    struct.pack_into("<QQQQ", mapped, 0, magic, slots, slot_bytes, offset)
    return fd


MAGIC = 0x53594E4352494E47
PAGE = mmap.PAGESIZE


@pytest.mark.parametrize(
    "header",
    [
        (0, 1, 10, PAGE, 2 * PAGE),
        (MAGIC, 0, 10, PAGE, 2 * PAGE),
        (MAGIC, 2, 10, PAGE, 2 * PAGE),
        (MAGIC, 1, 2**40, PAGE, 2 * PAGE),
        (MAGIC, 2**63, 10, PAGE, 2 * PAGE),
        (MAGIC, 1, 10, 2**63, 2 * PAGE),
        (MAGIC, 1, 10, 0, 2 * PAGE),
    ],
)
def test_a_descriptor_that_is_no_ring_is_refused(header: tuple[int, int, int, int, int]) -> None:
    fd = _header(*header)
    try:
        with pytest.raises(TransportError):
            RingReader(fd)
    finally:
        os.close(fd)


def test_descriptors_that_cannot_be_mapped_are_refused() -> None:
    empty, short = os.memfd_create("empty"), memory.create("short", 8)
    reader, writer = os.pipe()
    try:
        for fd in (empty, short, reader, writer):
            with pytest.raises(TransportError):
                RingReader(fd)
    finally:
        for fd in (empty, short, reader, writer):
            os.close(fd)


def test_a_ring_that_the_machine_cannot_hold_is_refused_with_the_figures(no_leaks: None) -> None:
    with pytest.raises(MemoryShortage, match=r"\d+ MiB wanted, \d+ MiB available"):
        RingWriter(1, 1000, memory.available_bytes() // 500)


def test_the_ring_is_as_big_as_it_says(writer: RingWriter) -> None:
    assert os.fstat(writer.fd).st_size == ring_bytes(3, 5000)
    flat = np.concatenate([writer.pixels(slot) for slot in range(3)])
    assert flat.size == 15_000
