"""How a batch lies in a segment: one message of one chunk, whose data are the parts that were sent, byte for byte."""

import struct
from typing import Final, NamedTuple

from syncsvc import wire
from syncsvc.mcap.mcap_records import McapChannel, McapMessage
from syncsvc.publish.store import Kept
from syncsvc.wire import BATCH_PREFIX, Identity

ENCODING: Final = "syncsvc"
"""Of a message's data: how many parts there are and how long each is (u32, little endian), then the parts."""
_LENGTH: Final = struct.Struct("<I")


class Piece(NamedTuple):
    """A batch as it lies there."""

    identity: Identity
    is_whole: bool
    """It went under ``batch/``, so it is what goes under ``coded/`` and ``head/`` too."""
    header: bytes
    payloads: tuple[memoryview, ...]


def message_of(batch: Kept) -> McapMessage:
    """A batch as a message; its time is its window's end."""
    parts = [memoryview(batch.header), *(memoryview(one).cast("B") for one in batch.payloads)]
    lengths = [_LENGTH.pack(number) for number in (len(parts), *map(len, parts))]
    start_ns, end_ns = batch.mark.window or (0, 0)
    channel = McapChannel(batch.topic.decode(), ENCODING)
    data = b"".join((*lengths, *parts))
    return McapMessage(channel, max(0, end_ns), max(0, start_ns), batch.mark.seq & 0xFFFFFFFF, data)


def piece_of(message: McapMessage) -> Piece:
    """What ``message_of`` was made of.

    Raises:
        ValueError, WireError: it is none of ours.
    """
    data = memoryview(message.data)
    if message.channel.encoding != ENCODING or len(data) < _LENGTH.size:
        raise ValueError("a message that is no batch")
    (number,) = _LENGTH.unpack_from(data)
    at = _LENGTH.size * (1 + number)
    if not number or at > len(data):
        raise ValueError("a batch without its parts")
    parts = list[memoryview]()
    for (length,) in _LENGTH.iter_unpack(data[_LENGTH.size : at]):
        parts.append(data[at : at + length])
        at += length
    if at != len(data):
        raise ValueError("a batch whose parts are not as long as it says")
    header = bytes(parts[0])
    return Piece(wire.decode_identity(header), _is_whole(message.channel.topic), header, tuple(parts[1:]))


def _is_whole(topic: str) -> bool:
    return topic.startswith(BATCH_PREFIX.decode())
