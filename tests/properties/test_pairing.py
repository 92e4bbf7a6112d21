"""The guarantees of the rule that the service pairs by, each against the plainest possible restatement of it."""

from collections.abc import Collection, Mapping, Sequence
from itertools import combinations, pairwise
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncsvc.pairing.minspread import sets_around
from syncsvc.pairing.policy import Fixed, Window
from syncsvc.pairing.turns import Turns

Times = dict[str, list[int]]
Members = dict[str, int]
END = 1000


class Taken(NamedTuple):
    """A frame, as a rule sees it."""

    seq: int
    time_ns: int
    arrival_ns: int = 0


@st.composite
def scenes(draw: st.DrawFn, most: int = 5, most_frames: int = 6, span: int = 40) -> tuple[Times, int]:
    """Some streams, some frames each, and a skew of the same order as the frames' distances."""
    instants = st.lists(st.integers(0, span), unique=True, max_size=most_frames)
    names = "abcdefgh"[: draw(st.integers(2, most))]
    return {name: sorted(draw(instants)) for name in names}, draw(st.integers(0, 15))


@st.composite
def cameras(draw: st.DrawFn) -> tuple[Times, int]:
    """Streams whose frames are a skew apart at least; some lose most of them."""
    random, skew = draw(st.randoms(use_true_random=False)), draw(st.integers(3, 15))
    times = {}
    for name in "abcde"[: draw(st.integers(2, 5))]:
        time, kept, times[name] = random.randrange(2 * skew), random.choice([1, 0.9, 0.7, 0.3]), list[int]()
        while time < 8 * skew:
            if random.random() < kept:
                times[name].append(time)
            time += skew + random.choice([0, 0, 0, 1, 2, 5])
    return times, skew


def formed(
    times: Times, skew: int, *, min_streams: int = 2, reference: str | None = None, doubtful: Collection[str] = (),
    end: int = END, after: Mapping[str, int] | None = None,
) -> list[Fixed[Taken]]:  # fmt: skip
    frames = {name: [Taken(seq, time) for seq, time in enumerate(some)] for name, some in times.items()}
    counts = {name: sum(time < end for time in some) for name, some in times.items()}
    window = Window(0, end, end + 2 * skew, frames, counts, after or {}, doubtful)
    return Turns(skew, reference, min_streams).sets(window)


def sets_of(times: Times, skew: int, **more: object) -> list[Members]:
    return [{name: f.time_ns for name, f in one.frames.items()} for one in formed(times, skew, **more)]  # type: ignore[arg-type]


def without(sets: Sequence[Members], name: str) -> list[Members]:
    """What the sets are to the others."""
    rest = [{other: time for other, time in one.items() if other != name} for one in sets]
    return [one for one in rest if len(one) > 1]


def spread(one: Members) -> int:
    return max(one.values()) - min(one.values())


def first_driver(times: Times) -> str | None:
    return min((name for name in times if times[name]), key=lambda name: len(times[name]), default=None)


def alone(times: Times, skew: int) -> list[Members]:
    """The sets that the stream with the fewest frames has, if it alone drives."""
    driver = first_driver(times)
    if driver is None:
        return []
    found = sets_around(times[driver], {name: some for name, some in times.items() if name != driver}, skew)
    return [{driver: time, **some} for time, some in zip(times[driver], found, strict=True) if some]


@given(scenes(), st.integers(2, 4))
def test_sets_are_narrow_and_large_enough_and_no_frame_is_in_two(scene: tuple[Times, int], fewest: int) -> None:
    sets = sets_of(*scene, min_streams=fewest)
    assert all(len(one) >= fewest and spread(one) <= scene[1] for one in sets)
    used = [(name, time) for one in sets for name, time in one.items()]
    assert len(used) == len(set(used))
    assert all(time in scene[0][name] for name, time in used)


@given(scenes(), st.sets(st.sampled_from("abc"), max_size=2))
def test_in_the_order_of_references_a_later_set_has_later_frames(scene: tuple[Times, int], doubtful: set[str]) -> None:
    found = formed(*scene, doubtful=doubtful)
    assert [one.reference_ns for one in found] == sorted(one.reference_ns for one in found)
    for name in scene[0]:
        used = [one.frames[name].time_ns for one in found if name in one.frames]
        assert all(before < after for before, after in pairwise(used))


@given(scenes() | cameras())
def test_if_the_first_driver_leaves_out_nobody_its_sets_are_the_sets(scene: tuple[Times, int]) -> None:
    times, skew = scene
    sets, driver = alone(times, skew), first_driver(times)
    used = {(name, time) for one in sets for name, time in one.items()}
    leaves_out = any(
        name not in one and abs(time - one[driver]) <= skew and (name, time) not in used
        for one in sets
        if driver is not None
        for name, some in times.items()
        for time in some
    )
    if not leaves_out:
        assert all(one in sets_of(times, skew) for one in sets)


def test_a_healthy_group_has_the_sets_of_its_slowest_stream() -> None:
    random = Random(1)
    rates = {"a": 25.0, "b": 30.0, "c": 29.97, "d": 15.0}
    times = {
        name: [round(random.random() * 5 + n * 10_000 / rate) for n in range(round(3 * rate))]
        for name, rate in rates.items()
    }
    full = [one for one in alone(times, 400) if len(one) == len(rates)]
    assert len(full) >= 44
    assert [one for one in sets_of(times, 400, end=40_000) if len(one) == len(rates)] == full


@given(scenes())
def test_no_two_frames_are_left_that_could_be_a_set(scene: tuple[Times, int]) -> None:
    times, skew = scene
    found = formed(times, skew)
    used = {(name, f.time_ns) for one in found for name, f in one.frames.items()}
    left = [(name, time) for name, some in times.items() for time in some if (name, time) not in used]

    def fits(reference: int, frames: Sequence[tuple[str, int]]) -> bool:
        return all(
            (one.reference_ns < reference) == (one.frames[name].time_ns < time)
            for name, time in frames
            for one in found
            if name in one.frames
        )

    for one, other in combinations(left, 2):
        is_set = one[0] != other[0] and abs(one[1] - other[1]) <= skew
        assert not (is_set and (fits(one[1], (one, other)) or fits(other[1], (one, other))))


@settings(max_examples=500)
@given(cameras(), st.data())
def test_a_stream_costs_the_others_at_most_one_set_for_each_that_it_is_in(
    scene: tuple[Times, int], data: st.DataObject
) -> None:
    times, skew = scene
    guest = data.draw(st.sampled_from(sorted(times)))
    together = sets_of(times, skew)
    apart = sets_of({name: some for name, some in times.items() if name != guest}, skew)
    assert len(without(together, guest)) >= len(apart) - sum(guest in one for one in together)


@pytest.mark.parametrize("guest_fps", [2.0, 15.0])
def test_a_slow_stream_leaves_the_others_their_pairs(guest_fps: float) -> None:
    times = {"a": list(range(0, 4000, 40)), "b": list(range(9, 4000, 40))}
    slow = [round(13 + n * 1000 / guest_fps) for n in range(round(4 * guest_fps) - 1)]
    sets = sets_of(times | {"c": slow}, 40, end=5000)
    assert without(sets, "c") == sets_of(times, 40, end=5000)
    assert sum(len(one) == 3 for one in sets) == len(slow)


def test_the_example_of_the_rule() -> None:
    """By f alone, b at 100 would go with it, and c at 145 with nobody."""
    times = {"b": [0, 100], "c": [45, 145], "f": [70]}
    assert sets_of(times, 50) == [{"b": 0, "c": 45}, {"b": 100, "c": 145}]


@given(scenes(), scenes(most=2))
def test_doubtful_streams_change_no_set_of_the_others(scene: tuple[Times, int], other: tuple[Times, int]) -> None:
    times, skew = scene
    guests = {name * 2: some for name, some in other[0].items()}
    if any(times.values()):
        together = sets_of(times | guests, skew, doubtful=list(guests))
        apart = [{name: time for name, time in one.items() if name not in guests} for one in together]
        assert [one for one in apart if len(one) > 1] == sets_of(times, skew)


def test_doubtful_streams_count_towards_the_least_number() -> None:
    times = {"a": [100], "b": [110], "d": [105]}
    assert sets_of(times, 40, min_streams=3, doubtful=["d"]) == [{"a": 100, "b": 110, "d": 105}]
    assert sets_of(times | {"d": [200]}, 40, min_streams=3, doubtful=["d"]) == []


@given(scenes(), st.integers(2, 3))
def test_with_a_reference_every_set_holds_it_and_it_alone_drives(scene: tuple[Times, int], fewest: int) -> None:
    times, skew = scene
    others = {name: some for name, some in times.items() if name != "a"}
    found = sets_around(times["a"], others, skew, fewest)
    expected = [{"a": time, **some} for time, some in zip(times["a"], found, strict=True) if some]
    assert sets_of(times, skew, reference="a", min_streams=fewest) == expected


@given(scenes(), st.randoms(use_true_random=False))
def test_the_order_in_which_streams_are_passed_breaks_ties_of_counts_alone(
    scene: tuple[Times, int], random: Random
) -> None:
    times, skew = scene
    names = sorted(random.sample(list(times), len(times)), key=lambda name: (len(times[name]), name))
    assert sets_of({name: times[name] for name in names}, skew) == sets_of(times, skew)


@given(scenes(), st.integers(5, 30))
def test_what_is_fixed_has_a_frame_before_the_windows_end(scene: tuple[Times, int], end: int) -> None:
    times, skew = scene
    known = {name: [time for time in some if time < end + 2 * skew] for name, some in times.items()}
    found = formed(known, skew, end=end)
    assert all(min(f.time_ns for f in one.frames.values()) < end for one in found)
    assert all(one.reference_ns < end + skew for one in found)


def test_a_pair_takes_no_frame_that_a_full_set_of_the_next_window_needs() -> None:
    """Its reference (of a) lies more than a skew behind the edge, but all of its frames are known."""
    times = {"a": [900, 1048], "b": [905, 985, 1045], "c": [902, 930, 940, 1011], "d": [903, 1046]}
    full = {"a": 900, "b": 905, "c": 902, "d": 903}
    assert sets_of(times, 40, end=1000) == [full]
    assert sets_of(times | {"d": [903]}, 40, end=1000) == [full, {"b": 985, "c": 1011}]
