"""Makes an MCAP file piece by piece: after each chunk all that was written is whole, and with its tail it is finished.

Each chunk has the channels and schemas of its messages, so it is read without those before it.
"""

import struct
import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Final

from syncsvc.mcap import mcap_records as records
from syncsvc.mcap.mcap_records import MAGIC, ChunkRow, McapChannel, McapMessage, McapSchema, mapping, record, text

HEAD: Final = MAGIC + record(records.HEADER, text(""), text("syncsvc"))
"""How each of our files begins."""
DATA_END: Final = record(records.DATA_END, bytes(4))
FOOTER_BYTES: Final = records.RECORD_HEAD.size + 20
_CRC_BYTES: Final = 4


class McapWriter:
    """The bytes of one file, in their order; nothing here touches a disk."""

    def __init__(self) -> None:
        self.size_bytes = 0
        """Of all that was made."""
        self._schemas: dict[McapSchema, int] = {}
        self._channels: dict[McapChannel, int] = {}
        self._counts: Counter[int] = Counter()
        self._chunks: list[bytes] = []
        self._start_ns, self._end_ns = 0, 0

    def chunk(self, messages: Sequence[McapMessage]) -> bytes:
        """What to append for these messages, at least one: a chunk with its indexes; before the first, the head."""
        before = b"" if self.size_bytes else HEAD
        parts = self._described(messages)
        offset, rows = sum(map(len, parts)), list[ChunkRow]()
        for channel, log_ns, publish_ns, sequence, data in messages:
            number = self._channels[channel]
            rows.append(ChunkRow(number, log_ns, offset))
            parts.append(records.RECORD_HEAD.pack(records.MESSAGE, records.MESSAGE_HEAD.size + len(data)))
            parts.append(records.MESSAGE_HEAD.pack(number, sequence & 0xFFFFFFFF, log_ns, publish_ns))
            parts.append(data)
            offset += records.RECORD_HEAD.size + records.MESSAGE_HEAD.size + len(data)
        content = b"".join(parts)
        around = records.frame_of(content, rows)
        self._note(around, self.size_bytes + len(before), len(content), rows)
        piece = b"".join((before, around.head, content, *around.indexes.values()))
        self.size_bytes += len(piece)
        return piece

    def _described(self, messages: Sequence[McapMessage]) -> list[bytes | memoryview]:
        """The schemas and channels of messages, as records."""
        channels = dict.fromkeys(one.channel for one in messages)
        for channel in channels:
            self._channels.setdefault(channel, len(self._channels) + 1)
            if channel.schema is not None:
                self._schemas.setdefault(channel.schema, len(self._schemas) + 1)
        schemas = dict.fromkeys(one.schema for one in channels if one.schema is not None)
        return [*map(self._schema_record, schemas), *map(self._channel_record, channels)]

    def _schema_record(self, schema: McapSchema) -> bytes:
        return records.schema_record(self._schemas[schema], schema)

    def _channel_record(self, channel: McapChannel) -> bytes:
        schema = self._schemas[channel.schema] if channel.schema is not None else 0
        return records.channel_record(self._channels[channel], schema, channel)

    def _note(self, around: records.ChunkFrame, at: int, size: int, rows: Sequence[ChunkRow]) -> None:
        """Remember a chunk for the summary."""
        length = len(around.head) + size
        places, place = list[bytes](), at + length
        for number, index in around.indexes.items():
            places.append(struct.pack("<HQ", number, place))
            place += len(index)
        times = struct.pack("<QQQQ", around.start_ns, around.end_ns, at, length)
        sizes = struct.pack("<QIQQ", place - at - length, 0, size, size)
        self._chunks.append(record(records.CHUNK_INDEX, times, mapping(places), sizes))
        self._start_ns = around.start_ns if len(self._chunks) == 1 else min(self._start_ns, around.start_ns)
        self._end_ns = max(self._end_ns, around.end_ns)
        self._counts.update(row.channel_id for row in rows)

    def tail(self) -> bytes:
        """What finishes the file: summary, statistics and index."""
        before = (b"" if self.size_bytes else HEAD) + DATA_END
        statistics = struct.pack("<QHIIIIQQ", self._counts.total(), len(self._schemas), len(self._channels), 0, 0,
                                 len(self._chunks), self._start_ns, self._end_ns)  # fmt: skip
        counts = mapping(struct.pack("<HQ", number, count) for number, count in sorted(self._counts.items()))
        groups = {
            records.SCHEMA: b"".join(map(self._schema_record, self._schemas)),
            records.CHANNEL: b"".join(map(self._channel_record, self._channels)),
            records.STATISTICS: record(records.STATISTICS, statistics, counts),
            records.CHUNK_INDEX: b"".join(self._chunks),
        }
        start = place = self.size_bytes + len(before)
        offsets = list[bytes]()
        for kind, group in groups.items():
            if group:
                offsets.append(record(records.SUMMARY_OFFSET, struct.pack("<BQQ", kind, place, len(group))))
            place += len(group)
        footer = record(records.FOOTER, struct.pack("<QQI", start, place, 0))[:-_CRC_BYTES]
        summary = b"".join((*groups.values(), *offsets, footer))
        piece = b"".join((before, summary, struct.pack("<I", zlib.crc32(summary)), MAGIC))
        self.size_bytes += len(piece)
        return piece
