"""MCAP files: what others read of ours, and what is read behind damage."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
from mcap.exceptions import EndOfFile
from mcap.reader import make_reader
from mcap.stream_reader import StreamReader

from syncsvc.mcap.mcap_reader import FIRST_AT, FileDamage, McapReader, StoredChunk
from syncsvc.mcap.mcap_records import McapChannel, McapMessage, McapSchema
from syncsvc.mcap.mcap_writer import McapWriter

LOUD = McapChannel("loud", "json", McapSchema("any", "jsonschema", b"{}"), (("volume", "11"),))
QUIET = McapChannel("quiet", "json")


def chunk(number: int) -> list[McapMessage]:
    return [
        McapMessage(QUIET, 20 + number, 5, 2 * number, b"{}"),
        McapMessage(LOUD, 10 + number, 6, number, b'{"n":%d}' % number),
        McapMessage(LOUD, 11 + number, 7, number, b'{"n":%d}' % number),
    ]


def write(path: Path, chunks: int = 3) -> list[int]:
    """A finished file; where its chunks end."""
    writer, ends, pieces = McapWriter(), list[int](), list[bytes]()
    for number in range(chunks):
        pieces.append(writer.chunk(chunk(number)))
        ends.append(writer.size_bytes)
    path.write_bytes(b"".join([*pieces, writer.tail()]))
    return ends


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


def look(path: Path) -> list[StoredChunk | FileDamage]:
    with McapReader(path) as reader:
        return list(reader.chunks())


def test_others_read_a_finished_file_by_its_index_and_their_doctor_finds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "one.mcap"
    write(path)
    with path.open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        summary = reader.get_summary()
        told = [(channel.topic, message.log_time, message.publish_time, message.sequence, bytes(message.data))
                for _, channel, message in reader.iter_messages()]  # fmt: skip
    assert summary is not None
    assert summary.statistics is not None
    assert (summary.statistics.message_count, summary.statistics.chunk_count) == (9, 3)
    assert {one.topic: dict(one.metadata) for one in summary.channels.values()} == {
        "quiet": {},
        "loud": {"volume": "11"},
    }
    written = [(one.channel.topic, *one[1:]) for number in range(3) for one in chunk(number)]
    assert told == sorted(written, key=lambda one: one[1])
    doctor = subprocess.run(
        [Path(sys.executable).with_name("pymcap-cli"), "doctor", path], capture_output=True, text=True
    )
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr


def test_a_file_that_is_not_finished_is_read_by_others_up_to_its_end() -> None:
    writer = McapWriter()
    records = StreamReader(io.BytesIO(writer.chunk(chunk(0)) + writer.chunk(chunk(1))), validate_crcs=True).records
    found: list[str] = []
    with pytest.raises(EndOfFile):
        found.extend(type(one).__name__ for one in records)
    assert found.count("Message") == 6


def test_a_file_says_whether_it_is_finished(tmp_path: Path) -> None:
    path = tmp_path / "one.mcap"
    ends = write(path)
    with McapReader(path) as reader:
        assert reader.is_finished
    path.write_bytes(path.read_bytes()[: ends[-1]])
    with McapReader(path) as reader:
        assert not reader.is_finished
    path.write_bytes(b"")
    with McapReader(path) as reader:
        assert not reader.is_finished


@pytest.mark.parametrize("within", [70, -20])
def test_what_comes_behind_a_damaged_chunk_is_read(tmp_path: Path, within: int) -> None:
    path = tmp_path / "one.mcap"
    ends = write(path)
    flip(path, FIRST_AT + within if within > 0 else ends[0] + within)
    found = look(path)
    assert [one.end for one in found if isinstance(one, StoredChunk)][-2:] == ends[1:]
    assert [one.is_cut for one in found if isinstance(one, FileDamage)] == [False]


def test_a_chunk_is_read_by_its_place_alone(tmp_path: Path) -> None:
    path = tmp_path / "one.mcap"
    ends = write(path)
    with McapReader(path) as reader:
        found, damage, behind = reader.chunk(ends[0])
    assert (damage, behind) == (None, ends[1])
    assert found is not None
    assert [one.channel for one in found.messages] == [QUIET, LOUD, LOUD]


def test_another_file_is_damage_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "one.mcap"
    path.write_bytes(b"something else entirely, and long enough to be one")
    assert look(path) == [FileDamage(0, "it does not begin as an MCAP of ours does")]


def test_a_file_without_a_chunk_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "one.mcap"
    path.write_bytes(McapWriter().tail())
    assert look(path) == []
    with path.open("rb") as file:
        assert make_reader(file).get_summary() is not None
