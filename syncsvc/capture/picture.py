"""From libav's padded planes to a packed payload in the slot: one copy, no buffer in between."""

from typing import Any

import numpy as np
from av import VideoFrame
from numpy.typing import NDArray

from syncsvc.layout import ColorMatrix, ColorRange, Layout, planes_i420

_AV_FORMAT = {"i420": "yuv420p", "bgr24": "bgr24", "gray8": "gray"}
_PLANAR_420 = ("yuv420p", "yuvj420p")
_MATRIX: dict[int, ColorMatrix] = {1: "bt709", 9: "bt2020", 10: "bt2020"}  # AVCOL_SPC_*; unspecified decodes as bt601
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG


class AvPicture:
    """A decoded frame, to be written as ``pixels`` in ``size``."""

    __slots__ = ("_frame", "layout")

    def __init__(self, frame: VideoFrame, pixels: str, size: tuple[int, int] | None) -> None:
        width, height = size or (frame.width, frame.height)
        is_full = frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj") or pixels == "bgr24"
        color_range: ColorRange = "full" if is_full else "limited"
        matrix = _MATRIX.get(int(frame.colorspace), "bt601")
        self.layout = Layout(pixels, width, height, color_range, matrix)  # type: ignore[arg-type]  # checked at load
        self._frame = frame

    def write(self, slot: NDArray[np.uint8]) -> None:
        """Copy or convert into ``(layout.size_bytes,)`` uint8."""
        frame, layout = self._frame, self.layout
        is_same_size = (frame.width, frame.height) == (layout.width, layout.height)
        if layout.format == "bgr24":
            packed = frame.reformat(layout.width, layout.height, "bgr24", threads=1)
            _copy_plane(packed.planes[0], slot.reshape(layout.height, 3 * layout.width))
            return
        if not is_same_size or frame.format.name not in _PLANAR_420:
            target = _AV_FORMAT[layout.format]
            if layout.format == "i420" and frame.format.name.startswith("yuvj"):
                target = "yuvj420p"  # yuv420p would squeeze the full range into the limited one
            frame = frame.reformat(layout.width, layout.height, target, threads=1)
        if layout.format == "gray8":
            _copy_plane(frame.planes[0], slot.reshape(layout.height, layout.width))
            return
        for plane, packed_plane in zip(frame.planes, planes_i420(slot, layout.width, layout.height), strict=True):
            _copy_plane(plane, packed_plane)


def _copy_plane(plane: Any, packed: NDArray[np.uint8]) -> None:
    rows, width = packed.shape
    padded = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    np.copyto(packed, padded[:rows, :width])
