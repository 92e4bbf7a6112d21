"""The numbers that policies normalize by are those of the values themselves."""

import numpy as np
import pytest

from syncsvc.export.statistics import PictureLevels, of_values, together


def test_levels_of_pictures_are_those_of_their_pixels_in_red_green_and_blue() -> None:
    pictures = np.random.default_rng(1).integers(3, 200, (5, 20, 30, 3), np.uint8)
    levels = PictureLevels()
    for one in pictures:
        levels.look(one)
    found = levels.statistics()
    pixels = pictures[..., ::-1].reshape(-1, 3) / 255
    assert found["count"].tolist() == [5]
    for name, value in {
        "min": pixels.min(0),
        "max": pixels.max(0),
        "mean": pixels.mean(0),
        "std": pixels.std(0),
    }.items():
        assert found[name].shape == (3, 1, 1)
        assert found[name].reshape(3) == pytest.approx(value)
    for name, share in {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}.items():
        assert found[name].reshape(3) == pytest.approx(np.quantile(pixels, share, axis=0), abs=1 / 255)


def test_a_large_picture_is_looked_at_in_part() -> None:
    levels = PictureLevels()
    levels.look(np.full((1080, 1920, 3), (10, 20, 30), np.uint8))
    assert levels.statistics()["mean"].reshape(3) == pytest.approx(np.array([30, 20, 10]) / 255)


def test_episodes_together_have_the_extremes_the_mean_and_the_deviation_of_all() -> None:
    values = np.random.default_rng(2).integers(0, 1000, (30, 2))
    found = together([of_values(values[:7]), of_values(values[7:])])
    assert found["count"].tolist() == [30]
    for name, value in {
        "min": values.min(0),
        "max": values.max(0),
        "mean": values.mean(0),
        "std": values.std(0),
    }.items():
        assert found[name] == pytest.approx(value)
    assert found["q50"] == pytest.approx((np.median(values[:7], 0) * 7 + np.median(values[7:], 0) * 23) / 30)
