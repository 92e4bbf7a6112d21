"""What a frame borrows: memory that somebody else has, and a decoder that it shares with others of its stream.

Both are filled in by whoever hands frames out; a frame only asks.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class PictureSource(Protocol):
    """Decodes one frame of an encoded stream, with the help of those before it."""

    def to_bgr(self) -> "NDArray[np.uint8]":
        """The picture, ``(height, width, 3)`` uint8, BGR."""
        ...

    def kept(self) -> "PictureSource":
        """The same picture by itself, for a copy of the frame: it needs no decoder any more, and can be pickled."""
        ...


class Lent(NamedTuple):
    """Memory behind a payload that another process of ours may map, read-only, for as long as it is lent to us."""

    owner: object
    """Of whom others like it are parts; alive as long as any may be named."""
    fd: int
    """The owner's descriptor."""
    offset: int
    """In the file: the begin of a page."""
    size_bytes: int
    """From there on, in whole pages."""
    is_intact: Callable[[], bool]
    """Whether it has held the same bytes until now: who read it meanwhile has read right."""


class Payload:
    """A frame's pixels that lie in a ring or in a buffer that others share: who holds it may have to give it back."""

    __slots__ = ()

    nbytes: int

    def view(self) -> "NDArray[np.uint8]":
        """The bytes, ``(nbytes,)`` uint8, no copy; to a subscriber they stay what they are while the array lives.

        Raises:
            FrameReclaimedError: it was asked for.
        """
        raise NotImplementedError

    def lent(self) -> Lent | None:
        """Where another process may find the bytes, while a view of ours lives; None where they are only here.

        Raises:
            FrameReclaimedError: they are gone.
        """
        return None
