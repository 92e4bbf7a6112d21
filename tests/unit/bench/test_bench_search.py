"""The search for the most that holds."""

from hypothesis import given
from hypothesis import strategies as st

from syncsvc.bench.capacity import most_that_holds


@given(st.integers(0, 60), st.integers(1, 20), st.integers(1, 20))
def test_it_finds_the_edge_wherever_it_lies(edge: int, start: int, step: int) -> None:
    asked: list[int] = []

    def holds(level: int) -> bool:
        asked.append(level)
        return level <= edge

    most, broke = most_that_holds(holds, start, step, 40)
    assert most <= min(edge, 40)
    if edge >= 40:
        assert (most, broke) == (40, None)
    else:
        assert broke is not None
        assert edge < broke <= most + max(1, step // 4)
    assert all(1 <= level <= 40 for level in asked)


def test_a_level_that_fails_once_is_tried_again() -> None:
    tries: list[int] = []

    def holds(level: int) -> bool:
        tries.append(level)
        return level < 8 and tries.count(level) == 2  # somebody else's work broke each first try

    assert most_that_holds(holds, 4, 4, 100) == (7, 8)
    assert tries[:4] == [4, 4, 8, 8]


def test_nothing_holds() -> None:
    assert most_that_holds(lambda _: False, 4, 4, 100) == (0, 1)
