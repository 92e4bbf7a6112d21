"""MCAP files that are cut anywhere, or in which any bit flips: what is read was written, what is not is told."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from syncsvc.mcap.mcap_reader import FileDamage, McapReader, StoredChunk
from syncsvc.mcap.mcap_records import McapChannel, McapMessage, McapSchema
from syncsvc.mcap.mcap_writer import HEAD, McapWriter

U64 = st.integers(0, 2**64 - 1)
schemas = st.builds(McapSchema, st.text(max_size=3), st.sampled_from(["protobuf", "jsonschema"]), st.binary(max_size=9))
channels = st.builds(
    McapChannel,
    st.text(max_size=4),
    st.sampled_from(["json", "protobuf", ""]),
    st.none() | schemas,
    st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3)), max_size=2).map(tuple),
)
messages = st.builds(McapMessage, channels, U64, U64, st.integers(0, 2**32 - 1), st.binary(max_size=40))
chunks = st.lists(messages, min_size=1, max_size=5)
files = st.lists(chunks, min_size=1, max_size=4)


def written(parts: Sequence[Sequence[McapMessage]], *, is_finished: bool) -> tuple[bytes, list[int]]:
    """A file, and where its pieces end."""
    writer = McapWriter()
    pieces = [writer.chunk(part) for part in parts]
    ends = [sum(map(len, pieces[: at + 1])) for at in range(len(pieces))]
    data = b"".join(pieces) + (writer.tail() if is_finished else b"")
    assert len(data) == writer.size_bytes
    return data, ends


def read(data: bytes) -> tuple[list[list[McapMessage]], list[FileDamage], list[int]]:
    """What a file has: chunks, damage, and where each chunk ends."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "one.mcap"
        path.write_bytes(data)
        with McapReader(path) as reader:
            found = list(reader.chunks())
    whole = [one for one in found if isinstance(one, StoredChunk)]
    kept = [[each._replace(data=bytes(each.data)) for each in one.messages] for one in whole]
    return kept, [one for one in found if isinstance(one, FileDamage)], [one.end for one in whole]


@given(files, st.booleans())
def test_what_was_written_is_read(parts: Sequence[Sequence[McapMessage]], is_finished: bool) -> None:
    data, ends = written(parts, is_finished=is_finished)
    assert read(data) == (list(parts), [], ends)


@given(files, st.booleans(), st.data())
def test_a_file_that_is_cut_anywhere_has_what_lies_before_and_says_that_it_is_cut(
    parts: Sequence[Sequence[McapMessage]], is_finished: bool, draw: st.DataObject
) -> None:
    data, ends = written(parts, is_finished=is_finished)
    cut = draw.draw(st.integers(0, len(data) - 1))
    found, damage, _ = read(data[:cut])
    assert found == [part for part, end in zip(parts, ends, strict=True) if end <= cut]
    assert [one.is_cut for one in damage] == ([] if cut in (*ends, len(HEAD)) else [True])


@given(files, st.booleans(), st.data())
def test_a_bit_that_flips_is_told_and_nothing_is_read_that_was_not_written(
    parts: Sequence[Sequence[McapMessage]], is_finished: bool, draw: st.DataObject
) -> None:
    data, ends = written(parts, is_finished=is_finished)
    bit = draw.draw(st.integers(0, 8 * len(data) - 1))
    damaged = bytearray(data)
    damaged[bit // 8] ^= 1 << bit % 8
    found, damage, found_ends = read(bytes(damaged))
    assert damage
    whole = dict(zip(ends, parts, strict=True))
    assert all(whole[end] == list(one) for end, one in zip(found_ends, found, strict=True))
    if bit // 8 >= len(HEAD):
        before = [end for end in ends if end <= bit // 8]
        assert found_ends[: len(before)] == before
