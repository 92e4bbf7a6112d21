"""A recording in MCAP files, read as it was written: chunk by chunk, each checked before it is believed."""

import logging
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import msgspec

from syncsvc.errors import RecordingBroken, UsageError
from syncsvc.mcap.mcap_reader import McapReader, McapStep, StoredChunk
from syncsvc.mcap.mcap_records import McapMessage
from syncsvc.model import Gap
from syncsvc.recording.contents import Filmed, Leftover, SetLine, StoredBatch, StoredPicture, TimeLine, Told, merged
from syncsvc.recording.foxglove import picture_of
from syncsvc.recording.mcap_topics import (
    BATCH,
    SETS_TOPIC,
    TIMES_TOPIC,
    VIDEO,
    SetRow,
    TimeRow,
    TimeRows,
    film_terms,
    groups_of,
)
from syncsvc.recording.picture_times import stored_picture
from syncsvc.recording.segment import MCAP, PART
from syncsvc.recording.sidecars import batch_or_gap
from syncsvc.wire import GroupTerms

_NAME = re.compile(r"(recording|[0-9]{6})\.mcap(\.part)?")
_TOPICS: Mapping[Told, str] = {"times": TIMES_TOPIC, "sets": SETS_TOPIC, "batches": BATCH}
_KEPT_CHUNKS = 3
"""Whoever replays reads all streams side by side, some a batch ahead of others."""

log = logging.getLogger(__name__)


class _Steps:
    """The chunks of a file, each read once for all who come by at about the same time; from any thread."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        self._kept: OrderedDict[int, McapStep] = OrderedDict()

    def at(self, at: int) -> McapStep:
        """What begins there; OSError where it cannot be read."""
        with self._lock:
            if (known := self._kept.get(at)) is not None:
                return known
            with McapReader(self._path) as reader:
                step = reader.step(at)
            if step.chunk is not None:  # whatever else it is may be something else once more is written
                self._kept[at] = step
            if len(self._kept) > _KEPT_CHUNKS:
                self._kept.popitem(last=False)
            return step


class StoredMcap:
    """One file."""

    def __init__(self, path: Path) -> None:
        self.path, self.place, self.is_finished = path, str(path), path.suffix == MCAP
        self._steps = _Steps(path)
        self._told: set[int] = set()

    def _walk(self) -> Iterator[McapStep]:
        at: int | None = 0
        while at is not None:
            try:
                step = self._steps.at(at)
            except OSError as error:
                raise RecordingBroken(self.place, f"cannot be read: {error.strerror}") from error
            yield step
            at = step.behind

    def _chunks(self, *, tells: bool = False) -> Iterator[StoredChunk]:
        """Those that are whole; of others a line in the log, where that is wanted.

        Raises:
            RecordingBroken: nothing can be read beyond a place, and it is not where a killed recorder left off.
        """
        for step in self._walk():
            if step.chunk is not None:
                yield step.chunk
            if (damage := step.damage) is None or (damage.is_cut and not self.is_finished):
                continue
            if step.behind is None and not step.is_end:
                raise RecordingBroken(self.place, f"byte {damage.at}: {damage.problem}")
            if tells and damage.at not in self._told and not step.is_end:
                self._told.add(damage.at)
                log.warning("%s: byte %d: %s", self.place, damage.at, damage.problem)

    def _messages(self, topic: str, *, tells: bool = False) -> Iterator[McapMessage]:
        """Those of a topic, or of all that begin so where it ends in a slash."""
        for chunk in self._chunks(tells=tells):
            for message in chunk.messages:
                name = message.channel.topic
                if name == topic or (topic.endswith("/") and name.startswith(topic)):
                    yield message

    def _broken(self, topic: str, error: Exception) -> RecordingBroken:
        return RecordingBroken(f"{self.place} {topic}", f"is not what it should be: {error}")

    @property
    def groups(self) -> Mapping[str, GroupTerms]:
        """What the groups promised whose batches are in there."""
        found: dict[str, GroupTerms] = {}
        for message in self._messages(BATCH):
            try:
                terms = groups_of(message.channel)
            except (ValueError, KeyError) as error:
                raise self._broken(message.channel.topic, error) from error
            name = message.channel.topic.removeprefix(BATCH)
            if name in terms:
                found[name] = terms[name]
            if found.keys() >= terms.keys():
                break
        return found

    @cached_property
    def streams(self) -> Sequence[str]:
        """Those that have pictures."""
        return tuple(dict.fromkeys(one.channel.topic.removeprefix(VIDEO) for one in self._messages(VIDEO)))

    def place_of(self, told: Told) -> str:
        """See ``CheckedSegment``."""
        return f"{self.place} {_TOPICS[told]}"

    def film_of(self, stream: str) -> str | None:
        """See ``CheckedSegment``."""
        return f"{self.place} {VIDEO}{stream}" if stream in self.streams else None

    def leftovers(self) -> Iterator[Leftover]:
        """See ``CheckedSegment``."""
        for step in self._walk():
            if step.damage is not None:
                self._told.add(step.damage.at)
                yield Leftover(f"{self.place}: byte {step.damage.at}", step.damage.problem, step.damage.is_cut)
            elif step.behind is None and self.is_finished and not step.is_end:
                yield Leftover(self.place, "ends without a summary", is_end=True)

    def batches(self) -> Iterator[StoredBatch | Gap]:
        """See ``StoredSegment``; a chunk that is damaged is left out, and the log says so once."""
        for message in self._messages(BATCH, tells=True):
            try:
                yield batch_or_gap(bytes(message.data))
            except ValueError as error:
                raise self._broken(message.channel.topic, error) from error

    def times(self) -> Iterator[TimeLine]:
        """See ``CheckedSegment``; lines are counted over all messages."""
        rows = (row for chunk in self._chunks() for row in self._rows(chunk))
        return (_line_of(row, line) for line, row in enumerate(rows, 1))

    def _rows(self, chunk: StoredChunk) -> Iterator[TimeRow]:
        for message in chunk.messages:
            if message.channel.topic == TIMES_TOPIC:
                try:
                    yield from msgspec.json.decode(message.data, type=TimeRows).frames
                except msgspec.MsgspecError as error:
                    raise self._broken(TIMES_TOPIC, error) from error

    def sets(self) -> Iterator[SetLine]:
        """See ``CheckedSegment``."""
        for line, message in enumerate(self._messages(SETS_TOPIC), 1):
            try:
                row = msgspec.json.decode(message.data, type=SetRow)
            except msgspec.MsgspecError as error:
                raise self._broken(SETS_TOPIC, error) from error
            yield SetLine(row.set, row.window_start_ns, row.spread_ns, row.frames, line)

    def filmed(self, stream: str) -> Iterator[Filmed]:
        """See ``CheckedSegment``."""
        return (film for film, _ in self._films(stream))

    def pictures(self, stream: str) -> Iterator[StoredPicture]:
        """See ``StoredSegment``."""
        for film, line in self._films(stream):
            if film.layout is not None and line is not None:
                yield stored_picture(film, film.layout, line)

    def _films(self, stream: str) -> Iterator[tuple[Filmed, TimeLine | None]]:
        """A stream's pictures with what is told of them, which lies in the same chunk."""
        topic = VIDEO + stream
        for chunk in self._chunks():
            rows = {row.frame & 0xFFFFFFFF: row for row in self._rows(chunk) if row.stream == stream}
            for message in chunk.messages:
                if message.channel.topic != topic:
                    continue
                row = rows.get(message.sequence)
                try:
                    terms = film_terms(message.channel)
                    data = picture_of(terms.kind, memoryview(message.data))
                except (ValueError, KeyError) as error:
                    raise self._broken(topic, error) from error
                number, is_key = (row.frame, row.is_key) if row is not None else (message.sequence, False)
                film = Filmed(number, message.publish_ns, is_key, terms.stored_layout, data, is_ours=terms.is_ours)
                yield film, _line_of(row) if row is not None else None


def _line_of(row: TimeRow, line: int = 0) -> TimeLine:
    return TimeLine(
        row.stream, row.frame, row.time_ns, row.seq, row.uncertainty_ns, row.clock, row.arrival_ns, line
    )  # fmt: skip


class McapRecording:
    """The files of a folder, oldest first, or one file.

    Raises:
        UsageError: there is none, or one is not of ours.
    """

    def __init__(self, path: Path) -> None:
        self.place = str(path)
        self.segments: Sequence[StoredMcap] = [StoredMcap(one) for one in mcaps_of(path)]
        for segment in self.segments:
            with McapReader(segment.path) as reader:
                damage = reader.step(0).damage
            if damage is not None and (segment.is_finished or not damage.is_cut):
                raise UsageError(f"{segment.place}: {damage.problem}; allowed: one that `syncsvc record` wrote")

    @cached_property
    def groups(self) -> Mapping[str, GroupTerms]:
        """See ``StoredRecording``."""
        return merged(segment.groups for segment in self.segments)


def mcaps_of(path: Path) -> Sequence[Path]:
    """The MCAP files that a path means, oldest first: itself, or those of a recording in a folder."""
    if path.is_file():
        return [path] if path.name.removesuffix(PART).endswith(MCAP) else []
    found = [one for one in path.iterdir() if _NAME.fullmatch(one.name)] if path.is_dir() else []
    return sorted(found, key=lambda one: (not one.name.startswith("recording"), one.name))
