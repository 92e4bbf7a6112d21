"""Recordings: played on the UTC timeline from one start, at their own pace or as fast as they can be taken.

A frame's position (``media_ns``) is nanoseconds after the start of the recordings; its pts is that start plus the
position. A capture that is restarted goes on after the last position that was taken.
"""

import csv
import os
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.error import FFmpegError

from syncsvc.capture.decode import OpenInput, Unit, open_container
from syncsvc.capture.picture import picture_of
from syncsvc.capture.readers import reader_of
from syncsvc.capture.source import Loss, Pulse, Shot
from syncsvc.capture.spec import FileSpec, Recorded, Start
from syncsvc.capture.stamps import fraction_of_second, of_date
from syncsvc.clock import NS_PER_S, Clock
from syncsvc.errors import ConfigError, SourceEnded, SourceUnavailable
from syncsvc.lifecycle import StopToken
from syncsvc.model import Observation
from syncsvc.transport.page import Position, StreamPage

CATCH_UP_NS = NS_PER_S // 10
"""Frames that were due this long before a restarted capture got to them are skipped: their moment is over."""

LATEST_FIRST_NS = 60 * NS_PER_S
"""A first frame that is later than this belongs to a longer recording, of which the file is a piece."""

LOOKED_THROUGH = 250
"""Packets in which B-frames show themselves; later ones are lost as ``b_frame``."""

_B_FRAMES = (
    "has B-frames, whose order is not that of their times, so it cannot be played with `pixels: encoded`; take other "
    "pixels, or encode it without them (ffmpeg: -bf 0)"
)
_TIMELESS = "has no timestamps of its own; give them with `timestamps`, or remux it to mp4 or mkv"
_FRAME = re.compile(r"[0-9]{1,7}")
_SECONDS = re.compile(r"([+-]?)([0-9]{1,10})(?:\.([0-9]*))?")


def read_sidecar(path: Path, stream: str) -> list[int | None]:
    """Recorded capture times of a stream's frames, in nanoseconds, by index in the file; None where a line is missing.

    Raises:
        ConfigError: the CSV lacks the columns, has a line that is no number, or times that do not rise.
    """
    times: dict[int, int] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            rows.fieldnames = [name.strip() for name in rows.fieldnames or ()]
            if not {"stream", "frame", "time_s"} <= set(rows.fieldnames):
                raise ConfigError(str(path), "the columns stream,frame,time_s are wanted", line=1)
            for row in rows:
                if row["stream"] == stream:
                    frame, time_ns = _entry(row, str(path), rows.line_num)
                    if times.setdefault(frame, time_ns) != time_ns:
                        raise ConfigError(str(path), f"frame {frame} has two times", line=rows.line_num)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(str(path), f"cannot be read: {error}") from error
    if not times:
        raise ConfigError(str(path), f"lines for stream {stream!r} are wanted")
    for (_, earlier), (frame, later) in pairwise(sorted(times.items())):
        if later <= earlier:
            raise ConfigError(str(path), f"times of stream {stream!r} must rise; that of frame {frame} does not")
    return [times.get(index) for index in range(max(times) + 1)]


def _entry(row: Mapping[str, str | None], file: str, line: int) -> tuple[int, int]:
    """Number and capture time, in nanoseconds, of one line's frame."""
    frame, time = (row["frame"] or "").strip(), (row["time_s"] or "").strip()
    if not _FRAME.fullmatch(frame):
        raise ConfigError(file, f"found frame {frame!r}; allowed: 0 to 9999999", line=line)
    match = _SECONDS.fullmatch(time)
    if match is None:
        raise ConfigError(file, f"found time_s {time!r}; allowed: seconds as in 48033.001573450", line=line)
    sign, whole, fraction = match.groups()
    nanoseconds = int(whole) * NS_PER_S + fraction_of_second(fraction)[0]
    return int(frame), -nanoseconds if sign == "-" else nanoseconds


class FileSource:
    """One recording."""

    def __init__(self, spec: FileSpec, clock: Clock, pulse: Pulse, stop: StopToken, page: StreamPage) -> None:
        """Open it; ``page`` has the position of the last frame that an earlier capture took, and of its pass.

        Raises:
            ConfigError: it or its sidecar is gone, or no good: trying again would not help.
        """
        self._spec, self._clock, self._pulse, self._stop, self._page = spec, clock, pulse, stop, page
        self._resume_ns, self._is_catching_up = page.media_ns, page.media_ns > 0
        self._recorded = read_sidecar(Path(spec.timestamps), spec.name) if spec.timestamps else None
        self._open()
        if spec.pixels == "encoded":
            self._refuse_b_frames()
        self.start: Start
        """To be set once it is known, before there are shots."""

    @property
    def recorded(self) -> Recorded:
        """When it was made, as its sidecar says or else its container: mp4 in whole seconds, mkv to the microsecond."""
        if self._recorded is not None:
            return Recorded(origin_ns=next((time for time in self._recorded if time is not None), None))
        container = self._reader.container
        created = of_date(container.metadata.get("creation_time", ""))
        if created is None or not container.duration:
            return Recorded()
        doubt_ns = created.doubt_ns
        if created.utc_ns % NS_PER_S == 0:  # libavformat writes mp4's whole seconds with six zeros
            doubt_ns = NS_PER_S
        length_ns = container.duration * NS_PER_S // av.time_base
        return Recorded(created_ns=created.utc_ns, doubt_ns=doubt_ns, length_ns=length_ns)

    def _open(self) -> None:
        self._opened = self._version()
        try:
            self._read(self._container())
        except SourceUnavailable as error:
            raise ConfigError(self._spec.path, error.problem) from error

    def _read(self, container: InputContainer) -> None:
        self._reader = reader_of(self._spec, OpenInput(self._spec.name, container, self._pulse, self._clock))

    def _container(self) -> InputContainer:
        return open_container(self._spec.name, f"file:{self._spec.path}", {}, None, self._pulse)

    def _refuse_b_frames(self) -> None:
        """Look through the first packets; coded pictures leave in their order, and their times must rise in it."""
        with self._container() as container:
            stream = container.streams.video[0]
            times = [packet.pts for packet in islice(container.demux(stream), LOOKED_THROUGH) if packet.pts is not None]
            has_order = stream.codec_context.has_b_frames if not times else times != sorted(times)
        if has_order:
            raise ConfigError(self._spec.path, _B_FRAMES)

    @property
    def fps(self) -> float:
        """The densest that frames come over the ring's span, at least the declared rate."""
        span, reader = self._spec.ring.span_ns, self._reader
        times = [time for time in self._recorded or () if time is not None]
        times = times or sorted(reader.ns_of(entry.timestamp) for entry in self._index())
        if not times:
            return reader.fps
        dense = max(bisect_left(times, time + span) - place for place, time in enumerate(times))
        return max(dense * NS_PER_S / span, reader.fps)

    @property
    def declared_fps(self) -> float | None:
        """The rate that the container or the codec declares."""
        return self._reader.declared_fps

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as the container or its codec say."""
        context = self._reader.stream.codec_context
        return context.width, context.height

    def _index(self) -> list[Any]:
        """The container's table of frames, where it lists every frame (MP4 does, Matroska lists key frames only)."""
        stream = self._reader.stream
        entries = list(stream.index_entries)
        return entries if stream.frames and len(entries) >= stream.frames else []

    def shots(self) -> Iterator[Shot | Loss]:
        """Frames at their due times (``realtime``), or at once.

        Raises:
            ConfigError: its frames have no times, and no sidecar gives them.
            SourceEnded: after the last frame.
            SourceUnavailable: the file broke.
        """
        begun_ns = self._page.pass_begun_ns
        while True:
            self._page.pass_begun_ns = begun_ns
            length_ns, is_cut = 0, False
            for item in self._one_pass(begun_ns):
                if isinstance(item, Shot):
                    length_ns = max(length_ns, item.media_ns - begun_ns)
                    if not self._is_due(item):
                        is_cut = is_cut or item.media_ns >= self._resume_ns
                        continue
                    if is_cut and self._spec.pixels == "encoded" and not item.seen.is_key:
                        item = Loss("no_key")  # a hole in the numbers, because what follows refers to what was skipped
                    is_cut = False
                yield item
            if not self._spec.loop or length_ns == 0:
                raise SourceEnded(self._spec.name, "ended")
            begun_ns += length_ns + self._last_period_ns(length_ns)
            self._rewind()

    def _rewind(self) -> None:
        """Back to the first frame. Opening anew costs as much as eight frames: only where no table leads back.

        A table of what was overwritten, or has another file in its place, leads nowhere.
        """
        reader = self._reader
        if not self._index() or self._opened != self._version():
            self._open_anew()
        elif self._go_to(reader.stream.start_time or 0):
            self._read(reader.container)

    def _go_to(self, pts: int) -> bool:
        """Go to the last key frame up to there; false where there is none: then it is at the first frame."""
        try:
            self._reader.container.seek(pts, stream=self._reader.stream)
        except FFmpegError:
            self._open_anew()  # what was sought in vain leaves libav anywhere
            return False
        return True

    def _version(self) -> tuple[int, int, int] | None:
        """What changes when the file does; None where it is gone."""
        with suppress(OSError):
            found = os.stat(self._spec.path)
            return found.st_ino, found.st_size, found.st_mtime_ns
        return None

    def _open_anew(self) -> None:
        self.close()
        self._open()

    def _is_due(self, shot: Shot) -> bool:
        """Wait for the frame's time; false for one that an earlier capture took, or that was due before we resumed."""
        if shot.media_ns < self._resume_ns:
            return False
        if self._spec.is_patient:
            return True
        wait_ns = self.start.mono_ns + shot.media_ns - self._clock.monotonic_ns()
        if self._is_catching_up and wait_ns < -CATCH_UP_NS:
            return False
        self._is_catching_up = False
        if wait_ns > 0:
            self._pulse(Position.WAITING)
            self._stop.sleep(wait_ns / NS_PER_S)
        return True

    def _one_pass(self, begun_ns: int) -> Iterator[Shot | Loss]:
        index, begin_ns, reader = -1, self._seek(begun_ns), self._reader
        for item in reader.frames():
            index += 1
            if isinstance(item, Loss):
                yield item
                continue
            unit, seen = item
            if self._recorded is not None:
                time = self._recorded[index] if index < len(self._recorded) else None
                if time is None:
                    yield Loss("no_timestamp")
                    continue
                media_ns = time - self.start.origin_ns
            else:
                pts_ns = seen.pts_ns
                if pts_ns is None:
                    if begin_ns is None and reader.first_ns is None:
                        raise ConfigError(self._spec.path, _TIMELESS)
                    yield Loss("no_timestamp")
                    continue
                begin_ns = self._begin_ns(pts_ns) if begin_ns is None else begin_ns
                media_ns = pts_ns - begin_ns
            yield self._shot(unit, seen.is_key, begun_ns + media_ns)

    def _seek(self, begun_ns: int) -> int | None:
        """On resuming, go to the key frame before the position; returns what pts count from, if it went."""
        reader = self._reader
        elapsed_ns = self._clock.monotonic_ns() - self.start.mono_ns if not self._spec.is_patient else 0
        target_ns = max(self._resume_ns, elapsed_ns) - begun_ns
        if not self._is_catching_up or self._recorded is not None or target_ns <= 0:
            return None
        begin_ns = self._begin_ns(reader.ns_of(reader.stream.start_time or 0))
        return begin_ns if self._go_to(reader.ticks_of(begin_ns + target_ns)) else None

    def _begin_ns(self, first_ns: int) -> int:
        """What the pts of a pass count from: where the recording begins or, if that is nowhere, its first frame.

        MKV and MP4 begin at 0, so a video that starts later does. Other containers begin anywhere, and so does a piece
        of a longer recording.
        """
        names = self._reader.container.format.name.split(",")
        return 0 if {"matroska", "mp4"} & set(names) and 0 <= first_ns < LATEST_FIRST_NS else first_ns

    def _shot(self, unit: Unit, is_key: bool, media_ns: int) -> Shot:
        arrival_ns = self._clock.monotonic_ns()
        if not self._spec.is_patient:  # it comes when it is due or, where decoding falls behind, when it is there
            arrival_ns = max(arrival_ns, self.start.mono_ns + media_ns)
        start = self.start
        base_ns = None if self._spec.is_patient else start.utc_ns - start.mono_ns  # else it is of no present
        seen = Observation(
            -1, arrival_ns, media_ns, start.utc_ns + media_ns, "pts", is_key, doubt_ns=start.doubt_ns,
            utc_less_mono_ns=base_ns,
        )  # fmt: skip
        return Shot(picture_of(unit, self._spec), seen, media_ns)

    def _last_period_ns(self, length_ns: int) -> int:
        """How long the last frame of a pass lasts, before the loop begins anew."""
        if self._recorded is not None and len(self._recorded) > 1:
            return length_ns // (len(self._recorded) - 1)
        return round(NS_PER_S / (float(self._reader.stream.average_rate or 0) or self._reader.fps))

    def close(self) -> None:
        """Close the file."""
        self._reader.container.close()
