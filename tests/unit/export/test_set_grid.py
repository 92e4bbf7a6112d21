"""Sets with true times on a grid of whole frames a second."""

import pytest

from syncsvc.clock import NS_PER_MS as MS
from syncsvc.clock import NS_PER_S
from syncsvc.errors import UsageError
from syncsvc.export.set_grid import MOST_EPISODE_S, SetGrid, SetPlace, grid_of
from tests.batches import T0


def grid(times_ms: list[float], fps: int | None = None, breaks: frozenset[int] = frozenset()) -> SetGrid:
    return grid_of([T0 + round(one * MS) for one in times_ms], breaks, fps)


def shown(found: SetGrid) -> str:
    """A letter for each set."""
    return "".join({SetPlace.BEGINS: "B", SetPlace.GOES_ON: "-", SetPlace.OFF_GRID: "x"}[one] for one in found.places)


def test_sets_at_a_steady_rate_are_one_episode_at_that_rate() -> None:
    found = grid([0, 41, 79, 120, 160])
    assert (found.fps, shown(found), found.rate_hz) == (25, "B----", 25.0)


def test_one_set_is_an_episode() -> None:
    assert grid([0]) == SetGrid(1, 0.0, [SetPlace.BEGINS])


def test_a_quarter_of_an_hour_of_cameras_of_29_97_stays_on_a_grid_of_30_without_losing_a_set() -> None:
    found = grid([at * 1001 / 30 for at in range(30_000)])
    assert found.fps == 30
    assert found.rate_hz == pytest.approx(29.97, abs=0.001)
    assert SetPlace.OFF_GRID not in found.places
    begun = [at for at, place in enumerate(found.places) if place is SetPlace.BEGINS]
    assert begun == list(range(0, 30_000, MOST_EPISODE_S * 30))  # and no episode is too long for its readers


def test_an_episode_ends_where_a_set_is_missing_or_batches_are_and_where_times_go_back() -> None:
    assert shown(grid([0, 40, 120, 160, 1000])) == "B-B-B"
    assert shown(grid([0, 40, 80, 120], breaks=frozenset({2}))) == "B-B-"
    assert shown(grid([1000, 1040, 0, 40, 80])) == "B-B--"


def test_of_sets_that_come_more_often_the_nearest_are_taken() -> None:
    found = grid([20 * at for at in range(9)], fps=25)
    assert (shown(found), found.rate_hz) == ("Bx-x-x-x-", 25.0)
    assert shown(grid([0, 33, 43, 80, 85, 120], fps=25)) == "Bx-x--"


@pytest.mark.parametrize(
    ("times_ms", "fps"), [([0, 40, 80, 120], 30), ([0, 20, 40, 60, 80, 100], 30), ([0, 5000, 10_000], None)]
)
def test_a_grid_that_the_sets_do_not_fit_is_refused_with_their_rate(times_ms: list[float], fps: int | None) -> None:
    with pytest.raises(UsageError, match=r"--fps.*: the sets come [0-9.]+ times a second") as refused:
        grid(times_ms, fps)
    usual_hz = len(times_ms[1:]) * 1000 / times_ms[-1]
    assert f"come {usual_hz:.2f} times a second" in str(refused.value)


def test_a_step_of_the_grid_is_a_whole_number_of_nanoseconds_that_drifts_by_nothing() -> None:
    found = grid_of([T0 + at * NS_PER_S // 7 for at in range(7 * 400)], frozenset(), 7)
    assert shown(found) == "B" + "-" * (7 * 400 - 1)
