"""Values counted by upper bounds, as Prometheus wants them, and the bounds that a group's have."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from msgspec import Struct, field

LATENESS_S: Final = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""How much later than promised batches leave; what is in the first was in time."""
LATENCY_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""How long after their windows' ends they leave."""


class Histogram(Struct, frozen=True):
    """How many of all were at most so much, by that bound; and the sum of all, in the same unit."""

    buckets: dict[str, int] = field(default_factory=dict)
    sum: float = 0.0


class Buckets:
    """What one is made of; whoever adds and whoever asks must not do so at the same time."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """``bounds`` rise; what is above the last is counted all the same."""
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self._counts[sum(value > bound for bound in self._bounds)] += 1
        self._sum += value

    @property
    def histogram(self) -> Histogram:
        """What was counted."""
        buckets = dict(zip([*map(str, self._bounds), "+Inf"], accumulate(self._counts), strict=True))
        return Histogram(buckets, self._sum)
