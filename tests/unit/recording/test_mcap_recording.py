"""A recording in MCAP files: what others see in it, and what is left of it when it is cut off or damaged."""

import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from foxglove_schemas_protobuf import CompressedImage_pb2, CompressedVideo_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from mcap.reader import make_reader

from syncsvc.cli import main
from syncsvc.errors import RecordingBroken, UsageError
from syncsvc.layout import Codec, Layout
from syncsvc.mcap.mcap_reader import McapReader, StoredChunk
from syncsvc.mcap.mcap_records import McapChannel, McapMessage
from syncsvc.mcap.mcap_writer import McapWriter
from syncsvc.recording.contents import StoredBatch
from syncsvc.recording.foxglove import picture_message, picture_of, schema_of_pictures
from syncsvc.recording.mcap_segment import McapSegment
from syncsvc.recording.opening import open_recording
from syncsvc.recording.recording_findings import RecordingFindings
from syncsvc.recording.segment import Take
from syncsvc.recording.verification import verify
from tests.batches import GREY_JPEG, T0, frame
from tests.recordings import NAMES, MemorySegment, recording
from tests.recordings import header_line as line_of

JPEG = Layout("jpeg", 4, 2, "full")


def write_mcap(path: Path, ours: MemorySegment) -> None:
    """A segment in memory as a file, a chunk for each of its batches."""
    segment = McapSegment(path, path.with_name(f"{path.name}.part"), recording().groups)
    shown = {(name, one.seq): one for name, some in ours.shown.items() for one in some}
    for item in ours.items:
        assert isinstance(item, StoredBatch)
        numbers: dict[tuple[str, int], int] = {}
        for one in (one for some in item.batch.frames.values() for one in some):
            if (picture := shown.get((one.stream, one.seq))) is not None:
                take = Take(one, picture.layout, picture.data, picture.is_key, picture.is_ours)
                if one.stream not in segment.films:
                    segment.begin(take)
                numbers[one.stream, one.seq] = segment.put(take)
        for some in item.batch.sets:
            places = [some.frames.get(name) and numbers.get((name, some.frames[name].seq)) for name in NAMES]
            segment.note_set(NAMES, item.batch.window_start_ns, some.spread_ns, places)
        segment.note(item.batch.group, line_of(item.batch), item.batch.emitted_ns)
        segment.commit()
    segment.finish()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files with two batches each."""
    for number, segment in enumerate(recording().segments, 1):
        write_mcap(tmp_path / f"{number:06}.mcap", segment)
    return tmp_path


def look(folder: Path) -> RecordingFindings:
    return verify(open_recording(str(folder)))


def chunks_of(path: Path) -> list[StoredChunk]:
    with McapReader(path) as reader:
        return [one for one in reader.chunks() if isinstance(one, StoredChunk)]


def numbers_of(folder: Path) -> list[int]:
    return [
        one.batch.seq
        for segment in open_recording(str(folder)).segments
        for one in segment.batches()
        if isinstance(one, StoredBatch)
    ]


def test_it_is_read_as_it_was_written(folder: Path) -> None:
    ours, theirs = open_recording(str(folder)), recording()
    assert ours.groups == theirs.groups
    findings = verify(ours)
    assert (findings.differences, findings.notes) == ([], [])
    for mine, other in zip(ours.segments, theirs.segments, strict=True):
        headers = [[line_of(one.batch) for one in some.batches()] for some in (mine, other)]  # type: ignore[union-attr]
        assert headers[0] == headers[1]
        assert mine.is_finished
        for name in NAMES:
            assert list(mine.pictures(name)) == list(other.pictures(name))


def test_one_file_is_a_recording_too(folder: Path) -> None:
    (segment,) = open_recording(str(folder / "000002.mcap")).segments
    assert sum(isinstance(one, StoredBatch) for one in segment.batches()) == 2


def test_others_read_its_pictures_and_their_doctor_finds_nothing(folder: Path) -> None:
    path = folder / "000001.mcap"
    doctor = subprocess.run(
        [Path(sys.executable).with_name("pymcap-cli"), "doctor", path], capture_output=True, text=True
    )
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    (first, _) = recording().segments
    with path.open("rb") as file:
        found = list(make_reader(file, validate_crcs=True).iter_messages("video/west"))
    for (schema, channel, message), picture in zip(found, first.shown["west"], strict=True):
        video = CompressedVideo_pb2.CompressedVideo.FromString(message.data)
        assert schema is not None
        assert (schema.name, channel.message_encoding) == ("foxglove.CompressedVideo", "protobuf")
        assert (video.format, video.frame_id) == ("h264", "west")
        assert video.timestamp.ToNanoseconds() == message.log_time == message.publish_time == picture.time_ns
        assert video.data.endswith(picture.data[-8:])
        assert b"MISPmicrosectime" in video.data, "whoever cuts it out has its time"


@pytest.mark.parametrize(
    ("kind", "theirs"),
    [("h265", CompressedVideo_pb2.CompressedVideo), ("jpeg", CompressedImage_pb2.CompressedImage)],
)
def test_messages_are_those_that_foxglove_describes(kind: str, theirs: type) -> None:
    schema = schema_of_pictures(kind)
    described = theirs.DESCRIPTOR  # type: ignore[attr-defined]
    assert schema.name == described.full_name
    files = FileDescriptorSet.FromString(schema.data).file
    assert [one.name for one in files] == ["google/protobuf/timestamp.proto", described.file.name]
    (message,) = files[1].message_type
    assert [(one.name, one.number, one.type, one.type_name.lstrip(".")) for one in message.field] == [
        (one.name, one.number, one.type, one.message_type.full_name if one.message_type else "")
        for one in sorted(described.fields, key=lambda one: one.number)
    ]
    data = picture_message(kind, T0 + 5, "north", b"\0\1\2" * 100)
    told = theirs.FromString(data)  # type: ignore[attr-defined]
    assert (told.timestamp.ToNanoseconds(), told.frame_id, told.data, told.format) == (
        T0 + 5, "north", b"\0\1\2" * 100, kind,
    )  # fmt: skip
    assert told.SerializeToString(deterministic=True) == data
    assert picture_of(kind, memoryview(data)) == told.data
    for cut in (0, 1, 5, len(data) // 2):
        with pytest.raises(ValueError, match=r"cut off|should be|no picture"):
            picture_of(kind, memoryview(data)[:cut])


def test_rerun_reads_it(folder: Path, tmp_path: Path) -> None:
    rerun = shutil.which("rerun")
    if rerun is None:
        pytest.skip("rerun is not installed: pip install rerun-sdk")
    for words in (["mcap", "check"], ["mcap", "convert", "-o", str(tmp_path / "out.rrd")]):
        line = [rerun, *words, str(folder / "000001.mcap")]
        result = subprocess.run(line, capture_output=True, text=True, env={"RERUN_ANALYTICS": "0"})
        assert result.returncode == 0, result.stdout + result.stderr


def test_jpeg_pictures_are_images(tmp_path: Path) -> None:
    segment = McapSegment(tmp_path / "recording.mcap", tmp_path / "recording.mcap.part", {})
    take = Take(frame("north", 3, T0, JPEG, keyframe=True, payload=GREY_JPEG), JPEG, GREY_JPEG, True, False)
    assert segment.begin(take) is not None
    segment.put(take)
    segment.commit()
    segment.finish()
    (found,) = open_recording(str(tmp_path)).segments[0].pictures("north")
    assert (found.data, found.seq, found.is_key) == (GREY_JPEG, 3, True)
    assert found.layout == Layout("encoded", 4, 2, "full", codec=Codec("mjpeg"))
    with (tmp_path / "recording.mcap").open("rb") as file:
        ((schema, _, message),) = make_reader(file).iter_messages("video/north")
    assert schema is not None
    assert schema.name == "foxglove.CompressedImage"
    assert CompressedImage_pb2.CompressedImage.FromString(message.data).format == "jpeg"


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_a_bit_that_flipped_costs_the_batch_around_it_and_is_told(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, path = numbers_of(folder), folder / "000001.mcap"
    at = chunks_of(path)[0].at
    flip(path, at + 900)
    findings = look(folder)
    assert any(f"{path}: byte {at}: a chunk" in one for one in findings.differences), findings.differences
    assert not caplog.records, "it stands in the findings already"
    with caplog.at_level(logging.WARNING):
        assert numbers_of(folder) == first[1:]
    (line,) = [one.getMessage() for one in caplog.records]
    assert f"{path}: byte {at}: a chunk" in line


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (lambda path: chunks_of(path)[1].end, "ends without a summary"),
        (lambda path: path.stat().st_size - 1, "the summary is cut off"),
        (lambda path: chunks_of(path)[1].end - 1, "index is cut off"),
        (lambda path: chunks_of(path)[1].at + 100, "a chunk is cut off"),
    ],
)
def test_a_finished_file_that_was_cut_differs_and_one_that_was_not_finished_is_cut_off(
    folder: Path, size: Callable[[Path], int], words: str
) -> None:
    path = folder / "000002.mcap"
    path.write_bytes(path.read_bytes()[: size(path)])
    assert any(words in one for one in look(folder).differences)
    path.rename(folder / "000002.mcap.part")
    findings = look(folder)
    assert findings.is_whole, findings.differences
    assert "is not finished" in "\n".join(findings.notes)


def test_nothing_is_read_behind_the_place_where_a_finished_file_was_cut(folder: Path) -> None:
    path = folder / "000001.mcap"
    path.write_bytes(path.read_bytes()[: chunks_of(path)[1].at + 100])
    (segment,) = open_recording(str(path)).segments
    batches = segment.batches()
    assert isinstance(next(batches), StoredBatch)
    with pytest.raises(RecordingBroken, match="a chunk is cut off"):
        next(batches)


def test_what_is_no_recording_of_ours_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "recording.mcap").write_bytes(b"\x89MCAP0\r\n" + bytes(100))
    with pytest.raises(UsageError, match="does not begin as an MCAP of ours does"):
        open_recording(str(tmp_path))
    result = CliRunner().invoke(main, ["verify", str(tmp_path)])
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1), result.stderr
    writer = McapWriter()
    odd = McapMessage(McapChannel("batch/lobby", "json"), 0, 0, 0, b"{}")
    (tmp_path / "recording.mcap").write_bytes(writer.chunk([odd]) + writer.tail())
    with pytest.raises(RecordingBroken, match="batch/lobby"):
        list(open_recording(str(tmp_path)).segments[0].batches())
