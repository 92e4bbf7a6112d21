"""Payloads of what libav decoded: the pixels as they are wanted, or a JPEG of them."""

import numpy as np
from av import VideoFrame
from numpy.typing import NDArray

from syncsvc import decoded
from syncsvc.capture.jpeg import JpegPicture
from syncsvc.capture.source import Picture
from syncsvc.capture.spec import CaptureSpec
from syncsvc.pictures import to_bgr


class AvPicture:
    """A decoded frame, to be written as ``pixels`` in ``size``."""

    __slots__ = ("_frame", "layout", "size_bytes")

    def __init__(self, frame: VideoFrame, pixels: str, size: tuple[int, int] | None) -> None:
        self.layout = decoded.layout_of(frame, pixels, size)
        self.size_bytes = self.layout.size_bytes
        self._frame = frame

    def write(self, slot: NDArray[np.uint8]) -> None:
        """Copy or convert into ``(layout.size_bytes,)`` uint8."""
        decoded.write(self._frame, self.layout, slot)


def picture_of(unit: VideoFrame | Picture, spec: CaptureSpec) -> Picture:
    """What a source read, as the payload that its stream asks for."""
    if not isinstance(unit, VideoFrame):
        return unit
    if spec.pixels == "jpeg":
        return jpeg_of(unit, spec.size, spec.quality)
    return AvPicture(unit, spec.pixels, spec.size)


def jpeg_of(frame: VideoFrame, size: tuple[int, int] | None, quality: int) -> JpegPicture:
    """A JPEG of a decoded frame, in ``size`` or its own: of the very picture that ``i420`` gives a subscriber."""
    layout = decoded.layout_of(frame, "i420", size)
    planes = np.empty(layout.size_bytes, np.uint8)
    decoded.write(frame, layout, planes)
    return JpegPicture(to_bgr(planes, layout), quality)
