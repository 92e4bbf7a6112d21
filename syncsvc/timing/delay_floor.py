"""The least delay of a stream and how it drifts: a line under the quickest frames, which remembers its slope.

A frame's delay (arrival less pts) is a floor, which moves with the crystals alone, plus whatever the way added: never
less than nothing. So time is cut into buckets, and a Bayesian line is laid under the least delays of recent ones. Its
slope has as prior what was known before them, so that half a minute of buckets is enough and a crystal may wander.
Buckets far above the prediction are congestion: they are not heard, and the line goes on for as long as need be.

Source: after FloorLP (a line under the lower convex hull of bucket minima) and Moon, Skelly and Towsley, INFOCOM 1999.
"""

from collections import deque
from dataclasses import dataclass
from math import inf, log, sqrt

from syncsvc.timing.floor_line import line_under

FIRST_DRIFT = 100e-6
"""How far crystals are from their rate (one sigma) before anything is known of this one."""
DRIFT_WALK = 1.5e-6
"""How far a crystal's rate goes within a second (one sigma): follows a swing of 60 ppm within ten minutes to 1 ms."""
MAX_DRIFT = 600e-6
FIRST_JITTER_S, LEAST_JITTER_S = 0.020, 0.0002
LEAST_NOISE_S = 10e-6
FIRST_BUCKET_S, BUCKET_S, GROWTH = 0.3, 2.0, 0.15
"""A bucket takes 0.3 s at first, then this share of the time passed, at last 2 s."""
LEAST_FRAMES, MAX_FRAMES = 4, 1024
RECENT_BUCKETS = 24
PRIOR_BUCKETS = 4
"""Buckets' worth of trust in exponential jitter, before their own spread tells what a minimum has on top."""
GATE, LEAST_GATE_S = 6.0, 0.0005
"""A bucket this many times its expected excess (and three sigmas of the floor) above the floor is congestion."""
SURPRISE_S = 0.005
"""A frame this far (and four sigmas) below the floor proves it wrong; less far only bounds it."""


@dataclass(frozen=True, slots=True)
class _Minimum:
    """A bucket's least delay, of so many frames, and what was known of the drift before it."""

    at_s: float
    delay_s: float
    frames: int
    drift: float
    drift_var: float


class FloorFilter:
    """Floor and drift of one stream's delay; pure. Times are float seconds from any origin, pts and arrival each.

    Attributes:
        drift: seconds that the floor rises per second of pts.
        rise_s: how far the buckets that were not heard lie above the floor, at least; infinite if the last one was.
        risen_since_s: when the first of them was.
    """

    def __init__(self) -> None:
        self.drift = 0.0
        self._drift_var = FIRST_DRIFT**2
        self._jitter_s = FIRST_JITTER_S
        self.anchor(0.0, 0.0)

    def anchor(self, at_s: float, delay_s: float) -> None:
        """Begin anew at this delay; the drift is known as before."""
        self._at_s, self._floor_s = at_s, delay_s
        self._var, self._covar = self._jitter_s**2, 0.0
        self._began_s = at_s
        self._pull_s = 0.0
        self._clear_rise()
        self._minima: deque[_Minimum] = deque(maxlen=RECENT_BUCKETS)
        self._delays: list[float] = []

    @property
    def buckets(self) -> int:
        """How many were heard since the last anchor, of late."""
        return len(self._minima)

    def _clear_rise(self) -> None:
        self.rise_s, self.risen_since_s = inf, inf

    def floor_s(self, at_s: float) -> float:
        """The least delay that a frame of this pts could have."""
        return self._predicted_s(at_s) + self._pull_s

    def _predicted_s(self, at_s: float) -> float:
        return self._floor_s + self.drift * (at_s - self._at_s)

    def sigma_s(self, at_s: float) -> float:
        """Standard deviation of ``floor_s``."""
        return sqrt(self._var_after(max(0.0, at_s - self._at_s)))

    def feed(self, at_s: float, arrival_s: float) -> None:
        """Learn from a frame's pts and arrival."""
        delay_s = arrival_s - at_s
        below_s = self._predicted_s(at_s) - delay_s
        if below_s > SURPRISE_S and below_s > SURPRISE_S + 4 * self.sigma_s(at_s):
            self.anchor(at_s, delay_s)
        elif below_s > -self._pull_s:  # a bound for those that come before the bucket is full
            self._pull_s = -below_s
        if not self._delays:
            self._bucket_s, self._least = at_s, (delay_s, at_s)
        elif delay_s < self._least[0]:
            self._least = delay_s, at_s
        if len(self._delays) < MAX_FRAMES:  # pts that stand still never fill a bucket
            self._delays.append(delay_s)
        length_s = min(BUCKET_S, max(FIRST_BUCKET_S, GROWTH * (at_s - self._began_s)))
        if at_s - self._bucket_s >= length_s - 1e-9 and len(self._delays) >= LEAST_FRAMES:
            self._close()

    def _close(self) -> None:
        """Learn from a bucket, unless its frames are all late."""
        delays, (least_s, at_s) = sorted(self._delays), self._least
        self._delays, count = [], len(delays)
        # The mean of exponential delays, by their median, which a few late frames do not move.
        jitter_s = max(LEAST_JITTER_S, (delays[count // 2] - least_s) / log(2))
        self._jitter_s += (jitter_s - self._jitter_s) * (0.5 if len(self._minima) < 5 else 0.2)
        self._predict(at_s)
        above_s, excess_s = least_s - self._floor_s, self._noise_s() / count
        if above_s - excess_s > GATE * excess_s + 3 * sqrt(self._var) + LEAST_GATE_S:
            self.rise_s = min(self.rise_s, above_s)
            self.risen_since_s = min(self.risen_since_s, at_s)
            return
        self._clear_rise()
        self._minima.append(_Minimum(at_s, least_s, count, self.drift, self._drift_var))
        self._fit()

    def _predict(self, at_s: float) -> None:
        ahead_s = max(0.0, at_s - self._at_s)
        self._floor_s += self.drift * (at_s - self._at_s)
        self._var = self._var_after(ahead_s)
        self._covar += ahead_s * self._drift_var
        self._drift_var += DRIFT_WALK**2 * ahead_s
        self._at_s, self._pull_s = at_s, 0.0

    def _var_after(self, ahead_s: float) -> float:
        walked_var = DRIFT_WALK**2 * ahead_s**3 / 3
        return self._var + 2 * ahead_s * self._covar + ahead_s**2 * self._drift_var + walked_var

    def _noise_s(self) -> float:
        """What one frame has on top of the floor, on average, as far as buckets' minima show it.

        The least of n exponential delays of mean J has J / n on top. Frames that keep their order, and real networks,
        differ: the buckets' minima, held against the lowest of them, tell by how much.
        """
        if not self._minima:
            return self._jitter_s
        level = [(some.delay_s - self.drift * some.at_s, some.frames) for some in self._minima]
        lowest_s = min(level)[0]
        total_s = sum([(delay_s - lowest_s) * frames for delay_s, frames in level])
        return (PRIOR_BUCKETS * self._jitter_s + total_s) / (PRIOR_BUCKETS + len(level) - 1)

    def _fit(self) -> None:
        """Lay a line under the recent minima; its slope before the first of them was known as it was then."""
        oldest, noise_s = self._minima[0], self._noise_s()
        sigma = sqrt(oldest.drift_var + DRIFT_WALK**2 * max(0.0, self._at_s - oldest.at_s))
        points = [(some.at_s - self._at_s, some.delay_s) for some in self._minima]
        rates = [some.frames / noise_s for some in self._minima]
        line = line_under(points, rates, oldest.drift, sigma)
        self._floor_s, self._var = line.height, line.var + LEAST_NOISE_S**2
        self.drift = max(-MAX_DRIFT, min(MAX_DRIFT, line.slope))
        self._covar, self._drift_var = line.covar, line.slope_var
