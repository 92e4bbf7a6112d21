"""The oracle against every pairing there is, on cases that are small enough to try them all."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from syncsvc.demo.oracle import best_sets

SKEW = 4
REFERENCE = "a"


def stamps_of(chosen: Mapping[str, int], times: Mapping[str, Sequence[int]]) -> list[int]:
    return [times[name][index] for name, index in chosen.items()]


def cost_of(sets: Sequence[Mapping[str, int]], times: Mapping[str, Sequence[int]]) -> tuple[int, int, int]:
    """What is to be least: what the references lack of the best set each could have; spread; lateness of the frames."""
    regret = 0
    for index in range(len(times[REFERENCE])):
        chosen = next((one for one in sets if one[REFERENCE] == index), {})
        best, had = best_alone(index, times), rank(stamps_of(chosen, times))
        wider = max(0, had[1] - best[1])
        regret += (SKEW + 1) * (had[0] - best[0]) + (SKEW + 1) * wider // (wider + 1)
    stamps = [stamps_of(chosen, times) for chosen in sets]
    return regret, sum(max(some) - min(some) for some in stamps), sum(map(sum, stamps))


def rank(stamps: Sequence[int]) -> tuple[int, int, int]:
    return (-len(stamps), max(stamps) - min(stamps), sum(stamps)) if stamps else (0, 0, 0)


def best_alone(index: int, times: Mapping[str, Sequence[int]]) -> tuple[int, int, int]:
    """Rank of the best set that a reference could have if there were no other."""
    others = [[None, *some] for name, some in times.items() if name != REFERENCE]
    sets = [[times[REFERENCE][index], *(t for t in choice if t is not None)] for choice in product(*others)]
    allowed = [some for some in sets if len(some) > 1 and max(some) - min(some) <= SKEW]
    return min(map(rank, allowed), default=(0, 0, 0))


def every_pairing(times: Mapping[str, Sequence[int]]) -> Iterator[list[dict[str, int]]]:
    """All lists of sets that are allowed, found by trying every assignment of frames to references."""
    others = [name for name in times if name != REFERENCE]
    per_reference = list(product(*((None, *range(len(times[name]))) for name in others)))
    for choices in product(per_reference, repeat=len(times[REFERENCE])):
        sets = [
            {REFERENCE: index, **{name: taken for name, taken in zip(others, choice, strict=True) if taken is not None}}
            for index, choice in enumerate(choices)
        ]
        sets = [chosen for chosen in sets if len(chosen) > 1]
        if is_allowed(sets, times):
            yield sets


def is_allowed(sets: Sequence[Mapping[str, int]], times: Mapping[str, Sequence[int]]) -> bool:
    last: dict[str, int] = {}
    for chosen in sets:
        stamps = [times[name][index] for name, index in chosen.items()]
        if max(stamps) - min(stamps) > SKEW or any(index <= last.get(name, -1) for name, index in chosen.items()):
            return False
        last.update(chosen)
    return True


def stream(most: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, 14), unique=True, max_size=most).map(sorted)


@given(st.fixed_dictionaries({"a": stream(3), "b": stream(3), "c": stream(3)}))
def test_it_is_as_good_as_the_best_of_all_pairings_of_three_streams(times: dict[str, list[int]]) -> None:
    found = best_sets(times, SKEW, REFERENCE)
    assert is_allowed(found, times)
    assert cost_of(found, times) == min(cost_of(sets, times) for sets in every_pairing(times))


@given(st.fixed_dictionaries({"a": stream(4), "b": stream(5)}))
def test_it_is_as_good_as_the_best_of_all_pairings_of_two_streams(times: dict[str, list[int]]) -> None:
    found = best_sets(times, SKEW, REFERENCE)
    assert is_allowed(found, times)
    assert cost_of(found, times) == min(cost_of(sets, times) for sets in every_pairing(times))


def test_two_references_that_want_one_frame_share_out_what_there_is() -> None:
    # Alone, both references would take b at 12; together, two sets are more than one.
    assert best_sets({"a": [10, 13], "b": [7, 12]}, SKEW, "a") == [{"a": 0, "b": 0}, {"a": 1, "b": 1}]


def test_a_frame_is_not_gained_by_widening_many_sets() -> None:
    # b lacks its frame at 32, and a its own at 64. To use every frame of c, the sets in between would have to shift.
    times = {"a": [0, 16, 32, 48, 80], "b": [1, 17, 49, 65, 81], "c": [3, 19, 35, 51, 67, 83]}
    found = best_sets(times, 16, "a")
    assert found == [
        {"a": 0, "b": 0, "c": 0},
        {"a": 1, "b": 1, "c": 1},
        {"a": 2, "c": 2},
        {"a": 3, "b": 2, "c": 3},
        {"a": 4, "b": 4, "c": 5},
    ]


def test_more_frames_go_before_less_spread() -> None:
    assert best_sets({"a": [10], "b": [10], "c": [14]}, SKEW, "a") == [{"a": 0, "b": 0, "c": 0}]


def test_a_spread_over_the_limit_is_no_set() -> None:
    assert best_sets({"a": [10], "b": [15]}, SKEW, "a") == []
    assert best_sets({"a": [10], "b": [14]}, SKEW, "a") == [{"a": 0, "b": 0}]


def test_partners_on_both_sides_count_from_the_first_to_the_last() -> None:
    # 3 before and 3 after the reference: each is near, together they spread 6.
    assert best_sets({"a": [10], "b": [7], "c": [13]}, SKEW, "a") == [{"a": 0, "b": 0}]


def test_sets_never_cross() -> None:
    found = best_sets({"a": [10, 11], "b": [10, 11], "c": [9, 12]}, SKEW, "a")
    assert found == [{"a": 0, "b": 0, "c": 0}, {"a": 1, "b": 1, "c": 1}]
