"""From a payload's bytes to planes and to BGR: what needs numpy, and OpenCV where pixels are converted.

Apart from ``layout.py``, because the daemon touches no pixel and starts in two thirds of the time without numpy.
"""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syncsvc.layout import RAW_FORMATS, ColorMatrix, ColorRange, Layout, jpeg_header


def planes(payload: Any, layout: Layout) -> tuple[NDArray[np.uint8], ...]:
    """Views of a raw payload's planes: see ``Frame.planes``; no copy.

    Raises:
        ValueError: the payload does not fit its layout, or its format has no planes.
    """
    if layout.format not in RAW_FORMATS:
        raise ValueError(f"a {layout.format} payload has no planes before it is decoded: to_bgr() does that")
    if layout.format == "i420":
        return planes_i420(_fitting(payload, layout), layout.width, layout.height)
    return (_fitting(payload, layout).reshape(layout.shape),)


def dlpack(array: NDArray[np.uint8], stream: Any, max_version: Any, dl_device: Any, copy: bool | None) -> Any:
    """A DLPack capsule of a read-only array.

    It says that the memory is read-only where the consumer can hear that (DLPack 1.0). To others it is a copy, since
    they would write into memory that is not theirs: a slot of the service's, or a message that other groups share.

    Raises:
        BufferError: only a copy can be had, and ``copy`` is False; or another device is asked for.
    """
    if dl_device not in (None, array.__dlpack_device__()):
        raise BufferError("frames are in the host's memory, and are moved to no device")
    if max_version is not None and max_version[0] >= 1 and _NUMPY_SAYS_READ_ONLY:
        return array.__dlpack__(stream=stream, max_version=max_version, copy=copy)
    if copy is False:
        raise BufferError("only a copy can be had without max_version=(1, 0): a frame's memory is read-only")
    return array.copy().__dlpack__(stream=stream)


_NUMPY_SAYS_READ_ONLY = tuple(map(int, np.__version__.split(".")[:2])) >= (2, 1)


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
    flat = _fitting(flat, layout)
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


def to_rgb(bgr: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same picture with its channels the other way round, in the same memory.

    Raises:
        ImportError: OpenCV cannot be loaded; the message names the system packages that it needs.
    """
    cv2 = load_cv2()
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, dst=bgr), np.uint8)


def _fitting(payload: Any, layout: Layout) -> NDArray[np.uint8]:
    """The bytes of a raw payload, ``(layout.size_bytes,)`` uint8, no copy."""
    flat = np.frombuffer(payload, np.uint8)
    if flat.size != layout.size_bytes:
        size = f"{layout.width}x{layout.height}"
        raise ValueError(f"a {layout.format} payload of {size} has {layout.size_bytes} bytes, not {flat.size}")
    return flat


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
