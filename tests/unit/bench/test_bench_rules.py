"""The rules that we are compared to, on cases small enough to be done by hand; times are milliseconds."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncsvc.bench import rules
from syncsvc.bench.rules import Rule, RuleSet, Stamped
from syncsvc.clock import NS_PER_MS
from syncsvc.pairing.policy import Window

SKEW_NS = 40 * NS_PER_MS
Make = Callable[[int], Rule]
Streams = Mapping[str, Sequence[Stamped]]
ALL: Sequence[Make] = (
    rules.SecondAndPosition,
    rules.NearestToReference,
    rules.ApproximateTime,
    rules.SavantWindow,
)


def streams(late_ms: int = 0, **stamps_ms: Iterable[int]) -> dict[str, list[Stamped]]:
    """Frames numbered from 0 on, each of which arrives ``late_ms`` after its stamp."""
    return {
        name: [Stamped(place, ms * NS_PER_MS, (ms + late_ms) * NS_PER_MS) for place, ms in enumerate(some)]
        for name, some in stamps_ms.items()
    }


def sets_of(rule: Make, given: Streams) -> list[RuleSet]:
    times = [frame.time_ns for some in given.values() for frame in some]
    counts = {name: len(some) for name, some in given.items()}
    window = Window(min(times, default=0), max(times, default=0) + 1, max(times, default=0) + 1, given, counts, {})
    return [RuleSet.of(one) for one in rule(SKEW_NS).sets(window)]


def members(sets: Sequence[RuleSet]) -> list[dict[str, int]]:
    return [dict(found.members) for found in sets]


def stamps_of(found: RuleSet, given: Streams) -> list[int]:
    return [given[name][number].time_ns for name, number in found.members.items()]


# Second and position.


def test_positions_in_a_second_belong_together_whatever_is_missing() -> None:
    # b lost its frame at 40: from there on, every pair is one frame apart.
    found = sets_of(rules.SecondAndPosition, streams(a=[0, 40, 80, 1000], b=[5, 85, 125, 1005]))
    assert members(found) == [{"a": 0, "b": 0}, {"a": 1, "b": 1}, {"a": 2, "b": 2}, {"a": 3, "b": 3}]


def test_a_list_is_cut_to_the_shortest_and_a_second_that_one_stream_lacks_has_no_sets() -> None:
    found = sets_of(rules.SecondAndPosition, streams(a=[0, 40, 1000, 2000], b=[10, 2010, 2050]))
    assert members(found) == [{"a": 0, "b": 0}, {"a": 3, "b": 1}]


def test_a_second_is_over_when_each_stream_has_begun_the_next() -> None:
    found = sets_of(rules.SecondAndPosition, streams(7, a=[0, 1000], b=[10, 1300]))
    assert found[0].ready_ns == 1307 * NS_PER_MS


# Nearest.


def test_the_stream_with_the_fewest_frames_takes_the_nearest_of_each_other_within_the_limit() -> None:
    found = sets_of(rules.NearestToReference, streams(a=[0, 40, 80, 120], b=[41, 118], c=[200, 210, 220]))
    assert members(found) == [{"b": 0, "a": 1}, {"b": 1, "a": 3}]


def test_the_nearest_may_be_taken_twice() -> None:
    found = sets_of(rules.NearestToReference, streams(a=[10, 30], b=[20, 100, 200]))
    assert members(found) == [{"a": 0, "b": 0}, {"a": 1, "b": 0}]


def test_a_nearest_one_is_known_once_a_frame_at_or_after_the_reference_came() -> None:
    found = sets_of(rules.NearestToReference, streams(5, a=[20, 70], b=[10, 50, 90]))
    assert [(s.members["b"], s.ready_ns) for s in found] == [(0, 55 * NS_PER_MS), (1, 95 * NS_PER_MS)]


# ApproximateTime.


def test_ros_waits_for_every_stream_and_takes_the_tightest_set_with_the_pivot() -> None:
    # The first heads are 0, 4, 30; the pivot is c's 30; a's 40 and b's 34 are nearer to it than their first ones.
    given = streams(a=[0, 40, 80, 120], b=[4, 34, 84, 124], c=[30, 70, 110, 150])
    assert members(sets_of(rules.ApproximateTime, given))[:2] == [{"a": 1, "b": 1, "c": 0}, {"a": 2, "b": 2, "c": 1}]


def test_ros_waits_until_no_frame_to_come_can_be_better() -> None:
    # After a at 0 and b at 5, the next of a may be at 5 too: only when it came, at 40, is the set the best one.
    assert sets_of(rules.ApproximateTime, streams(a=[0], b=[5])) == []
    [found] = sets_of(rules.ApproximateTime, streams(a=[0, 40], b=[5]))
    assert (dict(found.members), found.ready_ns) == ({"a": 0, "b": 0}, 40 * NS_PER_MS)


def test_ros_need_not_wait_for_a_stream_whose_frame_is_not_what_makes_the_set_wide() -> None:
    # a came at 10 and c at 0 and 30: whatever b brings after 12, c cannot come nearer.
    [found] = sets_of(rules.ApproximateTime, streams(a=[10], b=[12], c=[0, 30]))
    assert dict(found.members) == {"a": 0, "b": 0, "c": 0}


def test_ros_says_nothing_while_one_stream_is_silent() -> None:
    assert sets_of(rules.ApproximateTime, streams(a=[0, 40, 80], b=[0, 40, 80], c=[])) == []


def test_ros_drops_what_is_too_far_from_everything() -> None:
    assert members(sets_of(rules.ApproximateTime, streams(a=[0, 100, 140], b=[101]))) == [{"a": 1, "b": 0}]


def test_ros_drops_the_oldest_of_a_full_queue_and_goes_on() -> None:
    behind = range(0, 40 * (rules.ROS_QUEUE + 10), 40)
    given = streams(a=behind, b=[])
    given["b"] = [Stamped(0, behind[-1] * NS_PER_MS, (behind[-1] + 1) * NS_PER_MS)]
    assert members(sets_of(rules.ApproximateTime, given)) == [{"a": len(behind) - 1, "b": 0}]


@given(
    st.lists(st.lists(st.integers(0, 600), unique=True, max_size=15).map(sorted), min_size=2, max_size=4),
)
def test_ros_keeps_its_published_properties(times: list[list[int]]) -> None:
    given = streams(0, **{f"s{place}": some for place, some in enumerate(times)})
    sets = sets_of(rules.ApproximateTime, given)
    for found in sets:
        assert found.members.keys() == given.keys()
        assert max(stamps_of(found, given)) - min(stamps_of(found, given)) <= SKEW_NS
    for before, after in pairwise(sets):  # none twice, none crossing
        assert all(before.members[name] < after.members[name] for name in given)


@given(st.lists(st.lists(st.integers(0, 600), unique=True, max_size=15).map(sorted), min_size=2, max_size=4))
def test_ros_depends_on_stamps_and_not_on_arrival(times: list[list[int]]) -> None:
    given = streams(0, **{f"s{place}": some for place, some in enumerate(times)})
    later = {
        name: [Stamped(f.seq, f.time_ns, f.arrival_ns + place * 300 * NS_PER_MS) for f in frames]
        for place, (name, frames) in enumerate(given.items())
    }
    both = [members(sets_of(rules.ApproximateTime, some)) for some in (given, later)]
    shorter = min(map(len, both))  # what is proven by the end of the data may differ
    assert both[0][:shorter] == both[1][:shorter]


# savant.


def test_savant_waits_for_five_seconds_and_then_takes_one_frame_of_each_stream_from_the_front() -> None:
    given = streams(a=[*range(0, 5200, 100)], b=[*range(10, 5200, 100)])
    found = sets_of(rules.SavantWindow, given)
    assert members(found)[:2] == [{"a": 0, "b": 0}, {"a": 1, "b": 1}]
    assert found[0].ready_ns == 5010 * NS_PER_MS


def test_savant_admits_a_frame_that_is_far_from_the_one_before() -> None:
    # The test of the duration looks at the frame that was taken last, so the next one may be anywhere.
    given = streams(a=[0, 1000, 7000], b=[600, 1600, 7600])
    assert members(sets_of(rules.SavantWindow, given))[0] == {"a": 0, "b": 0}


# All of them.


@pytest.mark.parametrize("rule", ALL)
def test_cameras_in_step_are_paired_by_every_rule(rule: Make) -> None:
    given = streams(3, a=range(0, 12_000, 40), b=range(1, 12_000, 40), c=range(2, 12_000, 40))
    found = members(sets_of(rule, given))
    assert len(found) > 150
    assert all(some == dict.fromkeys("abc", some["a"]) for some in found)


@pytest.mark.parametrize("rule", ALL)
@pytest.mark.parametrize("given", [{}, streams(a=[]), streams(a=[], b=[]), streams(a=[1], b=[])])
def test_without_frames_there_are_no_sets(rule: Make, given: Mapping[str, Sequence[Stamped]]) -> None:
    assert sets_of(rule, given) == []
