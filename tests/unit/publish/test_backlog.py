"""How far a subscriber may fall behind: twice what may leave at once, by the windows that ended within a latency."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncsvc.publish.backlog import Backlog

MS = 1_000_000


@pytest.mark.parametrize(
    ("latency_ms", "window_ms", "mark"), [(500, 1000, 2), (1000, 1000, 2), (1001, 1000, 4), (500, 100, 10), (0, 100, 2)]
)
def test_windows_that_can_wait_are_known_before_the_first_comes(latency_ms: int, window_ms: int, mark: int) -> None:
    backlog = Backlog()
    backlog.follow(latency_ms * MS, window_ms * MS)
    assert backlog.mark == mark


def test_how_many_sets_there_are_is_learnt_as_they_leave() -> None:
    backlog = Backlog()
    backlog.follow(500 * MS, None)
    marks = []
    for number in range(50):
        backlog.note(number * 40 * MS)
        marks.append(backlog.mark)
    assert marks[:4] == [2, 4, 6, 8]
    assert set(marks[12:]) == {26}, "thirteen sets of 25 a second end within half a second"


def test_other_terms_and_a_clock_that_is_set_back_begin_anew() -> None:
    backlog = Backlog()
    backlog.follow(500 * MS, None)
    for end_ns in (10, 20, 30, 5, 15):
        backlog.note(end_ns)
    assert backlog.mark == 6
    backlog.follow(500 * MS, None)
    backlog.note(16)
    assert backlog.mark == 2


@given(st.integers(1, 50), st.lists(st.integers(1, 60), min_size=1, max_size=40))
def test_what_ends_within_a_latency_is_at_most_half_of_the_mark(latency_ns: int, steps: list[int]) -> None:
    backlog, ends = Backlog(), list[int]()
    backlog.follow(latency_ns, None)
    for step in steps:
        ends.append((ends[-1] if ends else 0) + step)
        backlog.note(ends[-1])
        assert backlog.mark >= 2 * sum(end > ends[-1] - latency_ns for end in ends)
