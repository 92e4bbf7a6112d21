"""The likeliest line under points that can only lie above it, and how sure it is: a Bayesian FloorLP.

What lies above the line is exponential noise; the slope has a Gaussian prior. For one slope the best line touches the
lowest point seen along it, and the rest integrates in closed form; slopes are summed over a grid.

Source: the likelihood whose maximum is the linear programme of Moon, Skelly and Towsley, INFOCOM 1999.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, sqrt

GRID = 16
REACH = 3.5
"""Sigmas of the prior that the first grid covers, to either side."""

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class FloorLine:
    """A line, with the variances and the covariance of its height at zero and its slope."""

    height: float
    slope: float
    var: float
    covar: float
    slope_var: float


def line_under(points: Sequence[Point], rates: Sequence[float], slope: float, sigma: float) -> FloorLine:
    """The posterior mean of the line.

    Args:
        points: ``(x, y)`` in the order of x, at least one.
        rates: of each point's noise, 1 / mean.
        slope: prior mean of the slope.
        sigma: its standard deviation, more than 0.
    """
    total = sum(rates)
    # The log-likelihood of a slope b with height h is -sum(rate * (y - b * x - h)).
    lever = sum(rate * x for (x, _), rate in zip(points, rates, strict=True))
    hull = lower_hull(points)
    low, step = slope - REACH * sigma, 2 * REACH * sigma / GRID
    line = _posterior(hull, lever, total, (slope, sigma), (low, step))
    half = max(4 * sqrt(line.slope_var), step)
    line = _posterior(hull, lever, total, (slope, sigma), (line.slope - half, 2 * half / GRID))
    return FloorLine(line.height - 1 / total, line.slope, line.var + 1 / total**2, line.covar, line.slope_var)


def _posterior(hull: Sequence[Point], lever: float, total: float, prior: Point, grid: Point) -> FloorLine:
    """Moments over the slopes of a grid ``(least, step)``, of lines that touch the hull."""
    slopes = [grid[0] + grid[1] * place for place in range(GRID + 1)]
    heights = [min([y - slope * x for x, y in hull]) for slope in slopes]
    scores = [
        slope * lever + height * total - ((slope - prior[0]) / prior[1]) ** 2 / 2
        for slope, height in zip(slopes, heights, strict=True)
    ]
    best = max(scores)
    weights = [exp(score - best) for score in scores]
    weight = sum(weights)
    slope = sum([w * b for w, b in zip(weights, slopes, strict=True)]) / weight
    height = sum([w * h for w, h in zip(weights, heights, strict=True)]) / weight
    var = covar = slope_var = 0.0
    for w, b, h in zip(weights, slopes, heights, strict=True):
        var += w * (h - height) ** 2
        covar += w * (h - height) * (b - slope)
        slope_var += w * (b - slope) ** 2
    return FloorLine(height, slope, var / weight, covar / weight, slope_var / weight + grid[1] ** 2 / 12)


def lower_hull(points: Sequence[Point]) -> list[Point]:
    """The points that some line can touch from below, in the order of x; one, the lowest, of those at the same x.

    Source: Andrew, "Another efficient algorithm for convex hulls in two dimensions", 1979.
    """
    hull: list[Point] = []
    for x, y in points:
        if hull and hull[-1][0] == x:
            if hull[-1][1] <= y:
                continue
            hull.pop()
        while len(hull) > 1:
            (x0, y0), (x1, y1) = hull[-2], hull[-1]
            if (x1 - x0) * (y - y0) > (y1 - y0) * (x - x0):
                break
            hull.pop()
        hull.append((x, y))
    return hull
