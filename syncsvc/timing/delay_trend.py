"""Pts that follow no clock are noticed by their rate: no crystal, and no network for long, makes delays run away."""

from collections import deque
from itertools import pairwise
from math import inf

RUNS = 6
"""So many buckets in a row must each say the same."""
EVEN, ROUGHLY_EVEN = 1.6, 2.5
"""Growth is even where no bucket's is this many times more or less than the median."""


class RateWatch:
    """Least delays per bucket of arrivals, on several scales of time; pure.

    Queues grow and drain evenly too, but not for long: the slower the growth, the longer it must last. Young sessions
    are doubted sooner, because then a wrong rate is likelier than a queue that grows. The last scale sees 700 ppm
    within four minutes (crystals are within 500) and pictures left out of a constant grid, evenly or not: a path that
    slows down by a tenth of a second in a minute or two is no lie.
    """

    def __init__(self) -> None:
        self._scales = (
            _Scale(0.3, 0.030, ROUGHLY_EVEN, until_s=4.0),
            _Scale(1.0, 0.030, EVEN),
            _Scale(3.0, 0.030, EVEN),
            _Scale(10.0, 0.038, EVEN),
            _Scale(30.0, 0.021, inf),
        )

    def feed(self, arrival_s: float, delay_s: float) -> float | None:
        """Learn the delay of a frame that arrived so many seconds after the session's first.

        Returns:
            The pts' rate (seconds of pts per second of arrivals) when it has just been seen to be no clock's.
        """
        first = None
        for scale in self._scales:
            growth = scale.feed(arrival_s, delay_s)
            if first is None and growth is not None:
                first = 1 - growth
        return first


class _Scale:
    def __init__(self, length_s: float, step_s: float, even: float, until_s: float = inf) -> None:
        self._length_s, self._step_s, self._even, self._until_s = length_s, step_s, even, until_s
        self._least: deque[float] = deque(maxlen=RUNS + 1)
        self._end_s = -inf

    def feed(self, arrival_s: float, delay_s: float) -> float | None:
        """The delay's growth per second, when a bucket has become full and the last ones agree."""
        if arrival_s < self._end_s:
            if delay_s < self._least[-1]:
                self._least[-1] = delay_s
            return None
        if arrival_s >= self._end_s + self._length_s:  # nothing came for a bucket: what grew meanwhile is unknown
            self._least.clear()
            self._end_s = arrival_s
        growth = self._growth() if len(self._least) > RUNS and arrival_s < self._until_s else None
        self._end_s += self._length_s
        self._least.append(delay_s)
        return growth

    def _growth(self) -> float | None:
        steps = sorted(after - before for before, after in pairwise(self._least))
        if steps[-1] <= -self._step_s:
            steps = [-step for step in reversed(steps)]
            sign = -1
        elif steps[0] >= self._step_s:
            sign = 1
        else:
            return None
        middle = steps[RUNS // 2]
        is_even = steps[0] * self._even > middle and steps[-1] < middle * self._even
        return sign * sum(steps) / RUNS / self._length_s if is_even else None
