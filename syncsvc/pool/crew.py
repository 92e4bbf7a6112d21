"""The thread that has the workers: starts them, hands calls out, hears results, and answers for those that end."""

import select
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count

import numpy as np

from syncsvc.clock import NS_PER_MS, SYSTEM_CLOCK
from syncsvc.errors import (
    CallCancelled,
    LinkClosed,
    MemoryShortage,
    PoolError,
    TransportError,
    WorkerDied,
)
from syncsvc.lifecycle import StopToken, Worker
from syncsvc.pool import parcels
from syncsvc.pool.blocks import Arena
from syncsvc.pool.calls import PoolCall
from syncsvc.pool.lending import Lending
from syncsvc.pool.mate import Mate
from syncsvc.pool.orders import FIRST_CALL, CallDone, CallRaised
from syncsvc.pool.parcels import Parcel
from syncsvc.pool.roster import Roster
from syncsvc.transport.bell import Bell

_GRACE_S = 0.5
_STILLBORN = 5
"""Workers in a row that end by themselves before they can begin: the next one would too."""


@dataclass(slots=True)
class PoolStats:
    """What a pool has done so far; ``calls`` is the sum of the next four and of those under way."""

    calls: int = 0
    done: int = 0
    failed: int = 0
    """They raised, or two workers ended with them in hand."""
    timed_out: int = 0
    cancelled: int = 0
    retried: int = 0
    """Tries that a worker's end cost; the call was made again."""
    died: int = 0
    """Workers that ended by themselves, or by others' hand."""
    copied_again: int = 0
    """Calls that were made again with a copy, since the memory that was lent to them was taken back meanwhile."""


class Crew:
    """Calls in from any thread, results out; one thread of its own has the processes."""

    def __init__(self, workers: int, in_flight: int, first: Parcel, arena: Arena, lending: Lending) -> None:
        self.stats = PoolStats()
        self.changed = threading.Condition()
        self._workers, self._most, self._first = workers, in_flight, first
        self._arena, self._lending, self._bell = arena, lending, Bell()
        self._roster: Roster[PoolCall] = Roster()
        self._mates: dict[int, Mate] = {}
        self._names, self._under_way, self._stillborn = count(1), 0, 0
        self._broken: BaseException | None = None
        self._thread = Worker("syncsvc-pool", self._run).start()
        self._thread.stop_token.on_set(self._bell.ring)

    # From any thread.

    @contextmanager
    def place(self, wait_s: float | None) -> Iterator[bool]:
        """A place for one more call, once there is one: false where none is free within ``wait_s``.

        Raises:
            PoolError: the pool is closed, or no worker can begin.
        """
        with self.changed:
            self.changed.wait_for(lambda: self._broken or self._under_way < self._most, wait_s)
            self.check()
            is_free = self._under_way < self._most
            self._under_way += is_free
        try:
            yield is_free
        except BaseException:
            with self.changed:
                self._under_way -= is_free
                self.changed.notify_all()
            raise

    def wait_ready(self, timeout_s: float | None) -> bool:
        """Wait until every worker can begin; false where one cannot within the time.

        Raises:
            PoolError: the pool is closed, or no worker can begin.
        """

        def are_ready() -> bool:
            ready = [member for member in self._roster.members.values() if member.is_ready]
            return self._broken is not None or len(ready) == self._workers

        with self.changed:
            found = self.changed.wait_for(are_ready, timeout_s)
            self.check()
        return found

    def check(self) -> None:
        """Raise what keeps the pool from working, if anything does."""
        if isinstance(self._broken, PoolError):
            raise type(self._broken)(*self._broken.args) from self._broken.__cause__
        if self._broken is not None:
            raise PoolError(f"no worker can begin: {self._broken!r}") from self._broken

    def add(self, call: PoolCall) -> None:
        """Make it, in a place that was got before."""
        with self.changed:
            self.check()
            self.stats.calls += 1
            self._roster.add(call)
        self._bell.ring()

    def cancel(self, call: PoolCall) -> bool:
        """Give a call up; false where it is over."""
        with self.changed:
            if call.ready():
                return False
            self._withdraw(call, CallCancelled("the call was cancelled"))
            self.stats.cancelled += 1
        self._bell.ring()
        return True

    def pids(self) -> list[int]:
        """The worker processes that there are."""
        with self.changed:
            return [mate.process.pid for mate in self._mates.values()]

    def leave(self) -> None:
        """End all workers, without a wait: nobody has the pool any more."""
        self._thread.stop_token.set()

    def close(self) -> None:
        """End all workers; calls that are under way are cancelled."""
        self._thread.stop(2 * _GRACE_S + 5.0)

    # The thread's own.

    def _run(self, stop: StopToken) -> None:
        try:
            while not stop.is_set:
                self._staff()
                self._hand_out()
                self._wait()
                self._hear_all()
                self._end_overdue()
        except BaseException as error:
            with self.changed:
                self._break(error)
            raise
        finally:
            with self.changed:
                self._break(PoolError("the pool is closed"))
                mates, self._mates = list(self._mates.values()), {}
            for mate in mates:
                mate.channel.close()
            for mate in mates:
                mate.close(_GRACE_S)

    def _break(self, error: BaseException) -> None:
        self._broken = self._broken or error
        calls = [*self._roster.waiting, *(call for one in self._roster.members.values() for call in one.calls)]
        for call in calls:
            over = CallCancelled(f"the pool is over: {self._broken}")
            over.__cause__ = self._broken
            self._withdraw(call, over)
            self.stats.cancelled += 1
        self.changed.notify_all()

    def _staff(self) -> None:
        while len(self._mates) < self._workers and not self._broken:
            mate = Mate(self._arena, self._lending)
            name = next(self._names)
            with self.changed:
                self._mates[name] = mate
                self._roster.hire(name)
            with suppress(LinkClosed):  # its end is noticed where all are
                mate.begin(self._first)

    def _hand_out(self) -> None:
        gone = [*self._arena.forgotten(), *self._lending.forgotten()]
        if gone:
            for mate in self._mates.values():
                with suppress(LinkClosed):
                    mate.forget(gone)
        with self.changed:
            orders = self._roster.assign(SYSTEM_CLOCK.monotonic_ns())
        for name, call in orders:
            try:
                self._mates[name].hand(call.number, call.parcel)
            except LinkClosed:  # see above
                continue
            except (TransportError, MemoryShortage) as error:
                with self.changed:
                    self._withdraw(call, error)
                    self.stats.failed += 1

    def _wait(self) -> None:
        poller = select.poll()
        poller.register(self._bell.fd, select.POLLIN)
        for mate in self._mates.values():
            poller.register(mate.channel.fileno(), select.POLLIN)
            poller.register(mate.pidfd, select.POLLIN)
        with self.changed:
            due_ns = self._roster.next_due_ns()
        now_ns = SYSTEM_CLOCK.monotonic_ns()
        poller.poll(None if due_ns is None else max(0, -((now_ns - due_ns) // NS_PER_MS)))
        self._bell.answer()

    def _hear_all(self) -> None:
        for name, mate in list(self._mates.items()):
            has_ended = mate.process.poll() is not None  # looked at first: what it said before is heard below
            try:
                for message in mate.hear():
                    self._hear(name, mate, message)
            except TransportError:  # LinkClosed too: it is of no use any more
                mate.kill()
                has_ended = True
            if has_ended:
                self._bury(name, mate)

    def _hear(self, name: int, mate: Mate, message: CallDone | CallRaised) -> None:
        is_done = isinstance(message, CallDone)
        if message.number == FIRST_CALL:
            with self.changed:
                if is_done:
                    self._stillborn = 0
                    self._roster.make_ready(name)
                    self.changed.notify_all()
                else:
                    self._break(parcels.unpack_error(message.body))
            return
        with self.changed:
            spent_ns = message.spent_ns if isinstance(message, CallDone) else None
            call = self._roster.finish(name, message.number, SYSTEM_CLOCK.monotonic_ns(), spent_ns)
        if isinstance(message, CallDone):
            views = mate.views(message.places)
            if call is not None and not self._is_torn(call):
                self._settle(call, (message.body, views), None, message.spent_ns)
        elif call is not None and not self._is_torn(call):
            self._settle(call, None, parcels.unpack_error(message.body))

    def _is_torn(self, call: PoolCall) -> bool:
        """Whether memory that was lent to it was written meanwhile: then it is made again, with a copy."""
        torn = [index for index, (lent, _) in call.parcel.lents.items() if not lent.is_intact()]
        for index in torn:
            _, view = call.parcel.lents.pop(index)
            try:
                block = self._arena.take(view.nbytes)
            except MemoryShortage as error:
                self._settle(call, None, error)
                return True
            np.copyto(block.view(view.nbytes), view)
            call.parcel.blocks.append(block)
            call.parcel.places[index] = block.number, 0, view.nbytes
        if torn:
            with self.changed:
                self.stats.copied_again += 1
                self._roster.again(call)
        return bool(torn)

    def _settle(self, call: PoolCall, reply: object, error: BaseException | None, spent_ns: int = 0) -> None:
        with self.changed:
            self.stats.done += error is None
            self.stats.failed += error is not None
            self._over(call, reply, error, spent_ns)

    def _over(self, call: PoolCall, reply: object, error: BaseException | None, spent_ns: int = 0) -> None:
        parcels.release(call.parcel, self._arena)
        self._under_way -= 1
        call.settle(reply, error, spent_ns)  # type: ignore[arg-type]

    def _withdraw(self, call: PoolCall, error: BaseException) -> None:
        """Take a call out, with the lock held; the worker that is at it is killed, since nothing else ends it."""
        worker = self._roster.withdraw(call)
        self._over(call, None, error)
        if worker is not None:
            self._mates[worker].kill()

    def _end_overdue(self) -> None:
        with self.changed:
            for call in self._roster.overdue(SYSTEM_CLOCK.monotonic_ns()):
                self.stats.timed_out += 1
                self._withdraw(call, TimeoutError(f"the call took longer than {(call.timeout_ns or 0) / 1e9:g} s"))

    def _bury(self, name: int, mate: Mate) -> None:
        code = mate.close()
        with self.changed:
            del self._mates[name]
            member = self._roster.members[name]
            is_ours, was_ready, had_calls = member.is_condemned, member.is_ready, len(member.calls)
            lost = self._roster.lose(name)
            self.stats.died += not is_ours
            if lost is not None:
                self.stats.failed += 1
                self._over(lost, None, WorkerDied(f"two workers ended with the call in hand, the last with {code}"))
            elif had_calls and not is_ours:
                self.stats.retried += 1
            self._stillborn += not was_ready and code != -signal.SIGKILL  # which nobody does to himself
            if self._stillborn >= _STILLBORN:
                self._break(PoolError(f"{_STILLBORN} workers in a row ended before they could begin, with {code}"))
