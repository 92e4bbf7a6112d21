"""Where recorded batches come to lie: epochs and numbers rise, times move once, by whole windows."""

from dataclasses import replace

from syncsvc.clock import NS_PER_S as S
from syncsvc.model import FrameBatch
from syncsvc.replay.course import ReplayCourse, grain_ns, shift_to
from syncsvc.wire import GroupTerms
from tests.batches import T0, batch, frame


def terms(window_ms: int | None) -> GroupTerms:
    return GroupTerms(("north",), window_ms, 40.0, 500.0)


def recorded(seq: int, *, epoch: int = 1000, run_id: str = "run-1", first: int = 0, count: int = 2) -> FrameBatch:
    """A window with two frames of ``north``; the first of each is a key frame."""
    start_ns = T0 + seq * S
    frames = [frame("north", first + at, start_ns + at, keyframe=at == 0) for at in range(count)]
    return replace(batch(seq, epoch=epoch, run_id=run_id, frames={"north": frames}), run_id=run_id)


def course(**options: bool) -> ReplayCourse:
    return ReplayCourse(5000, 10 * S, S, **{"is_moving": True, **options})


def test_times_move_by_whole_windows_of_every_group() -> None:
    assert grain_ns([terms(1000), terms(300)]) == 3 * S
    assert grain_ns([terms(None)]) == S
    for now_ns in (T0 + 17 * S + 1, T0 + 18 * S):
        assert shift_to(now_ns, T0, 3 * S) == 18 * S
    assert shift_to(T0 - 5 * S, T0, 3 * S) == -3 * S, "what was recorded in the future comes back"


def test_nobody_waits_for_an_edge_that_comes_once_in_an_hour() -> None:
    assert shift_to(T0 + 100 * S, T0, 3600 * S) == 0


def test_the_first_round_has_the_numbers_of_the_live_run() -> None:
    ours = course()
    places = [ours.place(recorded(7 + at, first=40 + 2 * at)) for at in range(3)]
    assert [place.seq for place in places] == [7, 8, 9]
    assert {place.epoch for place in places} == {5000}
    assert {place.shift_ns for place in places} == {10 * S}
    assert all(place.offsets == {"north": 0} for place in places)


def test_a_later_epoch_of_the_recording_is_a_later_one_of_the_replay() -> None:
    ours = course()
    first, second = ours.place(recorded(3)), ours.place(recorded(0, epoch=1700, first=2))
    assert (first.epoch, second.epoch) == (5000, 5700)
    assert (second.seq, second.offsets) == (0, {"north": 0})


def test_each_round_is_an_epoch_whose_windows_follow_and_whose_frames_have_numbers_of_their_own() -> None:
    ours = course()
    for at in range(3):
        ours.place(recorded(7 + at, first=40 + 2 * at))
    for rounds in (1, 2):
        ours.next_round()
        places = [ours.place(recorded(7 + at, first=40 + 2 * at)) for at in range(3)]
        assert [place.seq for place in places] == [0, 1, 2]
        assert {place.epoch for place in places} == {5000 + rounds}
        assert {place.shift_ns for place in places} == {10 * S + rounds * 3 * S}
        # 40 to 45 become 46 to 51, and so on: without a hole, for the first is a key frame.
        assert all(place.offsets == {"north": 6 * rounds} for place in places)


def test_a_round_that_begins_within_a_refresh_leaves_a_hole_that_tells_decoders() -> None:
    ours, one = course(), recorded(0, first=41)
    one = replace(one, frames={"north": [frame("north", 41, T0), frame("north", 42, T0 + 1)]})
    ours.place(one)
    ours.next_round()
    assert ours.place(one).offsets == {"north": 3}


def test_times_that_are_left_are_those_of_every_round() -> None:
    ours = course(is_moving=False)
    first = ours.place(recorded(0))
    ours.next_round()
    second = ours.place(recorded(0))
    assert (first.shift_ns, second.shift_ns) == (10 * S, 10 * S)
    assert second.epoch > first.epoch


def test_a_run_that_counted_anew_goes_on_with_higher_numbers() -> None:
    ours = course()
    ours.place(recorded(0, first=100))
    after = ours.place(recorded(0, epoch=90_000, run_id="run-2", first=0))
    assert after.offsets == {"north": 103}
    assert after.epoch == 5000 + 89_000
