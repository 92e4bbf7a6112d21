"""What came of a run, in figures: to set beside what would have come of other settings."""

from array import array
from collections.abc import Sequence

from syncsvc.audit.decisions import Emission
from syncsvc.observe.figures import percentile


class Summary:
    """Sums up the batches of one group."""

    def __init__(self) -> None:
        self.batches = self.complete = self.sets = self.full_sets = self.frames = self.paired = self.late = 0
        self._spreads_ns, self._latencies_ns = array("q"), array("q")

    def add(self, emission: Emission) -> None:
        """Take in one batch."""
        batch = emission.batch
        self.batches += 1
        self.complete += batch.complete
        self.sets += len(batch.sets)
        self.full_sets += sum(not one.missing for one in batch.sets)
        self.frames += sum(map(len, batch.frames.values()))
        self.paired += sum(len(one.frames) for one in batch.sets)
        self.late += sum(counts.late for counts in batch.counts.values())
        self._spreads_ns.extend(one.spread_ns for one in batch.sets)
        if emission.latency_ns is not None:
            self._latencies_ns.append(emission.latency_ns)

    @property
    def unpaired(self) -> int:
        """Frames that were delivered and are in no set."""
        return self.frames - self.paired

    @property
    def spread_ns(self) -> tuple[int, int] | None:
        """Median and 99th percentile of the sets' spreads; None without sets."""
        return _p50_p99(self._spreads_ns)

    @property
    def latency_ns(self) -> tuple[int, int] | None:
        """Median and 99th percentile of the time from a window's end to its closing; None without deadlines."""
        return _p50_p99(self._latencies_ns)


def _p50_p99(values: Sequence[int]) -> tuple[int, int] | None:
    ordered = sorted(values)
    return (percentile(ordered, 50), percentile(ordered, 99)) if ordered else None
