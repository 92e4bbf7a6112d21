"""When a capture that ended is started again: a pure policy, tried out in microseconds."""

from random import Random

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 5.0
FIRST_REFUSED_S = 30.0
LONGEST_REFUSED_S = 600.0
"""Where user or password is refused: cameras lock an account after a few attempts within minutes."""


class RestartPolicy:
    """The first restart is immediate; from the second on the pause doubles, with jitter, up to five seconds.

    Who is refused for his password is in no hurry: thirty seconds, and twice as long each time, up to ten minutes.

    The jitter keeps the captures of many cameras behind one switch from coming back in one instant.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self.failures = 0
        """In a row."""
        self._refusals = 0

    def was_healthy(self) -> None:
        """It ran well: the next failure is the first of its kind."""
        self.failures = self._refusals = 0

    def pause_after_refusal(self) -> float:
        """Seconds to wait before user and password are tried again."""
        self._refusals += 1
        return min(LONGEST_REFUSED_S, FIRST_REFUSED_S * (1 << min(16, self._refusals - 1)))

    def pause_after_failure(self) -> float:
        """Seconds to wait before the next start."""
        self.failures += 1
        if self.failures == 1:
            return 0.0
        longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * (1 << min(16, self.failures - 2)))
        return longest * self._random.uniform(0.5, 1.0)
