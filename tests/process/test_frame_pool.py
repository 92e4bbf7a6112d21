"""A pool of real processes: what goes in and out, what is raised, who is killed, and what is left behind."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from syncsvc.borrowed import Lent, Payload
from syncsvc.errors import CallCancelled, PoolError, UsageError, WorkerDied
from syncsvc.layout import Layout
from syncsvc.model import Frame, FrameSet
from syncsvc.pool.frame_pool import FramePool
from syncsvc.pool.parcels import WorkerTraceback
from syncsvc.transport.ring import RingSlots, RingWriter
from tests.e2e.harness import wait_for
from tests.process import pool_tasks as tasks

NOISE = np.random.default_rng(1)


@pytest.fixture
def pool() -> Iterator[FramePool]:
    with FramePool(2, tasks.begin, ("ready",)) as made:
        yield made


def frame(stream: str, seq: int, width: int = 64, height: int = 48) -> Frame:
    pixels = NOISE.integers(0, 256, width * height * 3 // 2, np.uint8)
    return Frame(stream, seq, seq * 40, 1, "pts", seq * 40, True, Layout("i420", width, height), pixels.tobytes())


def test_calls_take_arguments_in_every_way_and_arrays_frames_and_sets_arrive_as_they_are(pool: FramePool) -> None:
    arrays = [np.arange(2000, dtype=np.float64) + shift for shift in range(7)]
    assert pool.map(tasks.total, arrays) == [float(array.sum()) for array in arrays]
    assert pool.map(tasks.total, arrays, chunksize=3) == [float(array.sum()) for array in arrays]
    doubled = pool.map(partial(tasks.scaled, factor=2, offset=1), arrays)
    assert all((found == array * 2 + 1).all() for found, array in zip(doubled, arrays, strict=True))
    starred = pool.starmap(tasks.scaled, ((array, shift) for shift, array in enumerate(arrays)))
    assert all((found == array * shift).all() for shift, (found, array) in enumerate(zip(starred, arrays, strict=True)))
    assert (pool.apply(tasks.scaled, (arrays[0], 3), {"offset": 4}) == arrays[0] * 3 + 4).all()
    calls = [pool.apply_async(tasks.total, (array,)) for array in arrays]
    assert [call.get(60) for call in reversed(calls)] == [float(array.sum()) for array in reversed(arrays)]
    assert all(call.ready() and call.successful() for call in calls)
    assert {found[0] for found in pool.map(tasks.state_and_pid, range(9))} == {"ready"}
    check_arrays_of_every_kind(pool)
    check_frames_and_sets(pool)


def check_arrays_of_every_kind(pool: FramePool) -> None:
    big = NOISE.integers(0, 256, (90, 160, 3), np.uint8)
    kinds = [
        big, big[::2, ::-1], big.astype(np.float32), np.asfortranarray(big[:, :, 0]), big[:1, :1], np.zeros((0, 5)),
        np.zeros(3000, [("a", "<i4"), ("b", "<f8")]), np.array(["text", None] * 4000, object),
    ]  # fmt: skip
    for kind in kinds:
        (found,) = pool.map(np.copy, [kind])
        assert found.dtype == kind.dtype
        np.testing.assert_array_equal(found, kind)
    found = pool.apply(tasks.inverted, (big,))
    assert (found == 255 - big).all()
    assert not found.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        pool.apply(tasks.write_to, (big,))


def check_frames_and_sets(pool: FramePool) -> None:
    frames = [frame("north", 3), frame("south", 4, 320, 240)]
    for one, (stream, seq, total, bgr) in zip(frames, pool.imap(tasks.seen_of, frames), strict=True):
        assert (stream, seq, total) == (one.stream, one.seq, int(one.pixels.astype(int).sum()))
        assert (bgr == one.to_bgr()).all()
    both = FrameSet(1, {one.stream: one for one in frames}, ())
    assert pool.apply(tasks.seen_of_set, (both,)) == {one.stream: int(one.pixels.astype(int).sum()) for one in frames}


def test_arrays_are_shared_pictures_cut_for_all_and_no_more_is_in_flight_than_may_be(
    pool: FramePool,
) -> None:
    squares = pool.shared(np.arange(10_000, dtype=np.float64))
    parts = [(squares, first, first + 2500) for first in range(0, 10_000, 2500)]
    assert pool.starmap(tasks.square_part, parts) == [part[1:] for part in parts]
    assert (squares == np.arange(10_000, dtype=np.float64) ** 2).all()
    picture = NOISE.integers(0, 256, (101, 67, 3), np.uint8)
    whole = tasks.smeared(picture)
    assert (pool.bands(tasks.smeared, picture, overlap=1, bands=3) == whole).all()
    assert (pool.tiles(tasks.smeared, picture, overlap=1, tile=(40, 30)) == whole).all()
    assert (pool.bands(tasks.smeared, picture, overlap=0, bands=3) != whole).any()
    out = pool.empty(picture.shape)
    assert pool.bands(tasks.smeared, picture, overlap=2, out=out) is out
    assert (out == whole).all()
    with pytest.raises(ValueError, match=r"made \(1, 1, 3\)"):
        pool.bands(tasks.cropped, picture)
    with pytest.raises(UsageError, match="empty"):
        pool.bands(tasks.smeared, picture, out=np.empty_like(picture))
    check_no_more_is_in_flight_than_may_be(pool)


def test_an_error_comes_back_as_itself_and_a_call_may_be_limited_or_given_up(pool: FramePool) -> None:
    with pytest.raises(KeyError, match="here") as caught:
        pool.map(tasks.raise_it, ["here"])
    assert isinstance(caught.value.__cause__, WorkerTraceback)
    assert "in raise_it" in str(caught.value.__cause__)
    with pytest.raises(RuntimeError, match="OddError: 1 and 2"):
        pool.apply(tasks.raise_it, ("odd",))
    with pytest.raises(UsageError, match="top of a module"):
        pool.apply(lambda: None)
    check_limits_and_cancellation(pool)


def check_no_more_is_in_flight_than_may_be(pool: FramePool) -> None:
    taken = count()
    endless = (np.full((300, 1000), next(taken), np.uint8) for _ in count())
    results = pool.imap(tasks.total, endless)
    assert [next(results) for _ in range(20)] == [300_000.0 * value for value in range(20)]
    assert next(taken) <= 20 + pool.in_flight
    results.close()  # type: ignore[attr-defined]  # it is a generator
    assert pool.held_bytes <= (pool.in_flight + 1) * 400_000
    unordered = set(pool.imap_unordered(partial(tasks.after, 0.0), range(20)))
    assert unordered == set(range(20))


def check_limits_and_cancellation(pool: FramePool) -> None:
    before = pool.stats.died
    with pytest.raises(TimeoutError, match=r"longer than 0\.2 s"):
        pool.apply(tasks.for_ever, timeout_s=0.2)
    stuck = pool.apply_async(tasks.for_ever)
    others = [pool.apply_async(tasks.after, (0.0, value)) for value in range(3)]
    with pytest.raises(TimeoutError, match="not over"):
        stuck.get(0.01)
    assert stuck.cancel()
    assert [call.get(60) for call in others] == [0, 1, 2]
    with pytest.raises(CallCancelled):
        stuck.get()
    assert not others[0].cancel()
    assert pool.stats.died == before, "workers that we end are not counted as dead"


def test_a_worker_that_dies_is_replaced_and_its_call_made_again_once(tmp_path: Path) -> None:
    with FramePool(1) as pool:
        check_deaths(pool, tmp_path)


def check_deaths(pool: FramePool, tmp_path: Path) -> None:
    assert pool.apply(tasks.die_first_time, (str(tmp_path / "tried"), 5)) == 5
    with pytest.raises(WorkerDied):
        pool.apply(tasks.die, (None,))
    assert pool.apply(tasks.after, (0.0, 6)) == 6
    assert len(pool.pids()) == 1


class Slot(Payload):
    """A payload in a slot of a ring, as subscribers in mode ``local`` have it."""

    __slots__ = ("_place", "nbytes")

    def __init__(self, ring: RingSlots, slot: int, generation: int, nbytes: int) -> None:
        self._place, self.nbytes = (ring, slot, generation), nbytes

    def view(self) -> np.ndarray[Any, np.dtype[np.uint8]]:
        ring, slot, generation = self._place
        return ring.view(slot, generation, self.nbytes)

    def lent(self) -> Lent:
        ring, slot, generation = self._place
        return ring.lend(slot, generation)


def test_leased_frames_are_read_in_their_slots_and_made_again_with_a_copy_where_a_slot_is_taken_back() -> None:
    layout = Layout("bgr24", 64, 48, "full")
    ring = RingWriter(1, 3, layout.size_bytes)
    frames = []
    reader = RingSlots(os.dup(ring.fd))
    for value in (10, 20):
        slot = ring.acquire()
        assert slot is not None
        ring.pixels(slot)[:] = value
        payload = Slot(reader, slot, ring.commit(slot), layout.size_bytes)
        frames.append(Frame("north", value, value, 0, "pts", 0, True, layout, payload))
    with FramePool(1) as pool:
        for _ in range(2):
            found = pool.map(tasks.seen_of, frames)
            assert [(seq, bgr.min(), bgr.max()) for _, seq, _, bgr in found] == [(10, 10, 10), (20, 20, 20)]
        assert (pool.held_bytes, pool.stats.copied_again) == (0, 0)
        reading = pool.apply_async(tasks.seen_when_told, (frames[0], gate := pool.shared(np.zeros(2))))
        wait_for(lambda: gate[0], "the call")
        kept = [memory for _, memory in reading.parcel.lents.values()]
        reader.keep(0, reader.pages(0))  # what a subscriber does whose lease is over: its views have a copy now
        ring.give_back(0)
        assert ring.acquire() == 0
        ring.pixels(0)[:] = 99
        gate[1] = 1
        assert reading.get(60) == 10 * layout.size_bytes
        assert kept[0].max() == 10
        assert pool.stats.copied_again == 1


def test_results_are_whole_and_in_order_while_workers_are_killed_at_random() -> None:
    pictures = [NOISE.integers(0, 256, (60, 90), np.uint8) for _ in range(60)]
    dice = random.Random(3)
    with FramePool(2, tasks.begin, ("x",)) as pool:
        found = []
        for number, result in enumerate(pool.imap(tasks.pid_and_numbers, pictures)):
            found.append(result[1])
            if number % 15 == 7 and (pids := pool.pids()):
                os.kill(dice.choice(pids), signal.SIGKILL)
        stats = pool.stats
    assert stats.died >= 3
    assert (stats.calls, stats.done, stats.failed) == (60, 60, 0)
    assert all((one == picture[::2]).all() for one, picture in zip(found, pictures, strict=True))


def test_results_outlive_the_pool_and_nothing_else_does() -> None:
    before = set(os.listdir("/dev/shm"))
    picture = NOISE.integers(0, 256, (200, 300), np.uint8)
    with FramePool(1) as pool:
        assert pool.wait_ready(60)
        kept = [pool.apply(tasks.inverted, (picture + shift,)) for shift in range(3)]
        pids = pool.pids()
        waiting = pool.apply_async(tasks.for_ever)
    assert all((one == 255 - (picture + shift)).all() for shift, one in enumerate(kept))
    assert set(os.listdir("/dev/shm")) == before
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    with pytest.raises(CallCancelled):
        waiting.get()
    with pytest.raises(PoolError, match="closed"):
        pool.apply(tasks.for_ever)


def test_a_pool_whose_workers_cannot_begin_says_why() -> None:
    with FramePool(1, tasks.begin_badly) as pool, pytest.raises(PoolError, match="model file") as caught:
        pool.apply(tasks.for_ever)
    assert isinstance(caught.value.__cause__, ValueError)
    with pytest.raises(UsageError):
        FramePool(0)


HOST = """
from syncsvc import FramePool
if __name__ == "__main__":
    pool = FramePool(2)
    pool.wait_ready()
    for_ever = pool.apply_async(input)
    print(*pool.pids(), flush=True)
    input()
"""


def test_workers_end_with_the_program_that_made_them_also_when_it_is_killed_or_forgets_its_pool(tmp_path: Path) -> None:
    (tmp_path / "host.py").write_text(HOST)
    line = [sys.executable, str(tmp_path / "host.py")]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as host:
        assert host.stdout is not None
        pids = host.stdout.readline().split()
        host.kill()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "the end of all workers")
    assert len(pids) == 2
    pool = FramePool(1)
    pool.wait_ready()
    (pid,) = pool.pids()
    del pool
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), "the end of a worker whose pool nobody has")
