"""One turn of the process benchmark: filters over 1080p pictures by one way of sharing them, and what that took.

``python -m syncsvc.bench.pool_ways KIND WAY PICTURES WORKERS``: one JSON line at the end. The ways of
``multiprocessing`` (``theirs``) are those of a much-read article, its shared array passed as it has to be.
"""

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from syncsvc.bench.child_answers import answer
from syncsvc.clock import NS_PER_MS, NS_PER_S, SYSTEM_CLOCK, cpu_ns, cpu_ns_of
from syncsvc.pictures import load_cv2
from syncsvc.pool.frame_pool import FramePool
from syncsvc.sinks.process import filters

Pixels = NDArray[np.uint8]
HEIGHT, WIDTH = 1080, 1920
NAMES = tuple(name for name in filters.BUILT_IN if name != "motion")
_CHUNKS = 4


class WayCost(msgspec.Struct, frozen=True):
    """What one way took: per picture that was made, and the start of its processes apart."""

    wall_ms: float
    cpu_ms: float
    start_s: float
    made: int


class Run(NamedTuple):
    """What a way is to do, and with which workers."""

    pictures: list[Pixels]
    pids: list[int]
    pool: Any


def sharpened(picture: Pixels) -> Pixels:
    """What most ways do with a picture: some milliseconds of work."""
    made: Pixels = filters.sharpen(picture)
    return made


def with_arguments(picture: Pixels, name: str, scale: int) -> Pixels:
    """The same of several arguments."""
    made: Pixels = getattr(filters, name)(picture)
    return made if scale == 1 else made // scale


def looked_at(picture: Pixels) -> int:
    """Nothing, so that what is measured is the way there."""
    return int(picture[0, 0, 0])


def filtered(name: str, picture: Pixels) -> Pixels:
    """A picture by one of the filters."""
    made: Pixels = getattr(filters, name)(picture)
    return made


_array: list[Any] = []


def keep_arrays(*arrays: Any) -> None:
    """What a worker of ``multiprocessing.Pool`` has to begin with: shared arrays cannot be arguments of its calls."""
    _array[:] = [np.frombuffer(array.get_obj(), np.uint8).reshape(HEIGHT, WIDTH, 3) for array in arrays]


def chunk_sharpened(first: int, end: int) -> tuple[int, int]:
    """Rows of the shared array."""
    source, made = _array
    low, high = max(0, first - 1), min(HEIGHT, end + 1)
    made[first:end] = filters.sharpen(source[low:high])[first - low : end - low]
    return first, end


def _each_filter(run: Run) -> int:
    return sum(len(run.pool.map(partial(filtered, picture=one), NAMES)) for one in run.pictures)


def _async(run: Run) -> int:
    calls = [run.pool.apply_async(with_arguments, (one, "sharpen", 1)) for one in run.pictures]
    return sum(call.get() is not None for call in calls)


def _started(run: Run, items: Iterable[tuple[Any, ...]]) -> int:
    return len(run.pool.starmap(with_arguments, items))


def _in_chunks(run: Run) -> int:
    step = HEIGHT // _CHUNKS
    for one in run.pictures:
        np.copyto(_array[0], one)
        run.pool.starmap(chunk_sharpened, [(first, first + step) for first in range(0, HEIGHT, step)])
    return len(run.pictures)


def _by_filter(run: Run) -> int:
    """Our way to give one picture to several functions: it is shared once, and each call is told where."""
    made = 0
    for one in run.pictures:
        shared = run.pool.shared(one)
        made += len(run.pool.starmap(filtered, [(name, shared) for name in NAMES]))
    return made


def _bands(run: Run) -> int:
    return sum(run.pool.bands(sharpened, one, overlap=1) is not None for one in run.pictures)


COMMON: Mapping[str, Callable[[Run], int]] = {
    "map": lambda run: len(run.pool.map(sharpened, run.pictures)),
    "starmap": lambda run: _started(run, [(one, "sharpen", 1) for one in run.pictures]),
    "apply_async": _async,
    "partial": lambda run: len(run.pool.map(partial(with_arguments, name="sharpen", scale=1), run.pictures)),
    "nothing": lambda run: len(run.pool.map(looked_at, run.pictures)),
}
THEIRS: Mapping[str, Callable[[Run], int]] = {**COMMON, "filters": _each_filter, "chunks": _in_chunks}
OURS: Mapping[str, Callable[[Run], int]] = {
    **COMMON, "filters": _by_filter, "chunks": _bands, "lent": COMMON["map"], "nothing-lent": COMMON["nothing"],
}  # fmt: skip


@contextmanager
def _pools(kind: str, way: str, workers: int, pictures: list[Pixels]) -> Iterator[Run]:
    if kind == "alone":
        yield Run(pictures, [], None)
    elif kind == "theirs":
        context = multiprocessing.get_context("fork")
        begin: dict[str, Any] = {}
        if way == "chunks":
            arrays = [context.Array("B", HEIGHT * WIDTH * 3) for _ in range(2)]
            keep_arrays(*arrays)
            begin = {"initializer": keep_arrays, "initargs": arrays}
        with context.Pool(workers, **begin) as pool:
            pool.map(abs, range(4 * workers))
            yield Run(pictures, [child.pid or 0 for child in multiprocessing.active_children()], pool)
    else:
        with FramePool(workers) as ours:
            ours.wait_ready()
            if way.endswith("lent"):
                pictures = [ours.shared(one) for one in pictures]
            yield Run(pictures, ours.pids(), ours)


def measure(kind: str, way: str, number: int, workers: int) -> WayCost:
    """One turn, after everything has started and a picture has gone through."""
    load_cv2().setNumThreads(1)
    noise = np.random.default_rng(1)
    pictures = [noise.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8) for _ in range(number)]
    work = (OURS if kind == "ours" else THEIRS)[way] if kind != "alone" else _one_after_the_other
    begun_ns = SYSTEM_CLOCK.monotonic_ns()
    with _pools(kind, way, workers, pictures) as run:
        started_ns = SYSTEM_CLOCK.monotonic_ns()
        work(run._replace(pictures=run.pictures[: 2 * workers]))
        wall_ns, spent_ns = SYSTEM_CLOCK.monotonic_ns(), _cpu_ns(run.pids)
        made = work(run)
        wall_ns, spent_ns = SYSTEM_CLOCK.monotonic_ns() - wall_ns, _cpu_ns(run.pids) - spent_ns
    return WayCost(
        wall_ms=wall_ns / made / NS_PER_MS,
        cpu_ms=spent_ns / made / NS_PER_MS,
        start_s=(started_ns - begun_ns) / NS_PER_S,
        made=made,
    )


def _one_after_the_other(run: Run) -> int:
    return len([sharpened(one) for one in run.pictures])


def _cpu_ns(pids: Iterable[int]) -> int:
    return cpu_ns() + sum(map(cpu_ns_of, pids))


if __name__ == "__main__":
    os.environ["OPENCV_FOR_THREADS_NUM"] = "1"
    answer(measure(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
