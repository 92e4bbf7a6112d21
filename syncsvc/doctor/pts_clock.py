"""A stream's own clock, its pts, held against the frames' arrival: drift, steps, and the network's waiting.

For a finished record the best line under the delays is known in one step, so this is simpler, and after half a minute
sharper, than the clock model that has to speak while the frames come.

Source: Moon, Skelly, Towsley, "Estimation and removal of clock skew from network delay measurements", INFOCOM 1999:
of all lines under every point, the one that is nearest to them; it is the edge of the lower hull over their mean time.
"""

from dataclasses import dataclass, replace

import numpy as np

from syncsvc.clock import NS_PER_MS, NS_PER_S
from syncsvc.doctor.delivery import Jitter
from syncsvc.doctor.observed import NONE, Ints, ObservedStream
from syncsvc.timing.clock_model import STEP_S
from syncsvc.timing.floor_line import Point, lower_hull
from syncsvc.timing.ntp import MAX_DRIFT

DRIFT_NEEDS_S = 10.0
GRID_PPM = round(MAX_DRIFT * 1e6)
"""No crystal is as far off: pts that are count frames, not time."""
STEP_NS = round(STEP_S * NS_PER_S)
"""A jump of pts against the arrivals by more is a step, to the service as well."""
SETTLED_NS = 3 * NS_PER_S
"""The backlog of a connection's start must be over before a frame that comes sooner than ever means anything."""
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


@dataclass(frozen=True, slots=True)
class Stretch:
    """Frames of one connection whose pts run on without a step: indices into the record, and the floor under them."""

    at: Ints
    line: FittedFloor


@dataclass(frozen=True, slots=True)
class PtsClock:
    """What pts and arrivals say of each other; ``drift_ppm`` is positive for a camera's clock that is fast."""

    stretches: tuple[Stretch, ...] = ()
    drift_ppm: float | None = None
    drift_doubt_ppm: float | None = None
    delay: Jitter | None = None
    """What frames waited on their way, beyond the least."""
    steps_ms: tuple[float, ...] = ()
    is_grid: bool = False

    def floor_of(self, record: ObservedStream) -> Ints:
        """When each frame would have begun to arrive without any waiting, CLOCK_MONOTONIC; ``NONE`` where unknown."""
        floor = np.full(len(record), NONE, np.int64)
        for stretch in self.stretches:
            floor[stretch.at] = stretch.line.of(record.pts_ns[stretch.at])
        return floor


def pts_clock_of(record: ObservedStream) -> PtsClock:
    """Fit a floor to each stretch of the record; none where arrivals tell nothing."""
    if not record.tells_time_by_arriving:
        return PtsClock()
    usable = np.flatnonzero((record.pts_ns != NONE) & (record.start_ns != NONE))
    stretches, steps_ms = [], []
    for at, step_ms in _stretches(record, usable):
        if step_ms is not None:
            steps_ms.append(step_ms)
        line = fit_floor(record.pts_ns[at], record.start_ns[at])
        if line is not None:
            stretches.append(Stretch(at, line))
    if not stretches:
        return PtsClock(steps_ms=tuple(steps_ms))
    waits = [record.start_ns[some.at] - some.line.of(record.pts_ns[some.at]) for some in stretches]
    found = PtsClock(tuple(stretches), delay=Jitter.of(np.concatenate(waits)), steps_ms=tuple(steps_ms))
    longest = max(stretches, key=lambda some: _span_s(record, some))
    if _span_s(record, longest) < DRIFT_NEEDS_S:
        return found
    # ``slope`` is what a second of pts lacks of a second: a fast clock's seconds are short.
    drift_ppm, doubt_ppm = -longest.line.slope / (1 + longest.line.slope) * 1e6, longest.line.doubt * 1e6
    is_grid = abs(drift_ppm) - doubt_ppm > GRID_PPM
    return replace(found, drift_ppm=drift_ppm, drift_doubt_ppm=doubt_ppm, is_grid=is_grid)


def _span_s(record: ObservedStream, stretch: Stretch) -> float:
    return float(record.pts_ns[stretch.at[-1]] - record.pts_ns[stretch.at[0]]) / NS_PER_S


def _stretches(record: ObservedStream, usable: Ints) -> list[tuple[Ints, float | None]]:
    """Runs of frames without a reconnection or a step of pts; with the step before each in milliseconds, if one was."""
    if not len(usable):
        return []
    by_pts, by_host = np.diff(record.pts_ns[usable]), np.diff(record.start_ns[usable])
    is_new = np.diff(record.session[usable]) != 0
    cuts: list[int] = []
    steps: list[float | None] = [None]
    begun = 0
    delay = record.start_ns[usable] - record.pts_ns[usable]
    for cut in np.flatnonzero(is_new | (by_pts <= -STEP_NS) | (by_pts - by_host >= STEP_NS)):
        if not is_new[cut] and by_pts[cut] > 0:
            is_in_jam = delay[cut + 1] > delay[begun : cut + 1].min() - STEP_NS // 2
            if is_in_jam or record.start_ns[usable[cut]] - record.start_ns[usable[begun]] < SETTLED_NS:
                continue  # no step: frames were lost in a jam, or at the start, and the first one behind comes at once
        steps.append(None if is_new[cut] else float(by_pts[cut] - by_host[cut]) / NS_PER_MS)
        cuts.append(int(cut) + 1)
        begun = int(cut) + 1
    return list(zip(np.split(usable, cuts), steps, strict=True))


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
