"""How many frames a second a ring must carry: what is declared to begin with, then what is delivered; pure.

Cameras declare fields for frames, what they were set to once, or nothing at all.
"""

from collections import deque
from itertools import pairwise
from statistics import median

from syncsvc.clock import NS_PER_S

KNOWN_AFTER, QUICK = 32, 8
"""Frames by which a rate is known, and by which it is seen to have risen: sooner than a ring is full."""
FEWER = 1.5
"""A ring for so many times what comes is made smaller, once: a camera that slows down later may become faster again."""
RISEN = 1.05
MOST_TIMES = 4.0
"""Pts that count faster than this are wrong."""


class RingRate:
    """One session's rate.

    Guarantees: it follows a rate that rises by more than a twentieth within eight frames; it falls once at most, after
    32 frames, and never below what came.
    """

    def __init__(self, fps: float, *, is_known: bool) -> None:
        """Begin with a rate that is declared or guessed; one that is known stays."""
        self.fps = self._first_fps = fps
        self._is_settled = self._is_known = is_known
        self._pts: deque[int] = deque(maxlen=KNOWN_AFTER + 1)
        self._first_arrival_ns = 0
        self._count = 0

    def add(self, pts_ns: int | None, arrival_mono_ns: int) -> bool:
        """A frame came; whether the ring should be made for another rate now."""
        if self._is_known:
            return False
        self._first_arrival_ns = self._first_arrival_ns or arrival_mono_ns
        self._count += 1
        if pts_ns is None or (self._pts and pts_ns <= self._pts[-1]):
            self._pts.clear()
        if pts_ns is not None:
            self._pts.append(pts_ns)
        if self._count > KNOWN_AFTER and not self._is_settled:
            self._is_settled = True
            return self._fall(arrival_mono_ns)
        return self._rise()

    def _fall(self, arrival_mono_ns: int) -> bool:
        """Where pts and arrivals agree that far fewer come."""
        arrived = (self._count - 1) * NS_PER_S / max(1, arrival_mono_ns - self._first_arrival_ns)
        came = max(arrived, self._by_pts(KNOWN_AFTER) or 0.0)
        if came * FEWER > self.fps:
            return False
        self.fps = came
        return True

    def _rise(self) -> bool:
        """Where pts show that more come; arrivals do not, since those that waited come all at once."""
        if len(self._pts) < QUICK or (self._pts[-1] - self._pts[-2]) * self.fps * RISEN > NS_PER_S:
            return False
        counted = self._by_pts(QUICK)
        if counted is None or not RISEN * self.fps < counted < MOST_TIMES * self._first_fps:
            return False
        self.fps = counted
        return True

    def _by_pts(self, steps: int) -> float | None:
        """What the last so many steps say; None where there are fewer."""
        pts = list(self._pts)[-steps - 1 :]
        if len(pts) <= steps:
            return None
        return NS_PER_S / median(after - before for before, after in pairwise(pts))
