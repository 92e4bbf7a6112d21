"""What came of a run, in figures: to set beside what would have come of other settings."""

from array import array

from syncsvc.audit.decisions import Emission


class Summary:
    """Sums up the batches of one group."""

    def __init__(self) -> None:
        self.batches = self.complete = self.sets = self.full_sets = self.frames = self.paired = self.late = 0
        self.spreads_ns, self.latencies_ns = array("q"), array("q")
        """Of the sets; and the times from windows' ends to their closing, none without deadlines."""

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
        self.spreads_ns.extend(one.spread_ns for one in batch.sets)
        if emission.latency_ns is not None:
            self.latencies_ns.append(emission.latency_ns)

    @property
    def unpaired(self) -> int:
        """Frames that were delivered and are in no set."""
        return self.frames - self.paired
