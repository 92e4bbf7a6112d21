"""A worker: hears calls, makes them one after the other, and says what came of each.

``python -m syncsvc.pool.worker_process FD``: FD is its end of a socket pair with the pool.
"""

import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable
from multiprocessing import spawn

from syncsvc.clock import SYSTEM_CLOCK
from syncsvc.errors import LinkClosed
from syncsvc.lifecycle import leave_signals_to_parent, name_process
from syncsvc.pool import blocks, parcels
from syncsvc.pool.orders import (
    FIRST_CALL,
    CallDone,
    CallOrder,
    CallRaised,
    ForgetBlocks,
    FreedBlocks,
    ShareBlock,
    ToWorker,
    WorkerStart,
)
from syncsvc.transport.channel import Channel


class Workman:
    """One worker, at its end of the channel."""

    def __init__(self, channel: Channel[ToWorker]) -> None:
        self._channel = channel
        self._arena, self._sight = blocks.Arena(), blocks.SharedBlocks()
        self._shared: set[int] = set()

    def begin(self) -> bool:
        """Look like the program that started us; false where that raised, as it would in any other worker."""
        start, _ = self._channel.wait_for(WorkerStart)
        blocks.become_worker(self._arena)
        body = self._attempt(lambda: _prepare(start))
        if body is not None:
            self._channel.send(CallRaised(FIRST_CALL, body), timeout_s=None)
        return body is None

    def serve(self) -> None:
        """Make calls until the pool is gone."""
        while (received := self._channel.receive(None)) is not None:
            message, fds = received
            match message:
                case CallOrder():
                    self._call(message)
                case ShareBlock(number, offset, size_bytes, is_writable):
                    self._sight.add(number, fds[0], offset, size_bytes, is_writable=is_writable)
                case ForgetBlocks(numbers):
                    self._sight.forget(numbers)
                case FreedBlocks(numbers):
                    for number in numbers:
                        self._arena.give_back(number)

    def _call(self, order: CallOrder) -> None:
        body = self._attempt(lambda: self._make(order))
        if body is not None:
            self._channel.send(CallRaised(order.number, body), timeout_s=None)

    def _make(self, order: CallOrder) -> None:
        function, args, kwargs = parcels.unpack(order.body, [self._sight.bytes_at(*place) for place in order.places])
        begun_ns = SYSTEM_CLOCK.monotonic_ns()
        value = function(*args, **kwargs)
        spent_ns = SYSTEM_CLOCK.monotonic_ns() - begun_ns
        parcel = parcels.pack(value, self._arena)
        self._share(parcel)
        self._channel.send(CallDone(order.number, parcel.body, parcel.places, spent_ns), timeout_s=None)

    def _share(self, parcel: parcels.Parcel) -> None:
        gone = self._arena.forgotten()
        if gone:
            self._shared.difference_update(gone)
            self._channel.send(ForgetBlocks(gone), timeout_s=None)
        for number, _, _ in parcel.places:
            self._arena.hand_over(number)
            if number not in self._shared:
                block = self._arena.block(number)
                self._shared.add(number)
                self._channel.send(ShareBlock(number, 0, block.size_bytes), block.fd, timeout_s=None)

    def _attempt(self, body: Callable[[], None]) -> bytes | None:
        """Run somebody else's code; what it raised, if anything, ready to be sent."""
        try:
            body()
        except LinkClosed:  # ours: nobody hears us any more
            raise
        except BaseException as error:
            return parcels.pack_error(error, traceback.format_exc())
        return None


def _prepare(start: WorkerStart) -> None:
    """As a process that ``multiprocessing`` spawns does: functions of the main program are to be found by name.

    A program that makes a pool whenever it is imported, which is what happens here, is told so (``_inheriting``).
    """
    process = multiprocessing.current_process()
    process._inheriting = True  # type: ignore[attr-defined]
    try:
        spawn.prepare(start.preparation)
    finally:
        del process._inheriting  # type: ignore[attr-defined]


def main(fd: int) -> None:
    """Work until the pool lets go of us."""
    name_process("syncsvc-pool")
    leave_signals_to_parent()
    for threads in ("OPENCV_FOR_THREADS_NUM", "OMP_NUM_THREADS"):  # the pool is what keeps all cores busy
        os.environ.setdefault(threads, "1")
    workman = Workman(Channel.of(fd, ToWorker))
    try:
        if workman.begin():
            workman.serve()
    except LinkClosed:
        pass


if __name__ == "__main__":
    main(int(sys.argv[1]))
