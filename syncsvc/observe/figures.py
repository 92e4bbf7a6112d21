"""How samples become the few figures that are printed, the same everywhere."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

T = TypeVar("T")


def percentile(ordered: Sequence[T], percent: float) -> T:
    """The nearest-rank percentile of a sorted, non-empty sequence: always one of its values."""
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def median(values: Sequence[float]) -> float:
    """The middle value (the lower one of two); the sequence is not empty, and need not be sorted."""
    return percentile(sorted(values), 50)


@dataclass(frozen=True, slots=True)
class Figures:
    """Median, 99th percentile and extreme of some samples; all zero without any."""

    count: int = 0
    p50: float = 0.0
    p99: float = 0.0
    max: float = 0.0

    @classmethod
    def of(cls, samples: Sequence[float]) -> Self:
        """The figures of unsorted samples."""
        if not samples:
            return cls()
        ordered = sorted(samples)
        return cls(len(ordered), percentile(ordered, 50), percentile(ordered, 99), ordered[-1])
