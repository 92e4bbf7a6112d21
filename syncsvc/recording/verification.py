"""A recording held against itself: what its sidecars say of frames, sets and batches, and what its files hold.

A recorder that was killed leaves the end of a segment as it was: pictures without a line, lines without a batch, half
a line. That is told, and no difference: nothing of an acknowledged batch is missing.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from operator import attrgetter

from syncsvc.clock import NS_PER_MS, NS_PER_S
from syncsvc.errors import FrameUndecodable, RecordingBroken
from syncsvc.model import Frame, FrameBatch, Gap
from syncsvc.recording.contents import StoredPicture
from syncsvc.recording.folder import FolderRecording, FolderSegment
from syncsvc.recording.sidecars import BATCHES, SETS, TIMES, SetLine, TimeLine, is_cut_off, read_sets
from syncsvc.recording.stream_pictures import StreamPictures

TICK_NS = NS_PER_MS
"""Of the coarsest clock of a container that recordings have, Matroska's: pictures are timed there as exactly."""
MOST_DIFFERENCES = 20
"""So many are told in words; of the others, how many there are."""

OnProgress = Callable[[str, int], None]
"""Called with a stream's place and how many of its pictures were decoded."""


@dataclass(slots=True)
class SegmentFindings:
    """What was looked at in a segment.

    ``frames`` are pictures that lie where they should, ``unshown`` those of them that refer to others which were lost
    before they could be recorded. ``unrecorded`` frames of its batches are in no file: of streams before their first
    key frame, and in no set where only sets were kept.
    """

    place: str
    is_finished: bool
    batches: int = 0
    sets: int = 0
    gaps: int = 0
    missed: int = 0
    frames: dict[str, int] = field(default_factory=dict)
    unshown: dict[str, int] = field(default_factory=dict)
    unrecorded: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class RecordingFindings:
    """What a recording is: ``differences`` are the first ones, of ``count`` in all; ``notes`` are none."""

    place: str
    segments: list[SegmentFindings] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    count: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether nothing differs."""
        return not self.count

    def differ(self, place: object, what: str) -> None:
        """Note a difference."""
        self.count += 1
        if len(self.differences) < MOST_DIFFERENCES:
            self.differences.append(f"{place}: {what}")

    def note(self, place: object, what: str) -> None:
        """Note what is no difference, and good to know."""
        self.notes.append(f"{place}: {what}")


def verify(recording: FolderRecording, on_progress: OnProgress = lambda place, count: None) -> RecordingFindings:
    """Look at everything that a recording holds; each picture is decoded once."""
    findings = RecordingFindings(recording.place)
    for segment in recording.segments:
        looked = SegmentFindings(segment.place, segment.is_finished)
        findings.segments.append(looked)
        try:
            _Segment(segment, looked, findings).look(on_progress)
        except RecordingBroken as error:
            findings.count += 1
            findings.differences.append(str(error))
    return findings


class _Segment:
    """One segment while it is looked at."""

    def __init__(self, segment: FolderSegment, looked: SegmentFindings, findings: RecordingFindings) -> None:
        self._segment, self._looked, self._findings = segment, looked, findings
        self._lines: dict[str, list[TimeLine]] = {}
        self._by_frame: dict[tuple[str, int, int], TimeLine] = {}
        self._acknowledged: set[tuple[str, int]] = set()
        self._sets: list[tuple[FrameBatch, Mapping[str, TimeLine | None], int]] = []

    def look(self, on_progress: OnProgress) -> None:
        segment, looked = self._segment, self._looked
        if not segment.is_finished:
            self._findings.note(segment.place, "is not finished: its recorder was killed, or is still at work")
        for name in (TIMES, SETS, BATCHES):
            if (segment.path / name).exists() and is_cut_off(segment.path / name):
                self._findings.note(segment.path / name, "ends within a line, which is left out")
        for line in segment.times():
            self._lines.setdefault(line.stream, []).append(line)
            self._by_frame.setdefault((line.stream, line.seq, line.time_ns), line)
        for lines in self._lines.values():  # a set's partner travels ahead in its batch, not in its file
            lines.sort(key=attrgetter("frame"))
        self._look_at_batches()
        self._look_at_sets()
        for stream in dict.fromkeys([*segment.streams, *self._lines]):
            self._look_at_pictures(stream, self._lines.get(stream, []), on_progress)
        looked.sets = len(self._sets)

    def _differ(self, name: str, what: str, line: int = 0) -> None:
        place = self._segment.path / name
        self._findings.differ(f"{place}:{line}" if line else place, what)

    # Batches.

    def _look_at_batches(self) -> None:
        last: dict[str, FrameBatch] = {}
        told: Counter[str] = Counter()
        for item in self._segment.batches():
            if isinstance(item, Gap):
                self._looked.gaps += 1
                self._looked.missed += item.batches
                told[item.group] += 1
                continue
            batch = item.batch
            before = last.get(batch.group)
            if before is not None and not _follows(before, batch) and not told[batch.group]:
                self._differ(BATCHES, f"group {batch.group}: #{batch.seq} follows #{before.seq}, and no gap says why")
            told[batch.group], last[batch.group] = 0, batch
            self._looked.batches += 1
            self._look_at_batch(batch)
        for line in (one for lines in self._lines.values() for one in lines):
            if (line.stream, line.frame) not in self._acknowledged and self._segment.is_finished:
                self._differ(TIMES, f"{_named(line)} is in no batch", line.line)

    def _look_at_batch(self, batch: FrameBatch) -> None:
        name = f"group {batch.group} #{batch.seq}"
        for stream, counts in batch.counts.items():
            if counts.captured != counts.delivered + counts.late + sum(counts.dropped.values()):
                self._differ(BATCHES, f"{name}: the account of {stream} does not add up: {counts}")
            if counts.delivered != len(batch.frames[stream]):
                there = len(batch.frames[stream])
                self._differ(
                    BATCHES, f"{name}: {counts.delivered} frames of {stream} were delivered, {there} are there"
                )
        for frame in (one for some in batch.frames.values() for one in some):
            line = self._line_of(frame)
            if line is None:
                _count(self._looked.unrecorded, frame.stream)
                continue
            self._acknowledged.add((line.stream, line.frame))
            for what in ("uncertainty_ns", "clock", "arrival_ns"):
                if getattr(line, what) != getattr(frame, what):
                    found, wanted = getattr(line, what), getattr(frame, what)
                    self._differ(TIMES, f"{_named(line)}: {what} is {found}; {name} says {wanted}", line.line)
        for some in batch.sets:
            self._sets.append((batch, {one.stream: self._line_of(one) for one in some.frames.values()}, some.spread_ns))

    def _line_of(self, frame: Frame) -> TimeLine | None:
        return self._by_frame.get((frame.stream, frame.seq, frame.time_ns))

    # Sets.

    def _look_at_sets(self) -> None:
        path = self._segment.path / SETS
        rows = read_sets(path) if path.exists() else iter(())
        for row, told in zip_longest(rows, self._sets):
            if told is None:
                if self._segment.is_finished:
                    self._differ(SETS, f"set {row.number} is in no batch", row.line)
            elif row is None:
                batch = told[0]
                self._differ(SETS, f"a set of group {batch.group} #{batch.seq} is not there")
            else:
                self._look_at_set(row, *told)

    def _look_at_set(
        self, row: SetLine, batch: FrameBatch, members: Mapping[str, TimeLine | None], spread_ns: int
    ) -> None:
        name = f"set {row.number}"
        for what, found, wanted in (
            ("window_start_ns", row.window_start_ns, batch.window_start_ns), ("spread_ns", row.spread_ns, spread_ns)
        ):  # fmt: skip
            if found != wanted:
                self._differ(
                    SETS, f"{name}: {what} is {found}; group {batch.group} #{batch.seq} says {wanted}", row.line
                )
        for stream, frame in row.frames.items():
            if frame >= len(self._lines.get(stream, ())):
                self._differ(SETS, f"{name}: frame {frame} of {stream} is not in {TIMES}", row.line)
        for stream, line in members.items():
            if line is not None and row.frames.get(stream) != line.frame:
                found_frame = row.frames.get(stream, "nothing")
                self._differ(SETS, f"{name}: of {stream} it has {found_frame}, its batch frame {line.frame}", row.line)

    # Pictures.

    def _look_at_pictures(self, stream: str, lines: list[TimeLine], on_progress: OnProgress) -> None:
        path = self._segment.file_of(stream)
        if path is None:
            self._findings.differ(
                self._segment.place, f"{len(lines)} frames of {stream} are in {TIMES}, but no file is"
            )
            return
        for number, line in enumerate(lines):
            if line.frame != number:
                self._differ(TIMES, f"{_named(line)}: frame {number} of {stream} is due", line.line)
                return
        count = 0
        try:
            for count, problem in enumerate(self._pictures(stream, lines), 1):
                if problem:
                    self._differ(path.name, problem)
                on_progress(str(path), count)
        except RecordingBroken as error:
            if self._segment.is_finished:
                self._findings.differ(path, error.problem)
            else:
                self._findings.note(path, f"{error.problem}: it was cut off there")
        lost = [
            line for line in lines[count:] if (stream, line.frame) in self._acknowledged or self._segment.is_finished
        ]
        for line in lost:
            self._differ(path.name, f"{_named(line)} is not there")
        if unsure := len(lines) - min(count, len(lines)) - len(lost):
            self._findings.note(
                path, f"the last {unsure} frames of {TIMES} are not there; their batch was not whole yet"
            )
        if count > len(lines):
            self._tell_of_more(path.name, count - len(lines))

    def _tell_of_more(self, name: str, more: int) -> None:
        what = f"{more} pictures at its end are in no line of {TIMES}"
        if self._segment.is_finished:
            self._differ(name, what)
        else:
            self._findings.note(self._segment.path / name, f"{what}: their batch was not whole yet")

    def _pictures(self, stream: str, lines: list[TimeLine]) -> Iterator[str]:
        """What is wrong with each picture of a file; empty where nothing is."""
        source = StreamPictures(stream, iter(()))
        first_ns: int | None = None
        for film in self._segment.filmed(stream):
            line = lines[film.frame] if film.frame < len(lines) else None
            if line is None:
                yield ""
                continue
            if film.problem or film.layout is None:
                yield f"{_named(line)} cannot be read: {film.problem}"
                continue
            problem = ""
            if film.at_ns is not None:
                offset_ns = film.at_ns - line.time_ns
                first_ns = offset_ns if first_ns is None else first_ns
                if abs(offset_ns - first_ns) > TICK_NS:
                    problem = f"{_named(line)} is shown {(offset_ns - first_ns) / NS_PER_S:+.6f} s from its time"
            stored = self._segment.stored(film, film.layout, line)
            yield self._decoded(source, stored, line) or problem

    def _decoded(self, source: StreamPictures, stored: StoredPicture, line: TimeLine) -> str:
        """What is wrong with a picture when it is decoded; empty where nothing is, or where nobody could."""
        found = source.learn(stored)
        if found.problem:
            _count(self._looked.unshown, line.stream)
            return ""
        try:
            picture = source.picture(found)
        except FrameUndecodable as error:
            return f"{_named(line)} cannot be decoded: {error.why}"
        _count(self._looked.frames, line.stream)
        size, told = (picture.width, picture.height), (stored.layout.width, stored.layout.height)
        return "" if size == told else f"{_named(line)} is {size[0]}x{size[1]}, its file says {told[0]}x{told[1]}"


def _count(counts: dict[str, int], stream: str) -> None:
    counts[stream] = counts.get(stream, 0) + 1


def _follows(before: FrameBatch, batch: FrameBatch) -> bool:
    """Whether no batch is missing between two of a group, as far as their numbers say."""
    return batch.seq == before.seq + 1 if batch.epoch == before.epoch else batch.seq == 0


def _named(line: TimeLine) -> str:
    return f"frame {line.frame} of {line.stream} (seq {line.seq})"
