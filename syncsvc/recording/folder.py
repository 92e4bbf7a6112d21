"""A recording in a folder, read as it was written: one segment, or numbered ones that follow each other."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from syncsvc.capture.decode import OpenInput, open_container
from syncsvc.capture.passthrough import PassThrough
from syncsvc.capture.source import Loss, Picture
from syncsvc.clock import SYSTEM_CLOCK
from syncsvc.config.loader import load
from syncsvc.config.models import Config, FileStream
from syncsvc.errors import ConfigError, RecordingBroken, SourceUnavailable, UsageError
from syncsvc.layout import RAW_FORMATS
from syncsvc.model import Gap
from syncsvc.recording.contents import Filmed, Leftover, SetLine, StoredBatch, StoredPicture, TimeLine, Told, merged
from syncsvc.recording.folder_writer import UNFINISHED
from syncsvc.recording.picture_times import stored_picture
from syncsvc.recording.segment import is_segment_name
from syncsvc.recording.sidecars import BATCHES, SETS, TIMES, is_cut_off, read_batches, read_sets, read_times
from syncsvc.transport.page import Position
from syncsvc.wire import Carries, GroupTerms

CONFIG = "recording.yaml"
VIDEO_SUFFIXES = (".mp4", ".mkv")
_FILES: Mapping[Told, str] = {"times": TIMES, "sets": SETS, "batches": BATCHES}
_FINISHED = re.compile(r"[0-9]{6}")


class FolderSegment:
    """One folder with a file per stream, and what lies beside them."""

    def __init__(self, path: Path, *, is_finished: bool) -> None:
        self.path, self.place, self.is_finished = path, str(path), is_finished

    @cached_property
    def config(self) -> Config:
        """What ``syncsvc run`` would play it with.

        Raises:
            RecordingBroken: there is none, or it is refused.
        """
        try:
            return load(self.path / CONFIG, files=False)
        except ConfigError as error:
            raise RecordingBroken(error.file, error.problem, line=error.line, key=error.key) from error

    @property
    def groups(self) -> Mapping[str, GroupTerms]:
        """What its groups promised; their streams are those of their first batch, also where one has no file."""
        if not self.has_files:
            return {}
        left, found = dict(self.config.groups), dict[str, GroupTerms]()
        for item in self.batches():
            if isinstance(item, StoredBatch) and (group := left.pop(item.batch.group, None)) is not None:
                carries: dict[str, Carries] = {name: self.config.streams[name].carries for name in group.streams}
                found[item.batch.group] = GroupTerms(
                    tuple(item.batch.frames), group.window_ms, group.max_skew_ms, group.max_latency_ms, carries
                )
            if not left:
                break
        return found

    @property
    def streams(self) -> tuple[str, ...]:
        """Those that have a file."""
        if not self.has_files:
            return ()
        return tuple(name for name in self.config.streams if self.file_of(name) is not None)

    @property
    def absent_files(self) -> list[str]:
        """Files of pictures that it should have, and has not."""
        if not (self.path / CONFIG).exists():
            return []
        files = {name: stream.path for name, stream in self.config.streams.items() if isinstance(stream, FileStream)}
        return [f"{self.path / path.name}" for name, path in files.items() if self.file_of(name) is None]

    @property
    def has_files(self) -> bool:
        """Whether there is any picture, or word of one: before the first a recorder has nothing to configure."""
        return (self.path / CONFIG).exists() or any(one.suffix in VIDEO_SUFFIXES for one in self.path.iterdir())

    def file_of(self, stream: str) -> Path | None:
        """A stream's file; None where it has none."""
        paths = (self.path / f"{stream}{suffix}" for suffix in VIDEO_SUFFIXES)
        return next((path for path in paths if path.is_file()), None)

    def batches(self) -> Iterator[StoredBatch | Gap]:
        """See ``StoredSegment``."""
        return read_batches(self.path / BATCHES)

    def times(self) -> Iterator[TimeLine]:
        """What ``times.csv`` says of every frame; errors as for ``batches``."""
        return read_times(self.path / TIMES)

    def sets(self) -> Iterator[SetLine]:
        """What ``sets.csv`` says, which is not there before the first set."""
        path = self.path / SETS
        return read_sets(path) if path.exists() else iter(())

    def place_of(self, told: Told) -> str:
        """See ``CheckedSegment``."""
        return str(self.path / _FILES[told])

    def film_of(self, stream: str) -> str | None:
        """See ``CheckedSegment``."""
        path = self.file_of(stream)
        return str(path) if path is not None else None

    def leftovers(self) -> Iterator[Leftover]:
        """See ``CheckedSegment``."""
        for path in (self.path / name for name in _FILES.values()):
            if path.exists() and is_cut_off(path):
                yield Leftover(str(path), "ends within a line, which is left out", is_end=True)

    def filmed(self, stream: str) -> Iterator[Filmed]:
        """The pictures of a stream's file, with the times that ride in them.

        Raises:
            RecordingBroken: it cannot be read, or not from here on.
        """
        path = self.file_of(stream)
        if path is None:
            return
        number, is_ours = 0, self.is_coded_here(stream)
        try:
            with open_container(stream, str(path), {}, None, _watch_nothing) as container:
                for item in PassThrough(OpenInput(stream, container, _watch_nothing, SYSTEM_CLOCK)).frames():
                    if isinstance(item, Loss):
                        if item.cause != "network_loss":  # it stands for what is not there
                            yield Filmed(number, None, False, None, b"", item.cause)
                            number += 1
                        continue
                    picture, seen = item
                    assert isinstance(picture, Picture), "nothing was decoded"
                    data = _bytes_of(picture)
                    yield Filmed(number, seen.pts_ns, seen.is_key, picture.layout, data, is_ours=is_ours)
                    number += 1
        except SourceUnavailable as error:
            raise RecordingBroken(str(path), f"cannot be read beyond picture {number}: {error.problem}") from error

    def pictures(self, stream: str) -> Iterator[StoredPicture]:
        """See ``StoredSegment``: those that ``times.csv`` tells of."""
        lines = {line.frame: line for line in self.times() if line.stream == stream}
        for film in self.filmed(stream):
            line = lines.get(film.frame)
            if line is not None and film.layout is not None:
                yield stored_picture(film, film.layout, line)

    def is_coded_here(self, stream: str) -> bool:
        """Whether the recorder made a stream's pictures of pixels, since none came coded."""
        settings = self.config.streams.get(stream)
        return settings is not None and settings.pixels in RAW_FORMATS and not settings.coded


class FolderRecording:
    """The segments of a folder, oldest first."""

    def __init__(self, path: Path) -> None:
        """Look through it.

        Raises:
            UsageError: it is no folder, or no recording.
        """
        self.place = str(path)
        if not path.is_dir():
            raise UsageError(f"{path}: found {'a file' if path.exists() else 'nothing'}; allowed: a folder that "
                             "`syncsvc record` wrote")  # fmt: skip
        found = sorted(one for one in path.iterdir() if one.is_dir() and is_segment_name(one.name))
        parts = [one for one in found if (one / BATCHES).exists()]
        if (path / BATCHES).exists():
            parts.insert(0, path)
        if not parts:
            raise UsageError(f"{path}: found no recording in it ({BATCHES} is missing); allowed: a folder that "
                             "`syncsvc record` wrote")  # fmt: skip
        self.segments: Sequence[FolderSegment] = [
            FolderSegment(one, is_finished=_is_finished(one, path)) for one in parts
        ]

    @property
    def absent_files(self) -> list[str]:
        """Those of all segments."""
        return [file for segment in self.segments for file in segment.absent_files]

    @property
    def groups(self) -> Mapping[str, GroupTerms]:
        """See ``StoredRecording``."""
        return self._groups

    @cached_property
    def _groups(self) -> Mapping[str, GroupTerms]:
        return merged(segment.groups for segment in self.segments)


def _is_finished(segment: Path, folder: Path) -> bool:
    """Whether a segment is where it belongs; one that is the whole folder says so by what no longer lies in it."""
    has_name = segment == folder or _FINISHED.fullmatch(segment.name) is not None
    return has_name and not (segment / UNFINISHED).exists()


def _watch_nothing(position: Position) -> None:
    """Nobody watches who reads a file for himself."""


def _bytes_of(picture: Picture) -> bytes:
    data = np.empty(picture.size_bytes, np.uint8)
    picture.write(data)
    return data.tobytes()
