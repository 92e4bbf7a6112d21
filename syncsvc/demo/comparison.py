"""The sets of a run and those of the oracle side by side, by the true times in the pictures. Pure."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from syncsvc.clock import NS_PER_MS
from syncsvc.demo.history import History, SeenBatch, SeenFrame
from syncsvc.demo.oracle import best_sets

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


def oracle_sets(truth: Truth, reference: str | None = None) -> list[Members]:
    """The best sets there can be under the rules of the service, when the true times are known.

    As in the service, the stream with the fewest frames in a window (not zero; ties by order) drives it, unless
    ``reference`` is given. Windows in a row with one driver are solved together, over their whole length.
    """
    times = {name: list(taken.values()) for name, taken in truth.taken.items()}
    numbers = {name: list(taken) for name, taken in truth.taken.items()}
    used = dict.fromkeys(times, 0)
    sets: list[Members] = []
    for driver, start, end in _reigns(times, truth.window_ns, reference):
        skew_ns = {name: 0 if name == driver else truth.max_skew_ns for name in times}
        first = {name: max(used[name], bisect_left(some, start - skew_ns[name])) for name, some in times.items()}
        part = {name: some[first[name] : bisect_left(some, end + skew_ns[name])] for name, some in times.items()}
        for chosen in best_sets(part, truth.max_skew_ns, driver):
            places = {name: first[name] + place for name, place in chosen.items()}
            used |= {name: place + 1 for name, place in places.items()}
            sets.append(frozenset((name, numbers[name][place]) for name, place in places.items()))
    return sets


def _reigns(times: Mapping[str, Sequence[int]], window_ns: int, reference: str | None) -> list[tuple[str, int, int]]:
    """``(driver, start, end)`` of windows in a row that one stream drives."""
    counts: dict[int, dict[str, int]] = {}
    for name, some in times.items():
        for time in some:
            here = counts.setdefault(time // window_ns, {})
            here[name] = here.get(name, 0) + 1
    reigns: list[tuple[str, int, int]] = []
    for window in sorted(counts):
        driver = reference or min(counts[window], key=counts[window].__getitem__)
        start, end = window * window_ns, (window + 1) * window_ns
        if reigns and reigns[-1][0] == driver and reigns[-1][2] == start:
            reigns[-1] = (driver, reigns[-1][1], end)
        else:
            reigns.append((driver, start, end))
    return reigns


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

    The oracle knows every frame that was delivered, over the whole run; its reference is the stream with the fewest of
    them. A set whose pictures cannot all be read is left out.
    """
    if not truth.taken:
        return [], []
    reference = min(truth.taken, key=lambda name: len(truth.taken[name]))
    wanted = {(reference, frame.counter) for batch in judged for frame in batch.frames.get(reference, ())}
    best = [members for members in oracle_sets(truth, reference) if members & wanted]
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
