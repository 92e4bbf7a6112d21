"""Shared blocks: used again, never more than were needed at once, and read-only to whoever they are shown."""

import mmap
import os

import numpy as np
import pytest

from syncsvc.pool.blocks import Arena, SharedBlocks, empty


def test_blocks_are_used_again_and_no_more_is_held_than_was_needed_at_once() -> None:
    arena = Arena()
    first, second = arena.take(1_000_000), arena.take(1_000_000)
    assert arena.held_bytes == first.size_bytes + second.size_bytes
    for block in (first, second):
        arena.give_back(block.number)
    assert arena.take(999_000).number in (first.number, second.number)
    other = arena.take(500_000)
    assert arena.held_bytes <= 2 * first.size_bytes
    assert len(arena.forgotten()) == 1, "one of the first two made room for it"
    assert arena.forgotten() == []
    assert arena.block(other.number) is other


def test_an_array_of_a_block_goes_home_with_its_last_view_and_a_part_of_it_is_found_again() -> None:
    arena = Arena()
    array = arena.empty((40, 50, 3), np.uint8)
    part = array[5:, ::-1]
    found = arena.find(part)
    assert found is not None
    block, offset = found
    again = np.ndarray(part.shape, part.dtype, block.view(block.size_bytes), offset, part.strides)
    array[:] = np.arange(6000).reshape(array.shape) % 251
    assert (again == part).all()
    assert arena.find(np.zeros(9)) is None
    number = block.number
    del array
    assert arena.take(6000).number != number, "a view of it is left"
    del part
    assert arena.take(6000).number == number


def test_a_block_that_was_handed_over_stays_until_the_other_side_says_so() -> None:
    arena = Arena()
    array = arena.empty(8000)
    block, _ = arena.find(array) or pytest.fail("it is there")
    arena.hand_over(block.number)
    del array
    assert arena.take(8000).number != block.number
    arena.give_back(block.number)
    assert arena.take(8000).number == block.number


def test_others_see_a_block_read_only_unless_it_is_for_all() -> None:
    arena, sight = Arena(), SharedBlocks()
    mine, ours = arena.take(5000), arena.take(5000, is_for_all=True)
    sight.add(1, os.dup(mine.fd), 0, mine.size_bytes, is_writable=False)
    sight.add(2, os.dup(ours.fd), 0, ours.size_bytes, is_writable=True)
    mine.view(5000)[:] = 7
    assert (sight.bytes_at(1, 10, 100) == 7).all()
    assert not sight.bytes_at(1, 0, 10).flags.writeable
    sight.bytes_at(2, 0, 10)[:] = 9
    assert (ours.view(10) == 9).all()
    with pytest.raises(OSError, match="not permitted"):
        mmap.mmap(mine.fd, 0)
    with pytest.raises(OSError, match="not permitted"):
        os.ftruncate(ours.fd, 4096)
    kept = sight.bytes_at(1, 0, 5)
    sight.forget([1, 99])
    assert (kept == 7).all()
    with pytest.raises(KeyError):
        sight.bytes_at(1, 0, 1)


def test_elsewhere_than_in_a_worker_an_empty_array_is_an_ordinary_one() -> None:
    assert empty((3, 4), np.float32).shape == (3, 4)
