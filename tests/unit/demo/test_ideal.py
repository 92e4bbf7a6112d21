"""The oracle of the rule: every stream drives in turn, window by window; in one window its sets are the policy's."""

from typing import NamedTuple

from hypothesis import given
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


instants = st.lists(st.integers(0, 900), unique=True, max_size=12).map(sorted)


@given(st.fixed_dictionaries({"a": instants, "b": instants, "c": instants}), st.integers(0, 60))
def test_in_one_window_they_are_the_policys(times: Times, skew: int) -> None:
    frames = {name: [Taken(seq, time) for seq, time in enumerate(some)] for name, some in times.items()}
    counts = {name: len(some) for name, some in times.items()}
    found = Turns(skew).sets(Window(0, SECOND, SECOND + 2 * skew, frames, counts, {}))
    assert sets_of(times, skew) == [{name: f.time_ns for name, f in one.frames.items()} for one in found]
