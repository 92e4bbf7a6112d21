"""The oracle of the rule: every stream drives in turn; in one window it is the policy, save for ties."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from hypothesis import example, given
from hypothesis import strategies as st

from syncsvc.demo.ideal import ideal_sets
from syncsvc.pairing.policy import Window
from syncsvc.pairing.turns import Turns

Times = dict[str, list[int]]
SECOND = 1000


def sets_of(times: Times, skew: int = 40, **more: str) -> list[dict[str, int]]:
    """The oracle's sets by times."""
    return [
        {name: times[name][index] for name, index in one.items()} for one in ideal_sets(times, skew, SECOND, **more)
    ]


def test_the_stream_with_the_fewest_frames_of_each_window_drives_it_first_and_its_frame_stands_first() -> None:
    found = sets_of({"a": [100, 200, 300, 1100], "b": [105, 305, 1105, 1205, 1305]})
    assert found == [{"a": 100, "b": 105}, {"a": 300, "b": 305}, {"a": 1100, "b": 1105}]
    assert [next(iter(one)) for one in found] == ["b", "b", "a"]


def test_no_frame_is_used_on_both_sides_of_an_edge() -> None:
    # b drives the first window, and its frame at 998 takes a's at 1010; a's at 1020 is left for b's at 1025.
    found = sets_of({"a": [500, 520, 1010, 1020], "b": [998, 1025, 1500]})
    assert found == [{"b": 998, "a": 1010}, {"a": 1020, "b": 1025}]


def test_a_configured_reference_drives_every_window() -> None:
    found = sets_of({"a": [100, 200, 1100], "b": [110, 1110]}, reference="a")
    assert found == [{"a": 100, "b": 110}, {"a": 1100, "b": 1110}]


def test_what_a_slow_stream_leaves_over_forms_sets_too() -> None:
    found = sets_of({"a": [100, 140, 180], "b": [105, 145, 185], "c": [143]}, 30)
    assert found == [{"a": 100, "b": 105}, {"c": 143, "a": 140, "b": 145}, {"a": 180, "b": 185}]


def test_a_set_that_leaves_somebody_out_is_undone() -> None:
    assert sets_of({"b": [0, 100], "c": [45, 145], "f": [70]}, 50) == [{"b": 0, "c": 45}, {"b": 100, "c": 145}]


class Taken(NamedTuple):
    """A frame, as a rule sees it."""

    seq: int
    time_ns: int
    arrival_ns: int = 0


@st.composite
def cameras(draw: st.DrawFn) -> tuple[Times, int]:
    """Times of three, and a skew; each one's frames are a skew apart or more, so that no search is cut short."""
    skew = draw(st.integers(0, 60))
    gaps = st.lists(st.integers(max(1, skew), max(2, 4 * skew)), max_size=12)
    return {name: [time for time in accumulate(draw(gaps), initial=0) if 0 < time <= 900] for name in "abc"}, skew


def worth(sets: Sequence[Mapping[str, int]]) -> tuple[list[tuple[str, int]], list[int], int]:
    """What two ways have alike that are equally good: their frames, the sizes of their sets, and the spread in all."""
    frames = [frame for one in sets for frame in one.items()]
    spreads = [max(one.values()) - min(one.values()) for one in sets]
    return sorted(frames), sorted(map(len, sets)), sum(spreads)


@given(cameras())
@example(({"a": [2, 3], "b": [1, 3], "c": [1, 3]}, 1))
def test_in_one_window_they_are_the_policys_or_as_good_where_two_ways_are_equal(given: tuple[Times, int]) -> None:
    times, skew = given
    frames = {name: [Taken(seq, time) for seq, time in enumerate(some)] for name, some in times.items()}
    counts = {name: len(some) for name, some in times.items()}
    sets = Turns(skew).sets(Window(0, SECOND, SECOND + 2 * skew, frames, counts, {}))
    found, ideal = [{name: f.time_ns for name, f in one.frames.items()} for one in sets], sets_of(times, skew)
    assert found == ideal or worth(found) == worth(ideal)
