"""What a decoded frame of libav's is as a payload: the same bytes in a capture's slot and at a subscriber's.

Takes ``av.VideoFrame`` without importing PyAV: a subscriber loads that when the first encoded frame is decoded.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syncsvc.layout import ColorMatrix, ColorRange, Layout
from syncsvc.pictures import planes_i420

_PLANAR_420 = ("yuv420p", "yuvj420p")
_MATRIX: dict[int, ColorMatrix] = {1: "bt709", 9: "bt2020", 10: "bt2020"}  # AVCOL_SPC_*; unspecified decodes as bt601
_CODE: dict[ColorMatrix, int] = {"bt709": 1, "bt2020": 9}
LIMITED_RANGE, FULL_RANGE = 1, 2  # AVCOL_RANGE_*
_UNKNOWN_RANGE, _UNKNOWN_MATRIX = 0, 2
_NO_COLOR = 128


def packet_of(packet: Callable[[int], Any], data: bytes) -> Any:
    """An ``av.Packet`` with these bytes and the zeros behind them into which decoders read.

    Made of bytes, PyAV's packet has none (18.1): decoders then see what lies there, and find damage or worse.

    Args:
        packet: the class.
        data: what it holds.
    """
    made = packet(len(data))
    if data:
        made.update(data)
    return made


def matrix_of(code: int) -> ColorMatrix:
    """The matrix behind a number of ITU-T H.273, which is also libav's."""
    return _MATRIX.get(code, "bt601")


def range_of(frame: Any) -> ColorRange:
    """The range of a ``VideoFrame``'s samples; grey of which nobody says otherwise is full, as in JPEG and PNG."""
    name = frame.format.name
    if frame.color_range == FULL_RANGE or name.startswith("yuvj"):
        return "full"
    return "full" if name.startswith(("gray", "ya")) and frame.color_range != LIMITED_RANGE else "limited"


def tell(context: Any, layout: Layout) -> None:
    """Let a decoder know what the container said of the pictures; what the codec says itself goes before it."""
    context.width, context.height = layout.width, layout.height
    context.color_range = FULL_RANGE if layout.range == "full" else _UNKNOWN_RANGE
    context.colorspace = _CODE.get(layout.matrix, _UNKNOWN_MATRIX)


def layout_of(frame: Any, pixels: str, size: tuple[int, int] | None) -> Layout:
    """What a ``VideoFrame`` is as ``pixels`` (``i420``, ``bgr24`` or ``gray8``), in ``size`` or its own."""
    width, height = size or (frame.width, frame.height)
    color_range: ColorRange = "full" if pixels == "bgr24" else range_of(frame)
    return Layout(pixels, width, height, color_range, matrix_of(int(frame.colorspace)))  # type: ignore[arg-type]


def write(frame: Any, layout: Layout, slot: NDArray[np.uint8]) -> None:
    """Copy or convert a ``VideoFrame`` into ``(layout.size_bytes,)`` uint8: one copy, no buffer in between.

    ``gray8`` is the luma of ``i420``: libav's own grey stretches the limited range to the full one.
    """
    if frame.format.name == "gray":
        frame = _with_chroma(frame)
    is_same_size = (frame.width, frame.height) == (layout.width, layout.height)
    if layout.format == "bgr24":
        packed = frame.reformat(layout.width, layout.height, "bgr24", threads=1)
        _copy_plane(packed.planes[0], slot.reshape(layout.height, 3 * layout.width))
        return
    if not is_same_size or frame.format.name not in _PLANAR_420:
        target = "yuvj420p" if layout.range == "full" else "yuv420p"  # either keeps the range
        frame = frame.reformat(layout.width, layout.height, target, threads=1)
    if layout.format == "gray8":
        _copy_plane(frame.planes[0], slot.reshape(layout.height, layout.width))
        return
    for plane, packed_plane in zip(frame.planes, planes_i420(slot, layout.width, layout.height), strict=True):
        _copy_plane(plane, packed_plane)


def _with_chroma(frame: Any) -> Any:
    """A grey picture as one of luma and chroma: libav takes any grey for one of full range, whatever it says itself."""
    made = type(frame)(frame.width, frame.height, "yuvj420p" if range_of(frame) == "full" else "yuv420p")
    luma, *chroma = made.planes
    rows = np.frombuffer(luma, np.uint8).reshape(-1, luma.line_size)
    _copy_plane(frame.planes[0], rows[: frame.height, : frame.width])
    for plane in chroma:
        np.frombuffer(plane, np.uint8).fill(_NO_COLOR)
    made.colorspace = frame.colorspace
    return made


def _copy_plane(plane: Any, packed: NDArray[np.uint8]) -> None:
    rows, width = packed.shape
    padded = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    np.copyto(packed, padded[:rows, :width])
