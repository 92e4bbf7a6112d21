"""What LeRobot's policies normalize by: extremes, mean, deviation and quantiles of a feature, by episode and in all.

Source: the LeRobot dataset format v3.0, ``meta/stats.json``; episodes are put together as its library does.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Statistics = Mapping[str, NDArray[Any]]
"""``min``, ``max``, ``mean``, ``std``, ``q01`` to ``q99`` of one shape, and ``count``, ``(1,)``."""
_QUANTILES: Final = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
_SIDE: Final = 150
"""So many pixels of a picture's longer side are looked at, about."""
_LEVELS: Final = 256
_CHANNELS: Final = 3


def of_values(values: NDArray[Any]) -> Statistics:
    """Of numbers, ``(n, d)``; each has the shape ``(d,)``."""
    return {
        "min": values.min(axis=0),
        "max": values.max(axis=0),
        "mean": values.mean(axis=0),
        "std": values.std(axis=0),
        "count": np.array([len(values)]),
        **{name: np.quantile(values, share, axis=0) for name, share in _QUANTILES.items()},
    }


class PictureLevels:
    """How often each level of each colour is seen in pictures."""

    def __init__(self) -> None:
        self._counts = np.zeros((_CHANNELS, _LEVELS), np.int64)
        self._pictures = 0

    def look(self, bgr: NDArray[np.uint8]) -> None:
        """Take in a picture, ``(height, width, 3)`` uint8, BGR: not all of it."""
        step = max(1, max(bgr.shape[:2]) // _SIDE)
        some = bgr[::step, ::step]
        for channel in range(_CHANNELS):
            self._counts[channel] += np.bincount(some[..., 2 - channel].reshape(-1), minlength=_LEVELS)
        self._pictures += 1

    def statistics(self) -> Statistics:
        """Of red, green and blue from 0 to 1, each ``(3, 1, 1)``; ``count`` is of pictures. At least one was seen."""
        levels, counts = np.arange(_LEVELS) / (_LEVELS - 1), self._counts
        total, summed = counts.sum(axis=1), counts.cumsum(axis=1)
        mean = counts @ levels / total
        seen = counts > 0
        found = {
            "min": levels[seen.argmax(axis=1)],
            "max": levels[_LEVELS - 1 - seen[:, ::-1].argmax(axis=1)],
            "mean": mean,
            "std": np.sqrt(np.maximum(0.0, counts @ levels**2 / total - mean**2)),
            **{name: levels[(summed >= share * total[:, None]).argmax(axis=1)] for name, share in _QUANTILES.items()},
        }
        shaped = {name: value.reshape(_CHANNELS, 1, 1) for name, value in found.items()}
        return {**shaped, "count": np.array([self._pictures])}


def together(parts: Sequence[Statistics]) -> Statistics:
    """Of a feature over several episodes; quantiles are the mean of theirs, as readers expect."""
    counts = np.concatenate([part["count"] for part in parts])
    weights = counts / counts.sum()
    means = np.stack([part["mean"] for part in parts])
    mean = np.tensordot(weights, means, 1)
    variances = np.stack([part["std"] ** 2 for part in parts]) + (means - mean) ** 2
    return {
        "min": np.min([part["min"] for part in parts], axis=0),
        "max": np.max([part["max"] for part in parts], axis=0),
        "mean": mean,
        "std": np.sqrt(np.tensordot(weights, variances, 1)),
        "count": np.array([counts.sum()]),
        **{name: np.tensordot(weights, np.stack([part[name] for part in parts]), 1) for name in _QUANTILES},
    }
