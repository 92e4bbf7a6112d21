"""The ways to write many stills: in a loop, by threads or by processes, one by one or in chunks; one shape for all."""

import os
import queue
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Final, Literal, Protocol, get_args

from syncsvc.errors import UsageError
from syncsvc.lifecycle import StopToken, Worker
from syncsvc.pictures import load_cv2
from syncsvc.sinks.stills.coding import Coding
from syncsvc.sinks.stills.processes import remote_savers
from syncsvc.sinks.stills.still import CHUNK_STILLS, Outcome, Still, save_chunk

How = Literal["loop", "threads", "processes", "chunked_threads", "chunked_processes"]
HOWS: Final[tuple[How, ...]] = get_args(How)
DEFAULT_HOW: Final[How] = "chunked_threads"
"""Of cameras' pictures the fastest; of thumbnails by the thousand as fast as the loop. See docs/benchmarks.md."""
MOST_WORKERS: Final = 64
_LOOK_S: Final = 1.0

Saver = Callable[[Sequence[Still]], list[Outcome]]
"""Saves a chunk, in the calling thread; every still has its outcome."""


class Writer(Protocol):
    """Takes chunks, and gives an outcome for each still of them, in any order."""

    @property
    def pending(self) -> int:
        """Chunks that were put and whose outcomes were not taken yet."""
        ...

    @property
    def workers(self) -> int:
        """How many chunks are worked on at once."""
        ...

    @property
    def most_stills(self) -> int:
        """How many stills it likes to have in a chunk, at most."""
        ...

    def put(self, chunk: Sequence[Still]) -> None:
        """Hand over a chunk."""
        ...

    def take(self, timeout_s: float = 0.0) -> list[Outcome]:
        """What was finished since the last time; with a time, something at least unless that is over before."""
        ...


class LoopWriter:
    """Saves at once, in the caller's thread."""

    def __init__(self, saver: Saver) -> None:
        self._saver = saver
        self._done: list[Outcome] = []
        self.workers, self.most_stills, self.pending = 1, CHUNK_STILLS, 0

    def put(self, chunk: Sequence[Still]) -> None:
        """See ``Writer``."""
        self._done += self._saver(chunk)
        self.pending += 1

    def take(self, timeout_s: float = 0.0) -> list[Outcome]:
        """See ``Writer``: nothing is ever waited for."""
        done, self._done, self.pending = self._done, [], 0
        return done


class PoolWriter:
    """A thread for each saver, which saves itself or has a process that does."""

    def __init__(self, savers: Sequence[Saver], most_stills: int) -> None:
        self.workers, self.most_stills, self.pending = len(savers), most_stills, 0
        self._chunks: queue.SimpleQueue[Sequence[Still] | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[list[Outcome] | BaseException] = queue.SimpleQueue()
        self._threads = [
            Worker(f"stills-{number}", partial(self._work, saver), self._fail) for number, saver in enumerate(savers)
        ]

    def __enter__(self) -> "PoolWriter":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._drop_waiting()
        for _worker in self._threads:
            self._chunks.put(None)
        for worker in self._threads:
            while not worker.join(_LOOK_S):  # a picture that is being written is written
                continue

    def _drop_waiting(self) -> None:
        """Where the block ends early, nobody waits for what has not begun."""
        try:
            while True:
                self._chunks.get_nowait()
        except queue.Empty:
            return

    def _fail(self, _: str, error: BaseException) -> None:
        self._done.put(error)

    def _work(self, saver: Saver, _: StopToken) -> None:
        while (chunk := self._chunks.get()) is not None:
            self._done.put(saver(chunk))
            del chunk  # nobody holds frames of the service while there is nothing to do

    def put(self, chunk: Sequence[Still]) -> None:
        """See ``Writer``."""
        self.pending += 1
        self._chunks.put(chunk)

    def take(self, timeout_s: float = 0.0) -> list[Outcome]:
        """See ``Writer``; what a worker could not expect is raised here."""
        found = list[Outcome]()
        try:
            while self.pending:
                done = self._done.get(timeout=timeout_s) if timeout_s > 0 and not found else self._done.get_nowait()
                if isinstance(done, BaseException):
                    raise done
                self.pending -= 1
                found += done
        except queue.Empty:
            pass
        return found


def check_how(how: str, workers: int | None) -> None:
    """Whether there is such a way.

    Raises:
        UsageError: there is none, or not with so many workers.
    """
    if how not in HOWS:
        raise UsageError(f"how {how!r}: allowed are {', '.join(HOWS)}")
    if workers is not None and not 1 <= workers <= MOST_WORKERS:
        raise UsageError(f"workers {workers}: allowed are 1 to {MOST_WORKERS}")


@contextmanager
def opened(how: How, coding: Coding, workers: int | None = None) -> Iterator[Writer]:
    """A writer whose workers are ready, and gone at the end with what nobody waited for.

    Args:
        how: one of ``HOWS``.
        coding: of every still.
        workers: how many threads or processes; None takes one for each core that we may use.

    Raises:
        UsageError: there is no such way, or not with so many workers.
        TransportError: a process did not start.
        ImportError: OpenCV cannot be loaded; the message names the system packages that it needs.
    """
    check_how(how, workers)
    save_here = partial(save_chunk, coding=coding)
    load_cv2()  # here, where somebody hears that it is not there
    if how == "loop":
        yield LoopWriter(save_here)
        return
    number = len(os.sched_getaffinity(0)) if workers is None else workers
    most = CHUNK_STILLS if how.startswith("chunked_") else 1
    with ExitStack() as running:
        savers: Sequence[Saver] = [save_here] * number
        if how.endswith("processes"):
            savers = running.enter_context(remote_savers(number, coding))
        yield running.enter_context(PoolWriter(savers, most))
