"""``FramePool``: the calls of ``multiprocessing.Pool`` for frames and arrays, without a pickled pixel."""

import os
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count, islice
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from syncsvc.errors import UsageError
from syncsvc.lifecycle import patience_of
from syncsvc.model import Frame
from syncsvc.pool import cuts, parcels
from syncsvc.pool.blocks import Arena
from syncsvc.pool.calls import PoolCall
from syncsvc.pool.crew import Crew, PoolStats
from syncsvc.pool.lending import Lending

Result = TypeVar("Result")


class FramePool:
    """Worker processes that call functions on frames, sets and arrays.

    ::

        with FramePool(workers=4) as pool:
            for edges in pool.imap(find_edges, frames): ...

    Functions go by their names, as with ``multiprocessing``: they are defined at the top of a module, and a program
    that makes a pool does so under ``if __name__ == "__main__":``. Arrays of 4 KiB and more, wherever in the arguments,
    lie in shared memory: frames of mode ``local`` where the capture wrote them, others in a copy, made once. A worker
    sees them read-only, and only until it returns. Arrays of a result are read-only views of the worker's memory, which
    is used again when the last view is gone. What a function takes from ``syncsvc.pool.empty`` is not even copied.

    * At most ``in_flight`` calls are with the pool; whoever has one more waits for a place. So the pool holds one copy
      of as many frames, and no more, whatever the number of workers.
    * What a function raises is raised by ``get``, ``map`` and so on, as itself, caused by its traceback in the worker.
    * A worker that ends is replaced, and its call made again, once; then it fails with WorkerDied. Nothing is lost and
      nothing is out of order for it.
    * No memory has a name, and no lock is shared: whoever is killed, nothing is left behind, and nobody waits for ever.

    Args:
        workers: how many; None: as many as there are processors for us.
        initializer: called once in each worker before anything else, with ``initargs``: what it keeps in its module's
            variables is the worker's own state.
        initargs: its arguments.
        timeout_s: the longest that a call may take; then its worker is ended, and it fails with TimeoutError.
        in_flight: how many calls may be under way; None: two for each worker.

    Raises:
        UsageError: a number makes no sense, or the initializer cannot be found by its name.
    """

    def __init__(
        self,
        workers: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Sequence[Any] = (),
        *,
        timeout_s: float | None = None,
        in_flight: int | None = None,
    ) -> None:
        self.workers = len(os.sched_getaffinity(0)) if workers is None else workers
        self.in_flight = 2 * self.workers if in_flight is None else in_flight
        if self.workers < 1 or self.in_flight < 1 or (timeout_s is not None and timeout_s <= 0):
            raise UsageError(f"a pool of {workers} workers, {in_flight} calls in flight and {timeout_s} s for each")
        self._timeout_s, self._numbers, self._pid = timeout_s, count(1), os.getpid()
        self._arena, self._lending = Arena(), Lending()
        first = parcels.pack((initializer or _nothing, tuple(initargs), {}), self._arena)
        self._crew = Crew(self.workers, self.in_flight, first, self._arena, self._lending)
        weakref.finalize(self, _leave, self._pid, self._crew).atexit = False

    @property
    def stats(self) -> PoolStats:
        """What came of the calls, and of the workers."""
        return self._crew.stats

    @property
    def held_bytes(self) -> int:
        """Shared memory that the pool holds for arguments."""
        return self._arena.held_bytes

    def wait_ready(self, timeout_s: float | None = None) -> bool:
        """Wait until every worker has begun; calls may be made before. False where one has not within the time.

        Raises:
            PoolError: the pool is closed, or its workers cannot begin.
        """
        return self._crew.wait_ready(timeout_s)

    def pids(self) -> list[int]:
        """The worker processes that there are."""
        return self._crew.pids()

    def apply_async(
        self,
        function: Callable[..., object],
        args: Sequence[Any] = (),
        kwds: Mapping[str, Any] | None = None,
        *,
        timeout_s: float | None = None,
    ) -> PoolCall:
        """Have a function called; waits only while ``in_flight`` calls are under way.

        Args:
            function: the function, or a ``functools.partial`` of one.
            args: its arguments.
            kwds: its keyword arguments.
            timeout_s: the longest that it may take, where that is not what the pool says.

        Raises:
            UsageError: function or arguments cannot be handed to another process.
            MemoryShortage: there is no memory for them.
            PoolError: the pool is closed, or its workers cannot begin.
        """
        call = self.try_apply(function, args, kwds, timeout_s=timeout_s, wait_s=None)
        assert call is not None, "it waits for ever"
        return call

    def try_apply(
        self,
        function: Callable[..., object],
        args: Sequence[Any] = (),
        kwds: Mapping[str, Any] | None = None,
        *,
        timeout_s: float | None = None,
        wait_s: float | None = 0.0,
    ) -> PoolCall | None:
        """The same, but None where no place is free within ``wait_s``."""
        if os.getpid() != self._pid:
            raise UsageError("a pool is its process's: one that was forked makes a pool of its own")
        with self._crew.place(patience_of(wait_s)) as is_free:
            if not is_free:
                return None
            what = (function, tuple(args), dict(kwds or {}))
            parcel = parcels.pack(what, self._arena, self._lending.number_of)
            limit_s = self._timeout_s if timeout_s is None else timeout_s
            call = PoolCall(next(self._numbers), parcel, limit_s, self._crew.changed, self._crew.cancel)
            self._crew.add(call)
        return call

    def apply(
        self,
        function: Callable[..., Result],
        args: Sequence[Any] = (),
        kwds: Mapping[str, Any] | None = None,
        *,
        timeout_s: float | None = None,
    ) -> Result:
        """Have a function called, and wait for what it returns."""
        found: Result = self.apply_async(function, args, kwds, timeout_s=timeout_s).get()
        return found

    def map(self, function: Callable[[Any], Result], items: Iterable[Any], chunksize: int = 1) -> list[Result]:
        """What the function returns for each, in their order; the first error is raised, and the rest given up.

        Args:
            function: is called with one item.
            items: frames, sets, arrays, anything.
            chunksize: how many items one call is for: more than one where they are tiny.
        """
        return list(self.imap(function, items, chunksize))

    def starmap(
        self, function: Callable[..., Result], items: Iterable[Sequence[Any]], chunksize: int = 1
    ) -> list[Result]:
        """The same for a function of several arguments: each item is a sequence of them."""
        return list(self._each(_starred, function, items, chunksize, is_ordered=True))

    def imap(
        self, function: Callable[[Any], Result], items: Iterable[Any], chunksize: int = 1, *, ordered: bool = True
    ) -> Iterator[Result]:
        """Results as they are asked for, and no more of ``items`` taken ahead than ``in_flight`` chunks.

        Args:
            function: as with ``map``.
            items: as with ``map``; may have no end.
            chunksize: as with ``map``.
            ordered: in the order of ``items``; else as they are completed.
        """
        return self._each(_plain, function, items, chunksize, is_ordered=ordered)

    def imap_unordered(
        self, function: Callable[[Any], Result], items: Iterable[Any], chunksize: int = 1
    ) -> Iterator[Result]:
        """Results as they are completed."""
        return self.imap(function, items, chunksize, ordered=False)

    def _each(
        self, how: Callable[..., list[Result]], function: Any, items: Iterable[Any], chunksize: int, *, is_ordered: bool
    ) -> Iterator[Result]:
        if chunksize < 1:
            raise UsageError(f"chunksize {chunksize}: at least 1")
        left = iter(items)
        calls: deque[PoolCall] = deque()
        try:
            while True:
                while len(calls) < self.in_flight and (chunk := list(islice(left, chunksize))):
                    calls.append(self.apply_async(how, (function, chunk)))
                if not calls:
                    return
                call = calls[0] if is_ordered else self._first_over(calls)
                found = call.get()
                calls.remove(call)
                del call
                yield from found
                del found
        finally:
            for call in calls:
                call.cancel()

    def _first_over(self, calls: Sequence[PoolCall]) -> PoolCall:
        with self._crew.changed:
            self._crew.changed.wait_for(lambda: any(call.ready() for call in calls))
        return next(call for call in calls if call.ready())

    def shared(self, array: NDArray[Any]) -> NDArray[Any]:
        """A copy of an array that all workers see, and may write: calls get it as it is then, and so does the caller.

        Whoever writes says to whom which part belongs; no lock is shared. It is gone with its last view.
        """
        copy = self.empty(array.shape, array.dtype)
        np.copyto(copy, array)
        return copy

    def empty(self, shape: int | Sequence[int], dtype: DTypeLike = np.uint8) -> NDArray[Any]:
        """The same, not filled."""
        found: NDArray[Any] = self._arena.empty(shape, dtype, is_for_all=True)
        return found

    def bands(
        self,
        function: Callable[..., NDArray[Any]],
        picture: NDArray[Any] | Frame,
        *,
        overlap: int = 0,
        bands: int | None = None,
        out: NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        """One picture by all workers: each takes some of its rows, and writes what comes of them into one array.

        Args:
            function: gets rows ``(rows, width, ...)`` and returns as many.
            picture: ``(height, width, ...)``, or a frame, which becomes BGR.
            overlap: rows beyond its own that it sees on either side: the radius of the filter.
            bands: how many; None: one for each worker.
            out: an array of ``empty`` for the results; None: one like the picture.

        Returns:
            ``out``.

        Raises:
            ValueError: the function returned something of another shape.
        """
        height = picture.shape[0] if isinstance(picture, np.ndarray) else picture.height
        number = min(height, self.workers if bands is None else bands)
        return self._cut(function, picture, cuts.bands(height, number, overlap), out)

    def tiles(
        self,
        function: Callable[..., NDArray[Any]],
        picture: NDArray[Any] | Frame,
        *,
        tile: tuple[int, int] = (512, 512),
        overlap: int = 0,
        out: NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        """The same in tiles of ``(height, width)``, with ``overlap`` on all sides."""
        shape = picture.shape[:2] if isinstance(picture, np.ndarray) else (picture.height, picture.width)
        return self._cut(function, picture, cuts.tiles(shape, tile, overlap), out)

    def _cut(self, function: Any, picture: Any, parts: Iterable[cuts.Cutout], out: Any) -> NDArray[Any]:
        pixels = picture if isinstance(picture, np.ndarray) else picture.to_bgr()
        source = pixels if self._arena.find(pixels) is not None else self.shared(pixels)
        result: NDArray[Any] = self.empty(source.shape, source.dtype) if out is None else out
        if self._arena.find(result) is None:
            raise UsageError("out: an array that the workers do not see; make it with the pool's empty()")
        self.starmap(cuts.do_part, ((function, source, result, part) for part in parts))
        return result

    def close(self) -> None:
        """End the workers; calls that are under way are cancelled."""
        self._crew.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _leave(pid: int, crew: Crew) -> None:
    """Nobody has the pool any more; in a process that was forked that says nothing."""
    if os.getpid() == pid:
        crew.leave()


def _nothing() -> None:
    """What workers do at first where nothing is to be done."""


def _plain(function: Callable[[Any], Result], items: Iterable[Any]) -> list[Result]:
    return [function(item) for item in items]


def _starred(function: Callable[..., Result], items: Iterable[Sequence[Any]]) -> list[Result]:
    return [function(*item) for item in items]
