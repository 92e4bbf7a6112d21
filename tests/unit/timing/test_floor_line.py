"""The line under points: exact where the points say all, and honest where they do not."""

import random
from statistics import fmean

import pytest

from syncsvc.timing.floor_line import line_under, lower_hull


def noisy(seed: int, slope: float, mean: float = 1.0, count: int = 24) -> list[tuple[float, float]]:
    drawn = random.Random(seed)
    return [(float(x), slope * x + drawn.expovariate(1 / mean)) for x in range(1 - count, 1)]


def test_the_lower_hull_leaves_out_what_no_line_touches_from_below() -> None:
    points = [(0.0, 0.0), (1.0, 2.0), (2.0, 0.5), (3.0, 1.6), (4.0, 2.0)]
    assert lower_hull(points) == [(0.0, 0.0), (2.0, 0.5), (4.0, 2.0)]
    assert lower_hull([(1.0, 5.0)]) == [(1.0, 5.0)]


def test_of_points_at_the_same_x_the_lowest_counts() -> None:
    assert lower_hull([(0.0, 3.0), (0.0, 1.0), (0.0, 2.0)]) == [(0.0, 1.0)]
    assert lower_hull([(0.0, 1.0), (1.0, 0.0), (1.0, 3.0), (2.0, 4.0), (2.0, 1.0)]) == [(0, 1), (1, 0), (2, 1)]


def test_one_point_says_nothing_of_the_slope() -> None:
    line = line_under([(0.0, 7.0)], [1 / 0.5], slope=0.3, sigma=0.1)
    assert line.height == pytest.approx(6.5)
    assert line.var == pytest.approx(0.25)
    assert line.slope == pytest.approx(0.3)
    assert line.slope_var == pytest.approx(0.01, rel=0.1)


def test_the_line_is_found_and_its_deviations_are_as_told() -> None:
    height_pulls, slope_pulls, heights = [], [], []
    for seed in range(60):
        line = line_under(noisy(seed, slope=0.02), [1.0] * 24, slope=0.0, sigma=0.1)
        heights.append(line.height)
        height_pulls.append((line.height / line.var**0.5) ** 2)
        slope_pulls.append(((line.slope - 0.02) / line.slope_var**0.5) ** 2)
    assert fmean(heights) == pytest.approx(0, abs=0.05)
    assert 0.6 < fmean(height_pulls) < 1.6
    assert 0.6 < fmean(slope_pulls) < 1.6


def test_a_prior_that_is_sure_is_kept() -> None:
    line = line_under(noisy(1, slope=0.02), [1.0] * 24, slope=0.05, sigma=1e-6)
    assert line.slope == pytest.approx(0.05, abs=1e-5)


def test_points_far_above_move_the_line_little() -> None:
    points = noisy(2, slope=0.0)
    raised = [(x, y + 3 * (x > -6)) for x, y in points]
    before = line_under(points, [1.0] * 24, slope=0.0, sigma=0.01)
    after = line_under(raised, [1.0] * 24, slope=0.0, sigma=0.01)
    assert after.height - before.height < 0.5
