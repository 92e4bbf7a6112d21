"""What becomes of an encoded frame's picture when the frame is copied: it comes along, or the reason why it cannot.

A copy has no decoder: what a frame refers to would come along with each, and be decoded again for each.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from syncsvc.errors import FrameUndecodable
from syncsvc.layout import Layout
from syncsvc.pictures import to_bgr


@dataclass(frozen=True, slots=True, repr=False)
class KeptPicture:
    """A picture that was decoded when its frame was copied, as a packed payload."""

    planes: bytes
    layout: Layout

    def to_bgr(self) -> NDArray[np.uint8]:
        """See ``PictureSource``."""
        return to_bgr(self.planes, self.layout)

    def kept(self) -> "KeptPicture":
        """See ``PictureSource``."""
        return self


@dataclass(frozen=True, slots=True)
class LostPicture:
    """A frame that could not be decoded when it was copied, and why."""

    stream: str
    seq: int
    why: str

    def to_bgr(self) -> NDArray[np.uint8]:
        """There is none.

        Raises:
            FrameUndecodable: always.
        """
        raise FrameUndecodable(self.stream, self.seq, self.why)

    def kept(self) -> "LostPicture":
        """See ``PictureSource``."""
        return self
