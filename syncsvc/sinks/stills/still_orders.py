"""What a process that writes stills is told, and what it answers; the pixels lie in memory that both have mapped."""

from typing import Annotated

from msgspec import Meta

from syncsvc.sinks.stills.coding import Suffix
from syncsvc.sinks.stills.still import Cause
from syncsvc.transport.channel import Message

Natural = Annotated[int, Meta(ge=0, le=2**62)]
Depth = Annotated[str, Meta(pattern=r"^[<>|=]u[12]\Z")]


class PlacedPicture(Message, frozen=True):
    """A picture in the shared memory, and the file that it becomes."""

    number: Natural
    path: bytes
    offset: Natural
    shape: list[Natural]
    depth: Depth


class Imported(Message, tag="imported", frozen=True):
    """Everything is imported."""


class SaveStills(Message, tag="save", frozen=True):
    """Code and write these; ``size_bytes`` is how large the memory is by now."""

    suffix: Suffix
    quality: int | None
    size_bytes: Natural
    stills: list[PlacedPicture]


class SavedStills(Message, tag="saved", frozen=True):
    """What became of them in their order: size of the file, cause and problem, as ``Outcome`` has it."""

    outcomes: list[tuple[Natural, Cause, str]]
