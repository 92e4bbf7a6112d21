"""What a recorder writes a segment with, whatever it lies in: pictures, and what lies beside, batch by batch."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from msgspec import Struct

from syncsvc import nal
from syncsvc.layout import Layout
from syncsvc.model import Frame
from syncsvc.recording.picture_times import with_time

PART: Final = ".part"
"""What the name of a segment ends with that is not whole."""
MCAP: Final = ".mcap"
_NUMBER = re.compile(r"([0-9]{6})(\.mcap)?(\.part)?")


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

    @property
    def timed_data(self) -> bytes:
        """Its data, with the time in it where its codec has a place for that."""
        name = codec_name(self.layout)
        return with_time(self.data, name, self.time_ns) if name in nal.CODECS and self.time_ns >= 0 else self.data


@dataclass(slots=True, kw_only=True)
class Film:
    """One stream's pictures in a segment; ``raw`` is what its frames look like under ``batch/``."""

    layout: Layout
    raw: Layout
    is_ours: bool
    frames: int = 0
    last_ns: int = -1

    def takes(self, take: Take) -> bool:
        """Whether a picture can go on in this film: same codec, same size, later."""
        return take.is_ours == self.is_ours and is_alike(self.layout, take.layout) and take.time_ns > self.last_ns

    def count(self, take: Take) -> int:
        """A picture is added; its number in the film."""
        number, self.frames, self.last_ns = self.frames, self.frames + 1, take.time_ns
        return number


def is_alike(one: Layout, other: Layout) -> bool:
    """Whether pictures of both go into one film; parameter sets of H.264 and H.265 come with their key frames."""
    return (
        one is other
        or one == other
        or (
            codec_name(one) in nal.CODECS
            and (codec_name(one), one.width, one.height, one.rotation)
            == (codec_name(other), other.width, other.height, other.rotation)
        )
    )


def codec_name(layout: Layout) -> str:
    """What coded pictures are coded with; empty of others."""
    return layout.codec.name if layout.codec else ""


class SegmentWriter(Protocol):
    """A part of a recording that plays by itself, while it is written; ``path`` is where it lies at the end."""

    path: Path
    sets: int
    """How many there are in it."""

    @property
    def films(self) -> Mapping[str, Film]:
        """Of each stream that has a picture in it."""
        ...

    @property
    def size_bytes(self) -> int:
        """Of what is on the disk."""
        ...

    def begin(self, take: Take) -> Film | None:
        """A film for the stream of this picture, its first; None where nothing here takes its codec."""
        ...

    def put(self, take: Take) -> int:
        """Add a picture to its stream's film, which takes it; its number there."""
        ...

    def note_set(
        self, streams: Sequence[str], window_start_ns: int, spread_ns: int, frames: Sequence[int | None]
    ) -> None:
        """Add a set: of each of the streams the number of its frame in its film, or None."""
        ...

    def note(self, group: str, line: bytes, emitted_ns: int) -> None:
        """Add a header of a group or a gap as a line of JSON, and when it came, UTC."""
        ...

    def commit(self) -> None:
        """Bring everything to the disk that was added.

        Raises:
            DiskFull: nothing of it is there; to be tried again.
            NotRecorded: it cannot be written at all.
        """
        ...

    def finish(self) -> None:
        """It is whole, and nothing waits: let it be seen where it belongs. Errors as of ``commit``."""
        ...


def next_number(folder: Path) -> int:
    """Of the first segment that is not there yet."""
    names = (one.name for one in folder.iterdir()) if folder.exists() else ()
    return max((int(match[1]) for name in names if (match := _NUMBER.fullmatch(name))), default=0) + 1


def is_segment_name(name: str, suffix: str | None = None) -> bool:
    """Whether something of that name is a segment, finished or not; ``suffix``: only where its kind has that one."""
    match = _NUMBER.fullmatch(name)
    return match is not None and suffix in (None, match[2] or "")
