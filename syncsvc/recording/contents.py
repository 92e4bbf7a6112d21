"""What a recording holds, whatever it lies in: who replays or checks one reads folders and MCAP files alike."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from syncsvc.layout import Layout
from syncsvc.model import ClockClass, FrameBatch, Gap
from syncsvc.wire import GroupTerms


class StoredPicture(Struct, frozen=True):
    """One picture as it lies there.

    ``frame`` counts in the stream's file, ``seq`` and ``time_ns`` (UTC) are those of the frame that it is. ``data`` is
    a payload of ``layout``, which is ``encoded``: Annex B of H.264 and H.265, each key frame with its
    parameter sets, without the times that the recorder put there. ``is_ours``: the recorder coded it, so it refers to
    the picture before it in the file, whatever ``seq`` says, and the service had no coded picture.
    """

    stream: str
    frame: int
    seq: int
    time_ns: int
    is_key: bool
    layout: Layout
    data: bytes
    is_ours: bool = False


class StoredBatch(Struct, frozen=True):
    """One batch as it was served, its frames without payloads.

    ``layouts`` and ``clocks`` are what its header says of its streams, also of those without a frame, as far as
    anything was known.
    """

    batch: FrameBatch
    layouts: Mapping[str, Layout]
    clocks: Mapping[str, ClockClass]


class StoredSegment(Protocol):
    """A part of a recording that plays by itself."""

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        ...

    @property
    def is_finished(self) -> bool:
        """Whether its recorder was done with it; otherwise it was cut off, or is still being written."""
        ...

    def batches(self) -> Iterator[StoredBatch | Gap]:
        """What was recorded, in the order in which it came.

        Raises:
            RecordingBroken: something there is not what it should be; the message names file and line.
        """
        ...

    def pictures(self, stream: str) -> Iterator[StoredPicture]:
        """The pictures of a stream, in the order of their file; nothing where it has none.

        Raises:
            RecordingBroken: its file cannot be read, or not from here on.
        """
        ...


class StoredRecording(Protocol):
    """All segments of a recording, oldest first."""

    @property
    def place(self) -> str:
        """The folder or file."""
        ...

    @property
    def groups(self) -> Mapping[str, GroupTerms]:
        """What the groups promised whose batches are in there."""
        ...

    @property
    def segments(self) -> Sequence[StoredSegment]:
        """Each plays by itself; what plays in several goes on in the next without a seam."""
        ...
