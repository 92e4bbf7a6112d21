"""What a frame borrows: memory that somebody else has, and a decoder that it shares with others of its stream.

Both are filled in by whoever hands frames out; a frame only asks.
"""

from typing import TYPE_CHECKING, Protocol

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
