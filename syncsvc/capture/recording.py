"""One recording in a container, read from its beginning or from near a place in it, again and again."""

import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.format import Flags
from msgspec import structs

from syncsvc.capture.beside import tell_of_b_frames
from syncsvc.capture.decode import Demuxer, OpenInput, Sighting, Unit, describe, open_container, video_of
from syncsvc.capture.first_look import FirstLook, look_through
from syncsvc.capture.placement import LEAST_JUMP_NS, LONGEST_PAUSE_NS, FilmPlace, Placement, PresentationTimes
from syncsvc.capture.readers import reader_of
from syncsvc.capture.source import Loss, Pulse
from syncsvc.capture.spec import FileSpec, Recorded
from syncsvc.capture.stamps import of_date
from syncsvc.capture.wholeness import missing_bytes
from syncsvc.clock import NS_PER_S, Clock
from syncsvc.errors import RecordingBroken, SourceUnavailable

LATEST_FIRST_NS = 60 * NS_PER_S
"""A first frame that is later than this belongs to a longer recording, of which the file is a piece."""

_LONGEST_BOUNDARY = 80

_B_FRAMES = (
    "has B-frames, whose order is not that of their times, so it cannot be played with `pixels: encoded`; take other "
    "pixels, or encode it without them (ffmpeg: -bf 0)"
)
_INVENTED = (
    "has no timestamps of its own, and is played at a rate that is a guess; give them with `timestamps`, "
    "or remux it to mp4 or mkv"
)
_TIMELESS = "has no timestamps of its own; give them with `timestamps`, or remux it to mp4 or mkv"


class FilmFrame(NamedTuple):
    """A frame that was read; ``place`` is None where it has no time of its own."""

    unit: Unit
    is_key: bool
    place: FilmPlace | None


class Recording(Protocol):
    """What a file source plays."""

    @property
    def recorded(self) -> Recorded:
        """When it was made, as it says itself."""
        ...

    @property
    def declared_fps(self) -> float | None:
        """The rate that it declares; None where it does not."""
        ...

    @property
    def fps(self) -> float:
        """Its rate, or a guess on the high side."""
        ...

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, as far as they are known before a picture is read."""
        ...

    @property
    def times_ns(self) -> list[int]:
        """Of all frames, rising, where they are known before; else empty."""
        ...

    @property
    def period_ns(self) -> int:
        """How long a frame lasts."""
        ...

    def play(self, near_ns: int) -> Iterator[FilmFrame | Loss]:
        """Its frames, in the order of showing: from the beginning, or from not later than a place that is not 0.

        Raises:
            RecordingBroken: what is left of it cannot be read.
        """
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class ContainerRecording:
    """A file that libav reads."""

    def __init__(self, spec: FileSpec, clock: Clock, pulse: Pulse) -> None:
        """Open it.

        Raises:
            RecordingBroken: it is no recording, or none that can be played like this.
        """
        self._spec, self._clock, self._pulse = spec, clock, pulse
        self._looked: tuple[object, FirstLook] = None, FirstLook()
        self._is_fresh = True
        self._open()

    @property
    def recorded(self) -> Recorded:
        """By its container's date: mp4 in whole seconds, mkv to the microsecond."""
        container = self._reader.container
        created = of_date(container.metadata.get("creation_time", ""))
        if created is None or not container.duration or container.duration < 0:
            return Recorded()
        doubt_ns = created.doubt_ns
        if created.utc_ns % NS_PER_S == 0:  # libavformat writes mp4's whole seconds with six zeros
            doubt_ns = NS_PER_S
        length_ns = container.duration * NS_PER_S // av.time_base
        return Recorded(created_ns=created.utc_ns, doubt_ns=doubt_ns, length_ns=length_ns)

    @property
    def declared_fps(self) -> float | None:
        """As the container or the codec says."""
        return self._reader.declared_fps

    @property
    def fps(self) -> float:
        """Declared, or a guess on the high side."""
        return self._reader.fps

    @property
    def size(self) -> tuple[int, int]:
        """As the container or its codec says."""
        context = self._reader.stream.codec_context
        return context.width, context.height

    @property
    def times_ns(self) -> list[int]:
        """By the container's table of frames."""
        return sorted(self._reader.ns_of(entry.timestamp) for entry in self._index())

    @property
    def period_ns(self) -> int:
        """By the declared rate."""
        return round(NS_PER_S / self.fps)

    def _open(self) -> None:
        self._opened = self._version()
        try:
            self._read(self._container())
        except SourceUnavailable as error:
            raise RecordingBroken(self._spec.path, error.problem) from error

    def _container(self) -> InputContainer:
        return open_container(self._spec.name, f"file:{self._spec.path}", {}, None, self._pulse)

    def _read(self, container: InputContainer) -> None:
        look = self._look_through(container)
        order = PresentationTimes() if look.is_decoding_order else None
        opened = OpenInput(self._spec.name, container, self._pulse, self._clock, turn=look.turn, presentation=order)
        spec = self._spec
        if look.has_b_frames and spec.coded:  # known before a packet comes, also where times do not show it
            spec = structs.replace(spec, coded=False)
            tell_of_b_frames(spec.name)
        self._reader: Demuxer = reader_of(spec, opened)

    def _look_through(self, container: InputContainer) -> FirstLook:
        """Look at the first packets of one that is opened beside it, where there is something to see."""
        version, look = self._looked
        if version == self._opened:
            return look
        look, video = FirstLook(), video_of(container)
        if video is not None and (context := video.codec_context) is not None:
            is_coded = self._spec.pixels == "encoded" or self._spec.coded or context.name == "mjpeg"
            if is_coded or context.has_b_frames:
                with self._container() as beside:
                    look = look_through(beside, self._pulse, is_coded=is_coded, max_pixels=self._spec.max_pixels)
        self._looked = self._opened, look
        if look.has_b_frames and self._spec.pixels == "encoded":
            raise RecordingBroken(self._spec.path, _B_FRAMES)
        return look

    def _index(self) -> list[Any]:
        """The container's table of frames, where it lists every frame (MP4 does, Matroska lists key frames only)."""
        stream = self._reader.stream
        entries = list(stream.index_entries)
        return entries if stream.frames and len(entries) >= stream.frames else []

    def play(self, near_ns: int) -> Iterator[FilmFrame | Loss]:
        """See ``Recording``."""
        if not self._is_fresh:
            self._rewind()
        self._is_fresh = False
        placement, is_invented = Placement(self.period_ns, self._most_ns), Flags.no_timestamps in self._flags
        try:
            begin_ns, items = self._near(near_ns)
            for item in items:
                if isinstance(item, Loss):
                    yield item
                    continue
                unit, seen = item
                place = None
                if seen.pts_ns is not None:
                    if begin_ns is None:
                        begin_ns = self._begin_ns(seen.pts_ns)
                    place = placement.place(seen.pts_ns - begin_ns)
                    if is_invented:
                        place = place._replace(doubt_ns=NS_PER_S, why=_INVENTED)
                elif begin_ns is None and self._reader.first_ns is None and not self._spec.timestamps:
                    raise RecordingBroken(self._spec.path, _TIMELESS)
                yield FilmFrame(unit, seen.is_key, place)
        except SourceUnavailable as error:
            if not self._has_only_a_boundary_left():
                self._break_off(f"breaks off: {describe(error.__cause__ or error)}")
        with suppress(OSError):
            if missing := missing_bytes(Path(self._spec.path)):
                self._break_off(f"breaks off: the file lacks {missing:,} bytes of what it says itself")

    def _break_off(self, problem: str) -> None:
        """What is left cannot be read; where another file was put in its place, that is why, and no fault."""
        if self._opened == self._version():
            raise RecordingBroken(self._spec.path, problem)

    def _has_only_a_boundary_left(self) -> bool:
        """Whether it is MJPEG whose last part somebody meant to be followed: that is how such recordings end."""
        with suppress(OSError), Path(self._spec.path).open("rb") as file:
            file.seek(self._reader.read_to)
            rest = file.read(_LONGEST_BOUNDARY + 1).strip()
            return len(rest) <= _LONGEST_BOUNDARY and rest.startswith(b"--") and b"\n" not in rest
        return False

    @property
    def _most_ns(self) -> int:
        """How far apart two of its frames may be."""
        return LEAST_JUMP_NS if Flags.ts_discont in self._flags else LONGEST_PAUSE_NS

    @property
    def _flags(self) -> Flags:
        """What libavformat knows of its container."""
        return Flags(self._reader.container.format.flags)

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
        except (FFmpegError, OverflowError):
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

    def _near(self, near_ns: int) -> tuple[int | None, Iterator[Sighting]]:
        """What pts count from, where that is known, and what follows the key frame before a place.

        All from the first, where its times must be sorted, or where another place was found than was sought: libav
        gets lost where times jump.
        """
        reader, (_, look) = self._reader, self._looked
        if near_ns <= 0 or look.is_decoding_order:
            return None, reader.frames()
        begin_ns = self._begin_ns(reader.ns_of(reader.stream.start_time or 0))
        if self._go_to(reader.ticks_of(begin_ns + near_ns)):
            items, found = self._reader.frames(), list[Sighting]()
            for item in items:
                found.append(item)
                if isinstance(item, Loss) or item[1].pts_ns is None:
                    continue
                if -self._most_ns <= item[1].pts_ns - begin_ns - near_ns <= self.period_ns:
                    return begin_ns, chain(found, items)
                break
            self._open_anew()
        return None, self._reader.frames()

    def _begin_ns(self, first_ns: int) -> int:
        """What the pts of a pass count from: where the recording begins or, if that is nowhere, its first frame.

        MKV and MP4 begin at 0, so a video that starts later does. Other containers begin anywhere, and so does a piece
        of a longer recording.
        """
        names = self._reader.container.format.name.split(",")
        return 0 if {"matroska", "mp4"} & set(names) and 0 <= first_ns < LATEST_FIRST_NS else first_ns

    def close(self) -> None:
        """Close the file."""
        self._reader.container.close()
