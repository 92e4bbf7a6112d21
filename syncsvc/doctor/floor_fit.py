"""The line under a cloud of delays: what is left of a clock when the network's waiting is taken away.

For a finished record the best line is known in one step, so this is simpler, and after half a minute sharper, than the
clock model that has to speak while the frames come.

Source: Moon, Skelly, Towsley, "Estimation and removal of clock skew from network delay measurements", INFOCOM 1999:
of all lines under every point, the one that is nearest to them; it is the edge of the lower hull over their mean time.
"""

from dataclasses import dataclass

import numpy as np

from syncsvc.doctor.observed import Ints
from syncsvc.timing.floor_line import Point, lower_hull

_DOUBT = 24.0
"""Times the mean delay over the line, per frame, over the span. With 16, the slope erred by less in 19 of 20
simulations; waiting on a real machine comes in clusters."""
_LEAST_DOUBT = 0.2e-6
_LEAST_POINTS = 10


@dataclass(frozen=True, slots=True)
class FittedFloor:
    """``y = x + base_ns + slope * (x - at_ns)``: no point lies under it. ``doubt`` is the slope's ±."""

    at_ns: int
    base_ns: float
    slope: float
    doubt: float

    def of(self, x_ns: Ints) -> Ints:
        """The line at these times."""
        bent = self.base_ns + self.slope * (x_ns - self.at_ns)
        line: Ints = x_ns + np.rint(bent).astype(np.int64)
        return line


def fit_floor(x_ns: Ints, y_ns: Ints) -> FittedFloor | None:
    """The line under the delays ``y - x``; None for fewer than ten points, or all at one time.

    Args:
        x_ns: the clock's own times, rising.
        y_ns: when each was seen, on the clock that is believed.
    """
    if len(x_ns) < _LEAST_POINTS or x_ns[-1] <= x_ns[0]:
        return None
    at_ns, first_ns = int(x_ns[0]), int(y_ns[0] - x_ns[0])
    x = (x_ns - at_ns).astype(np.float64)
    d = (y_ns - x_ns - first_ns).astype(np.float64)
    left, right = _edge_over(float(x.mean()), lower_hull(list(zip(x.tolist(), d.tolist(), strict=True))))
    slope = (right[1] - left[1]) / (right[0] - left[0])
    base = left[1] - slope * left[0]
    over = float(np.mean(d - base - slope * x))
    doubt = _DOUBT * over / len(x) / x[-1]
    return FittedFloor(at_ns, first_ns + base, slope, max(_LEAST_DOUBT, doubt))


def _edge_over(middle: float, hull: list[Point]) -> tuple[Point, Point]:
    right = next((place for place, (x, _) in enumerate(hull) if x > middle), len(hull) - 1)
    return hull[max(0, right - 1)], hull[max(1, right)]
