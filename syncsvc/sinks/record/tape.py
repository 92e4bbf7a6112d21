"""From batches to segments: which picture goes into which file, and when another segment begins.

A stream goes on in the old segment's file until it has a picture with which it can begin in the new one: a key frame,
of the new codec or size where that changed. So nothing is lost at a seam, and each file plays by itself. Batches, sets
and what comes after are the new segment's.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from syncsvc.clock import NS_PER_S
from syncsvc.model import Frame, FrameBatch, FrameSet
from syncsvc.recording.opening import FormatName, new_segment
from syncsvc.recording.segment import Film, SegmentWriter, Take, is_alike, next_number
from syncsvc.recording.sidecar_lines import gap_line, header_line
from syncsvc.sinks.record.batch_feed import Fed
from syncsvc.sinks.record.stream_coder import CodecName, StreamCoder, own_take
from syncsvc.wire import GroupTerms

Fill = Literal["skip", "hold"]
Cause = Literal["no_key", "no_picture", "codec", "out_of_order"]
REMEMBERED_NS: Final = 120 * NS_PER_S
"""For so long a set may refer to a frame; no frame travels ahead of another by more."""


@dataclass(slots=True)
class RecordedStream:
    """What became of one stream's frames: those in files, and those in none by cause."""

    frames: int = 0
    held: int = 0
    late: int = 0
    """Those whose window was closed in a group: batches count them, and no recorder gets them."""
    unrecorded: Counter[Cause] = field(default_factory=Counter)


@dataclass(slots=True)
class TapeTally:
    """What is recorded; ``skipped_sets`` lacked a stream, and were left out."""

    streams: dict[str, RecordedStream] = field(default_factory=lambda: defaultdict(RecordedStream))
    batches: int = 0
    gaps: int = 0
    missed: int = 0
    sets: int = 0
    skipped_sets: int = 0
    segments: int = 0


@dataclass(frozen=True, slots=True)
class TapeTerms:
    """What is kept, and how.

    ``segment_ns``: how much time a segment holds; None: all of it. ``of_sets``: only frames of sets, ``fill`` says what
    is done with a set that lacks a stream. ``format``: ``mp4`` is folders with films, ``mcap`` files.
    """

    codec: CodecName = "copy"
    segment_ns: int | None = None
    of_sets: bool = False
    fill: Fill = "skip"
    format: FormatName = "mp4"


class Tape:
    """Takes batches in their order; ``commit`` brings them to the disk.

    Args:
        folder: where; empty, or with numbered segments of earlier recorders.
        terms: what the groups promise.
        kept: what is kept.
        on_finished: called with each segment that is whole.
    """

    def __init__(
        self,
        folder: Path,
        terms: Mapping[str, GroupTerms],
        kept: TapeTerms,
        on_finished: Callable[[Path], None] = lambda path: None,
    ) -> None:
        self.tally = TapeTally()
        self._folder, self._terms, self._kept, self._on_finished = folder, terms, kept, on_finished
        self._columns = tuple(dict.fromkeys(stream for one in terms.values() for stream in one.streams))
        self._current: SegmentWriter | None = None
        self._previous: SegmentWriter | None = None
        self._ending: list[SegmentWriter] = []
        self._segment_number: int | None = None
        self._until_ns = 0
        self._run_id = ""
        self._coders: dict[str, StreamCoder] = {}
        self._last_seq: dict[str, int] = {}
        self._early: dict[str, list[tuple[Frame, Frame | None]]] = defaultdict(list)
        self._places: dict[tuple[str, int], tuple[int, SegmentWriter, int]] = {}
        self._waiting: list[tuple[FrameBatch, FrameSet]] = []
        self._last_take: dict[str, Take] = {}

    @property
    def size_bytes(self) -> int:
        """Of what is written and not finished."""
        return sum(one.size_bytes for one in self._open())

    def _open(self) -> list[SegmentWriter]:
        """Those that are not finished, oldest first."""
        return [*self._ending, *(one for one in (self._previous, self._current) if one is not None)]

    def put(self, fed: Fed) -> None:
        """Take a batch in."""
        current = self._segment_for(fed)
        for stream, counts in fed.batch.counts.items():
            self.tally.streams[stream].late += counts.late
        for gap in fed.gaps:
            current.note(gap.group, gap_line(gap), fed.batch.emitted_ns)
            self.tally.gaps, self.tally.missed = self.tally.gaps + 1, self.tally.missed + gap.batches
        if self._kept.of_sets:
            self._put_sets(current, fed)
        else:
            self._put_frames(fed)
            self._waiting += [(fed.batch, one) for one in fed.batch.sets]
            self._note_sets(current)
        current.note(fed.batch.group, header_line(fed.header), fed.batch.emitted_ns)
        self.tally.batches += 1

    def commit(self) -> None:
        """Bring to the disk what was taken in.

        Raises:
            DiskFull: there is no room; to be tried again.
            NotRecorded: it cannot be written at all.
        """
        for segment in self._open():
            segment.commit()
        previous, current = self._previous, self._current
        if previous is not None and current is not None and previous.films.keys() <= current.films.keys():
            self._ending.append(previous)
            self._previous = None
        while self._ending:
            self._finish(self._ending[0])
            self._ending.pop(0)

    def finish(self) -> None:
        """Nothing more comes: what is kept back is written, and every segment is whole. Errors as of ``commit``."""
        if self._current is not None:
            for stream, waiting in self._early.items():
                self._put_stream(stream, waiting)
            self._early.clear()
            self._note_sets(self._current)
            self.commit()
        self._ending, self._previous, self._current = self._open(), None, None
        while self._ending:
            self._finish(self._ending[0])
            self._ending.pop(0)

    def _finish(self, segment: SegmentWriter) -> None:
        segment.finish()
        self.tally.segments += 1
        self._on_finished(segment.path)

    # Segments.

    def _segment_for(self, fed: Fed) -> SegmentWriter:
        """The segment of a batch: the current one, or another that begins with it."""
        batch, current = fed.batch, self._current
        if current is not None and batch.run_id == self._run_id:
            is_over = self._kept.segment_ns is not None and batch.window_start_ns >= self._until_ns
            if not is_over and not any(self._is_changed(current, some, fed) for some in batch.frames.values()):
                return current
        if batch.run_id != self._run_id:
            self._run_id = batch.run_id
            self._last_seq.clear()
        if self._previous is not None:
            self._ending.append(self._previous)
        times = [frame.time_ns for some in batch.frames.values() for frame in some]
        waiting = [frame.time_ns for some in self._early.values() for frame, _ in some]
        base_ns = min([batch.window_start_ns, *times, *waiting])
        self._previous, self._current = current, self._next_segment(base_ns)
        self._until_ns = batch.window_start_ns + (self._kept.segment_ns or 0)
        return self._current

    def _next_segment(self, base_ns: int) -> SegmentWriter:
        if self._kept.segment_ns is not None or self._current is not None:
            self._segment_number = max(next_number(self._folder), (self._segment_number or 0) + 1)
        return new_segment(self._kept.format, self._folder, self._segment_number, base_ns, self._terms)

    def _is_changed(self, segment: SegmentWriter, frames: Sequence[Frame], fed: Fed) -> bool:
        """Whether a stream cannot go on in the file that it has."""
        film = segment.films.get(frames[0].stream) if frames else None
        return film is not None and any(not self._fits(film, frame, self._coded(fed, frame)) for frame in frames)

    def _fits(self, film: Film, frame: Frame, coded: Frame | None) -> bool:
        """Whether a frame's picture is what a file has; one without a coded picture in between changes nothing."""
        if not film.is_ours and coded is None:
            return True
        if not is_alike(film.raw, frame.layout) or film.is_ours != (coded is None):
            return False
        return coded is None or is_alike(film.layout, coded.layout)

    def _coded(self, fed: Fed, frame: Frame) -> Frame | None:
        """A frame's coded picture that may be kept as it is: what came beside it, or its own where that is one."""
        beside = fed.coded.get((frame.stream, frame.seq))
        if beside is not None:
            return beside
        if self._kept.of_sets and frame.format == "encoded":  # it refers to frames that may be in no set
            return None
        return frame if frame.payload is not None and frame.format in ("jpeg", "encoded") else None

    # Frames.

    def _put_frames(self, fed: Fed) -> None:
        for stream, frames in fed.batch.frames.items():
            known = self._last_seq.get(stream, -1)
            fresh = self._early.pop(stream, [])
            fresh += [(frame, self._coded(fed, frame)) for frame in frames if frame.seq > known]
            fresh.sort(key=lambda one: one[0].seq)
            while fresh and self._is_early([one[0] for one in fresh], fed.batch):
                self._early[stream].insert(0, fresh.pop())
            self._put_stream(stream, fresh)

    def _is_early(self, frames: Sequence[Frame], batch: FrameBatch) -> bool:
        """Whether the last one came ahead of others, as a set's partner from across the window's edge."""
        before = frames[-2].seq if len(frames) > 1 else self._last_seq.get(frames[-1].stream, frames[-1].seq - 1)
        return frames[-1].time_ns >= batch.window_end_ns and frames[-1].seq > before + 1

    def _put_stream(self, stream: str, frames: Sequence[tuple[Frame, Frame | None]]) -> None:
        if not frames:
            return
        last, last_coded = frames[-1]
        for frame, coded in frames:
            is_last_look = is_alike(frame.layout, last.layout) and (
                coded is None or last_coded is None or is_alike(coded.layout, last_coded.layout)
            )
            self._put_frame(frame, coded, may_begin=is_last_look)
            self._last_seq[stream] = frame.seq

    def _put_frame(self, frame: Frame, coded: Frame | None, *, may_begin: bool) -> None:
        assert self._current is not None, "a batch has a segment"
        segment = self._current
        film = segment.films.get(frame.stream)
        is_key = coded is None or coded.keyframe or coded.format == "jpeg"
        if film is None and not (may_begin and is_key) and self._previous is not None:
            segment = self._previous
            film = segment.films.get(frame.stream)
            if film is None or not self._fits(film, frame, coded):
                self._leave_out(frame, "no_key")
                return
        elif film is None and not is_key:
            self._leave_out(frame, "no_key")
            return
        take = self._take(frame, coded, film)
        if take is not None:
            self._keep(segment, film, take)

    def _take(self, frame: Frame, coded: Frame | None, film: Film | None) -> Take | None:
        """A frame's picture as it is to be kept."""
        if coded is not None:
            return own_take(frame, coded)
        if frame.payload is None or (film is not None and not film.is_ours):
            self._leave_out(frame, "no_picture")
            return None
        coder = self._coders.get(frame.stream)
        if coder is None:
            is_exact, all_keys = self._kept.codec == "ffv1", frame.format == "encoded"
            coder = self._coders[frame.stream] = StreamCoder("ffv1" if is_exact else "h264", all_keys=all_keys)
        if film is None:
            coder.restart()
        take = coder.take(frame)
        if take is None:
            self._leave_out(frame, "no_picture")
        return take

    def _keep(self, segment: SegmentWriter, film: Film | None, take: Take) -> int | None:
        """Put a picture into its file; its number there, None where it cannot be in it."""
        frame = take.frame
        film = film or segment.begin(take)
        if film is None:
            self._leave_out(frame, "codec")
            return None
        if not film.takes(take):
            self._leave_out(frame, "out_of_order")
            return None
        number = segment.put(take)
        tally = self.tally.streams[frame.stream]
        tally.frames, tally.held = tally.frames + 1, tally.held + (take.held_ns is not None)
        self._places[frame.stream, frame.seq] = frame.time_ns, segment, number
        return number

    def _leave_out(self, frame: Frame, cause: Cause) -> None:
        self.tally.streams[frame.stream].unrecorded[cause] += 1

    # Sets.

    def _note_sets(self, segment: SegmentWriter) -> None:
        """Write down the sets whose frames have their places, in their order."""
        while self._waiting:
            batch, one = self._waiting[0]
            early = {(frame.stream, frame.seq) for some in self._early.values() for frame, _ in some}
            if any((frame.stream, frame.seq) in early for frame in one.frames.values()):
                return
            self._waiting.pop(0)
            numbers = [self._number(segment, one.frames.get(stream)) for stream in self._columns]
            self._note_set(segment, batch, one, numbers)
        if len(self._places) > 100_000:
            newest_ns = max(time_ns for time_ns, _, _ in self._places.values())
            self._places = {key: place for key, place in self._places.items() if place[0] > newest_ns - REMEMBERED_NS}

    def _note_set(
        self, segment: SegmentWriter, batch: FrameBatch, one: FrameSet, numbers: Sequence[int | None]
    ) -> None:
        segment.note_set(self._columns, batch.window_start_ns, one.spread_ns, numbers)
        self.tally.sets += 1

    def _number(self, segment: SegmentWriter, frame: Frame | None) -> int | None:
        """A frame's number in its file of this segment."""
        place = self._places.get((frame.stream, frame.seq)) if frame is not None else None
        return place[2] if place is not None and place[1] is segment else None

    def _put_sets(self, segment: SegmentWriter, fed: Fed) -> None:
        """Keep one picture of every stream for each set."""
        for one in fed.batch.sets:
            missing = [stream for stream in self._columns if stream not in one.frames]
            if missing and (self._kept.fill == "skip" or any(stream not in self._last_take for stream in missing)):
                self.tally.skipped_sets += 1
                continue
            at_ns = max(frame.time_ns for frame in one.frames.values())
            numbers: list[int | None] = []
            for stream in self._columns:
                frame = one.frames.get(stream)
                film = segment.films.get(stream)
                take: Take | None
                if frame is not None:
                    take = self._take(frame, self._coded(fed, frame), film)
                else:
                    take = self._again(self._last_take[stream], at_ns, film)
                if take is None:
                    numbers.append(None)
                    continue
                self._last_take[stream] = take
                numbers.append(self._keep(segment, film, take))
            self._note_set(segment, fed.batch, one, numbers)

    def _again(self, last: Take, at_ns: int, film: Film | None) -> Take | None:
        """A stream's last picture once more, for a set at ``at_ns``."""
        if not last.is_ours:
            return Take(last.frame, last.layout, last.data, last.is_key, False, at_ns)
        take = self._take(last.frame, None, film)
        return take and Take(take.frame, take.layout, take.data, take.is_key, True, at_ns)
