"""Recordings as they are: several tracks, covers, cut off, broken, in the order of decoding, or pictures on disk."""

import struct
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from syncsvc.capture.source import Loss, Shot
from syncsvc.capture.spec import Recorded
from syncsvc.capture.wholeness import missing_bytes
from syncsvc.errors import ConfigError, RecordingBroken, SourceEnded
from syncsvc.pictures import to_bgr
from syncsvc.testing import MS
from syncsvc.transport.page import StreamPage
from tests.mutated_files import film
from tests.unit.capture.test_file import FRAMES, PERIOD, Playing, greys, record


@pytest.fixture
def page() -> Iterator[StreamPage]:
    one = StreamPage.create("a")
    yield one
    one.close()


def played(playing: Playing) -> tuple[list[Shot | Loss], Exception | None]:
    """Everything up to its end, and what that was where it is not the last frame."""
    items: list[Shot | Loss] = []
    try:
        items.extend(playing.source.shots())
    except SourceEnded:
        return items, None
    except RecordingBroken as error:
        return items, error
    finally:
        playing.source.close()
    raise AssertionError("a recording ends with an exception")


def shots_of(items: list[Shot | Loss]) -> list[Shot]:
    return [item for item in items if isinstance(item, Shot)]


def cut(path: Path, share: float) -> Path:
    """What is left of it when the power fails."""
    path.write_bytes(path.read_bytes()[: round(path.stat().st_size * share)])
    return path


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_an_avi_with_b_frames_has_its_times_in_the_order_of_showing(
    tmp_path: Path, page: StreamPage, codec: str
) -> None:
    path = record(tmp_path / "grey.avi", codec, g="12", bf="2", qmin="1", qmax="2")
    shots = Playing(path, page, pace="asap").play()
    assert greys(shots) == list(range(FRAMES))
    assert [shot.media_ns for shot in shots] == [n * PERIOD for n in range(FRAMES)]


def test_an_avi_with_b_frames_loops_and_is_resumed_with_the_same_times(tmp_path: Path, page: StreamPage) -> None:
    path = record(tmp_path / "grey.avi", g="10", bf="2")
    first = Playing(path, page, loop=True, pace="asap")
    before = first.play(most=FRAMES + 14, page=page)
    after = Playing(path, page, loop=True, pace="asap", clock=first.clock).play(most=10)
    assert [shot.media_ns for shot in before + after] == [n * PERIOD for n in range(FRAMES + 24)]
    assert greys(before + after) == [n % FRAMES for n in range(FRAMES + 24)]


class CodedPlaying(Playing):
    """The same, handing on what was coded."""

    pixels = "encoded"


def test_an_avi_with_b_frames_is_refused_with_encoded_pixels_and_one_without_is_not(
    tmp_path: Path, page: StreamPage
) -> None:
    with pytest.raises(RecordingBroken, match="has B-frames"):
        CodedPlaying(record(tmp_path / "b.avi", g="12", bf="2"), page)
    shots = CodedPlaying(record(tmp_path / "a.avi", g="12", bf="0"), page, pace="asap").play()
    assert [shot.media_ns for shot in shots] == [n * PERIOD for n in range(FRAMES)]


@pytest.mark.parametrize(("name", "bf"), [("a.avi", "2"), ("a.mp4", "2"), ("a.avi", "0"), ("a.mp4", "0")])
def test_coded_pictures_are_beside_those_without_b_frames_alone(
    tmp_path: Path, page: StreamPage, name: str, bf: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = record(tmp_path / name, g="12", bf=bf)
    shots = Playing(path, page, pace="asap", coded=True).play()
    assert [shot.media_ns for shot in shots] == [n * PERIOD for n in range(FRAMES)]
    assert {shot.picture.coded is not None for shot in shots} == {bf == "0"}
    assert [record.levelname for record in caplog.records] == (["WARNING"] if bf == "2" else [])


def test_a_video_without_b_frames_whose_codec_allows_for_them_keeps_its_times(tmp_path: Path, page: StreamPage) -> None:
    path = record(tmp_path / "grey.mkv", g="30", bf="2", sc_threshold="0", x264_params="b-adapt=0:bframes=2")
    shots = Playing(path, page, pace="asap").play()
    assert [shot.media_ns for shot in shots] == [n * PERIOD for n in range(FRAMES)]
    assert greys(shots) == list(range(FRAMES))


@pytest.mark.parametrize("pace", ["asap", "realtime"])
def test_transport_streams_put_together_are_played_on_with_a_line(tmp_path: Path, page: StreamPage, pace: str) -> None:
    first = record(tmp_path / "first.ts", first_pts=12_500, g="10", bf="0").read_bytes()
    path = tmp_path / "both.ts"
    path.write_bytes(first + record(tmp_path / "second.ts", first_pts=35, g="10", bf="0").read_bytes())
    items, broken = played(Playing(path, page, pace=pace))
    shots = shots_of(items)
    assert broken is None
    assert greys(shots) == [*range(FRAMES), *range(FRAMES)]
    assert [shot.media_ns for shot in shots] == [n * PERIOD for n in range(2 * FRAMES)]
    (line,) = [shot.why for shot in shots if shot.why]
    assert "its times jump" in line


def test_transport_streams_put_together_are_handed_on_as_they_are_coded(tmp_path: Path, page: StreamPage) -> None:
    once = record(tmp_path / "first.ts", first_pts=2000, g="10", bf="0").read_bytes()
    (tmp_path / "both.ts").write_bytes(once + once)
    items, broken = played(CodedPlaying(tmp_path / "both.ts", page, pace="asap"))
    places = [shot.media_ns // PERIOD for shot in shots_of(items)]
    assert broken is None
    assert places == sorted(set(places))
    assert len(places) + sum(isinstance(item, Loss) for item in items) == 2 * FRAMES


def test_a_file_whose_rate_is_invented_says_so_and_is_in_doubt(tmp_path: Path, page: StreamPage) -> None:
    shots = Playing(film(tmp_path / "a.mjpeg", "mjpeg", 5), page, pace="asap").play()
    assert {shot.seen.doubt_ns for shot in shots} == {1_000_000_000}
    assert all("has no timestamps of its own, and is played at a rate" in shot.why for shot in shots)


@pytest.mark.parametrize("taken", [3, 17, 29, 33, 45])
def test_a_capture_goes_on_where_times_jump(tmp_path: Path, page: StreamPage, taken: int) -> None:
    first = record(tmp_path / "first.ts", first_pts=12_500, g="10", bf="0").read_bytes()
    path = tmp_path / "both.ts"
    path.write_bytes(first + record(tmp_path / "second.ts", first_pts=35, g="10", bf="0").read_bytes())
    one = Playing(path, page, pace="asap")
    before = one.play(most=taken, page=page)
    after = Playing(path, page, pace="asap", clock=one.clock).play()
    assert [shot.media_ns for shot in before + after] == [n * PERIOD for n in range(2 * FRAMES)]
    assert greys(before + after) == [*range(FRAMES), *range(FRAMES)]


@pytest.mark.parametrize("name", ["grey.mkv", "grey.avi", "grey.mp4"])
@pytest.mark.parametrize("pace", ["asap", "realtime"])
def test_a_recording_that_breaks_off_gives_what_was_read_and_a_counted_error(
    tmp_path: Path, page: StreamPage, name: str, pace: str
) -> None:
    path = film(tmp_path / name, "fragmented.mp4" if name.endswith(".mp4") else name[-3:], 60)
    items, broken = played(Playing(cut(path, 0.6), page, pace=pace))
    assert broken is not None
    assert "breaks off" in str(broken)
    assert str(path) in str(broken)
    assert items[-1] == Loss("read_error")
    places = [shot.media_ns // PERIOD for shot in shots_of(items)]
    assert places == list(range(len(places)))
    assert 10 < len(places) < 60


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.avi", "a.ts", "a.flv"])
def test_what_a_file_lacks_is_reckoned_by_its_own_sizes(tmp_path: Path, name: str) -> None:
    path = record(tmp_path / name, bf="0")
    assert missing_bytes(path) == 0
    size = path.stat().st_size
    cut(path, 0.7)
    lacks = 0 if name in ("a.ts", "a.flv") else size - path.stat().st_size
    assert missing_bytes(path) == lacks or (name == "a.mkv" and missing_bytes(path) <= lacks)
    path.write_bytes(path.read_bytes() + bytes(2 * size))
    assert missing_bytes(path) == 0


def test_a_file_of_unknown_size_lacks_nothing(tmp_path: Path) -> None:
    path = tmp_path / "live.mkv"
    with av.open(str(path), "w", options={"live": "1"}) as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(5):
            frame = av.VideoFrame.from_ndarray(np.zeros((72, 64), np.uint8), "yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert missing_bytes(cut(path, 0.8)) == 0


def test_a_loop_of_a_recording_that_breaks_off_ends_too(tmp_path: Path, page: StreamPage) -> None:
    items, broken = played(Playing(cut(record(tmp_path / "a.mkv", g="5", bf="0"), 0.6), page, loop=True, pace="asap"))
    assert broken is not None
    assert items[-1] == Loss("read_error")


def test_a_codec_without_a_decoder_is_refused_in_words(tmp_path: Path, page: StreamPage) -> None:
    path = record(tmp_path / "a.avi", "mpeg4")
    path.write_bytes(path.read_bytes().replace(b"FMP4", b"QQQ9"))
    with pytest.raises(RecordingBroken, match="codec for which there is no decoder here"):
        Playing(path, page)


def test_damage_in_the_first_packets_costs_what_was_damaged(tmp_path: Path, page: StreamPage) -> None:
    path = record(tmp_path / "a.mp4", g="10", bf="0")
    data = bytearray(path.read_bytes())
    at = data.index(b"\x65\x88")  # the first picture, behind what its encoder says of itself
    data[at + 2 : at + 200] = bytes(198)
    path.write_bytes(data)
    items, broken = played(Playing(path, page, pace="asap"))
    assert broken is None
    assert Loss("decode_error") in items
    shots = shots_of(items)
    assert [shot.media_ns // PERIOD for shot in shots][-10:] == list(range(FRAMES - 10, FRAMES))


def test_a_recording_of_which_nothing_can_be_shown_says_so(tmp_path: Path, page: StreamPage) -> None:
    path = record(tmp_path / "a.mkv", "mpeg4", frames=5)
    data = bytearray(path.read_bytes())
    at = data.index(b"\0\0\1\xb6")
    path.write_bytes(data[:at] + b"\xff" * (len(data) - at))
    items, broken = played(Playing(path, page, pace="asap"))
    assert broken is not None
    assert not shots_of(items)


def tracks(path: Path, default: int, greys_of: tuple[int, ...] = (40, 200), cover: bool = False) -> Path:
    """Videos of one grey each, of which one is marked as the default, and perhaps a cover before them."""
    with av.open(str(path), "w") as container:
        streams = []
        if cover:
            picture = container.add_stream("mjpeg", rate=1)
            picture.width, picture.height, picture.pix_fmt = 32, 32, "yuvj420p"
            picture.disposition = av.stream.Disposition.attached_pic
        for number, _ in enumerate(greys_of):
            stream = container.add_stream("libx264", rate=25, options={"bf": "0"})
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            stream.disposition = av.stream.Disposition.default if number == default else av.stream.Disposition(0)
            streams.append(stream)
        if cover:
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 32), np.uint8), "yuvj420p")
            frame.pts = 0
            container.mux(picture.encode(frame))
        for number in range(10):
            for stream, grey in zip(streams, greys_of, strict=True):
                frame = av.VideoFrame.from_ndarray(np.full((72, 64), grey, np.uint8), "yuv420p")
                frame.pts = number
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode())
    return path


def grey(shot: Shot) -> int:
    """Of a picture of one."""
    slot = np.empty(shot.picture.layout.size_bytes, np.uint8)
    shot.picture.write(slot)
    return int(to_bgr(slot, shot.picture.layout)[0, 0, 0])


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
@pytest.mark.parametrize("default", [0, 1])
def test_the_track_that_is_marked_as_the_default_is_played(
    tmp_path: Path, page: StreamPage, name: str, default: int
) -> None:
    shots = Playing(tracks(tmp_path / name, default), page, pace="asap").play()
    assert len(shots) == 10
    assert (grey(shots[0]) < 128) == (default == 0)


def test_a_cover_is_no_video(tmp_path: Path, page: StreamPage) -> None:
    shots = Playing(tracks(tmp_path / "a.mp4", 0, (200,), cover=True), page, pace="asap").play()
    assert (shots[0].picture.layout.width, len(shots)) == (64, 10)
    only = tracks(tmp_path / "only.mp4", 0, (), cover=True)
    with pytest.raises(RecordingBroken, match="has no video"):
        Playing(only, page)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Numbered pictures of their own grey, one of them missing; and what is none."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in (7, 8, 9, 11, 12):
        cv2.imwrite(str(folder / f"{number:04d}.png"), np.full((48, 64, 3), 20 * number, np.uint8))
    (folder / "notes.txt").write_text("no picture")
    (folder / ".0001.png").write_text("hidden")
    return folder


def shades(shots: list[Shot]) -> list[int]:
    return [round(grey(shot) / 20) for shot in shots]


@pytest.mark.parametrize(("pattern", "fps"), [("%04d.png", 10), ("%d.png", None), ("%06d.png", 1)])
def test_numbered_pictures_are_played_at_their_rate_and_a_missing_one_leaves_its_place(
    pictures: Path, page: StreamPage, pattern: str, fps: float | None
) -> None:
    if pattern == "%06d.png":
        for path in list(pictures.glob("0*.png")):
            path.rename(pictures / f"00{path.name}")
    playing = Playing(pictures / pattern, page, fps=fps)
    shots = playing.play()
    period_ns = round(1e9 / (fps or 25))
    assert shades(shots) == [7, 8, 9, 11, 12]
    assert [shot.media_ns for shot in shots] == [n * period_ns for n in (0, 1, 2, 4, 5)]
    assert playing.source.fps == (fps or 25)
    assert playing.source.recorded == Recorded()
    assert all(shot.seen.is_key for shot in shots)


def test_a_gap_of_more_than_an_hour_in_the_numbers_is_left_out_and_told(tmp_path: Path, page: StreamPage) -> None:
    for at, number in enumerate((1, 2, 20261121130000, 20261121130002)):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((48, 64, 3), 20 * at, np.uint8))
    shots = Playing(tmp_path / "%d.png", page).play()
    assert [shot.media_ns // (40 * MS) for shot in shots] == [0, 1, 2, 4]
    assert [bool(shot.why) for shot in shots] == [False, False, True, False]


def test_a_folder_of_pictures_is_played_by_their_names(tmp_path: Path, page: StreamPage) -> None:
    for number in (1, 2, 10, 9):
        cv2.imwrite(str(tmp_path / f"shot{number}.jpg"), np.full((48, 64, 3), 20 * number, np.uint8))
    shots = Playing(tmp_path, page, pace="asap").play()
    assert shades(shots) == [1, 2, 9, 10]
    assert [shot.media_ns for shot in shots] == [n * 40 * MS for n in range(4)]


def test_pictures_loop_and_are_resumed(tmp_path: Path, page: StreamPage) -> None:
    for number in range(6):
        cv2.imwrite(str(tmp_path / f"{number}.jpg"), np.full((48, 64, 3), 20 * number, np.uint8))
    first = Playing(tmp_path, page, loop=True)
    before = first.play(most=9, page=page)
    after = Playing(tmp_path, page, loop=True, clock=first.clock).play(most=8)
    assert shades(before + after) == [n % 6 for n in range(17)]
    assert [shot.media_ns for shot in before + after] == [n * 40 * MS for n in range(17)]


def test_a_picture_that_is_damaged_is_lost_and_the_others_keep_their_places(tmp_path: Path, page: StreamPage) -> None:
    for number in range(4):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((48, 64, 3), 20 * number, np.uint8))
    (tmp_path / "1.png").write_bytes(b"no picture at all")
    items, broken = played(Playing(tmp_path / "%d.png", page, pace="asap"))
    assert broken is None
    assert [isinstance(item, Loss) for item in items] == [False, True, False, False]
    assert [shot.media_ns // (40 * MS) for shot in shots_of(items)] == [0, 2, 3]


def test_jpegs_on_disk_are_handed_on_as_they_are(tmp_path: Path, page: StreamPage) -> None:
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.jpg"), np.full((48, 64, 3), 20 * number, np.uint8))
    shots = CodedPlaying(tmp_path / "%d.jpg", page, pace="asap").play()
    for number, shot in enumerate(shots):
        payload = np.zeros(shot.picture.size_bytes, np.uint8)
        shot.picture.write(payload)
        assert payload.tobytes() == (tmp_path / f"{number}.jpg").read_bytes()


def test_a_rate_of_what_is_no_sequence_is_refused(tmp_path: Path, page: StreamPage) -> None:
    with pytest.raises(ConfigError, match="is for pictures"):
        Playing(record(tmp_path / "a.mkv", "mpeg4"), page, fps=10)


def test_a_file_whose_name_looks_like_numbered_pictures_is_that_file(tmp_path: Path, page: StreamPage) -> None:
    shots = Playing(record(tmp_path / "100%d.mkv", "mpeg4"), page, pace="asap").play()
    assert len(shots) == FRAMES


def test_times_beyond_all_reason_do_not_end_a_capture(tmp_path: Path, page: StreamPage) -> None:
    path = record(tmp_path / "a.mp4", g="5", bf="0")
    data = bytearray(path.read_bytes())
    at = data.index(b"stts") + 16  # how long frames last
    data[at : at + 4] = struct.pack(">I", 2**31 - 1)
    path.write_bytes(data)
    items, _ = played(Playing(path, page, pace="asap"))
    places = [shot.media_ns for shot in shots_of(items)]
    assert all(0 < later - earlier < 3_600_000_000_001 for earlier, later in pairwise(places))
