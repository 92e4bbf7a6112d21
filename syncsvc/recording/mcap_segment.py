"""One MCAP while it is written: a chunk for each batch, with its pictures, times, sets and headers."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from syncsvc.appending import GrowingFile, grow
from syncsvc.mcap.mcap_records import McapChannel, McapMessage
from syncsvc.mcap.mcap_writer import McapWriter
from syncsvc.recording.foxglove import kind_of, picture_message
from syncsvc.recording.mcap_topics import (
    SETS_CHANNEL,
    TIMES_CHANNEL,
    FilmTerms,
    SetRow,
    TimeRow,
    TimeRows,
    batch_channel,
    video_channel,
)
from syncsvc.recording.segment import Film, Take
from syncsvc.recording.sidecar_lines import HELD
from syncsvc.wire import GroupTerms


class McapSegment:
    """See ``SegmentWriter``; arguments as of ``FolderWriter``, but that no film has a zero."""

    def __init__(self, path: Path, working: Path, terms: Mapping[str, GroupTerms]) -> None:
        self.path, self._working, self._terms = path, working, terms
        self.films: dict[str, Film] = {}
        self.sets = 0
        self._file, self._writer, self._is_ended = GrowingFile(working), McapWriter(), False
        self._pictures: list[McapMessage] = []
        self._rows: list[TimeRow] = []
        self._sets: list[SetRow] = []
        self._lines: list[tuple[str, bytes, int]] = []
        self._channels: dict[str, McapChannel] = {}
        self._emitted_ns = 0

    @property
    def size_bytes(self) -> int:
        """See ``SegmentWriter``."""
        return self._file.size_bytes

    def begin(self, take: Take) -> Film | None:
        """See ``SegmentWriter``."""
        if kind_of(take.layout) is None:
            return None
        film = Film(layout=take.layout, raw=take.frame.layout, is_ours=take.is_ours)
        return self.films.setdefault(take.frame.stream, film)

    def put(self, take: Take) -> int:
        """See ``SegmentWriter``."""
        frame, kind = take.frame, kind_of(take.layout)
        assert kind is not None, "it has a film"
        number = self.films[frame.stream].count(take)
        channel = video_channel(FilmTerms(frame.stream, kind, take.layout, take.is_ours))
        data, at_ns = picture_message(kind, take.time_ns, frame.stream, take.timed_data), max(0, take.time_ns)
        self._pictures.append(McapMessage(channel, at_ns, at_ns, number, data))
        clock = frame.clock if take.held_ns is None else HELD
        self._rows.append(TimeRow(frame.stream, number, take.time_ns, frame.seq, frame.uncertainty_ns, clock,
                                  frame.arrival_ns, take.is_key))  # fmt: skip
        return number

    def note_set(
        self, streams: Sequence[str], window_start_ns: int, spread_ns: int, frames: Sequence[int | None]
    ) -> None:
        """See ``SegmentWriter``."""
        places = {name: number for name, number in zip(streams, frames, strict=True) if number is not None}
        self._sets.append(SetRow(self.sets, window_start_ns, spread_ns, places))
        self.sets += 1

    def note(self, group: str, line: bytes, emitted_ns: int) -> None:
        """See ``SegmentWriter``."""
        self._emitted_ns = max(self._emitted_ns, emitted_ns)
        self._lines.append((group, line.rstrip(), emitted_ns))

    def commit(self) -> None:
        """See ``SegmentWriter``."""
        if messages := self._messages():
            self._file.add(self._writer.chunk(messages))
            for waiting in (self._pictures, self._rows, self._sets, self._lines):
                waiting.clear()
        grow(self._working.parent, [self._file])

    def _messages(self) -> list[McapMessage]:
        """What waits, as messages."""
        at_ns, found = self._emitted_ns, list(self._pictures)
        if self._rows:
            found.append(McapMessage(TIMES_CHANNEL, at_ns, at_ns, 0, msgspec.json.encode(TimeRows(self._rows))))
        found += [McapMessage(SETS_CHANNEL, at_ns, at_ns, one.set, msgspec.json.encode(one)) for one in self._sets]
        for group, line, emitted_ns in self._lines:
            channel = self._channels.get(group) or self._channels.setdefault(group, batch_channel(group, self._terms))
            found.append(McapMessage(channel, emitted_ns, emitted_ns, 0, line))
        return found

    def finish(self) -> None:
        """See ``SegmentWriter``."""
        if not self._is_ended:
            self._file.add(self._writer.tail())
            self._is_ended = True
        grow(self._working.parent, [self._file])
        self._file.close()
        self._working.rename(self.path)
