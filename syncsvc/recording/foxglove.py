"""Coded pictures as others show them: Foxglove's messages, written and read by hand, for they are four fields each.

Source: github.com/foxglove/foxglove-sdk, schemas/proto/foxglove/CompressedVideo.proto and CompressedImage.proto.
"""

from collections.abc import Iterator
from functools import cache
from typing import Final, NamedTuple

from syncsvc.clock import NS_PER_S
from syncsvc.layout import Layout
from syncsvc.mcap.mcap_records import McapSchema
from syncsvc.recording.segment import codec_name

_VIDEO_FORMATS: Final = {"h264": "h264", "hevc": "h265", "vp9": "vp9", "av1": "av1"}
_JPEG: Final = "jpeg"
_VARINT, _BYTES = 0, 2
_TIMESTAMP = 1
_INT32, _INT64, _STRING, _MESSAGE, _DATA = 5, 3, 9, 11, 12
"""Types of fields in a descriptor."""


class _Kind(NamedTuple):
    """A message with a time, and the numbers of its other fields."""

    name: str
    frame_id: int
    data: int
    format: int


_VIDEO, _IMAGE = _Kind("CompressedVideo", 2, 3, 4), _Kind("CompressedImage", 4, 2, 3)


def kind_of(layout: Layout) -> str | None:
    """The format by which Foxglove knows pictures of a layout; None where it knows none."""
    return _JPEG if layout.format == "jpeg" else _VIDEO_FORMATS.get(codec_name(layout))


@cache
def schema_of_pictures(kind: str) -> McapSchema:
    """What messages are that have pictures of a format."""
    message = _message(kind)
    fields = {
        message.frame_id: ("frame_id", _STRING),
        message.data: ("data", _DATA),
        message.format: ("format", _STRING),
    }
    told = _field_type("timestamp", _TIMESTAMP, _MESSAGE, ".google.protobuf.Timestamp")
    told += b"".join(_field_type(name, number, kind) for number, (name, kind) in sorted(fields.items()))
    stamp = _field_type("seconds", 1, _INT64) + _field_type("nanos", 2, _INT32)
    files = (
        _file("google/protobuf/timestamp.proto", "google.protobuf", "", "Timestamp", stamp),
        _file(f"foxglove/{message.name}.proto", "foxglove", "google/protobuf/timestamp.proto", message.name, told),
    )
    return McapSchema(f"foxglove.{message.name}", "protobuf", b"".join(_bytes(1, one) for one in files))


def picture_message(kind: str, time_ns: int, stream: str, data: bytes) -> bytes:
    """A picture that was taken at a time, UTC, by a stream."""
    message = _message(kind)
    stamp = _number(1, time_ns // NS_PER_S) + _number(2, time_ns % NS_PER_S)
    fields = {message.frame_id: stream.encode(), message.data: data, message.format: kind.encode()}
    return _bytes(_TIMESTAMP, stamp) + b"".join(_bytes(number, value) for number, value in sorted(fields.items()))


def picture_of(kind: str, message: memoryview) -> bytes:
    """The picture in a message of ``picture_message``.

    Raises:
        ValueError: there is none.
    """
    wanted = _message(kind).data
    for number, value in _fields(message):
        if number == wanted:
            return bytes(value)
    raise ValueError(f"a message of {kind} has no picture")


def _message(kind: str) -> _Kind:
    return _IMAGE if kind == _JPEG else _VIDEO


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The fields with a length, which all of ours have."""
    at = 0
    while at < len(message):
        tag, at = _varint_at(message, at)
        size, at = _varint_at(message, at)
        if tag & 7 != _BYTES or at + size > len(message):
            raise ValueError("a picture's message is not what it should be")
        yield tag >> 3, message[at : at + size]
        at += size


def _varint_at(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data):
        byte, at = data[at], at + 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("a number is cut off")


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*found, value))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(value) if value else b""


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | _BYTES) + _varint(len(value)) + value


# A FileDescriptorSet, after google/protobuf/descriptor.proto.


def _field_type(name: str, number: int, kind: int, type_name: str = "") -> bytes:
    told = _bytes(1, name.encode()) + _number(3, number) + _number(4, 1) + _number(5, kind)
    return _bytes(2, told + (_bytes(6, type_name.encode()) if type_name else b""))


def _file(name: str, package: str, needs: str, message: str, fields: bytes) -> bytes:
    needed = _bytes(3, needs.encode()) if needs else b""
    types = _bytes(4, _bytes(1, message.encode()) + fields)
    return _bytes(1, name.encode()) + _bytes(2, package.encode()) + needed + types + _bytes(12, b"proto3")
