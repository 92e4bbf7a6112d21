"""The sets of a run and those of the oracle side by side, by the true times in the pictures. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from syncsvc.clock import NS_PER_MS
from syncsvc.demo.history import History, SeenBatch, SeenFrame
from syncsvc.demo.ideal import ideal_sets

Members = frozenset[tuple[str, int]]
"""A set: ``(stream, number)`` of its frames."""


@dataclass(frozen=True, slots=True)
class Truth:
    """When every frame that reached us was taken: ``taken[stream][number]``, UTC nanoseconds, rising with the number.

    Sets are judged whose first frame was taken in ``[from_ns, until_ns)``.
    """

    taken: Mapping[str, Mapping[int, int]]
    max_skew_ns: int
    window_ns: int
    from_ns: int
    until_ns: int

    def of(self, streams: Iterable[str]) -> Self:
        """The same for these streams only."""
        return replace(self, taken={name: self.taken[name] for name in streams})

    def covers(self, taken_ns: int) -> bool:
        """Whether what was taken then counts; of a set, its first frame."""
        return self.from_ns <= taken_ns < self.until_ns

    def spread_ms(self, members: Members) -> float:
        """True spread of a set."""
        times = [self.taken[name][number] for name, number in members]
        return (max(times) - min(times)) / NS_PER_MS


def oracle_sets(truth: Truth) -> list[Members]:
    """The best sets there can be under the rule of the service, when the true times are known."""
    return [frozenset(members) for members in _driven(truth)]


def _driven(truth: Truth) -> list[list[tuple[str, int]]]:
    """These sets, each with its driver's frame first."""
    times = {name: list(taken.values()) for name, taken in truth.taken.items()}
    numbers = {name: list(taken) for name, taken in truth.taken.items()}
    found = ideal_sets(times, truth.max_skew_ns, truth.window_ns)
    return [[(name, numbers[name][index]) for name, index in one.items()] for one in found]


def readable(history: History) -> dict[str, dict[int, SeenFrame]]:
    """The frames of every camera whose pictures can be read, by the counter in the picture, rising."""
    found = {}
    for name in history.cameras:
        frames = (frame for batch in history.batches for frame in batch.frames.get(name, ()))
        known = {frame.counter: frame for frame in frames if frame.counter is not None}
        found[name] = dict(sorted(known.items()))
    return found


def truth_of(history: History, judged: Sequence[SeenBatch]) -> Truth:
    """What the pictures of a whole run say, of which the windows of these batches are judged; nothing without any."""
    if not judged:
        return Truth({}, history.max_skew_ns, 0, 0, 0)
    taken = {
        name: {counter: frame.true_ns for counter, frame in frames.items() if frame.true_ns is not None}
        for name, frames in readable(history).items()
        if frames
    }
    window_ns = judged[0].window_end_ns - judged[0].window_start_ns
    return Truth(taken, history.max_skew_ns, window_ns, judged[0].window_start_ns, judged[-1].window_end_ns)


def true_sets(truth: Truth, judged: Sequence[SeenBatch]) -> tuple[list[Members], list[Members]]:
    """The service's sets and the oracle's in the windows that are judged, by the counters of their pictures.

    The oracle knows every frame that was delivered, over the whole run. Those of its sets count whose driver's frame
    came in a window that is judged. A set whose pictures cannot all be read is left out.
    """
    if not truth.taken:
        return [], []
    came = {(name, frame.counter) for batch in judged for name, frames in batch.frames.items() for frame in frames}
    best = [frozenset(members) for members in _driven(truth) if members[0] in came]
    return [members for batch in judged for members in sets_in(batch)], best


def sets_in(batch: SeenBatch) -> list[Members]:
    """Those of a batch whose pictures can all be read."""
    counters = {
        (name, frame.seq): frame.counter
        for name, frames in batch.frames.items()
        for frame in frames
        if frame.counter is not None
    }
    return [
        frozenset((member[0], counters[member]) for member in found.members.items())
        for found in batch.sets
        if counters.keys() >= found.members.items()
    ]
