"""The guarantees of the sets around references, each against the plainest possible restatement of it."""

from collections.abc import Iterator, Mapping
from itertools import pairwise, product
from random import Random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from syncsvc.pairing.contest import NOTHING, best_window, windows
from syncsvc.pairing.minspread import sets_around

REFERENCE = "ref"
Times = dict[str, list[int]]
Cost = tuple[int, int, int]


@st.composite
def scenes(draw: st.DrawFn, most_others: int = 4, most_frames: int = 5, span: int = 40) -> tuple[Times, int]:
    """Some streams, some frames each, and a skew of the same order as the frames' distances."""
    names = [REFERENCE, *(f"s{place}" for place in range(draw(st.integers(0, most_others))))]
    instants = st.lists(st.integers(0, span), unique=True, max_size=most_frames)
    return {name: sorted(draw(instants)) for name in names}, draw(st.integers(0, 15))


def paired(times: Times, skew: int, fewest: int = 2) -> list[dict[str, int]]:
    others = {name: some for name, some in times.items() if name != REFERENCE}
    found = sets_around(times[REFERENCE], others, skew, fewest)
    return [{REFERENCE: time, **some} for time, some in zip(times[REFERENCE], found, strict=True) if some]


def every_set(times: Times, skew: int, at: int) -> Iterator[dict[str, int]]:
    """Every set that the reference frame ``at`` may be in."""
    others = {
        name: [None, *(t for t in some if abs(t - at) <= skew)] for name, some in times.items() if name != REFERENCE
    }
    for choice in product(*others.values()):
        chosen = {REFERENCE: at} | {name: t for name, t in zip(others, choice, strict=True) if t is not None}
        if len(chosen) > 1 and spread(chosen) <= skew:
            yield chosen


def spread(chosen: Mapping[str, int]) -> int:
    return max(chosen.values()) - min(chosen.values()) if chosen else 0


def rank(chosen: Mapping[str, int]) -> tuple[int, int, int]:
    return -len(chosen), spread(chosen), sum(chosen.values())


def regrets(times: Times, skew: int, fewest: int) -> dict[int, dict[tuple[tuple[str, int], ...], Cost]]:
    """Per reference, every set that it may be in and none at all, and what that costs against its best set."""
    found = {}
    for at in times[REFERENCE]:
        sets = [*(one for one in every_set(times, skew, at) if len(one) >= fewest), {}]
        best = min(sets, key=rank)
        found[at] = {tuple(chosen.items()): regret(chosen, best, skew) for chosen in sets}
    return found


def regret(chosen: Mapping[str, int], best: Mapping[str, int], skew: int) -> Cost:
    price, wider = skew + 1, max(0, spread(chosen) - spread(best))
    lacking = price * (len(best) - len(chosen))
    return lacking + price * wider // (wider + skew // 128 + 1), spread(chosen), sum(chosen.values())


def plus(one: Cost, other: Cost) -> Cost:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]


def cheapest(times: Times, skew: int, fewest: int) -> Cost:
    """The least cost of any choice of sets that do not share a frame and do not cross."""
    states: dict[tuple[tuple[str, int], ...], Cost] = {(): (0, 0, 0)}
    for options in regrets(times, skew, fewest).values():
        grown: dict[tuple[tuple[str, int], ...], Cost] = {}
        for state, so_far in states.items():
            last = dict(state)
            for chosen, more in options.items():
                if all(t > last.get(name, -1) for name, t in chosen):
                    key = tuple(sorted((last | dict(chosen)).items()))
                    grown[key] = min(grown.get(key, plus(so_far, more)), plus(so_far, more))
        states = grown
    return min(states.values())


def cost_of(times: Times, skew: int, fewest: int) -> Cost:
    """What the policy's sets cost by the same measure."""
    found = {one[REFERENCE]: one for one in paired(times, skew, fewest)}
    total = (0, 0, 0)
    for at, options in regrets(times, skew, fewest).items():
        chosen = {name: found[at][name] for name in times if name in found[at]} if at in found else {}
        total = plus(total, options[tuple(chosen.items())])
    return total


@given(scenes())
def test_each_frame_is_in_at_most_one_set_and_sets_never_cross(scene: tuple[Times, int]) -> None:
    times, skew = scene
    for name, some in times.items():
        used = [one[name] for one in paired(times, skew) if name in one]
        assert all(before < after for before, after in pairwise(used))
        assert set(used) <= set(some)


@given(scenes(), st.integers(2, 4))
def test_every_set_has_as_many_frames_as_are_asked_for_within_the_skew(scene: tuple[Times, int], fewest: int) -> None:
    times, skew = scene
    for one in paired(times, skew, fewest):
        assert len(one) >= fewest
        assert spread(one) <= skew


@given(scenes())
def test_a_reference_that_nobody_contests_has_the_best_set_there_is(scene: tuple[Times, int]) -> None:
    times, skew = scene
    best = {at: min(every_set(times, skew, at), key=rank, default=None) for at in times[REFERENCE]}
    sets = [chosen for chosen in best.values() if chosen is not None]
    contested = any(
        after[name] <= before[name]
        for place, before in enumerate(sets)
        for after in sets[place + 1 :]
        for name in before.keys() & after.keys()
    )
    if not contested:
        assert paired(times, skew) == sets


@settings(max_examples=300)
@given(scenes(most_others=3, most_frames=4, span=30), st.integers(2, 3))
@example(({"ref": [10, 20], "a": [8, 18], "b": [14]}, 12), 2)
@example(({"ref": [10, 15], "b1": [14], "m": [13]}, 6), 2)
def test_where_frames_are_contested_the_total_regret_is_least(scene: tuple[Times, int], fewest: int) -> None:
    times, skew = scene
    assert cost_of(times, skew, fewest) == cheapest(times, skew, fewest)


@given(scenes(), st.randoms(use_true_random=False))
def test_the_order_in_which_streams_are_passed_is_irrelevant(scene: tuple[Times, int], random: Random) -> None:
    times, skew = scene
    names = random.sample(list(times), len(times))
    assert paired({name: times[name] for name in names}, skew) == paired(times, skew)


@given(scenes(), st.integers(-1000, 1000))
def test_only_distances_matter(scene: tuple[Times, int], shift: int) -> None:
    times, skew = scene
    moved = {name: [t + shift for t in some] for name, some in times.items()}
    expected = [{name: t + shift for name, t in one.items()} for one in paired(times, skew)]
    assert paired(moved, skew) == expected


@given(st.lists(st.integers(0, 30), unique=True, min_size=1), st.integers(1, 4))
def test_with_no_skew_allowed_only_equal_times_belong_together(instants: list[int], others: int) -> None:
    shared = sorted(instants)
    times = {REFERENCE: shared} | {f"s{place}": shared for place in range(others)}
    assert paired(times, 0) == [dict.fromkeys(times, t) for t in shared]
    shifted = {name: [2 * t + (name != REFERENCE) for t in some] for name, some in times.items()}
    assert paired(shifted, 0) == []


def test_a_long_run_of_contested_references_pairs_every_frame() -> None:
    """Frames half a period off: every reference could have the partner before it or the one after it."""
    times = {REFERENCE: list(range(0, 4000, 40)), "s": list(range(20, 4000, 40)), "t": list(range(10, 4000, 40))}
    sets = paired(times, 40)
    assert len(sets) == 100
    assert all(len(one) == 3 for one in sets)
    assert {spread(one) for one in sets} == {20}


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 4)), unique=True, max_size=20),
    st.integers(10, 30),
    st.integers(0, 20),
    st.integers(1, 5),
)
def test_the_best_set_alone_is_the_least_of_all_that_there_are(
    frames: list[tuple[int, int]], reference: int, skew: int, fewest: int
) -> None:
    near = sorted(frame for frame in frames if abs(frame[0] - reference) <= skew)
    every = windows(reference, near, skew, fewest=fewest)
    assert best_window(reference, near, skew, fewest) == min(every, default=NOTHING)
