"""What an MCAP file is made of, as bytes and back. Source: mcap.dev/spec, format version 0."""

import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

MAGIC: Final = b"\x89MCAP0\r\n"
HEADER, FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK, MESSAGE_INDEX, CHUNK_INDEX = range(1, 9)
STATISTICS, SUMMARY_OFFSET, DATA_END = 0x0B, 0x0E, 0x0F
RECORD_HEAD: Final = struct.Struct("<BQ")
MESSAGE_HEAD: Final = struct.Struct("<HIQQ")
_CHUNK_HEAD: Final = struct.Struct("<QQQIIQ")
CHUNK_HEAD_BYTES: Final = RECORD_HEAD.size + _CHUNK_HEAD.size
"""A chunk's records begin so far behind its own beginning: they are not compressed."""


class McapSchema(NamedTuple):
    """What the data of a channel's messages is; ``data`` is a FileDescriptorSet where ``encoding`` is protobuf."""

    name: str
    encoding: str
    data: bytes


class McapChannel(NamedTuple):
    """Messages of one topic; ``metadata`` are pairs of a name and a value."""

    topic: str
    encoding: str
    schema: McapSchema | None = None
    metadata: tuple[tuple[str, str], ...] = ()


class McapMessage(NamedTuple):
    """One message; times are UTC nanoseconds, 0 at least, ``sequence`` counts modulo 2^32."""

    channel: McapChannel
    log_ns: int
    publish_ns: int
    sequence: int
    data: bytes | memoryview


class ChunkRow(NamedTuple):
    """Where a message lies within its chunk's records."""

    channel_id: int
    log_ns: int
    offset: int


class ChunkFrame(NamedTuple):
    """What stands around a chunk's records: ``head`` before them, behind them each channel's index, by its number."""

    head: bytes
    indexes: Mapping[int, bytes]
    start_ns: int
    end_ns: int


def frame_of(records: bytes | memoryview, rows: Sequence[ChunkRow]) -> ChunkFrame:
    """The frame of a chunk; there is one only, so that whatever differs from it is damage."""
    times = [row.log_ns for row in rows]
    start_ns, end_ns = min(times, default=0), max(times, default=0)
    size, crc = len(records), zlib.crc32(records)
    head = RECORD_HEAD.pack(CHUNK, _CHUNK_HEAD.size + size) + _CHUNK_HEAD.pack(start_ns, end_ns, size, crc, 0, size)
    by_channel: dict[int, list[tuple[int, int]]] = {}
    for row in rows:
        by_channel.setdefault(row.channel_id, []).append((row.log_ns, row.offset))
    indexes = {number: _index(number, by_channel[number]) for number in sorted(by_channel)}
    return ChunkFrame(head, indexes, start_ns, end_ns)


def _index(number: int, places: list[tuple[int, int]]) -> bytes:
    entries = b"".join(struct.pack("<QQ", *place) for place in sorted(places))
    return record(MESSAGE_INDEX, struct.pack("<HI", number, len(entries)), entries)


def record(kind: int, *parts: bytes) -> bytes:
    """One record of a file."""
    return b"".join((RECORD_HEAD.pack(kind, sum(map(len, parts))), *parts))


def text(value: str) -> bytes:
    """Text behind its length."""
    data = value.encode()
    return struct.pack("<I", len(data)) + data


def mapping(pairs: Iterable[bytes]) -> bytes:
    """Keys with their values, behind their length in bytes."""
    data = b"".join(pairs)
    return struct.pack("<I", len(data)) + data


def schema_record(number: int, schema: McapSchema) -> bytes:
    """A schema under its number, from 1 on."""
    data = struct.pack("<I", len(schema.data)) + schema.data
    return record(SCHEMA, struct.pack("<H", number), text(schema.name), text(schema.encoding), data)


def channel_record(number: int, schema_number: int, channel: McapChannel) -> bytes:
    """A channel under its number; ``schema_number`` is 0 where it has none."""
    pairs = mapping(text(name) + text(value) for name, value in channel.metadata)
    return record(
        CHANNEL, struct.pack("<HH", number, schema_number), text(channel.topic), text(channel.encoding), pairs
    )


def schema_of(content: memoryview) -> tuple[int, McapSchema]:
    """What ``schema_record`` has; errors as of ``_parts``."""
    (number,) = struct.unpack_from("<H", content)
    name, encoding, data = _parts(content[2:])
    return number, McapSchema(name.decode(), encoding.decode(), data)


def channel_of(content: memoryview, schemas: Mapping[int, McapSchema]) -> tuple[int, McapChannel]:
    """What ``channel_record`` has; errors as of ``_parts``, and a KeyError where its schema is not there."""
    number, schema = struct.unpack_from("<HH", content)
    topic, encoding, pairs = _parts(content[4:])
    values = [one.decode() for one in _parts(memoryview(pairs))]
    metadata = tuple(zip(values[::2], values[1::2], strict=True))
    return number, McapChannel(topic.decode(), encoding.decode(), schemas[schema] if schema else None, metadata)


def _parts(content: memoryview) -> list[bytes]:
    """What stands there one behind the other, each behind its length.

    Raises:
        ValueError: the last one is cut off, or there are more or less than are wanted.
    """
    found: list[bytes] = []
    while content:
        size = int.from_bytes(content[:4], "little")
        if 4 + size > len(content):
            raise ValueError("a text is longer than what it is in")
        found.append(bytes(content[4 : 4 + size]))
        content = content[4 + size :]
    return found
