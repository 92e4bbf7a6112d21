"""Recordings that are pictures on disk, one file each, played at a rate."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from syncsvc.capture.decode import Demuxer, OpenInput, Sighting, open_container
from syncsvc.capture.placement import LONGEST_PAUSE_NS, Placement
from syncsvc.capture.readers import reader_of
from syncsvc.capture.recording import FilmFrame
from syncsvc.capture.source import Loss, Pulse
from syncsvc.capture.spec import FileSpec, Recorded
from syncsvc.clock import NS_PER_S, Clock
from syncsvc.config.picture_files import PictureFile, pictures_of
from syncsvc.errors import RecordingBroken, SourceUnavailable

DEFAULT_FPS = 25.0


class PictureSequence:
    """Pictures at a rate; a number that is missing leaves its place empty, up to an hour: then it goes on without."""

    def __init__(self, spec: FileSpec, clock: Clock, pulse: Pulse) -> None:
        """Look which there are.

        Raises:
            RecordingBroken: none, or the first is no picture.
        """
        self._spec, self._clock, self._pulse = spec, clock, pulse
        self._fps = spec.fps or DEFAULT_FPS
        path = self._found()[0].path
        try:
            reader = self._open(path)
        except SourceUnavailable as error:
            raise RecordingBroken(str(path), error.problem) from error
        self._size = reader.stream.codec_context.width, reader.stream.codec_context.height
        reader.container.close()

    @property
    def recorded(self) -> Recorded:
        """Pictures do not say when the sequence was made."""
        return Recorded()

    @property
    def declared_fps(self) -> float | None:
        """As configured."""
        return self._fps

    @property
    def fps(self) -> float:
        """As configured."""
        return self._fps

    @property
    def size(self) -> tuple[int, int]:
        """Of the first picture."""
        return self._size

    @property
    def times_ns(self) -> list[int]:
        """They follow from the rate."""
        return []

    @property
    def period_ns(self) -> int:
        """By the rate."""
        return round(NS_PER_S / self._fps)

    def _found(self) -> list[PictureFile]:
        try:
            found = pictures_of(Path(self._spec.path))
        except OSError as error:
            raise RecordingBroken(self._spec.path, f"cannot be read: {error.strerror}") from error
        if not found:
            raise RecordingBroken(self._spec.path, "there is no picture")
        return found

    def _open(self, path: Path) -> Demuxer:
        container = open_container(self._spec.name, f"file:{path}", {}, None, self._pulse)
        return reader_of(self._spec, OpenInput(self._spec.name, container, self._pulse, self._clock))

    def play(self, near_ns: int) -> Iterator[FilmFrame | Loss]:
        """See ``Recording``: a file that is no picture is lost, and takes its place."""
        placement = Placement(self.period_ns, LONGEST_PAUSE_NS)
        for number, path in self._found():
            place = placement.place(round(number * NS_PER_S / Fraction(self._fps)))  # exact, for dates too
            if place.at_ns + self.period_ns < near_ns:
                continue
            try:
                found = self._picture(path)
            except SourceUnavailable as error:
                found = Loss("decode_error", f"{path.name} {error.problem}")
            yield found if isinstance(found, Loss) else FilmFrame(found[0], True, place)

    def _picture(self, path: Path) -> Sighting:
        """The picture of one file; of one that has several, the first."""
        reader = self._open(path)
        try:
            return next(reader.frames(), Loss("decode_error"))
        finally:
            reader.container.close()

    def close(self) -> None:
        """Nothing is open between two pictures."""
