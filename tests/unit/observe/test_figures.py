"""Percentiles, and the figures that are printed of samples."""

from hypothesis import given
from hypothesis import strategies as st

from syncsvc.observe.figures import Figures, median, percentile


@given(st.lists(st.integers(-100, 100), min_size=1), st.integers(0, 100))
def test_a_percentile_is_a_value_with_that_share_at_or_below_it(values: list[int], percent: int) -> None:
    ordered = sorted(values)
    found = percentile(ordered, percent)
    assert found in values
    assert sum(value <= found for value in values) * 100 >= percent * len(values)
    assert sum(value < found for value in values) * 100 <= percent * len(values)


def test_figures_of_unsorted_samples_and_of_none() -> None:
    assert Figures.of([3, 1, 2]) == Figures(3, 2, 3, 3)
    assert Figures.of(range(1, 201)) == Figures(200, 100, 198, 200)
    assert Figures.of([]) == Figures(0, 0.0, 0.0, 0.0)
    assert median([4, 1, 3, 2]) == 2
