"""What every kind of source gives the capture's loop: shots in capture order, and losses by cause."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from syncsvc.layout import Layout
from syncsvc.model import Observation
from syncsvc.transport.page import Position

Pulse = Callable[[Position], None]
"""Says where the loop stands, for the supervisor."""


class Picture(Struct, frozen=True):
    """A payload that waits to be put into a slot."""

    layout: Layout
    size_bytes: int
    """What must be compressed to know that is compressed by now, once."""
    write: Callable[[NDArray[np.uint8]], None]
    """Writes the payload, ``(size_bytes,)`` uint8, without a copy on the way."""
    coded: "Picture | None" = None
    """The source's own coded picture of it, where that is to be handed on beside it."""


@dataclass(frozen=True, slots=True)
class Shot:
    """One decoded frame and what was seen of it, not numbered yet; ``media_ns`` is a recording's position.

    ``why`` is for people, where something about it had to be set right.
    """

    picture: Picture
    seen: Observation
    media_ns: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Loss:
    """A frame that was captured and cannot be shown; ``why`` is for people, where the cause does not say all."""

    cause: str
    why: str = ""


class Source(Protocol):
    """One stream of shots; opened by being made, read and closed by one thread."""

    @property
    def fps(self) -> float:
        """The rate that the ring must carry: declared, or a guess on the high side."""
        ...

    @property
    def declared_fps(self) -> float | None:
        """What the source itself says of its rate; None where it says nothing."""
        ...

    def shots(self) -> Iterator[Shot | Loss]:
        """Everything from now on, in capture order.

        Raises:
            SourceUnavailable: the connection broke, or nothing came for the read timeout.
            SourceEnded: a recording came to its end.
        """
        ...

    def close(self) -> None:
        """Let go of it, from the thread that reads."""
        ...
