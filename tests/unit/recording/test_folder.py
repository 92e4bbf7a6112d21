"""A recording in a folder is read as it was written."""

from pathlib import Path

import pytest

from syncsvc.errors import RecordingBroken, UsageError
from syncsvc.model import Gap
from syncsvc.recording.folder import FolderRecording
from syncsvc.recording.sidecars import read_batches, read_times
from tests.recordings import NAMES, recording, write_segments


def test_batches_and_pictures_are_those_that_were_written(tmp_path: Path) -> None:
    live = recording()
    write_segments(tmp_path, live)
    ours = FolderRecording(tmp_path)
    assert ours.groups["lobby"].streams == NAMES
    assert [segment.is_finished for segment in ours.segments] == [True, True]
    for was, segment in zip(live.segments, ours.segments, strict=True):
        for before, after in zip(was.items, segment.batches(), strict=True):
            assert repr(after) == repr(before)
        for name in NAMES:
            pictures = list(segment.pictures(name))
            assert [(one.frame, one.seq, one.time_ns, one.is_key, one.is_ours) for one in pictures] == [
                (one.frame, one.seq, one.time_ns, one.is_key, one.is_ours) for one in was.shown[name]
            ]
            # The payload of the camera: each unit behind a start code, key frames with their parameter sets.
            assert [one.data.replace(b"\0\0\0\1", b"\0\0\1") for one in pictures] == [
                one.data.replace(b"\0\0\0\1", b"\0\0\1") for one in was.shown[name]
            ]


def test_one_segment_may_lie_in_the_folder_itself_and_one_that_was_not_finished_beside_others(tmp_path: Path) -> None:
    write_segments(tmp_path, recording())
    (tmp_path / "000002").rename(tmp_path / "000002.part")
    assert [one.is_finished for one in FolderRecording(tmp_path).segments] == [True, False]
    assert [one.place for one in FolderRecording(tmp_path / "000001").segments] == [str(tmp_path / "000001")]


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    write_segments(tmp_path, recording())
    for name, read, count in (("times.csv", read_times, 28), ("batches.jsonl", read_batches, 2)):
        path = tmp_path / "000001" / name
        path.write_bytes(path.read_bytes()[:-5])
        assert len(list(read(path))) == count - 1


def test_gaps_stand_between_the_headers(tmp_path: Path) -> None:
    write_segments(tmp_path, recording())
    path = tmp_path / "000001" / "batches.jsonl"
    gap = '{"first_seq": 4, "last_seq": 6, "reason": "lost", "group": "lobby"}'
    first, second = path.read_text().splitlines()
    path.write_text(f"{first}\n{gap}\n" + '{"gap": ' + gap + "}\n" + f"{second}\n")
    items = list(read_batches(path))
    assert items[1:3] == [Gap(4, 6, "lost", "lobby")] * 2


@pytest.mark.parametrize(
    ("file", "before", "after", "words"),
    [
        ("times.csv", "time_s", "time", "times.csv:1: the columns stream,frame,time_s"),
        ("times.csv", "north,0,", "north,zero,", "times.csv:2: found frame 'zero'"),
        ("times.csv", ",rtcp,", ",rtcp,x", "times.csv:2: a number is wanted"),
        ("batches.jsonl", '"seq":4', '"seq":-4', "batches.jsonl:2: neither a header nor a gap: header: "),
        ("batches.jsonl", '{"v":1', '{"w":1', "batches.jsonl:1: neither a header nor a gap"),
        ("recording.yaml", "streams", "steams", "recording.yaml"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(
    tmp_path: Path, file: str, before: str, after: str, words: str
) -> None:
    write_segments(tmp_path, recording())
    path = tmp_path / "000001" / file
    path.write_text(path.read_text().replace(before, after))
    (segment, _) = FolderRecording(tmp_path).segments
    with pytest.raises(RecordingBroken, match=words) as broken:
        _ = list(segment.times()), list(segment.batches()), segment.groups
    assert "\n" not in str(broken.value)


def test_what_is_no_recording_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, words in (
        (tmp_path, "found no recording in it"), (tmp_path / "file", "found a file"), (tmp_path / "no", "found nothing"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=words) as refusal:
            FolderRecording(path)
        assert "\n" not in str(refusal.value)
