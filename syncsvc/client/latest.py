"""The search for the newest batch: takes in all that is here, and does not take what waited for seconds for new."""

from collections.abc import Callable

from syncsvc.client.recency import Recency, next_due_ns
from syncsvc.client.sequence import Inbox
from syncsvc.client.timeouts import Deadline
from syncsvc.clock import NS_PER_MS, NS_PER_S, SYSTEM_CLOCK, Clock

MESSAGES_PER_LOOK = 64
"""A flood of garbage must not keep a caller from its timeout."""


class Latest:
    """One call of ``latest``.

    What is here may be old: of a queue that is full the newest is lost, not the oldest, and some of what waits at the
    service comes only when there is room here. Then the next batch is waited for, until it must have come.
    """

    def __init__(
        self,
        pump: Callable[[], bool],
        inbox: Inbox,
        recency: Recency,
        timeout_s: float | None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Begin.

        Args:
            pump: moves a message into the inbox; false when none is here.
            inbox: where batches lie.
            recency: tells which are old.
            timeout_s: after which what is here is taken, however old.
            clock: for both.
        """
        self._pump, self._inbox, self._recency, self._clock = pump, inbox, recency, clock
        self._deadline, self._start_ns = Deadline(timeout_s), clock.monotonic_ns()
        left_s = self._deadline.timeout_s
        self._timeout_ns = None if left_s is None else round(left_s * NS_PER_S)
        self._patience_ns: int | None = None

    def is_over(self) -> bool:
        """Whether what the inbox hands out next is the newest, or nothing will come any more."""
        is_drained = not all(self._pump() for _ in range(MESSAGES_PER_LOOK))
        now_ns, self._patience_ns = self._clock.utc_ns(), None
        batch = self._inbox.skip(lambda one: self._recency.is_outdated(one, now_ns))
        if batch is None or self._inbox.has_ended:
            return self._inbox.has_ended
        if is_drained and not self._recency.is_outdated(batch, now_ns):
            return True
        due_ns, spent_ns = next_due_ns(batch), self._clock.monotonic_ns() - self._start_ns
        if is_drained and spent_ns >= due_ns:
            self._recency.accept(batch, now_ns)
        self._patience_ns = min(due_ns, due_ns if self._timeout_ns is None else self._timeout_ns) - spent_ns
        return self._patience_ns <= 0

    def left_ms(self) -> int | None:
        """How long to wait until the next look, at most.

        Raises:
            TimeoutError: time is up, and nothing is here.
        """
        return self._deadline.left_ms() if self._patience_ns is None else -(-self._patience_ns // NS_PER_MS)
