"""Recorded pictures found for their frames, and decoded for who wants pixels."""

import numpy as np
import pytest

from syncsvc.layout import Layout
from syncsvc.recording.stream_pictures import NO_KEY, StreamPictures
from tests.batches import MS, T0, frame
from tests.recordings import HEIGHT, RAW, WIDTH, number_of, stored


def time_of(seq: int) -> int:
    return T0 + 40 * seq * MS


def pictures(*seqs: int, is_ours: bool = False, users: int = 1) -> StreamPictures:
    return StreamPictures("north", iter(stored("north", seqs, time_of, is_ours=is_ours)), users)


def shown(source: StreamPictures, seq: int, layout: Layout = RAW) -> int:
    found = source.find(frame("north", seq, time_of(seq)))
    assert found is not None
    assert not found.problem
    target = np.empty(layout.size_bytes, np.uint8)
    source.write(found, layout, target)
    return number_of(target)


def test_each_frame_has_its_own_picture_also_where_a_partner_travels_ahead() -> None:
    source = pictures(*range(10))
    assert [shown(source, seq) for seq in (0, 1, 2, 5, 3, 4, 7, 6)] == [0, 1, 2, 5, 3, 4, 7, 6]


def test_frames_that_were_not_recorded_are_found_missing_without_reading_on() -> None:
    source = pictures(0, 1, 4, 5, 6)
    assert [source.find(frame("north", seq, time_of(seq))) for seq in (2, 3)] == [None, None]
    assert source.find(frame("north", 5, time_of(5) + 1)) is None, "another frame of that number"
    assert [shown(source, seq) for seq in (0, 5, 6)] == [0, 5, 6]


def test_after_a_hole_the_cameras_own_pictures_wait_for_a_key_frame() -> None:
    source = pictures(0, 1, 3, 4, 5, 6)
    problems = {
        seq: found.problem for seq in (0, 1, 3, 4, 5, 6) if (found := source.find(frame("north", seq, time_of(seq))))
    }
    assert problems == {0: "", 1: "", 3: NO_KEY, 4: NO_KEY, 5: "", 6: ""}


def test_what_the_recorder_coded_itself_goes_on_over_a_hole() -> None:
    source = pictures(0, 1, 3, 8, is_ours=True)
    assert [shown(source, seq) for seq in (0, 1, 3, 8)] == [0, 1, 2, 3]


def test_two_groups_that_share_a_stream_both_find_its_pictures() -> None:
    source = pictures(0, 1, 2, users=2)
    assert [shown(source, seq) for seq in (0, 1, 0, 1, 2, 2)] == [0, 1, 0, 1, 2, 2]


@pytest.mark.parametrize(
    "layout", [Layout("gray8", WIDTH, HEIGHT), Layout("i420", 32, 24), Layout("bgr24", 16, 16, "full")]
)
def test_pixels_are_those_that_the_stream_had_in_the_live_run(layout: Layout) -> None:
    source = pictures(0, 1, 2)
    for seq in range(3):
        found = source.find(frame("north", seq, time_of(seq)))
        assert found is not None
        target = np.empty(layout.size_bytes, np.uint8)
        source.write(found, layout, target)
        luma = target[: layout.width * layout.height].astype(float).mean()
        expected = 20 + 8 * seq if layout.format != "bgr24" else (4 + 8 * seq) * 255 / 219
        assert abs(luma - expected) < 3
