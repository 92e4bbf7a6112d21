"""Holds sets against the truth, whichever rule formed them: ours, others' and the oracle's by the same figures."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from syncsvc.bench.rules import RuleSet
from syncsvc.clock import NS_PER_MS
from syncsvc.demo.comparison import Members, Truth, oracle_sets
from syncsvc.observe.figures import Figures, median

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
    kept_pct: float | None = None
    """Where a camera's cost is measured: the other cameras' sets, of those that the rule forms of them alone."""
    same_pct: float | None = None
    """Those that are the same, frame by frame."""


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

    def with_cost(self, score: Score, guest: str, sets: Iterable[RuleSet], apart: Iterable[RuleSet]) -> Score:
        """The score of a rule's ``sets`` with what the guest cost: ``apart`` are those of the other cameras alone."""
        alone = set(self.parts(apart))
        rest = ({name: number for name, number in one.members.items() if name != guest} for one in sets)
        parts = self.parts(RuleSet(members, 0) for members in rest)
        if not alone:
            return score
        same = len(alone.intersection(parts))
        return replace(score, kept_pct=100 * len(parts) / len(alone), same_pct=100 * same / len(alone))

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
        return self.score(self.oracle_as_sets(), {})

    def oracle_as_sets(self) -> list[RuleSet]:
        """Its sets, each there when its last frame was taken."""
        taken = self.truth.taken
        return [RuleSet(dict(some), max(taken[name][number] for name, number in some)) for some in self.oracle]
