"""A recording held against itself: what its sidecars say of frames, sets and batches, and what its files hold.

A recorder that was killed leaves the end of a segment as it was: pictures without a line, lines without a batch, half
a line. That is told, and no difference: nothing of an acknowledged batch is missing.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple

from syncsvc.clock import NS_PER_MS, NS_PER_S
from syncsvc.errors import FrameUndecodable, RecordingBroken
from syncsvc.model import Frame, FrameBatch, FrameSet, Gap
from syncsvc.nal import CODECS
from syncsvc.recording.contents import (
    CheckedRecording,
    CheckedSegment,
    Filmed,
    SetLine,
    StoredPicture,
    TimeLine,
    Told,
)
from syncsvc.recording.picture_times import our_time, stored_picture
from syncsvc.recording.recording_findings import RecordingFindings, SegmentFindings
from syncsvc.recording.sidecar_lines import HELD
from syncsvc.recording.stream_pictures import StreamPictures

TICK_NS = NS_PER_MS
"""Of the coarsest clock of a container that recordings have, Matroska's: pictures are timed there as exactly."""
OnProgress = Callable[[str, int], None]
"""Called with a stream's place and how many of its pictures were decoded."""


def verify(recording: CheckedRecording, on_progress: OnProgress = lambda place, count: None) -> RecordingFindings:
    """Look at everything that a recording holds; each picture is decoded once."""
    findings, before = RecordingFindings(recording.place), _Open()
    for segment in recording.segments:
        looked = SegmentFindings(segment.place, segment.is_finished)
        findings.segments.append(looked)
        looking = _Segment(segment, looked, findings, before)
        try:
            looking.look(on_progress)
        except RecordingBroken as error:
            findings.count += 1
            findings.differences.append(str(error))
        _tell_of_lines(findings, before)
        before = looking.left
    _tell_of_lines(findings, before)
    return findings


def _tell_of_lines(findings: RecordingFindings, left: "_Open") -> None:
    for line, path in left.lines.values():
        findings.differ(f"{path}:{line.line}", f"{_named(line)} is in no batch")


_Key = tuple[str, int, int]
"""What tells a frame from all others: its stream, number and time."""


@dataclass(slots=True)
class _Open:
    """What a segment leaves to the next one: a frame's header and its picture may lie in different ones.

    Rows are frames of batches without a line yet, each with its batch's name, lines those without a batch.
    """

    rows: dict[_Key, tuple[Frame, str]] = field(default_factory=dict)
    lines: dict[_Key, tuple[TimeLine, str]] = field(default_factory=dict)
    unrecorded: dict[str, int] = field(default_factory=dict)
    """How many rows there are, by stream, as the segment's findings say."""
    sets: list[tuple[FrameBatch, FrameSet]] = field(default_factory=list)
    """Those without a row that lack a picture: it may come with the next segment, and the row with it."""


class _ToldSet(NamedTuple):
    """A set of a batch; ``members`` are its frames' lines, None where this segment has none."""

    batch: FrameBatch
    some: FrameSet
    members: Mapping[str, TimeLine | None]

    @property
    def is_partial(self) -> bool:
        """Whether one of its frames has no picture here."""
        return None in self.members.values()

    def is_like(self, row: SetLine) -> bool:
        """Whether the line may be that of this set."""
        is_same = all(row.frames.get(name) == (line and line.frame) for name, line in self.members.items())
        return is_same and row.window_start_ns == self.batch.window_start_ns


class _Segment:
    """One segment while it is looked at."""

    def __init__(
        self, segment: CheckedSegment, looked: SegmentFindings, findings: RecordingFindings, before: _Open
    ) -> None:
        self._segment, self._looked, self._findings, self._before = segment, looked, findings, before
        self._times = segment.place_of("times").rpartition("/")[2]
        self._lines: dict[str, list[TimeLine]] = {}
        self._by_key: dict[_Key, TimeLine] = {}
        self._acknowledged: set[tuple[str, int]] = set()
        self._sets: list[_ToldSet] = []
        self.left = _Open(unrecorded=looked.unrecorded)
        """What the next segment may have the other half of."""

    def look(self, on_progress: OnProgress) -> None:
        segment, looked = self._segment, self._looked
        if not segment.is_finished:
            self._findings.note(segment.place, "is not finished: its recorder was killed, or is still at work")
        for place, problem, is_end in segment.leftovers():
            (self._findings.note if is_end and not segment.is_finished else self._findings.differ)(place, problem)
        for line in segment.times():
            self._lines.setdefault(line.stream, []).append(line)
            if line.clock != HELD:
                self._by_key[_key_of(line)] = line
        for lines in self._lines.values():  # a set's partner travels ahead in its batch, not in its file
            lines.sort(key=attrgetter("frame"))
        self._look_at_batches()
        self._look_at_sets()
        for stream in dict.fromkeys([*segment.streams, *self._lines]):
            self._look_at_pictures(stream, self._lines.get(stream, []), on_progress)
        looked.sets = len(self._sets)

    def _differ(self, told: Told, what: str, line: int = 0) -> None:
        place = self._segment.place_of(told)
        self._findings.differ(f"{place}:{line}" if line else place, what)

    # Batches.

    def _look_at_batches(self) -> None:
        last: dict[str, FrameBatch] = {}
        told: Counter[str] = Counter()
        for key, (frame, name) in self._before.rows.items():
            if key in self._by_key:
                self._look_at_line(self._by_key[key], frame, name)
                _count(self._before.unrecorded, frame.stream, -1)
        for item in self._segment.batches():
            if isinstance(item, Gap):
                self._looked.gaps += 1
                self._looked.missed += item.batches
                told[item.group] += 1
                continue
            batch = item.batch
            before = last.get(batch.group)
            if before is not None and not _follows(before, batch) and not told[batch.group]:
                self._differ("batches", f"group {batch.group}: #{batch.seq} follows #{before.seq}, and no gap says why")
            told[batch.group], last[batch.group] = 0, batch
            self._looked.batches += 1
            self._look_at_batch(batch)
        for line in self._by_key.values():
            if (line.stream, line.frame) not in self._acknowledged and self._segment.is_finished:
                self.left.lines[_key_of(line)] = line, self._segment.place_of("times")

    def _look_at_batch(self, batch: FrameBatch) -> None:
        name = f"group {batch.group} #{batch.seq}"
        for stream, counts in batch.counts.items():
            if counts.captured != counts.delivered + counts.late + sum(counts.dropped.values()):
                self._differ("batches", f"{name}: the account of {stream} does not add up: {counts}")
            if counts.delivered != len(batch.frames[stream]):
                told, there = counts.delivered, len(batch.frames[stream])
                self._differ("batches", f"{name}: {told} frames of {stream} were delivered, {there} are there")
        for frame in (one for some in batch.frames.values() for one in some):
            key = _key_of(frame)
            if key in self._by_key:
                self._look_at_line(self._by_key[key], frame, name)
            elif self._before.lines.pop(key, None) is None:
                self.left.rows[key] = frame, name
                _count(self._looked.unrecorded, frame.stream)
        self._sets += [self._told(batch, some) for some in batch.sets]

    def _told(self, batch: FrameBatch, some: FrameSet) -> "_ToldSet":
        return _ToldSet(batch, some, {one.stream: self._by_key.get(_key_of(one)) for one in some.frames.values()})

    def _look_at_line(self, line: TimeLine, frame: Frame, name: str) -> None:
        """Hold a frame's line against what its batch says."""
        self._acknowledged.add((line.stream, line.frame))
        for what in ("uncertainty_ns", "clock", "arrival_ns"):
            if getattr(line, what) != getattr(frame, what):
                found, wanted = getattr(line, what), getattr(frame, what)
                self._differ("times", f"{_named(line)}: {what} is {found}; {name} says {wanted}", line.line)

    # Sets.

    def _look_at_sets(self) -> None:
        """In their order; one that lacks a picture may be left out, as where only whole ones are kept."""
        waiting = deque([*(self._told(*one) for one in self._before.sets), *self._sets])
        rows = list(self._segment.sets())
        for row in rows:
            while waiting and waiting[0].is_partial and not waiting[0].is_like(row):
                self._do_without(waiting.popleft())
            if waiting:
                self._look_at_set(row, waiting.popleft())
            elif self._segment.is_finished:
                self._differ("sets", f"set {row.number} is in no batch", row.line)
        if not rows and not all(told.is_partial for told in waiting):
            self._differ("sets", f"none is there, and the batches have {len(waiting)} sets")
            return
        for told in waiting:
            self._do_without(told)

    def _do_without(self, told: "_ToldSet") -> None:
        """A set has no row here."""
        if not told.is_partial:
            self._differ("sets", f"a set of group {told.batch.group} #{told.batch.seq} is not there")
        elif not any(told.some is one for _, one in self._before.sets):
            self.left.sets.append((told.batch, told.some))

    def _look_at_set(self, row: SetLine, told: "_ToldSet") -> None:
        name, batch = f"set {row.number}", told.batch
        says = f"group {batch.group} #{batch.seq} says"
        if row.window_start_ns != batch.window_start_ns:
            what = f"window_start_ns is {row.window_start_ns}; {says} {batch.window_start_ns}"
            self._differ("sets", f"{name}: {what}", row.line)
        if row.spread_ns != told.some.spread_ns:
            self._differ("sets", f"{name}: spread_ns is {row.spread_ns}; {says} {told.some.spread_ns}", row.line)
        for stream, frame in row.frames.items():
            if frame >= len(self._lines.get(stream, ())):
                self._differ("sets", f"{name}: frame {frame} of {stream} is not in {self._times}", row.line)
        for stream, line in told.members.items():
            if line is not None and row.frames.get(stream) != line.frame:
                found = row.frames.get(stream, "nothing")
                self._differ("sets", f"{name}: of {stream} it has {found}, its batch frame {line.frame}", row.line)

    # Pictures.

    def _look_at_pictures(self, stream: str, lines: list[TimeLine], on_progress: OnProgress) -> None:
        path = self._segment.film_of(stream)
        if path is None:
            self._findings.differ(
                self._segment.place, f"{len(lines)} frames of {stream} are in {self._times}, but no file is"
            )
            return
        for number, line in enumerate(lines):
            if line.frame != number:
                self._differ("times", f"{_named(line)}: frame {number} of {stream} is due", line.line)
                return
        count = 0
        try:
            for count, problem in enumerate(self._pictures(stream, lines), 1):
                if problem:
                    self._findings.differ(path, problem)
                on_progress(path, count)
        except RecordingBroken as error:
            if self._segment.is_finished:
                self._findings.differ(path, error.problem)
            else:
                self._findings.note(path, f"{error.problem}: it was cut off there")
        lost = [
            line for line in lines[count:] if (stream, line.frame) in self._acknowledged or self._segment.is_finished
        ]
        for line in lost:
            self._findings.differ(path, f"{_named(line)} is not there")
        if unsure := len(lines) - min(count, len(lines)) - len(lost):
            self._findings.note(
                path, f"the last {unsure} frames of {self._times} are not there; their batch was not whole yet"
            )
        if count > len(lines):
            self._tell_of_more(path, count - len(lines))

    def _tell_of_more(self, path: str, more: int) -> None:
        what = f"{more} pictures at its end are in no line of {self._times}"
        if self._segment.is_finished:
            self._findings.differ(path, what)
        else:
            self._findings.note(path, f"{what}: their batch was not whole yet")

    def _pictures(self, stream: str, lines: list[TimeLine]) -> Iterator[str]:
        """What is wrong with each picture of a file; empty where nothing is."""
        source = StreamPictures(stream, iter(()))
        first_ns: int | None = None
        has_times: bool | None = None
        for film in self._segment.filmed(stream):
            line = lines[film.frame] if film.frame < len(lines) else None
            if line is None:
                yield ""
                continue
            if film.problem or film.layout is None:
                yield f"{_named(line)} cannot be read: {film.problem}"
                continue
            problem, told_ns = "", _time_within(film)
            has_times = told_ns is not None if has_times is None else has_times
            if has_times != (told_ns is not None) or told_ns not in (None, line.time_ns):
                says = "says of itself nothing" if told_ns is None else f"says of itself {told_ns} ns"
                problem = f"{_named(line)} {says}; {self._times} has {line.time_ns}"
            if film.at_ns is not None:
                offset_ns = film.at_ns - line.time_ns
                first_ns = offset_ns if first_ns is None else first_ns
                if abs(offset_ns - first_ns) > TICK_NS:
                    problem = f"{_named(line)} is shown {(offset_ns - first_ns) / NS_PER_S:+.6f} s from its time"
            stored = stored_picture(film, film.layout, line)
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


def _count(counts: dict[str, int], stream: str, more: int = 1) -> None:
    counts[stream] = counts.get(stream, 0) + more
    if not counts[stream]:
        del counts[stream]


def _key_of(one: TimeLine | Frame) -> _Key:
    return one.stream, one.seq, one.time_ns


def _time_within(film: Filmed) -> int | None:
    """The time that the recorder put into a picture, UTC nanoseconds; None where there is none."""
    codec = film.layout.codec if film.layout is not None else None
    return our_time(film.data, codec.name) if codec is not None and codec.name in CODECS else None


def _follows(before: FrameBatch, batch: FrameBatch) -> bool:
    """Whether no batch is missing between two of a group, as far as their numbers say."""
    return batch.seq == before.seq + 1 if batch.epoch == before.epoch else batch.seq == 0


def _named(line: TimeLine) -> str:
    return f"frame {line.frame} of {line.stream} (seq {line.seq})"
