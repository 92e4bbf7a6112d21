"""Decides which worker makes which call, and what becomes of the calls of one that ends. No process, no clock."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

MOST_TRIES = 2
AHEAD_NS = 50_000_000
"""Calls that are shorter than this, on average, lie ready in the worker while it makes the one before."""
_SMOOTHING = 0.2


class Job(Protocol):
    """A call, as far as it matters who makes it."""

    number: int
    timeout_ns: int | None
    tries: int


J = TypeVar("J", bound=Job)


@dataclass(slots=True)
class Member(Generic[J]):
    """One worker: ``calls`` are those that it has, of which it makes the first since ``began_ns``."""

    calls: deque[J] = field(default_factory=deque)
    is_ready: bool = False
    is_condemned: bool = False
    """Whether it was killed by us: the call that it made then is settled, and no other is to blame."""
    began_ns: int = 0


class Roster(Generic[J]):
    """Who has what.

    Guarantees:
        * A call is with one worker at a time, and leaves the roster once: finished, withdrawn, or lost.
        * Calls are begun in the order in which they were added; those of a worker that ended come before all others.
        * A call is tried twice: it is lost when a second worker ended with it in hand.
    """

    def __init__(self) -> None:
        self.waiting: deque[J] = deque()
        self.members: dict[int, Member[J]] = {}
        self._spent_ns = float(AHEAD_NS)

    def add(self, call: J) -> None:
        """One more call, behind all others."""
        self.waiting.append(call)

    def again(self, call: J) -> None:
        """A call that was finished is to be made again, before all others."""
        self.waiting.appendleft(call)

    def hire(self, worker: int) -> None:
        """One more worker, which is not ready yet."""
        self.members[worker] = Member()

    def make_ready(self, worker: int) -> None:
        """It can take calls."""
        self.members[worker].is_ready = True

    def assign(self, now_ns: int) -> list[tuple[int, J]]:
        """Hand calls out: to whom has the fewest, first come first served."""
        found: list[tuple[int, J]] = []
        depth = 2 if self._spent_ns < AHEAD_NS else 1
        fit = {name: member for name, member in self.members.items() if member.is_ready and not member.is_condemned}
        while self.waiting and fit:
            worker = min(fit, key=lambda name: len(fit[name].calls))
            member = fit[worker]
            if len(member.calls) >= depth:
                break
            if not member.calls:
                member.began_ns = now_ns
            call = self.waiting.popleft()
            member.calls.append(call)
            found.append((worker, call))
        return found

    def finish(self, worker: int, number: int, now_ns: int, spent_ns: int | None = None) -> J | None:
        """A worker has made a call; None where that was withdrawn meanwhile."""
        member = self.members[worker]
        member.began_ns = now_ns
        if spent_ns is not None:
            self._spent_ns += _SMOOTHING * (spent_ns - self._spent_ns)
        has_it = bool(member.calls) and member.calls[0].number == number
        return member.calls.popleft() if has_it else None

    def lose(self, worker: int) -> J | None:
        """A worker has ended: its calls are others' now; the one that is lost, if any."""
        member = self.members.pop(worker)
        lost: J | None = None
        if member.calls and not member.is_condemned:
            first = member.calls[0]
            first.tries += 1
            if first.tries >= MOST_TRIES:
                lost = member.calls.popleft()
        self.waiting.extendleft(reversed(member.calls))
        return lost

    def withdraw(self, call: J) -> int | None:
        """Take a call out; the worker that is at it, which is condemned with that, if one is.

        One that only lies ready in its worker is made in vain.
        """
        if call in self.waiting:
            self.waiting.remove(call)
        for worker, member in self.members.items():
            if call in member.calls:
                is_at_it = member.calls[0] is call
                member.calls.remove(call)
                if is_at_it:
                    member.is_condemned = True
                    return worker
        return None

    def overdue(self, now_ns: int) -> list[J]:
        """Calls that take longer than they may."""
        return [call for call, due_ns in self._dues() if due_ns <= now_ns]

    def next_due_ns(self) -> int | None:
        """When the next call is overdue."""
        return min((due_ns for _, due_ns in self._dues()), default=None)

    def _dues(self) -> Iterator[tuple[J, int]]:
        for member in self.members.values():
            if member.calls and member.calls[0].timeout_ns is not None and not member.is_condemned:
                yield member.calls[0], member.began_ns + member.calls[0].timeout_ns
