"""Which pictures become stills, and what their files are called."""

from collections.abc import Sequence

import pytest

from syncsvc.errors import UsageError
from syncsvc.model import FrameBatch
from syncsvc.sinks.stills.choice import Choice, StillsWish, utc_name
from tests.batches import MS, T0, batch, frame, together

NAMES = ("north", "south")


def steady(seq: int = 0, number: int = 25, group: str = "lobby", jitter: Sequence[int] = (0,)) -> FrameBatch:
    """A second with so many frames of two cameras, all paired, some off by their ``jitter`` (ns)."""
    start = T0 + seq * 1000 * MS

    def taken(stream: str, late_ns: int) -> list[object]:
        times = [start + n * 1_000_000_000 // number + late_ns + jitter[n % len(jitter)] for n in range(number)]
        return [frame(stream, seq * number + n, time_ns) for n, time_ns in enumerate(times)]

    north, south = taken("north", 0), taken("south", 2 * MS)
    sets = [together(one, other, group=NAMES) for one, other in zip(north, south, strict=True)]  # type: ignore[arg-type]
    return batch(seq, group=group, frames={"north": north, "south": south}, sets=sets)  # type: ignore[dict-item]


def names(wish: StillsWish, *batches: FrameBatch) -> list[str]:
    choice = Choice(wish)
    return [chosen.name for one in batches for chosen in choice.of(one)]


def test_names_hold_the_time_to_the_nanosecond_and_sort_by_it() -> None:
    assert utc_name(T0 + 123_456_789) == "20260101T000000.123456789Z"
    assert utc_name(T0 - 1) == "20251231T235959.999999999Z"
    times = [T0 - 5, T0, T0 + 1, T0 + 999_999_999, T0 + 10**9]
    assert sorted(map(utc_name, times)) == list(map(utc_name, times))


def test_without_a_wish_every_frame_is_chosen_once_under_its_own_name() -> None:
    found = names(StillsWish(), steady(0), steady(1))
    assert len(found) == len(set(found)) == 100
    assert found[0] == "north/20260101T000000.000000000Z_0"
    assert found[25] == "south/20260101T000000.002000000Z_0"
    assert sorted(found[:25]) == found[:25]


def test_a_frame_that_comes_with_two_groups_is_chosen_once_and_counted_once() -> None:
    both = [steady(0), steady(0, group="yard"), steady(1, group="yard"), steady(1)]
    assert len(names(StillsWish(), *both)) == 100
    assert names(StillsWish(every=3), *both) == names(StillsWish(every=3), steady(0), steady(1))


@pytest.mark.parametrize("of", ["frames", "sets", "mosaics"])
def test_every_n_takes_the_first_of_each_n(of: str) -> None:
    found = names(StillsWish(of, every=10), steady(0), steady(1))  # type: ignore[arg-type]
    assert len(found) == {"frames": 10, "sets": 10, "mosaics": 5}[of]
    assert found[0].startswith({"frames": "north/2026", "sets": "20260101T000000.000000000Z/north"}.get(of, "2026"))


@pytest.mark.parametrize(("rate", "wanted"), [(25, 10.0), (25, 1.0), (30, 7.5), (25, 0.5)])
def test_so_many_a_second_are_chosen_by_capture_time(rate: int, wanted: float) -> None:
    found = names(StillsWish("mosaics", per_second=wanted), *(steady(seq, rate) for seq in range(10)))
    assert abs(len(found) - 10 * wanted) <= 1


def test_a_wish_for_the_camera_s_own_rate_loses_no_frame_to_jitter_but_one() -> None:
    shaky = [steady(seq, jitter=(0, -90_000, 120_000, -3_000_000, 2_000_000)) for seq in range(8)]
    assert len(names(StillsWish("mosaics", per_second=25), *shaky)) >= 8 * 25 - 1


def test_a_clock_that_was_set_back_does_not_end_the_choice() -> None:
    found = names(StillsWish("mosaics", per_second=5), steady(100), steady(3), steady(4))
    assert len(found) >= 14


def test_sets_are_folders_and_mosaics_are_pictures_named_by_their_earliest_frame() -> None:
    assert names(StillsWish("sets"), steady(0))[:3] == [
        "20260101T000000.000000000Z/north", "20260101T000000.000000000Z/south", "20260101T000000.040000000Z/north",
    ]  # fmt: skip
    assert names(StillsWish("mosaics"), steady(0))[0] == "20260101T000000.000000000Z"


def test_sets_that_begin_in_one_nanosecond_do_not_take_each_other_s_place() -> None:
    streams = ("a", "b", "c", "d")
    frames = {name: [frame(name, 1, T0 + (name in "bd") * MS)] for name in streams}
    sets = [together(frames[one][0], frames[other][0], group=streams) for one, other in (("a", "b"), ("c", "d"))]
    found = names(StillsWish("mosaics"), batch(0, frames=frames, sets=sets))
    assert found == ["20260101T000000.000000000Z", "20260101T000000.000000000Z_2"]


def test_sets_of_a_second_group_are_refused_with_both_names() -> None:
    with pytest.raises(UsageError, match=r"groups lobby and yard: --group says whose sets"):
        names(StillsWish("sets"), steady(0), steady(1, group="yard"))


def test_a_group_of_one_stream_has_each_of_its_frames_for_a_set() -> None:
    alone = batch(0, frames={"north": [frame("north", n, T0 + n * MS) for n in range(3)]})
    assert len(names(StillsWish("mosaics"), alone)) == 3
    assert names(StillsWish("sets"), alone)[2] == "20260101T000000.002000000Z/north"


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (StillsWish(every=2, per_second=1.0), "two answers to one question"),
        (StillsWish(every=0), "every 0: at least 1"),
        (StillsWish(per_second=0.0), "per_second 0: more than 0, at most 1000"),
    ],
)
def test_a_wish_that_cannot_be_fulfilled_is_refused(wish: StillsWish, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Choice(wish)
