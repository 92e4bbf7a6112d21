"""The end of one wait of a caller's."""

import math

from syncsvc.clock import NS_PER_S, SYSTEM_CLOCK
from syncsvc.lifecycle import patience_of


class Deadline:
    """When somebody's patience is over; None means never.

    Raises:
        UsageError: it is no number.
    """

    def __init__(self, timeout_s: float | None) -> None:
        self.timeout_s = patience_of(timeout_s)
        self._start_ns = SYSTEM_CLOCK.monotonic_ns()

    def left_ms(self) -> int | None:
        """What is left, rounded up; None means for ever. Raises TimeoutError when nothing is left."""
        if self.timeout_s is None:
            return None
        left_s = self.timeout_s - (SYSTEM_CLOCK.monotonic_ns() - self._start_ns) / NS_PER_S
        if left_s <= 0:
            raise TimeoutError(f"no batch within {self.timeout_s} s")
        return math.ceil(left_s * 1000)
