"""What a recording holds, whatever it lies in: who replays or checks one reads folders and MCAP files alike."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from msgspec import Struct, structs

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


class TimeLine(Struct, frozen=True):
    """What is told of one frame's time; ``frame`` counts in the stream's file, ``line`` among what is told."""

    stream: str
    frame: int
    time_ns: int
    seq: int
    uncertainty_ns: int
    clock: str
    arrival_ns: int
    line: int = 0


class SetLine(Struct, frozen=True):
    """What is told of one set: by stream the number of its frame in its file; ``line`` as of a ``TimeLine``."""

    number: int
    window_start_ns: int
    spread_ns: int
    frames: Mapping[str, int]
    line: int = 0


class Filmed(NamedTuple):
    """One picture of a file as it lies there: ``at_ns`` is its time in the container, ``problem`` why it is none.

    ``is_ours``: as of a ``StoredPicture``.
    """

    frame: int
    at_ns: int | None
    is_key: bool
    layout: Layout | None
    data: bytes
    problem: str = ""
    is_ours: bool = False


class Leftover(NamedTuple):
    """What lies in a segment and is not read. ``is_end``: as a recorder that was killed leaves it."""

    place: str
    problem: str
    is_end: bool


Told = Literal["times", "sets", "batches"]
"""What is told beside the pictures."""


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


class CheckedSegment(StoredSegment, Protocol):
    """One that can be held against itself: what it tells of frames and sets, and its pictures as they lie there.

    Errors of all that reads are those of ``StoredSegment.batches``.
    """

    @property
    def streams(self) -> Sequence[str]:
        """Those that have pictures."""
        ...

    def place_of(self, told: Told) -> str:
        """Where that is told, for messages."""
        ...

    def film_of(self, stream: str) -> str | None:
        """Where a stream's pictures are, for messages; None where it has none."""
        ...

    def leftovers(self) -> Iterator[Leftover]:
        """What is not read, and why."""
        ...

    def times(self) -> Iterator[TimeLine]:
        """What is told of every frame that has a picture."""
        ...

    def sets(self) -> Iterator[SetLine]:
        """What is told of every set."""
        ...

    def filmed(self, stream: str) -> Iterator[Filmed]:
        """The pictures of a stream, with the times that ride in them; nothing where it has none."""
        ...


class CheckedRecording(StoredRecording, Protocol):
    """One of such segments."""

    @property
    def segments(self) -> Sequence[CheckedSegment]:
        """See ``StoredRecording``."""
        ...


def merged(parts: Iterable[Mapping[str, GroupTerms]]) -> Mapping[str, GroupTerms]:
    """What groups promised in several segments: the last word, and the streams of all."""
    found: dict[str, GroupTerms] = {}
    for name, terms in (one for groups in parts for one in groups.items()):
        if name in found:
            streams = tuple(dict.fromkeys([*found[name].streams, *terms.streams]))
            terms = structs.replace(terms, streams=streams, carries=found[name].carries | terms.carries)
        found[name] = terms
    return found
