"""Recordings: sidecars good and bad, the timeline, pace, loops, and where a restarted capture goes on."""

import itertools
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest

from syncsvc.capture import decode
from syncsvc.capture.file import FileSource
from syncsvc.capture.sidecar import read_sidecar
from syncsvc.capture.source import Loss, Shot
from syncsvc.capture.spec import FileSpec, Recorded, RingPlan, Start
from syncsvc.errors import ConfigError, SourceEnded
from syncsvc.testing import MS, T0, ManualClock, ManualStop, S
from syncsvc.transport.page import StreamPage

FRAMES, PERIOD = 30, 40 * MS


def record(
    path: Path, codec: str = "libx264", frames: int = FRAMES, first_pts: int = 0, said: str = "", **options: str
) -> Path:
    """Frames at 25 fps, in thirty greys by turns; ``said`` is when the file says that it was made."""
    with av.open(str(path), "w") as container:
        if said:
            container.metadata["creation_time"] = said
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(frames):
            grey = 16 + 7 * (number % FRAMES)
            frame = av.VideoFrame.from_ndarray(np.full((72, 64), grey, np.uint8), "yuv420p")
            frame.pts = first_pts + number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty frames at 25 fps, a key frame every ten, of its own grey; a piece of a longer one: it begins at 80 s."""
    path = tmp_path_factory.mktemp("recordings") / "grey.mkv"
    return record(path, first_pts=2000, g="10", bf="0", preset="ultrafast")


@pytest.fixture
def page() -> Iterator[StreamPage]:
    one = StreamPage.create("a")
    yield one
    one.close()


class Playing:
    """A source on a clock with hands, started two seconds from now."""

    pixels = "i420"

    def __init__(self, path: Path, page: StreamPage, *, clock: ManualClock | None = None, **options: Any) -> None:
        self.clock = clock or ManualClock()
        self.stop = ManualStop(self.clock)
        spec = FileSpec(name="a", pixels=self.pixels, ring=RingPlan(2 * S), path=str(path), **options)
        self.source = FileSource(spec, self.clock, lambda position: None, self.stop, page)
        self.begin = Start(T0 + 2 * S, 1002 * S, self.source.recorded.origin_ns or 0)
        self.source.start = self.begin

    def play(self, most: int = 1000, page: StreamPage | None = None) -> list[Shot]:
        """Up to ``most`` frames; with a page, they are noted as a feed does."""
        shots: list[Shot] = []
        try:
            for item in self.source.shots():
                assert isinstance(item, Shot)
                shots.append(item)
                if page is not None:
                    page.media_ns = item.media_ns + 1
                if len(shots) == most:
                    break
        except SourceEnded:
            pass
        finally:
            self.source.close()
        return shots


def greys(shots: list[Shot]) -> list[int]:
    """Which frame of the recording each shot is."""
    numbers = []
    for shot in shots:
        slot = np.empty(shot.picture.layout.size_bytes, np.uint8)
        shot.picture.write(slot)
        numbers.append(round((float(slot[: 64 * 48].mean()) - 16) / 7))
    return numbers


def times(*seconds: float, stream: str = "a") -> str:
    return "stream,frame,time_s\n" + "".join(f"{stream},{n},{at:.6f}\n" for n, at in enumerate(seconds))


def test_frames_are_due_on_the_timeline_from_the_common_start(recording: Path, page: StreamPage) -> None:
    playing = Playing(recording, page)
    shots: list[Shot] = []
    for item in playing.source.shots():
        assert isinstance(item, Shot)
        assert playing.clock.monotonic_ns() == 1002 * S + len(shots) * PERIOD
        shots.append(item)
        if len(shots) == FRAMES:
            break
    playing.source.close()
    assert greys(shots) == list(range(FRAMES))
    assert [shot.seen.stamp_ns for shot in shots] == [T0 + 2 * S + n * PERIOD for n in range(FRAMES)]
    assert [shot.seen.arrival_mono_ns for shot in shots] == [1002 * S + n * PERIOD for n in range(FRAMES)]
    assert {shot.seen.stamp_kind for shot in shots} == {"pts"}
    assert {shot.seen.utc_less_mono_ns for shot in shots} == {T0 - 1000 * S}, "by which clock it was placed"
    assert [n for n, shot in enumerate(shots) if shot.seen.is_key] == [0, 10, 20]


@pytest.mark.parametrize(
    ("name", "said", "doubt_ns"),
    [
        ("a.mp4", "2026-11-21T10:00:00.25Z", S),
        ("a.mkv", "2026-11-21T10:00:00.25Z", 1000),
        ("a.mkv", "2026-11-21T12:00:00+02:00", S),
    ],
)
def test_a_recording_says_when_it_was_made(
    page: StreamPage, tmp_path: Path, name: str, said: str, doubt_ns: int
) -> None:
    playing = Playing(record(tmp_path / name, "mpeg4", frames=50, said=said), page)
    ten = 1_795_255_200 * S
    created_ns = ten + 250 * MS if doubt_ns < S else ten
    assert playing.source.recorded == Recorded(created_ns=created_ns, doubt_ns=doubt_ns, length_ns=2 * S)
    playing.source.start = Start(T0 + 2 * S, 1002 * S, 0, doubt_ns)
    assert {shot.seen.doubt_ns for shot in playing.play()} == {doubt_ns}


def test_a_recording_that_does_not_say_when_it_was_made(recording: Path, page: StreamPage) -> None:
    playing = Playing(recording, page)
    assert playing.source.recorded == Recorded()
    playing.source.close()


def test_it_ends_after_its_last_frame(recording: Path, page: StreamPage) -> None:
    playing = Playing(recording, page)
    with pytest.raises(SourceEnded):
        list(playing.source.shots())
    playing.source.close()


def test_asap_waits_for_nothing_and_stamps_the_same(recording: Path, page: StreamPage) -> None:
    playing = Playing(recording, page, pace="asap")
    shots = playing.play()
    assert playing.stop.waits == []
    assert [shot.seen.stamp_ns for shot in shots] == [T0 + 2 * S + n * PERIOD for n in range(FRAMES)]
    assert {shot.seen.utc_less_mono_ns for shot in shots} == {None}, "it is of no present"


@pytest.mark.parametrize(
    ("name", "bf"),
    [("grey.mkv", "0"), ("grey.mkv", "3"), ("grey.mp4", "0"), ("grey.mp4", "3"), ("grey.ts", "3"), ("grey.avi", "0")],
)
def test_a_loop_goes_on_a_period_after_the_last_frame(tmp_path: Path, page: StreamPage, name: str, bf: str) -> None:
    path = record(tmp_path / name, first_pts=2000, g="10", bf=bf)
    shots = Playing(path, page, loop=True).play(most=2 * FRAMES + 3)
    assert [shot.media_ns for shot in shots] == [n * PERIOD for n in range(2 * FRAMES + 3)]
    assert greys(shots) == [*range(FRAMES), *range(FRAMES), 0, 1, 2]


def test_a_recording_that_begins_without_a_key_frame_loops_and_is_resumed(tmp_path: Path, page: StreamPage) -> None:
    path = record(tmp_path / "grey.mp4", g="10", bf="0")
    table = path.read_bytes()
    at = table.index(b"stss") + 12
    path.write_bytes(table[:at] + table[at + 4 : at + 8] + table[at + 4 :])  # it is not among the key frames now
    first = Playing(path, page, loop=True)
    before = first.play(most=FRAMES + 1, page=page)
    after = Playing(path, page, loop=True, clock=first.clock).play(most=FRAMES)
    assert [shot.media_ns // PERIOD for shot in before + after] == list(range(2 * FRAMES + 1))
    assert greys(before + after) == [n % FRAMES for n in range(2 * FRAMES + 1)]


@pytest.mark.parametrize("is_moved", [False, True])
def test_a_loop_goes_on_with_what_was_written_over_the_recording(
    tmp_path: Path, page: StreamPage, is_moved: bool
) -> None:
    path, other = record(tmp_path / "grey.mp4", g="10"), record(tmp_path / "other.mp4", frames=7, g="3")
    playing = Playing(path, page, loop=True)
    shots = playing.source.shots()
    found = [next(shots) for _ in range(FRAMES)]
    if is_moved:
        other.rename(path)
    else:
        path.write_bytes(other.read_bytes())
    found += [next(shots) for _ in range(9)]
    playing.source.close()
    assert greys(cast(list[Shot], found)) == [*range(FRAMES), *range(7), 0, 1]


def test_recorded_times_are_the_timeline(recording: Path, page: StreamPage, tmp_path: Path) -> None:
    sidecar = tmp_path / "times.csv"
    recorded = [100 + n * 0.041 + (0.003 if n % 3 else 0) for n in range(FRAMES)]
    sidecar.write_text(times(*recorded))
    playing = Playing(recording, page, timestamps=str(sidecar))
    assert playing.source.recorded.origin_ns == 100 * S
    stamps = [shot.seen.stamp_ns for shot in playing.play()]
    assert stamps == [T0 + 2 * S + round((at - 100) * 1_000_000) * 1000 for at in recorded]


@pytest.mark.parametrize("pace", ["realtime", "asap"])
@pytest.mark.parametrize("taken", [1, 10, 17, 29, 33, 64])
def test_a_restarted_capture_goes_on_after_the_last_frame_taken(
    recording: Path, page: StreamPage, pace: str, taken: int
) -> None:
    first = Playing(recording, page, pace=pace, loop=True)
    before = first.play(most=taken, page=page)
    after = Playing(recording, page, pace=pace, loop=True, clock=first.clock).play(most=5)
    numbers = [shot.media_ns // PERIOD for shot in before + after]
    assert numbers == list(range(taken + 5))
    assert greys(before + after) == [n % FRAMES for n in numbers]


@pytest.mark.parametrize("name", ["late.mkv", "late.mp4"])
@pytest.mark.parametrize("taken", [3, 17])
def test_a_video_that_starts_late_in_its_file_does_also_for_a_capture_that_goes_on(
    page: StreamPage, tmp_path: Path, name: str, taken: int
) -> None:
    path = record(tmp_path / name, first_pts=12, g="10", bf="0")
    first = Playing(path, page)
    before = first.play(most=taken, page=page)
    after = Playing(path, page, clock=first.clock).play()
    assert greys(before + after) == list(range(FRAMES))
    expected = [T0 + 2 * S + (12 + n) * PERIOD for n in range(FRAMES)]
    assert [shot.seen.stamp_ns for shot in before + after] == expected
    assert first.source.start.mono_ns + 12 * PERIOD == before[0].seen.arrival_mono_ns


def test_other_containers_begin_with_their_first_picture(page: StreamPage, tmp_path: Path) -> None:
    shots = Playing(record(tmp_path / "late.ts", first_pts=12, g="10", bf="0"), page).play()
    assert shots[0].seen.stamp_ns == T0 + 2 * S


def test_a_capture_that_comes_back_late_skips_what_was_due_meanwhile(recording: Path, page: StreamPage) -> None:
    first = Playing(recording, page)
    first.play(most=3, page=page)
    first.clock.advance(500 * MS)
    after = Playing(recording, page, clock=first.clock).play()
    numbers = [(shot.seen.stamp_ns or 0) - T0 - 2 * S for shot in after]
    assert greys(after) == [at // PERIOD for at in numbers]
    assert 12 <= greys(after)[0] <= 15
    assert greys(after)[-1] == FRAMES - 1


def test_a_file_that_is_gone_or_no_video_is_refused(page: StreamPage, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        Playing(tmp_path / "none.mp4", page)
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(ConfigError):
        Playing(tmp_path / "text.mp4", page)


@pytest.fixture(scope="module", params=["0", "2"], ids=["in order", "reordered"])
def elementary(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same thirty frames as bare H.264: no container, no time of any frame."""
    path = tmp_path_factory.mktemp("recordings") / "grey.h264"
    return record(path, g="10", bf=request.param, preset="ultrafast")


def test_a_recording_without_times_is_refused_at_its_first_frame(elementary: Path, page: StreamPage) -> None:
    playing = Playing(elementary, page)
    with pytest.raises(ConfigError, match="has no timestamps of its own; give them with `timestamps`") as caught:
        next(iter(playing.source.shots()))
    playing.source.close()
    assert caught.value.file == str(elementary)
    assert "\n" not in str(caught.value)


def test_a_recording_without_times_plays_by_its_sidecar(elementary: Path, page: StreamPage, tmp_path: Path) -> None:
    sidecar = tmp_path / "times.csv"
    sidecar.write_text(times(*(5 + n * 0.04 for n in range(FRAMES))))
    shots = Playing(elementary, page, timestamps=str(sidecar), loop=True).play(most=FRAMES + 3)
    assert greys(shots) == [*range(FRAMES), 0, 1, 2]
    assert [shot.media_ns for shot in shots] == [n * PERIOD for n in range(FRAMES + 3)]
    assert [n for n, shot in enumerate(shots) if shot.seen.is_key] == [0, 10, 20, 30]


def test_a_frame_without_a_time_among_others_is_lost_as_that(
    recording: Path, page: StreamPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_ns, numbers = decode.Demuxer._ns, itertools.count()
    monkeypatch.setattr(
        decode.Demuxer, "_ns", lambda self, pts: None if next(numbers) in (0, 1, 7) else in_ns(self, pts)
    )
    playing = Playing(recording, page, pace="asap")
    shots = playing.source.shots()
    items = [next(shots) for _ in range(FRAMES)]
    with pytest.raises(SourceEnded):
        next(shots)
    playing.source.close()
    assert [n for n, item in enumerate(items) if item == Loss("no_timestamp")] == [0, 1, 7]
    assert greys([item for item in items if isinstance(item, Shot)]) == [n for n in range(FRAMES) if n not in (0, 1, 7)]


def test_the_ring_is_made_for_the_densest_part(recording: Path, page: StreamPage, tmp_path: Path) -> None:
    sidecar = tmp_path / "times.csv"
    sidecar.write_text(times(*(n * 0.01 for n in range(20)), *(10 + n for n in range(10))))
    playing = Playing(recording, page, timestamps=str(sidecar))
    assert playing.source.fps == 25
    playing.source.close()
    dense = tmp_path / "dense.csv"
    dense.write_text(times(*(n * 0.001 for n in range(FRAMES))))
    spec = FileSpec(name="a", pixels="i420", ring=RingPlan(S // 2), path=str(recording), timestamps=str(dense))
    source = FileSource(spec, ManualClock(), lambda position: None, ManualStop(ManualClock()), page)
    assert source.fps == 60
    source.close()


def test_a_sidecar_is_read_to_the_nanosecond_for_its_stream_alone(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(
        "time_s,stream,frame,more\n48033.00157345,b,0,x\n 7 ,a,1,\n-0.5,a,0,\n7.000000001999,a,2,\n8.,a,3\n"
    )
    assert read_sidecar(path, "a") == [-S // 2, 7 * S, 7 * S + 1, 8 * S]
    assert read_sidecar(path, "b") == [48033 * S + 1_573_450]


@pytest.mark.parametrize(
    "head",
    [
        "stream,frame,time_s\n",
        "\ufeffstream,frame,time_s\n",
        " stream, frame ,\ttime_s \n",
        "\ufeff time_s,stream ,frame\n",
    ],
)
def test_a_sidecar_as_spreadsheets_write_it_is_read(tmp_path: Path, head: str) -> None:
    path = tmp_path / "t.csv"
    row = "1.5,a,0\n" if "time_s,stream" in head else "a,0,1.5\n"
    path.write_text(head + row, encoding="utf-8")
    assert read_sidecar(path, "a") == [1500 * MS]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "columns"),
        ("stream,frame\na,0\n", "columns"),
        ("stream,frame,time_s\n", "lines for stream 'a'"),
        ("stream,frame,time_s\nb,0,1\n", "lines for stream 'a'"),
        ("stream,frame,time_s\na,0\n", "found time_s ''"),
        ("stream,frame,time_s\na\n", "found frame ''"),
        ("stream,frame,time_s\na,x,1\n", "found frame 'x'"),
        ("stream,frame,time_s\na,-1,1\n", "found frame '-1'"),
        ("stream,frame,time_s\na,1_0,1\n", "found frame"),
        ("stream,frame,time_s\na,99999999999,1\n", "found frame"),
        ("stream,frame,time_s\na,0,now\n", "found time_s 'now'"),
        ("stream,frame,time_s\na,0,nan\n", "found time_s"),
        ("stream,frame,time_s\na,0,1e3\n", "found time_s"),
        ("stream,frame,time_s\na,0,1.-5\n", "found time_s"),
        ("stream,frame,time_s\na,0,1.5 5\n", "found time_s"),
        ("stream,frame,time_s\na,0,1_0\n", "found time_s"),
        ("stream,frame,time_s\na,0,\u0663\n", "found time_s"),
        ("stream,frame,time_s\na,0,1\na,0,2\n", "two times"),
        ("stream,frame,time_s\na,0,2\na,1,1\n", "must rise"),
        ("stream,frame,time_s\na,0,1\na,1,1\n", "must rise"),
    ],
)
def test_a_bad_sidecar_is_refused_with_its_name_and_what_is_wrong(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=problem) as caught:
        read_sidecar(path, "a")
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "data", [b"stream,frame,time_s\na,0,\xff\xfe\n", b"stream,frame,time_s\na,0," + b"1" * 200_000]
)
def test_a_sidecar_that_is_no_text_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(data)
    with pytest.raises(ConfigError):
        read_sidecar(path, "a")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_sidecar(tmp_path / "none.csv", "a")


class PlayingCoded(Playing):
    """The same, handed on as it is."""

    pixels = "encoded"

    def items(self) -> list[Shot | Loss]:
        """Everything, losses too."""
        found: list[Shot | Loss] = []
        with suppress(SourceEnded):
            found.extend(self.source.shots())
        self.source.close()
        return found


def test_coded_pictures_have_the_times_of_decoded_ones(recording: Path, page: StreamPage) -> None:
    coded, decoded = PlayingCoded(recording, page).play(), Playing(recording, page).play()
    assert [(shot.seen, shot.media_ns) for shot in coded] == [(shot.seen, shot.media_ns) for shot in decoded]
    assert {shot.picture.layout.format for shot in coded} == {"encoded"}


@pytest.mark.parametrize("name", ["grey.mkv", "grey.mp4", "grey.h264"])
def test_a_loop_of_coded_pictures_is_the_same_each_time(
    recording: Path, page: StreamPage, tmp_path: Path, name: str
) -> None:
    path, sidecar = tmp_path / name, tmp_path / "times.csv"
    with av.open(str(recording)) as source, av.open(str(path), "w") as sink:
        copy = sink.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = copy
                sink.mux(packet)
    sidecar.write_text(times(*(n * 0.04 for n in range(FRAMES))))
    timestamps = str(sidecar) if name.endswith("h264") else None
    shots = PlayingCoded(path, page, pace="asap", loop=True, timestamps=timestamps).play(most=3 * FRAMES)
    written = []
    for shot in shots:
        slot = np.zeros(shot.picture.size_bytes, np.uint8)
        shot.picture.write(slot)
        written.append(slot.tobytes())
    assert written[:FRAMES] == written[FRAMES : 2 * FRAMES] == written[2 * FRAMES :]
    assert [shot.media_ns for shot in shots] == [n * PERIOD for n in range(3 * FRAMES)]


def test_coded_pictures_that_refer_to_skipped_ones_are_told_apart(recording: Path, page: StreamPage) -> None:
    """A capture that comes back late skips what was due meanwhile; the numbers must have a hole there."""
    first = PlayingCoded(recording, page)
    first.play(5, page)
    clock = ManualClock()
    clock.advance(2 * S + 17 * PERIOD)
    late = PlayingCoded(recording, page, clock=clock)
    late.source.start = first.begin
    items = late.items()
    assert items[0] == Loss("no_key")
    kept = [item for item in items if isinstance(item, Shot)]
    assert kept[0].media_ns > 15 * PERIOD
    assert kept[-1].media_ns == 29 * PERIOD
    assert len(items) == (29 * PERIOD - kept[0].media_ns) // PERIOD + 2
    assert not kept[0].seen.is_key


@pytest.mark.parametrize("name", ["b.mkv", "b.mp4", "b.ts", "b.h264"])
def test_a_recording_with_b_frames_is_refused_with_the_remedy(page: StreamPage, tmp_path: Path, name: str) -> None:
    record(tmp_path / name, bf="2", preset="veryfast")
    with pytest.raises(ConfigError, match=r"has B-frames.*`pixels: encoded`.*-bf 0"):
        PlayingCoded(tmp_path / name, page)
