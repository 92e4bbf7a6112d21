"""One worker, as its pool has it: its process, the channel to it, and the memory that it has been told of."""

import os
import subprocess
from collections import deque
from collections.abc import Iterator
from multiprocessing import spawn
from typing import Any
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from syncsvc.errors import MemoryShortage
from syncsvc.pool.blocks import Arena, SharedBlocks
from syncsvc.pool.lending import Lending
from syncsvc.pool.orders import (
    FIRST_CALL,
    BlockPlace,
    CallOrder,
    ForgetBlocks,
    FreedBlocks,
    ShareBlock,
    ToPool,
    WorkerStart,
)
from syncsvc.pool.parcels import Parcel
from syncsvc.programs import end, kill_group, start_leashed
from syncsvc.transport.channel import Channel, Message


class Mate:
    """A worker process; all but ``freed`` is the manager thread's. It dies with the thread that makes this."""

    def __init__(self, arena: Arena, lending: Lending) -> None:
        """Start it.

        Raises:
            MemoryShortage: the machine has no room for another process.
        """
        self._arena, self._lending = arena, lending
        try:
            self.channel: Channel[ToPool]
            self.channel, theirs = Channel.pair(ToPool)
            with theirs:
                words = ["-m", "syncsvc.pool.worker_process", str(theirs.fileno())]
                self.process: subprocess.Popen[bytes] = start_leashed(words, pass_fds=(theirs.fileno(),))
            self.pidfd = os.pidfd_open(self.process.pid)
        except OSError as error:
            raise MemoryShortage(f"a worker cannot be started: {error.strerror}") from error
        self._sight, self._known = SharedBlocks(), set[int]()
        self._freed: deque[int] = deque()  # by finalizers, at any point of any thread

    def begin(self, first: Parcel) -> None:
        """Say how to start, and have the initializer called.

        Raises:
            LinkClosed: it has ended.
        """
        preparation = spawn.get_preparation_data("syncsvc-pool")
        preparation.pop("authkey", None)  # of multiprocessing's own connections, which none of ours is
        self._send(WorkerStart(preparation))
        self.hand(FIRST_CALL, first)

    def hand(self, number: int, parcel: Parcel) -> None:
        """Give it a call, and what it needs to see of memory.

        Raises:
            LinkClosed: it has ended.
            TransportError: it does not read, or the call is too long for any message.
            MemoryShortage: there is no memory for a long one.
        """
        freed = list(self._drain())
        if freed:
            self._send(FreedBlocks(freed))
        for index, (block, _, _) in enumerate(parcel.places):
            if block not in self._known:
                self._share(block, index, parcel)
        self._send(CallOrder(number, parcel.body, parcel.places))

    def _share(self, number: int, index: int, parcel: Parcel) -> None:
        self._known.add(number)
        if index in parcel.lents:
            lent, _ = parcel.lents[index]
            self._send(ShareBlock(number, lent.offset, lent.size_bytes), lent.fd)
        else:
            block = self._arena.block(number)
            self._send(ShareBlock(number, 0, block.size_bytes, block.is_for_all), block.fd)

    def forget(self, numbers: list[int]) -> None:
        """Blocks of ours are gone.

        Raises:
            LinkClosed: it has ended.
        """
        known = [number for number in numbers if number in self._known]
        if known:
            self._known.difference_update(known)
            self._send(ForgetBlocks(known))

    def _send(self, message: Message, *fds: int) -> None:
        self.channel.send(message, *fds)

    def _drain(self) -> Iterator[int]:
        while self._freed:
            yield self._freed.popleft()

    def hear(self) -> Iterator[Any]:
        """What it says, as long as there is something; what is about memory is looked after here.

        Raises:
            LinkClosed: it has ended.
            TransportError: it sent something that no worker says.
        """
        while (received := self.channel.receive(0)) is not None:
            message, fds = received
            if isinstance(message, ShareBlock):
                self._sight.add(message.number, fds[0], message.offset, message.size_bytes, is_writable=False)
            elif isinstance(message, ForgetBlocks):
                self._sight.forget(message.numbers)
            else:
                yield message

    def views(self, places: list[BlockPlace]) -> list[NDArray[np.uint8]]:
        """What a result's places hold; the block is the worker's again with the last view of it."""
        found = []
        for place in places:
            view = self._sight.bytes_at(*place)
            finalize(view, self._freed.append, place[0]).atexit = False
            found.append(view)
        return found

    def kill(self) -> None:
        """End it at once, and what it started."""
        kill_group(self.process)

    def close(self, grace_s: float = 0.0) -> int:
        """Let go of it: it ends by itself, or is ended when the grace is over; its exit code."""
        self.channel.close()
        end(self.process, grace_s)
        os.close(self.pidfd)
        return self.process.returncode
