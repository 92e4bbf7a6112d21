"""When a capture that ended is started again: a pure policy, tried out in microseconds."""

from random import Random

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 5.0


class RestartPolicy:
    """The first restart is immediate; from the second on the pause doubles, with jitter, up to five seconds.

    The jitter keeps the captures of many cameras behind one switch from coming back in one instant.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self.failures = 0
        """In a row."""

    def was_healthy(self) -> None:
        """It ran well: the next failure is the first of its kind."""
        self.failures = 0

    def pause_after_failure(self) -> float:
        """Seconds to wait before the next start."""
        self.failures += 1
        if self.failures == 1:
            return 0.0
        longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * (1 << min(16, self.failures - 2)))
        return longest * self._random.uniform(0.5, 1.0)
