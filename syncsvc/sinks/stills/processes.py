"""Processes that write stills, seen from here: pixels are copied once into memory that is shared with one of them."""

import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from syncsvc import programs
from syncsvc.errors import LinkClosed, TransportError
from syncsvc.sinks.stills import still_orders as orders
from syncsvc.sinks.stills.coding import Coding, check
from syncsvc.sinks.stills.still import (
    CHUNK_BYTES,
    FAILURES,
    FileAsItCame,
    Outcome,
    Still,
    failure,
    pixels_of,
    save_chunk,
)
from syncsvc.transport import memfd
from syncsvc.transport.channel import Channel

START_S: Final = 60.0
_END_S: Final = 1.0
_ALIGNED: Final = 64
_TRIES: Final = 2
"""A chunk whose process died is given to another; one that kills that too is left."""
_MODULE: Final = "syncsvc.sinks.stills.process_worker"


class PictureMemory:
    """Memory without a name that this process writes into and another reads; it grows, and is gone with both."""

    def __init__(self, size_bytes: int) -> None:
        """Make it.

        Raises:
            MemoryShortage: there is not so much.
        """
        self.fd = memfd.create("syncsvc-stills", size_bytes)
        self._map: mmap.mmap = memfd.map_whole(self.fd)

    @property
    def size_bytes(self) -> int:
        """How much there is."""
        return len(self._map)

    def grow(self, size_bytes: int) -> None:
        """Have so much at least; nobody may hold a view.

        Raises:
            MemoryShortage: there is not so much.
        """
        if size_bytes > self.size_bytes:
            memfd.allocate(self.fd, 0, size_bytes)
            self._map.close()
            self._map = memfd.map_whole(self.fd)

    def write(self, offset: int, pixels: NDArray[Any]) -> None:
        """Copy an array to a place, its values in C order."""
        place: NDArray[Any] = np.ndarray(pixels.shape, pixels.dtype, self._map, offset)
        place[...] = pixels

    def close(self) -> None:
        """Let it go; the other process keeps what it has mapped."""
        self._map.close()
        os.close(self.fd)


class _Process:
    """One that runs, and the channel to it."""

    def __init__(self, memory: PictureMemory) -> None:
        self._channel: Channel[orders.Imported | orders.SavedStills]
        self._channel, theirs = Channel.pair(orders.Imported | orders.SavedStills)
        with theirs:
            words = ["-m", _MODULE, str(theirs.fileno()), str(memory.fd)]
            self._process = programs.start_leashed(words, pass_fds=(theirs.fileno(), memory.fd))

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def await_ready(self) -> None:
        """Wait until it has imported everything.

        Raises:
            TransportError: it ended, or did not come so far in time.
        """
        if self._receive(START_S, orders.Imported) is None:
            raise TransportError(f"a process for stills did not start within {START_S:g} s")

    def save(self, order: orders.SaveStills) -> orders.SavedStills:
        """Have it save, and wait for that.

        Raises:
            LinkClosed: it died.
        """
        self._channel.send(order, timeout_s=None)
        answer: orders.SavedStills = self._receive(None, orders.SavedStills)
        return answer

    def _receive(self, timeout_s: float | None, kind: type[Any]) -> Any:
        received = self._channel.receive(timeout_s)
        if received is not None and not isinstance(received[0], kind):
            raise TransportError(f"a process for stills sent {type(received[0]).__name__}, not {kind.__name__}")
        return received and received[0]

    def close(self) -> int | None:
        """Let it end; how it ended."""
        self._channel.close()
        programs.end(self._process, _END_S)
        return self._process.returncode


class RemoteSaver:
    """A saver (see ``writers``) with a process of its own, which is replaced when it dies."""

    def __init__(self, coding: Coding) -> None:
        """Start the process; ``await_ready`` and ``close`` are owed from here on."""
        self._coding = coding
        with ExitStack() as failing:
            self._memory = PictureMemory(CHUNK_BYTES)
            failing.callback(self._memory.close)
            self._process = _Process(self._memory)
            failing.pop_all()

    def await_ready(self) -> None:
        """See ``_Process``."""
        self._process.await_ready()

    @property
    def pid(self) -> int:
        """Of the process that saves for us now."""
        return self._process.pid

    def close(self) -> None:
        """End the process."""
        self._process.close()
        self._memory.close()

    def __call__(self, chunk: Sequence[Still]) -> list[Outcome]:
        """Copy the pictures over and have them saved; what is coded already is written here."""
        done, found = list[Outcome](), list[tuple[Still, NDArray[Any]]]()
        for still in chunk:
            try:
                pixels = pixels_of(still)
                if isinstance(pixels, FileAsItCame):
                    done += save_chunk([still._replace(picture=pixels)], self._coding)
                else:
                    check(pixels, self._coding)
                    found.append((still, pixels))
            except FAILURES as error:
                done.append(failure(still.number, still.path, error))
        return done + self._save(found) if found else done

    def _save(self, found: Sequence[tuple[Still, NDArray[Any]]]) -> list[Outcome]:
        try:
            order = self._order(found)
        except TransportError as error:  # of memory
            return [Outcome(still.number, still.path, 0, "refused", str(error)) for still, _ in found]
        for _ in range(_TRIES):
            try:
                saved = self._process.save(order)
                return [
                    Outcome(still.number, still.path, *outcome)
                    for (still, _), outcome in zip(found, saved.outcomes, strict=True)
                ]
            except LinkClosed:
                code = self._replace()
        problem = f"the process that was to write it died twice (the second time with {code})"
        return [Outcome(still.number, still.path, 0, "unwritten", problem) for still, _ in found]

    def _order(self, found: Sequence[tuple[Still, NDArray[Any]]]) -> orders.SaveStills:
        """Put the pictures side by side, each at the start of a cache line."""
        placed, offset = list[orders.PlacedPicture](), 0
        for still, pixels in found:
            placed.append(_placed(still, pixels, offset))
            offset += -(-pixels.nbytes // _ALIGNED) * _ALIGNED
        self._memory.grow(offset)
        for one, (_, pixels) in zip(placed, found, strict=True):
            self._memory.write(one.offset, pixels)
        return orders.SaveStills(self._coding.suffix, self._coding.quality, self._memory.size_bytes, placed)

    def _replace(self) -> int | None:
        """Another process in the place of one that died; how that ended."""
        code = self._process.close()
        self._process = _Process(self._memory)
        self._process.await_ready()
        return code


def _placed(still: Still, pixels: NDArray[Any], offset: int) -> orders.PlacedPicture:
    return orders.PlacedPicture(still.number, os.fsencode(still.path), offset, list(pixels.shape), pixels.dtype.str)


@contextmanager
def remote_savers(number: int, coding: Coding) -> Iterator[list[Callable[[Sequence[Still]], list[Outcome]]]]:
    """So many, all of them ready; their processes end with the block, or with the thread that it runs in.

    Raises:
        TransportError: one did not start.
        OSError: the machine has no room for another process.
    """
    with ExitStack() as running:
        savers = list[RemoteSaver]()
        for _ in range(number):
            saver = RemoteSaver(coding)
            running.callback(saver.close)
            savers.append(saver)
        for saver in savers:
            saver.await_ready()
        yield list(savers)
