"""Latencies from comparisons: against a true clock where one can be reached, else against the quickest."""

from syncsvc.doctor.content import Comparison, Suggestion, suggest


def pair(first: str, second: str, lag_ms: float, peak: float = 0.9, why_not: str = "") -> Comparison:
    return Comparison(first, second, 70.0, lag_ms, peak, 3.0, (lag_ms, lag_ms), why_not)


def test_a_true_clock_gives_latencies_along_a_chain() -> None:
    found = suggest([pair("b", "a", -20), pair("ntp", "b", 70)], ["a", "b"], ["ntp"])
    assert found == {"a": Suggestion(50, False), "b": Suggestion(70, False)}


def test_without_a_true_clock_the_quickest_is_nought() -> None:
    found = suggest([pair("a", "b", 30), pair("b", "c", -45)], ["a", "b", "c", "alone"], [])
    assert found == {"a": Suggestion(15, True), "b": Suggestion(45, True), "c": Suggestion(0, True)}


def test_the_best_comparison_speaks_and_refused_ones_do_not() -> None:
    pairs = [pair("ntp", "a", 70, 0.6), pair("other", "a", 50, 0.9), pair("ntp", "b", 9, 0.99, "ambiguous")]
    assert suggest(pairs, ["a", "b"], ["ntp", "other"]) == {"a": Suggestion(50, False)}
