"""When a process that ended is started again, and when no more: a pure policy, tried out in microseconds.

Source: restart intensity after Erlang/OTP's supervisors ("Supervision principles", system documentation): more than so
many restarts in a period, and it is the next level that acts.
"""

from collections import deque
from random import Random

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 5.0
FIRST_REFUSED_S = 30.0
LONGEST_REFUSED_S = 600.0
"""Where user or password is refused: cameras lock an account after a few attempts within minutes."""

FIRST_QUARANTINE_S = 30.0
LONGEST_QUARANTINE_S = 600.0
FORGOTTEN_S = 3600.0
"""After so long without a quarantine, the next one is the first."""


class Intensity:
    """How often something broke lately, and whether that is too often: more than ``most`` times in ``period_s``."""

    def __init__(self, most: int, period_s: float) -> None:
        self.most, self.period_s = most, period_s
        self._breaks: deque[float] = deque(maxlen=most + 1)

    def add(self, now_s: float) -> bool:
        """It broke, at a moment of the monotonic clock; true when that is too often, and counting begins anew."""
        self._breaks.append(now_s)
        if len(self._breaks) <= self.most or now_s - self._breaks[0] > self.period_s:
            return False
        self._breaks.clear()
        return True


CAPTURE_BREAKS = 5
SERVICE_BREAKS = 10
PERIOD_S = 60.0
"""A capture may break five times in a minute before its stream is quarantined, the receiver and the nursery ten times
before the daemon ends, so that a service manager may begin anew."""


class RestartPolicy:
    """The first restart is immediate; from the second on the pause doubles, with jitter, up to five seconds.

    Who is refused for his password is in no hurry: thirty seconds, and twice as long each time, up to ten minutes.

    The jitter keeps the captures of many cameras behind one switch from coming back in one instant.
    """

    def __init__(self, random: Random, most_breaks: int = CAPTURE_BREAKS) -> None:
        self._random = random
        self._intensity = Intensity(most_breaks, PERIOD_S)
        self._quarantines, self._quarantined_s = 0, 0.0
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

    def breaks_too_often(self, now_s: float) -> bool:
        """It broke, at a moment of the monotonic clock: whether that is no longer for another start to mend."""
        return self._intensity.add(now_s)

    def pause_in_quarantine(self, now_s: float) -> float:
        """Seconds until the one next try of what broke too often: half a minute and, each time, twice as long."""
        if now_s - self._quarantined_s > FORGOTTEN_S:
            self._quarantines = 0
        self._quarantines, self._quarantined_s = self._quarantines + 1, now_s
        longest = min(LONGEST_QUARANTINE_S, 2 * FIRST_QUARANTINE_S * (1 << min(16, self._quarantines - 1)))
        return longest * self._random.uniform(0.5, 1.0)

    def pause_after_failure(self) -> float:
        """Seconds to wait before the next start."""
        self.failures += 1
        if self.failures == 1:
            return 0.0
        longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * (1 << min(16, self.failures - 2)))
        return longest * self._random.uniform(0.5, 1.0)
