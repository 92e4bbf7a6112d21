"""What a score says of sets that are known."""

from collections.abc import Iterable, Mapping

from syncsvc.bench.rules import RuleSet
from syncsvc.bench.score import Errors, Judge
from syncsvc.clock import NS_PER_MS, NS_PER_S
from syncsvc.demo.comparison import Truth


def truth(from_ms: int = 0, until_ms: int = 10_000, **taken_ms: Iterable[int]) -> Truth:
    """Frames numbered from 0 on, taken at these milliseconds; sets may spread 40 ms."""
    taken = {name: {n: ms * NS_PER_MS for n, ms in enumerate(some)} for name, some in taken_ms.items()}
    return Truth(taken, 40 * NS_PER_MS, NS_PER_S, from_ms * NS_PER_MS, until_ms * NS_PER_MS)


def sets(*members: Mapping[str, int], ready_ms: int = 0) -> list[RuleSet]:
    return [RuleSet(some, ready_ms * NS_PER_MS) for some in members]


PAIRS = sets({"a": 0, "b": 0}, {"a": 1, "b": 1}, {"a": 2, "b": 2}, ready_ms=300)
TRUTH = truth(a=[0, 100, 200], b=[5, 115, 225])


def test_the_oracles_own_sets_are_identical_and_cost_nothing() -> None:
    score = Judge(TRUTH).score_oracle()
    assert (score.sets, score.identical_pct, score.excess_p99_ms, score.unused_pct) == (3, 100.0, 0.0, 0.0)
    assert score.latency_ms.max == 0.0


def test_each_figure_of_a_rule() -> None:
    wrong = sets({"a": 0, "b": 0}, {"a": 1, "b": 2}, ready_ms=300)
    errors: Errors = {"a": [(1_000_000, 2_000_000), (3_000_000, 2_000_000)], "b": [(-5_000_000, None)]}
    score = Judge(TRUTH).score(wrong, errors)
    assert score.sets == 2
    assert score.identical_pct == 100 / 3  # of the oracle's three
    assert score.excess_p99_ms == 125 - 25
    assert score.unused_pct == 100 * 2 / 6
    assert score.latency_ms.max == 295.0
    assert (score.error_ms.p50, score.error_ms.max) == (3.0, 5.0)
    assert score.medians_ms == 6.0  # a's lower median is 1 ms, b's -5 ms
    assert score.covered_pct == 50.0


def test_sets_that_are_too_many_count_against_a_rule() -> None:
    more = [*PAIRS, *sets({"a": 0, "b": 1})]
    assert Judge(TRUTH).score(more, {}).identical_pct == 75.0


def test_a_rule_without_a_plus_minus_covers_nothing() -> None:
    assert Judge(TRUTH).score(PAIRS, {"a": [(0, None)]}).covered_pct is None


def test_sets_before_and_after_the_judged_part_do_not_count() -> None:
    judge = Judge(truth(50, 200, a=[0, 100, 200], b=[5, 115, 225]))
    score = judge.score(sets({"a": 1, "b": 1}, {"a": 0, "b": 1}, {"a": 2, "b": 2}), {})
    assert (score.sets, score.identical_pct, score.unused_pct) == (1, 100.0, 0.0)


def test_without_any_set_the_score_is_zero() -> None:
    score = Judge(TRUTH).score([], {})
    assert (score.sets, score.identical_pct, score.unused_pct) == (0, 0.0, 100.0)


LIAR_TRUTH = truth(a=[0, 100], b=[20, 118], c=[30, 130])
"""With c, a and b wait for it; without c they pair all the same."""


def test_of_a_group_with_a_liar_only_the_honest_part_is_judged() -> None:
    judge = Judge(LIAR_TRUTH, honest=("a", "b"))
    astray = sets({"a": 0, "b": 0, "c": 1}, {"a": 1, "b": 1})
    assert judge.score(astray, {"c": [(NS_PER_S, 1)]}).identical_pct == 100.0
    assert judge.score(astray, {"c": [(NS_PER_S, 1)]}).error_ms.count == 0
    assert judge.score(sets({"a": 0, "b": 1, "c": 0}), {}).identical_pct == 0.0


def test_honest_sets_may_be_as_with_the_liar_told_right_or_as_without_it() -> None:
    # With c at 38, the tightest set around a at 20 has b at 35; without c, it has b at 10.
    judge = Judge(truth(a=[20, 500], b=[10, 35, 505], c=[38, 506]), honest=("a", "b"))
    identical = [judge.score(sets({"a": 0, "b": b}, {"a": 1, "b": 2}), {}).identical_pct for b in (0, 1)]
    assert identical == [100.0, 100.0]
    assert judge.score(sets({"a": 0, "b": 2}, {"a": 1, "b": 1}), {}).identical_pct == 0.0
