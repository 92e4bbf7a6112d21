"""Whatever differs between a recording's files and its sidecars is found, and what a killed recorder leaves is none."""

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import structs

from syncsvc.recording.folder import FolderRecording
from syncsvc.recording.picture_times import with_time
from syncsvc.recording.recording_findings import MOST_DIFFERENCES, RecordingFindings
from syncsvc.recording.verification import verify
from tests.batches import MS, T0
from tests.recordings import recording, stored, write_film, write_segments


def look(folder: Path) -> RecordingFindings:
    return verify(FolderRecording(folder))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_segments(tmp_path, recording())
    return tmp_path


def edit(name: str, before: str, after: str, times: int = -1) -> Callable[[Path], None]:
    """What replaces a piece of a file of the first segment."""

    def change(folder: Path) -> None:
        path = folder / "000001" / name
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after, times))

    return change


def time_of(seq: int) -> int:
    return T0 + (40 * seq + 2) * MS


def retime(folder: Path) -> None:
    """One picture says another time of itself than its line."""
    *others, last = stored("west", range(10), time_of)
    write_film(folder / "000001/west.mp4", [*others, structs.replace(last, data=with_time(last.data, "h264", 7))])


def refilm(folder: Path, *seqs: int, shifted_ns: int = 0) -> None:
    """Other pictures in the file of ``west``, or the last of them at another time."""
    *others, last = stored("west", seqs, time_of)
    write_film(folder / "000001/west.mp4", [*others, structs.replace(last, time_ns=last.time_ns + shifted_ns)])


def spoil(folder: Path) -> None:
    """A picture whose bytes are not its codec's."""
    pictures = stored("west", range(10), time_of)
    pictures[6] = structs.replace(pictures[6], data=b"\0\0\0\1\x41" + b"\xff" * 40)
    write_film(folder / "000001/west.mp4", pictures)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: (folder / "000001/west.mp4").unlink(), "of west are in times.csv, but no file is"),
        (lambda folder: refilm(folder, *range(9)), "frame 9 of west (seq 9) is not there"),
        (lambda folder: refilm(folder, *range(11)), "1 pictures at its end are in no line of times.csv"),
        (lambda folder: refilm(folder, *range(10), shifted_ns=20_000_000), "frame 9 of west (seq 9) is shown +0.02"),
        (retime, "frame 9 of west (seq 9) says of itself 7 ns; times.csv has 1767225600362000000"),
        (spoil, "frame 6 of west (seq 6) cannot be decoded"),
        (edit("times.csv", "west,3,1767225600.122000000,3,", "west,3,1767225600.122000001,3,"), "is in no batch"),
        (edit("times.csv", "north,2,1767225600.080000000,2,1000000", "north,2,1767225600.080000000,2,1000001"),
         "uncertainty_ns is 1000001; group lobby #3 says 1000000"),
        (edit("times.csv", "south,4", "south,5"), "frame 4 of south is due"),
        (edit("sets.csv", "\n1,1767225600000000000,2000000,1,", "\n1,1767225600000000000,2000000,2,"),
         "set 1: of north it has 2, its batch frame 1"),
        (edit("sets.csv", "2000000,3,", "2000000,30,"), "frame 30 of north is not in times.csv"),
        (edit("sets.csv", "\n0,1767225600000000000,2000000,", "\n0,1767225600000000000,7,"), "spread_ns is 7"),
        (edit("batches.jsonl", '"seq":4', '"seq":5'), "#5 follows #3, and no gap says why"),
        (edit("batches.jsonl", '"captured":5,"delivered":5', '"captured":6,"delivered":5'), "does not add up"),
        (edit("times.csv", "stream,frame", "stream,frames"), "times.csv:1: the columns"),
        (lambda folder: (folder / "000001/sets.csv").unlink(), "sets.csv: none is there, and the batches have"),
        (lambda folder: (folder / "000001/times.csv").unlink(), "times.csv: cannot be read: No such file"),
        (lambda folder: (folder / "000001/recording.yaml").unlink(), "recording.yaml: found no readable file"),
    ],
)  # fmt: skip
def test_every_kind_of_difference_is_found(folder: Path, change: Callable[[Path], None], words: str) -> None:
    change(folder)
    findings = look(folder)
    assert not findings.is_whole
    assert any(words in one for one in findings.differences), findings.differences
    assert all(one.startswith(f"{folder}") for one in findings.differences)


def test_the_first_differences_are_told_and_how_many_there_are(folder: Path) -> None:
    edit("batches.jsonl", '"delivered":5', '"delivered":4')(folder)
    edit("times.csv", ",rtcp,", ",pts,")(folder)
    findings = look(folder)
    assert len(findings.differences) == MOST_DIFFERENCES < findings.count == 28 + 2 * 4


def test_what_a_killed_recorder_left_of_its_last_second_is_told_and_no_difference(folder: Path) -> None:
    """The last batch is in the pictures and in half a line of times, and in no whole line of the batches."""
    last = (folder / "000002").rename(folder / "000002.part")
    for name in ("batches.jsonl", "sets.csv", "times.csv"):
        path = last / name
        path.write_bytes(path.read_bytes()[:-7])
    film = last / "south.mp4"
    film.write_bytes(film.read_bytes()[:-80])
    findings = look(folder)
    assert findings.is_whole, findings.differences
    notes = "\n".join(findings.notes)
    assert "is not finished: its recorder was killed, or is still at work" in notes
    assert "batches.jsonl: ends within a line" in notes
    assert findings.segments[1].batches == 1


def test_a_batch_that_was_acknowledged_and_lacks_a_picture_is_a_difference_also_then(folder: Path) -> None:
    last = (folder / "000002").rename(folder / "000002.part")
    film = last / "south.mp4"
    film.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    findings = look(folder)
    assert any("of south" in one and "is not there" in one for one in findings.differences), findings.differences


def test_a_batch_may_lie_in_another_segment_than_its_pictures(folder: Path) -> None:
    """As where a camera changed its size within it; what is nowhere is told of all the same."""
    first, second = folder / "000001", folder / "000002"
    one, two = (first / "batches.jsonl").read_text().splitlines(keepends=True)
    (first / "batches.jsonl").write_text(one)
    (second / "batches.jsonl").write_text(two + (second / "batches.jsonl").read_text())
    kept = (first / "sets.csv").read_text().splitlines(keepends=True)[:6]
    (first / "sets.csv").write_text("".join(kept))
    findings = look(folder)
    assert findings.is_whole, findings.differences
    assert not findings.segments[0].unrecorded | findings.segments[1].unrecorded
    (second / "batches.jsonl").write_text("".join((second / "batches.jsonl").read_text().splitlines(keepends=True)[1:]))
    assert {one.split(" ", 1)[1] for one in look(folder).differences} >= {"frame 5 of west (seq 5) is in no batch"}


def test_where_whole_sets_alone_were_kept_the_others_are_no_difference(folder: Path) -> None:
    """``west`` lost a picture: its frame has no line, and the set no row, or one without it."""
    lines = (folder / "000001/times.csv").read_text().splitlines(keepends=True)
    (folder / "000001/times.csv").write_text("".join(one for one in lines if not one.startswith("west,9,")))
    refilm(folder, *range(9))
    rows = (folder / "000001/sets.csv").read_text().splitlines(keepends=True)
    assert rows[-1].endswith(",9\n")
    (folder / "000001/sets.csv").write_text("".join(rows[:-1]))
    assert look(folder).is_whole
    (folder / "000001/sets.csv").write_text("".join([*rows[:-1], rows[-1].replace(",9\n", ",\n")]))
    findings = look(folder)
    assert findings.is_whole, findings.differences
    assert dict(findings.segments[0].unrecorded) == {"west": 1}


def test_a_picture_that_is_held_for_a_set_is_in_no_batch_and_no_difference(folder: Path) -> None:
    with (folder / "000001/times.csv").open("a") as times:
        times.write("west,10,1767225600.402000000,9,1000000,held,1767225600422000000\n")
    refilm(folder, *range(11))
    findings = look(folder)
    assert findings.is_whole, findings.differences


def test_a_folder_whose_recorder_left_its_mark_is_not_finished(folder: Path) -> None:
    (folder / "000002/.unfinished").touch()
    assert any("000002: is not finished" in one for one in look(folder).notes)
