"""A user's program with a pool of processes: ``python -m tests.process.pool_host METHOD`` fails where a frame does not.

In a process of its own, because the standard library's helpers live as long as the process that used them.
"""

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from syncsvc import Frame, FrameBatch, wire
from tests.batches import VECTORS
from tests.unit.client.test_decoder import frames, learnt, shown


def brightness(frame: Frame) -> float:
    """What a worker finds out about one picture."""
    return float(frame.to_bgr().mean())


def summed(batch: FrameBatch) -> tuple[FrameBatch, list[int]]:
    """A batch there and back, with what a worker saw in it."""
    return batch, [int(frame.pixels.sum()) for found in batch.frames.values() for frame in found]


def main(method: str) -> None:
    """Hand a batch over, and the frames of another that are encoded."""
    parts = VECTORS["two-cameras"]()
    batch = wire.decode_batch([*parts[:2], *map(memoryview, parts[2:])])
    coded = frames(seqs=range(4))
    learnt(coded)
    mine = [*(frame for found in batch.frames.values() for frame in found), *coded]
    with ProcessPoolExecutor(2, multiprocessing.get_context(method)) as pool:
        assert list(pool.map(brightness, mine)) == [brightness(frame) for frame in mine]
        back, sums = pool.submit(summed, batch).result()
        (again,) = pool.map(summed, [back])
    assert sums == again[1] == summed(batch)[1]
    assert np.array_equal(back.frames["north"][0].pixels, batch.frames["north"][0].pixels)
    assert shown(coded[3]) == 3, "what stays here can be decoded as before"


if __name__ == "__main__":
    main(sys.argv[1])
