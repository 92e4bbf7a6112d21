"""What the bytes of a payload mean: sizes, planes and the way back to BGR, for both ends of the wire.

Payloads are packed without padding: i420 is Y, U, V with ``w*h + 2*ceil(w/2)*ceil(h/2)`` bytes, bgr24 ``3*w*h``,
gray8 ``w*h``. A jpeg is one JPEG file, encoded is one coded picture as the codec's standard has it.
"""

import struct
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

PixelFormat = Literal["i420", "bgr24", "gray8", "jpeg", "encoded"]
ColorRange = Literal["limited", "full"]
ColorMatrix = Literal["bt601", "bt709", "bt2020"]

RAW_FORMATS: frozenset[str] = frozenset({"i420", "bgr24", "gray8"})
"""Formats made of pixels: their payloads have one size."""
MAX_EXTRADATA_BYTES = 1 << 16
_JPEG_FRAME = struct.Struct(">BHHB")


@dataclass(frozen=True, slots=True)
class Codec:
    """What a decoder must know before the first payload of an encoded stream.

    ``name`` is libavcodec's (``h264``, ``hevc``, ``mpeg4``...). ``extradata`` are the codec's parameters: of H.264 and
    H.265 the parameter sets with start codes (Annex B), otherwise what libavcodec calls by that name; may be empty.
    """

    name: str
    extradata: bytes = b""


@dataclass(frozen=True, slots=True)
class Layout:
    """Format, size and colour space of a stream's payloads; ``codec`` is that of ``encoded`` ones, else None."""

    format: PixelFormat
    width: int
    height: int
    range: ColorRange = "limited"
    matrix: ColorMatrix = "bt601"
    codec: Codec | None = None

    @property
    def size_bytes(self) -> int:
        """Bytes of one payload.

        Raises:
            ValueError: payloads of this format differ in size.
        """
        width, height = self.width, self.height
        match self.format:
            case "i420":
                return width * height + 2 * ((width + 1) // 2) * ((height + 1) // 2)
            case "bgr24":
                return 3 * width * height
            case "gray8":
                return width * height
        raise ValueError(f"a {self.format} payload has no fixed size")


def planes_i420(payload: Any, width: int, height: int) -> tuple[NDArray[np.uint8], ...]:
    """Views of the Y ``(h, w)``, U and V ``(ceil(h/2), ceil(w/2))`` planes of a packed payload; no copy."""
    flat = np.frombuffer(payload, np.uint8)
    half_w, half_h = (width + 1) // 2, (height + 1) // 2
    luma, chroma = width * height, half_w * half_h
    return (
        flat[:luma].reshape(height, width),
        flat[luma : luma + chroma].reshape(half_h, half_w),
        flat[luma + chroma : luma + 2 * chroma].reshape(half_h, half_w),
    )


def to_bgr(payload: Any, layout: Layout) -> NDArray[np.uint8]:
    """The picture in memory of its own, ``(height, width, 3)`` uint8, BGR, honouring range and matrix.

    Chroma of i420 is repeated, not interpolated. ``bgr24`` is returned as it is: it has neither matrix nor range.

    Args:
        payload: any readable buffer with one packed payload; it is not written to and not kept.
        layout: what the payload's bytes mean.

    Raises:
        ValueError: the payload does not fit its layout, or is an encoded one: those are decoded by ``Frame.to_bgr``.
        ImportError: OpenCV cannot be loaded; the message names the system packages that it needs.
    """
    flat = np.frombuffer(payload, np.uint8)
    if layout.format == "jpeg":
        return _jpeg_to_bgr(flat, layout)
    if layout.format not in RAW_FORMATS:
        raise ValueError(f"one {layout.format} payload is no picture by itself: it refers to others of its stream")
    width, height = layout.width, layout.height
    if flat.size != layout.size_bytes:
        raise ValueError(
            f"a {layout.format} payload of {width}x{height} has {layout.size_bytes} bytes, not {flat.size}"
        )
    if layout.format == "bgr24":
        return flat.reshape(height, width, 3).copy()
    cv2 = load_cv2()
    if layout.format == "gray8":
        luma = flat.reshape(height, width)
        if layout.range == "limited":
            luma = _LIMITED_TO_FULL[luma]
        return np.asarray(cv2.cvtColor(luma, cv2.COLOR_GRAY2BGR), np.uint8)
    if (layout.matrix, layout.range) == ("bt601", "limited") and width % 2 == 0 and height % 2 == 0:
        # OpenCV's own conversion knows this one case, and is several times as fast as the general way below.
        return np.asarray(cv2.cvtColor(flat.reshape(height * 3 // 2, width), cv2.COLOR_YUV2BGR_I420), np.uint8)
    luma, *chroma = planes_i420(flat, width, height)
    doubled = [cv2.resize(plane, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST) for plane in chroma]
    merged = cv2.merge([luma, *(plane[:height, :width] for plane in doubled)])
    return np.asarray(cv2.transform(merged, _bgr_from_yuv(layout.matrix, layout.range)), np.uint8)


class JpegHeader(NamedTuple):
    """What a JPEG says of itself; ``is_plain`` where every reader reads it.

    That is one with its Huffman tables (cameras leave them out of Motion JPEG), 8 bits a sample, grey or Y, Cb, Cr.
    """

    width: int
    height: int
    is_plain: bool


def jpeg_header(data: bytes | memoryview) -> JpegHeader | None:
    """Read a JPEG's header up to its scan; None where it is none, or says nothing of its size.

    Source: ITU-T T.81, annex B.
    """
    at, frame_at, has_tables = 2, 0, False
    while at + 4 <= len(data) and data[:2] == b"\xff\xd8" and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill
            at += 1
            continue
        if marker in (0xC0, 0xC1, 0xC2):
            frame_at = at + 4
        has_tables = has_tables or marker == 0xC4
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker != 0xDA:
            continue
        if not frame_at or frame_at + _JPEG_FRAME.size > len(data):
            break
        depth, height, width, planes = _JPEG_FRAME.unpack_from(data, frame_at)
        if not width or not height:
            break
        return JpegHeader(width, height, has_tables and depth == 8 and planes in (1, 3))
    return None


def _jpeg_to_bgr(flat: NDArray[np.uint8], layout: Layout) -> NDArray[np.uint8]:
    """Decode; never more than the layout announces, because 700 bytes can claim gigabytes of pixels."""
    found = jpeg_header(flat.data)
    if found is None or found[:2] != (layout.width, layout.height):
        shown = f"{found.width}x{found.height}" if found else "nothing that can be read"
        raise ValueError(f"a jpeg payload of {layout.width}x{layout.height} says in its own header: {shown}")
    cv2 = load_cv2()
    bgr = cv2.imdecode(flat, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if bgr is None or bgr.shape[:2] != (layout.height, layout.width):
        raise ValueError(f"a jpeg payload of {flat.size} bytes is damaged")
    return np.asarray(bgr, np.uint8)


_LIMITED_TO_FULL = np.clip(np.rint((np.arange(256) - 16) * (255 / 219)), 0, 255).astype(np.uint8)

# Weights of red and blue in luma: ITU-R BT.601-7, BT.709-6 and BT.2020-2 (non-constant luminance).
_LUMA_WEIGHTS: dict[ColorMatrix, tuple[float, float]] = {
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
    "bt2020": (0.2627, 0.0593),
}


@cache
def _bgr_from_yuv(matrix: ColorMatrix, color_range: ColorRange) -> NDArray[np.float64]:
    """``(3, 4)``: what to multiply ``(Y, U, V, 1)`` with, all 8 bit, to get ``(B, G, R)`` of 0 to 255."""
    red, blue = _LUMA_WEIGHTS[matrix]
    green = 1 - red - blue
    black, y_gain, c_gain = (16, 255 / 219, 255 / 224) if color_range == "limited" else (0, 1.0, 1.0)
    u_in_b, v_in_r = 2 * (1 - blue) * c_gain, 2 * (1 - red) * c_gain
    u_in_g, v_in_g = -u_in_b * blue / green, -v_in_r * red / green
    rows = np.array([[y_gain, u_in_b, 0], [y_gain, u_in_g, v_in_g], [y_gain, 0, v_in_r]])
    return np.column_stack([rows, -rows @ np.array([black, 128, 128])])


def load_cv2() -> Any:
    """OpenCV, loaded only where pixels are converted, so that the rest runs where libGL is missing."""
    try:
        import cv2
    except ImportError as error:
        raise ImportError(
            f"OpenCV cannot be loaded ({error}); pixel conversion needs opencv-python and, on Debian or Ubuntu, "
            "the system packages libgl1 libglib2.0-0"
        ) from error
    return cv2
