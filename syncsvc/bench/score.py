"""Holds sets against the truth, whichever rule formed them: ours, others' and the oracle's by the same figures."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from syncsvc.bench.rules import RuleSet
from syncsvc.clock import NS_PER_MS
from syncsvc.demo.oracle import best_sets
from syncsvc.observe.figures import Figures, median

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


Errors = Mapping[str, Sequence[tuple[int, int | None]]]
"""The times that a rule goes by: per stream, how far each is from the truth, and the ± that came with it (or None)."""


@dataclass(frozen=True, slots=True)
class Score:
    """What came of one rule in one scenario."""

    sets: int
    identical_pct: float
    """Of the oracle's sets and ours, whichever are more: how many are the same, frame by frame."""
    excess_p99_ms: float
    """True spread at the 99th percentile, less the oracle's."""
    unused_pct: float
    """Of the frames, those in no set."""
    latency_ms: Figures
    """From when a set's last frame was taken until the set was there."""
    error_ms: Figures
    """Of the stamps, absolute."""
    medians_ms: float
    """How far the cameras' median errors are apart."""
    covered_pct: float | None
    """Frames whose true time is within the ± of their stamp; None where the rule knows of no such thing."""


class Judge:
    """Scores the rules of one scenario; solves for the oracle once.

    With ``honest`` given, only these cameras count: a set is as it should be if its part of them is that of the
    oracle's set, or that of the oracle's set had the other cameras not been there.
    """

    def __init__(self, truth: Truth, honest: Sequence[str] = ()) -> None:
        self.truth = truth.of(honest) if honest else truth
        best = [self._ours(members) for members in oracle_sets(truth)]
        self.oracle = {members for members in best if self._counts(members)}
        alone = self.oracle if not honest else {m for m in oracle_sets(self.truth) if self._counts(m)}
        self._wanted = self.oracle | alone
        self._most = len(alone)
        self._oracle_p99_ms = self._spread_p99_ms(self.oracle)

    def _ours(self, members: Iterable[tuple[str, int]]) -> Members:
        return frozenset(member for member in members if member[0] in self.truth.taken)

    def _counts(self, members: Members) -> bool:
        first = min((self.truth.taken[name][number] for name, number in members), default=0)
        return len(members) > 1 and self.truth.covers(first)

    def _spread_p99_ms(self, sets: Iterable[Members]) -> float:
        return Figures.of([self.truth.spread_ms(members) for members in sets]).p99

    def parts(self, sets: Iterable[RuleSet]) -> list[Members]:
        """What is judged of these sets, in order."""
        parts = (self._ours(found.members.items()) for found in sets)
        return [part for part in parts if self._counts(part)]

    def score(self, sets: Sequence[RuleSet], errors: Errors) -> Score:
        """The figures of a rule's sets and of the times that it went by."""
        parts = self.parts(sets)
        ready_ns = {self._ours(found.members.items()): found.ready_ns for found in sets}
        taken = self.truth.taken
        waits = [(ready_ns[part] - max(taken[name][number] for name, number in part)) / NS_PER_MS for part in parts]
        judged = [some for name, some in errors.items() if name in taken and some]
        medians = [median([error for error, _ in some]) / NS_PER_MS for some in judged]
        within = [abs(error) <= doubt for some in judged for error, doubt in some if doubt is not None]
        most = max(len(parts), self._most)
        return Score(
            sets=len(parts),
            identical_pct=100 * len(set(parts) & self._wanted) / most if most else 0.0,
            excess_p99_ms=self._spread_p99_ms(parts) - self._oracle_p99_ms,
            unused_pct=self._unused_pct(parts),
            latency_ms=Figures.of(waits),
            error_ms=Figures.of([abs(error) / NS_PER_MS for some in judged for error, _ in some]),
            medians_ms=max(medians) - min(medians) if medians else 0.0,
            covered_pct=100 * sum(within) / len(within) if within else None,
        )

    def _unused_pct(self, parts: Iterable[Members]) -> float:
        used = {member for part in parts for member in part}
        every = ((name, number, time) for name, taken in self.truth.taken.items() for number, time in taken.items())
        judged = [(name, number) for name, number, time in every if self.truth.covers(time)]
        return 100 * sum(member not in used for member in judged) / len(judged) if judged else 0.0

    def score_oracle(self) -> Score:
        """The oracle itself: what can be had at best."""
        taken = self.truth.taken
        sets = [RuleSet(dict(some), max(taken[name][number] for name, number in some)) for some in self.oracle]
        return self.score(sets, {})
