"""One segment while it is written: a film per stream, and what lies beside, which all grow by one batch at a time."""

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from msgspec import Struct

from syncsvc import nal
from syncsvc.appending import GrowingFile, grow
from syncsvc.layout import RAW_FORMATS, Layout
from syncsvc.model import Frame
from syncsvc.recording.containers import Container, Sample, container_of
from syncsvc.recording.picture_times import with_time
from syncsvc.recording.sidecar_lines import TIMES_HEAD, held_line, sets_head, time_line
from syncsvc.wire import GroupTerms

UNFINISHED: Final = ".unfinished"
"""Lies in a folder whose recorder is at work, or was killed."""
PART: Final = ".part"
_NUMBER = re.compile(r"([0-9]{6})(\.part)?")


class Take(Struct, frozen=True):
    """A frame's picture as it is kept: ``data`` is one of ``layout``, jpeg or encoded.

    ``is_ours``: the recorder coded it. ``held_ns`` is the time of the set that it fills, where it is there again.
    """

    frame: Frame
    layout: Layout
    data: bytes
    is_key: bool
    is_ours: bool
    held_ns: int | None = None

    @property
    def time_ns(self) -> int:
        """When it is shown, UTC."""
        return self.frame.time_ns if self.held_ns is None else self.held_ns


@dataclass(slots=True)
class Film:
    """One stream's file; ``raw`` is what its frames look like under ``batch/``."""

    layout: Layout
    raw: Layout
    container: Container
    file: GrowingFile
    is_ours: bool
    frames: int = 0
    last_ns: int = -1
    samples: list[Sample] = field(default_factory=list)

    def takes(self, take: Take) -> bool:
        """Whether a picture can go on in this file: same codec, same size, later."""
        return take.is_ours == self.is_ours and is_alike(self.layout, take.layout) and take.time_ns > self.last_ns


def is_alike(one: Layout, other: Layout) -> bool:
    """Whether pictures of both go into one file; parameter sets of H.264 and H.265 come with their key frames."""
    return one == other or (
        _codec_name(one) in nal.CODECS
        and (_codec_name(one), one.width, one.height, one.rotation)
        == (_codec_name(other), other.width, other.height, other.rotation)
    )


def _codec_name(layout: Layout) -> str:
    return layout.codec.name if layout.codec else ""


class Segment:
    """A folder that plays by itself.

    Args:
        path: where it lies at the end; ``working`` is where meanwhile.
        base_ns: the zero of all its films, UTC; no frame is older.
        terms: what the groups promise.
    """

    def __init__(self, path: Path, working: Path, base_ns: int, terms: Mapping[str, GroupTerms]) -> None:
        self.path, self.working, self.base_ns, self._terms = path, working, base_ns, terms
        self.films: dict[str, Film] = {}
        self._times, self._sets, self._batches, self._mark = (
            GrowingFile(working / name) for name in ("times.csv", "sets.csv", "batches.jsonl", UNFINISHED)
        )
        self._times.add(TIMES_HEAD)
        self._mark.add(b"\n" if working == path else b"")
        self.set_streams: tuple[str, ...] = ()
        self.sets = 0
        self._configured = 0

    @property
    def size_bytes(self) -> int:
        """Of what is on the disk."""
        return sum(file.size_bytes for file in self._files())

    def _files(self) -> Sequence[GrowingFile]:
        """In the order in which they are written: a batch whose header is there is there."""
        return (self._mark, *(film.file for film in self.films.values()), self._times, self._sets, self._batches)

    def begin(self, take: Take) -> Film | None:
        """A file for the stream of this picture, its first; None where no container takes its codec."""
        container = container_of(take.layout)
        if container is None:
            return None
        stream = take.frame.stream
        file = GrowingFile(self.working / f"{stream}.{container.suffix}", has_boxes=True)
        film = Film(take.layout, take.frame.layout, container, file, take.is_ours)
        return self.films.setdefault(stream, film)

    def put(self, film: Film, take: Take) -> int:
        """Add a picture; its number in the file."""
        number, film.frames, film.last_ns = film.frames, film.frames + 1, take.time_ns
        name, data = _codec_name(take.layout), take.data
        if name in nal.CODECS and take.time_ns >= 0:
            data = with_time(data, name, take.time_ns)
        film.samples.append(Sample(max(0, take.time_ns - self.base_ns), take.is_key, data))
        held_ns, frame = take.held_ns, take.frame
        self._times.add(time_line(frame, number) if held_ns is None else held_line(frame, number, held_ns))
        return number

    def note_set(self, streams: Sequence[str], line: bytes) -> None:
        """Add a set's line; the columns are those of the streams of the first group that has one."""
        if not self.set_streams:
            self.set_streams = tuple(streams)
            self._sets.add(sets_head(streams))
        self._sets.add(line)
        self.sets += 1

    def note(self, line: bytes) -> None:
        """Add a line to ``batches.jsonl``."""
        self._batches.add(line)

    def commit(self) -> None:
        """Bring everything to the disk that was added.

        Raises:
            DiskFull: nothing of it is there; to be tried again.
        """
        for film in self.films.values():
            if film.samples:
                film.file.add(film.container.piece(film.samples))
                film.samples = []
        if len(self.films) > self._configured:
            config = GrowingFile(self.working / "recording.yaml.new")
            config.add(self._yaml().encode())
            try:
                grow(self.working, [config])
                os.replace(config.path, self.working / "recording.yaml")
            finally:
                config.close()
            self._configured = len(self.films)
        grow(self.working, self._files())

    def finish(self) -> None:
        """It is whole: let it be seen where it belongs."""
        for file in self._files():
            file.close()
        if self.working != self.path:
            self.working.rename(self.path)
        else:
            with suppress(FileNotFoundError):
                (self.path / UNFINISHED).unlink()

    def _yaml(self) -> str:
        """The configuration with which ``syncsvc run`` plays it."""
        streams = {name: _played(name, film) for name, film in self.films.items()}
        groups: dict[str, Any] = {}
        for name, terms in self._terms.items():
            if members := [stream for stream in terms.streams if stream in streams]:
                groups[name] = {
                    "streams": members, "window_ms": terms.window_ms, "max_skew_ms": terms.max_skew_ms,
                    "max_latency_ms": terms.max_latency_ms,
                }  # fmt: skip
        text: str = yaml.safe_dump({"streams": streams, "groups": groups}, sort_keys=False)
        return text


def _played(name: str, film: Film) -> dict[str, Any]:
    """How a stream is configured that plays its film."""
    raw = film.raw
    keys: dict[str, Any] = {"url": f"file:{name}.{film.container.suffix}", "timestamps": "times.csv", "clock": "pts",
                            "pixels": raw.format}  # fmt: skip
    if raw.format in RAW_FORMATS:
        keys["coded"] = not film.is_ours
        if (raw.width, raw.height) != (film.layout.width, film.layout.height):
            keys["size"] = [raw.width, raw.height]
    return keys


def next_number(folder: Path) -> int:
    """Of the first segment that is not there yet."""
    numbers = [int(match[1]) for one in folder.iterdir() if (match := _NUMBER.fullmatch(one.name))]
    return max(numbers, default=0) + 1


def is_segment_name(name: str) -> bool:
    """Whether a folder of that name is a segment, finished or not."""
    return _NUMBER.fullmatch(name) is not None
