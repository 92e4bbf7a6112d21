"""One folder while it is written: a film per stream, and what lies beside, which all grow by one batch at a time."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from syncsvc.appending import GrowingFile, grow
from syncsvc.layout import RAW_FORMATS
from syncsvc.recording.containers import Container, Sample, container_of
from syncsvc.recording.segment import Film, Take
from syncsvc.recording.sidecar_lines import TIMES_HEAD, held_line, set_line, sets_head, time_line
from syncsvc.wire import GroupTerms

UNFINISHED: Final = ".unfinished"
"""Lies in a folder whose recorder is at work, or was killed."""


@dataclass(slots=True, kw_only=True)
class FilmFile(Film):
    """One stream's file."""

    container: Container
    file: GrowingFile
    samples: list[Sample] = field(default_factory=list)


class FolderWriter:
    """A folder that plays by itself; see ``SegmentWriter``.

    Args:
        path: where it lies at the end; ``working`` is where meanwhile.
        base_ns: the zero of all its films, UTC; no frame is older.
        terms: what the groups promise.
    """

    def __init__(self, path: Path, working: Path, base_ns: int, terms: Mapping[str, GroupTerms]) -> None:
        self.path, self.working, self.base_ns, self._terms = path, working, base_ns, terms
        self._films: dict[str, FilmFile] = {}
        self._times, self._sets, self._batches, self._mark = (
            GrowingFile(working / name) for name in ("times.csv", "sets.csv", "batches.jsonl", UNFINISHED)
        )
        self._times.add(TIMES_HEAD)
        self._mark.add(b"\n" if working == path else b"")
        self.set_streams: tuple[str, ...] = ()
        self.sets = 0
        self._configured = 0

    @property
    def films(self) -> Mapping[str, Film]:
        """See ``SegmentWriter``."""
        return self._films

    @property
    def size_bytes(self) -> int:
        """Of what is on the disk."""
        return sum(file.size_bytes for file in self._files())

    def _files(self) -> Sequence[GrowingFile]:
        """In the order in which they are written: a batch whose header is there is there."""
        return (self._mark, *(film.file for film in self._films.values()), self._times, self._sets, self._batches)

    def begin(self, take: Take) -> Film | None:
        """See ``SegmentWriter``."""
        container = container_of(take.layout)
        if container is None:
            return None
        stream = take.frame.stream
        file = GrowingFile(self.working / f"{stream}.{container.suffix}", has_boxes=True)
        film = FilmFile(layout=take.layout, raw=take.frame.layout, is_ours=take.is_ours, container=container, file=file)
        return self._films.setdefault(stream, film)

    def put(self, take: Take) -> int:
        """See ``SegmentWriter``."""
        held_ns, frame, film = take.held_ns, take.frame, self._films[take.frame.stream]
        number = film.count(take)
        film.samples.append(Sample(max(0, take.time_ns - self.base_ns), take.is_key, take.timed_data))
        self._times.add(time_line(frame, number) if held_ns is None else held_line(frame, number, held_ns))
        return number

    def note_set(
        self, streams: Sequence[str], window_start_ns: int, spread_ns: int, frames: Sequence[int | None]
    ) -> None:
        """See ``SegmentWriter``; the columns are those of the streams of the first group that has a set."""
        if not self.set_streams:
            self.set_streams = tuple(streams)
            self._sets.add(sets_head(streams))
        self._sets.add(set_line(self.sets, window_start_ns, spread_ns, frames))
        self.sets += 1

    def note(self, group: str, line: bytes, emitted_ns: int) -> None:
        """See ``SegmentWriter``; all groups are in one file."""
        self._batches.add(line)

    def commit(self) -> None:
        """See ``SegmentWriter``."""
        for film in self._films.values():
            if film.samples:
                film.file.add(film.container.piece(film.samples))
                film.samples = []
        if len(self._films) > self._configured:
            config = GrowingFile(self.working / "recording.yaml.new")
            config.add(self._yaml().encode())
            try:
                grow(self.working, [config])
                os.replace(config.path, self.working / "recording.yaml")
            finally:
                config.close()
            self._configured = len(self._films)
        grow(self.working, self._files())

    def finish(self) -> None:
        """See ``SegmentWriter``."""
        for file in self._files():
            file.close()
        if self.working != self.path:
            self.working.rename(self.path)
        else:
            with suppress(FileNotFoundError):
                (self.path / UNFINISHED).unlink()

    def _yaml(self) -> str:
        """The configuration with which ``syncsvc run`` plays it."""
        streams = {name: _played(name, film) for name, film in self._films.items()}
        groups: dict[str, Any] = {}
        for name, terms in self._terms.items():
            if members := [stream for stream in terms.streams if stream in streams]:
                groups[name] = {
                    "streams": members, "window_ms": terms.window_ms, "max_skew_ms": terms.max_skew_ms,
                    "max_latency_ms": terms.max_latency_ms,
                }  # fmt: skip
        text: str = yaml.safe_dump({"streams": streams, "groups": groups}, sort_keys=False)
        return text


def _played(name: str, film: FilmFile) -> dict[str, Any]:
    """How a stream is configured that plays its film."""
    raw = film.raw
    keys: dict[str, Any] = {"url": f"file:{name}.{film.container.suffix}", "timestamps": "times.csv", "clock": "pts",
                            "pixels": raw.format}  # fmt: skip
    if raw.format in RAW_FORMATS:
        keys["coded"] = not film.is_ours
        if (raw.width, raw.height) != (film.layout.width, film.layout.height):
            keys["size"] = [raw.width, raw.height]
    return keys
