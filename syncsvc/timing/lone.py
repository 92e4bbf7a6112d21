"""A single picture with another time among its neighbours, as recorders send now and then: set aside, no step; pure.

Whether a time that does not follow the last one is alone can only be seen in the next picture: so it teaches no clock
until then, and has the time that its place gives it. A busy machine gets packets late, and many at once; that proves
nothing, so a time is odd where it goes back, or where its picture would have come before it was taken.
"""

from collections import deque
from dataclasses import replace
from statistics import median_low

from syncsvc.clock import NS_PER_MS, NS_PER_S
from syncsvc.model import Observation

KNOWN_STEPS, LEAST_STEPS = 16, 3
"""Steps by which the usual one is known, and below which nothing is held odd."""
KEPT_DELAYS = 256
EARLY_NS = 100 * NS_PER_MS
"""A picture that comes this much sooner after its pts than any before has a pts that is odd: nothing makes it early."""
DISORDER_NS = 200 * NS_PER_MS
"""Where pictures come out of order, they do so within that."""
FAR_NS = NS_PER_S
"""A time that is this far off is nobody's doubt."""


class LoneTimes:
    """One session's pts, as they are to be stamped and learnt from.

    Guarantees: a picture whose time is alone teaches nothing and has its neighbours' time; where time really steps,
    everything is learnt from, in its order, one picture late; steady pts, and those of pictures that are missing, pass
    untouched.
    """

    def __init__(self) -> None:
        self._last: Observation | None = None
        self._odd: Observation | None = None
        self._steps: deque[int] = deque(maxlen=KNOWN_STEPS)
        self._delays: deque[int] = deque(maxlen=KEPT_DELAYS)
        self._is_disordered = False

    def judge(self, seen: Observation) -> tuple[Observation, list[Observation], int]:
        """A picture came.

        Returns:
            It with the pts to be stamped by, the pictures that clocks may learn from now, and the doubt that its time
            has beyond the clock's own, in nanoseconds.
        """
        last, odd, pts_ns = self._last, self._odd, seen.pts_ns
        if pts_ns is None or last is None or last.pts_ns is None:
            self._keep(seen)
            return seen, [seen], 0
        self._odd = None
        if odd is not None and odd.pts_ns is not None and _goes_on(last.pts_ns, odd.pts_ns, pts_ns):
            self._is_disordered = self._is_disordered or 0 <= last.pts_ns - odd.pts_ns <= DISORDER_NS
            self._last = None  # from one time to the other there is no step
            self._delays.clear()
            self._keep(odd)
            self._keep(seen)
            return seen, [odd, seen], 0
        if self._is_odd(seen, last, pictures=2 if odd is None else 3):
            self._odd = seen
            return self._in_its_place(seen, last.pts_ns, pictures=1 if odd is None else 2)
        self._keep(seen)
        return seen, [seen], 0

    def _keep(self, seen: Observation) -> None:
        if seen.pts_ns is None:
            return
        last = self._last
        if last is not None and last.pts_ns is not None and seen.pts_ns > last.pts_ns:
            self._steps.append(seen.pts_ns - last.pts_ns)
        self._delays.append(seen.arrival_mono_ns - seen.pts_ns)
        self._last = seen

    def _is_odd(self, seen: Observation, last: Observation, pictures: int) -> bool:
        if len(self._steps) < LEAST_STEPS or seen.pts_ns is None or last.pts_ns is None:
            return False
        step_ns = seen.pts_ns - last.pts_ns
        if step_ns <= 0:
            return not (self._is_disordered and step_ns > -DISORDER_NS)
        if step_ns <= pictures * median_low(self._steps):
            return False
        return seen.arrival_mono_ns - seen.pts_ns < min(self._delays) - EARLY_NS

    def _in_its_place(
        self, seen: Observation, last_ns: int, pictures: int
    ) -> tuple[Observation, list[Observation], int]:
        step_ns = median_low(self._steps)
        place_ns, pts_ns = last_ns + pictures * step_ns, seen.pts_ns or 0
        off_ns = abs(pts_ns - place_ns)
        return replace(seen, pts_ns=place_ns), [], off_ns if off_ns < FAR_NS else step_ns


def _goes_on(last_ns: int, odd_ns: int, pts_ns: int) -> bool:
    """Whether a picture follows the odd one before it, and not the one before that: time has stepped for both."""
    return last_ns < odd_ns < pts_ns or odd_ns < pts_ns <= last_ns
