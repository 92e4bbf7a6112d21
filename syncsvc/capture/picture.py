"""Payloads of what libav decoded: the pixels as they are wanted, or a JPEG of them."""

from functools import partial

import numpy as np
from av import VideoFrame
from numpy.typing import NDArray

from syncsvc import decoded
from syncsvc.capture.decode import Accompanied, Unit
from syncsvc.capture.jpeg import compressed
from syncsvc.capture.source import Picture
from syncsvc.capture.spec import CaptureSpec
from syncsvc.capture.upright import UPRIGHT, turn_of, turned, write_turned
from syncsvc.pictures import to_bgr


def picture_of(unit: Unit, spec: CaptureSpec) -> Picture:
    """What a source read, as the payload that its stream asks for."""
    if isinstance(unit, Accompanied):
        picture = picture_of(unit.frame, spec)
        return Picture(picture.layout, picture.size_bytes, picture.write, unit.coded)
    if not isinstance(unit, VideoFrame):
        return unit
    if spec.pixels == "jpeg":
        return jpeg_of(unit, spec.size, spec.quality)
    return pixels_of(unit, spec.pixels, spec.size)


def pixels_of(frame: VideoFrame, pixels: str, size: tuple[int, int] | None) -> Picture:
    """A decoded frame, upright, to be copied or converted into its slot as ``pixels``, in ``size`` or its own."""
    turn = turn_of(frame)
    layout = decoded.layout_of(frame, pixels, turn.of_size(*size) if size else None)
    if turn == UPRIGHT:
        return Picture(layout, layout.size_bytes, partial(decoded.write, frame, layout))

    def write(slot: NDArray[np.uint8]) -> None:
        raw = np.empty(layout.size_bytes, np.uint8)
        decoded.write(frame, layout, raw)
        write_turned(raw, layout, turn, slot)

    return Picture(turned(layout, turn), layout.size_bytes, write)


def jpeg_of(frame: VideoFrame, size: tuple[int, int] | None, quality: int) -> Picture:
    """A JPEG of a decoded frame, in ``size`` or its own: of the very picture that ``i420`` gives a subscriber."""
    picture = pixels_of(frame, "i420", size)
    planes = np.empty(picture.size_bytes, np.uint8)
    picture.write(planes)
    return compressed(to_bgr(planes, picture.layout), quality)
