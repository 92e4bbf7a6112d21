"""Pictures that are bigger than their stream may have: refused before memory is taken for them, and said."""

import struct
from typing import Any, Final

from syncsvc import nal
from syncsvc.capture.source import Loss, Shot
from syncsvc.capture.spec import CaptureSpec
from syncsvc.layout import jpeg_header

_PNG: Final = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_SIDES: Final = struct.Struct(">II")


def too_big(size: tuple[int, int], max_pixels: int) -> Loss | None:
    """The loss of a picture of this size, ``(width, height)``; None where it may be taken."""
    width, height = size
    if width * height <= max_pixels:
        return None
    return Loss("too_big", f"sends pictures of {width}x{height}: `max_pixels` is {max_pixels}, so they are refused")


def checked(shot: Shot | Loss, spec: CaptureSpec) -> Shot | Loss:
    """The shot, if it is no bigger; of what is scaled, the size is what somebody asked for."""
    if isinstance(shot, Loss) or spec.size is not None:
        return shot
    layout = shot.picture.layout
    return too_big((layout.width, layout.height), spec.max_pixels) or shot


def claimed(packet: Any, context: Any) -> tuple[int, int]:
    """The size that a packet which could not be decoded says its picture has; else the one that its container says."""
    data, codec = bytes(packet) if packet.size else b"", context.name
    if codec == "mjpeg" and (header := jpeg_header(data)) is not None:
        return header.width, header.height
    if codec == "png" and data.startswith(_PNG) and len(data) >= len(_PNG) + _SIDES.size:
        width, height = _SIDES.unpack_from(data, len(_PNG))
        return width, height
    if codec in nal.PARAMETER_SETS:
        known = nal.parameter_sets(context.extradata or b"", codec) | nal.parameter_sets(data, codec)
        if (shape := nal.shape_of(known, codec)) is not None:
            return shape.width, shape.height
    return context.width, context.height
