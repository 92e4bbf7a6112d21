"""How a run ends: the steps of a drain in their order, each with its patience, and nobody left behind."""

from collections.abc import Iterable
from enum import Enum
from typing import Any

from syncsvc.clock import NS_PER_S, Clock
from syncsvc.daemon.child import Child

STOP_GRACE_S = 1.5
FINISH_GRACE_S = 12.0


class Step(Enum):
    """What a drain asks for now."""

    KILL_CAPTURES = "they were asked to end, and did not in time"
    FINISH_RECEIVER = "every capture has ended: what is open may leave"
    GIVE_UP = "the receiver did not come to an end"


class DrainSteps:
    """From the signal to the last batch; pure but for the clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since_ns: int | None = None
        self._is_finishing = False

    @property
    def has_begun(self) -> bool:
        """Whether somebody asked the service to stop."""
        return self._since_ns is not None

    def begin(self) -> None:
        """Somebody asked the service to stop."""
        self._since_ns = self._clock.monotonic_ns()

    def steps(self, *, has_captures: bool) -> list[Step]:
        """What is to be done now; nothing before ``begin``."""
        if self._since_ns is None:
            return []
        waited_s = (self._clock.monotonic_ns() - self._since_ns) / NS_PER_S
        steps = []
        if has_captures and waited_s > STOP_GRACE_S:
            steps.append(Step.KILL_CAPTURES)
        if not has_captures and not self._is_finishing:
            self._is_finishing = True
            steps.append(Step.FINISH_RECEIVER)
        if waited_s > FINISH_GRACE_S:
            steps.append(Step.GIVE_UP)
        return steps


def leave_nobody(children: Iterable[Child[Any]], receiver: Child[Any] | None, *, is_clean: bool) -> None:
    """Reap every child, and kill those that still run; a receiver that said goodbye may take a second for it."""
    for child in children:
        if child.reap(1.0 if child is receiver and is_clean else 0.0) is None:
            child.kill()
            child.reap(2.0)
