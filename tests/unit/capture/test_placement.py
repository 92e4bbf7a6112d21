"""Times of recordings that jump, run backwards or stand still, and those that lie in the order of decoding."""

from itertools import pairwise
from random import Random

import pytest

from syncsvc.capture.placement import LEAST_JUMP_NS, LONGEST_PAUSE_NS, Placement, PresentationTimes
from syncsvc.testing import MS

PERIOD = 40 * MS


def placed(times_ms: list[int], most_ns: int = LEAST_JUMP_NS) -> tuple[list[float], list[str]]:
    """Places in milliseconds, and what was told."""
    placement = Placement(PERIOD, most_ns)
    found = [placement.place(time * MS) for time in times_ms]
    return [place.at_ns / MS for place in found], [place.why for place in found if place.why]


def test_times_that_rise_are_taken_as_they_are() -> None:
    times = [0, 40, 41, 500, 9000]
    assert placed(times) == (times, [])


@pytest.mark.parametrize("jump_ms", [95_000_000, -95_000_000, -1200])
def test_what_follows_a_jump_is_played_on_a_period_later_and_one_line_says_so(jump_ms: int) -> None:
    places, told = placed([0, 40, 80, 120 + jump_ms, 160 + jump_ms, 200 + jump_ms])
    assert places == [0, 40, 80, 120, 160, 200]
    (line,) = told
    assert line.startswith(f"its times jump by {(40 + jump_ms) / 1000:,.0f} s at 0.080 s")


def test_one_frame_with_another_time_moves_none_of_the_others() -> None:
    assert placed([0, 40, 95_000_000, 120, 160, -95_000_000, 240])[0] == [0, 40, 80, 120, 160, 200, 240]


def test_a_camera_that_slept_is_believed_where_its_file_has_one_timeline() -> None:
    slept_ms = LONGEST_PAUSE_NS // MS
    assert placed([0, slept_ms], LONGEST_PAUSE_NS) == ([0, slept_ms], [])
    assert placed([0, slept_ms + 1], LONGEST_PAUSE_NS)[0] == [0, 40]


def test_frames_of_one_time_stand_between_their_neighbours_in_doubt() -> None:
    placement = Placement(PERIOD, LEAST_JUMP_NS)
    found = [placement.place(time * MS) for time in (0, 40, 40, 80, 120, 110, 160)]
    assert [place.at_ns // MS for place in found] == [0, 40, 60, 80, 120, 140, 160]
    assert [place.doubt_ns for place in found] == [0, 0, PERIOD, 0, 0, PERIOD, 0]
    assert ["stand still" in place.why for place in found] == [False, False, True, False, False, False, False]


def test_times_that_stand_still_for_good_are_counted_by_the_period() -> None:
    places, _ = placed([0] * 100)
    assert places == sorted(set(places))
    assert 1000 < places[-1] < 4000


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_times_places_rise_and_never_by_more_than_the_longest_pause(seed: int) -> None:
    rng = Random(seed)
    times = [rng.choice([n * 40, 0, -(2**50), 2**50, rng.randrange(10_000), n * 40 + 95_000_000]) for n in range(300)]
    places, told = placed(times)
    assert all(0 < later - earlier <= LEAST_JUMP_NS / MS for earlier, later in pairwise(places))
    assert len(told) <= 2


def shown(order: str) -> list[tuple[int, int, bool]]:
    """Index, number in the order of decoding and kind of each picture as it is shown; ``order`` has its letters."""
    return sorted((ord(letter.lower()) - ord("a"), place, letter.isupper()) for place, letter in enumerate(order))


@pytest.mark.parametrize("order", ["Abcd", "Adbcgef", "AdbcGefkhij", "Acb"])
def test_times_in_the_order_of_decoding_are_given_in_that_of_showing(order: str) -> None:
    times, ticks = PresentationTimes(), list(range(0, 2 * len(order), 2))
    for one in ticks:
        times.feed(one + 2, one)
    given = [times.next(ticks[place] + 2, is_key=is_key) for _, place, is_key in shown(order)]
    assert given == ticks


def test_a_picture_that_was_lost_moves_those_before_the_next_key_frame_alone() -> None:
    times = PresentationTimes()
    for tick in range(0, 12, 2):
        times.feed(tick, None)
    found = [times.next(tick, is_key=tick in (0, 6)) for tick in (0, 4, 6, 8, 10)]
    assert found == [0, 2, 6, 8, 10]


def test_a_picture_without_a_packet_keeps_its_own_time() -> None:
    assert PresentationTimes().next(7, is_key=False) == 7
