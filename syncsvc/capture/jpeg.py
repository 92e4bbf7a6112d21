"""Payloads that are compressed: JPEG files that we make, and pictures as their source coded them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from syncsvc.capture.source import Picture
from syncsvc.capture.upright import UPRIGHT, Turn, turn_of_exif
from syncsvc.layout import Codec, JpegHeader, Layout, jpeg_header
from syncsvc.pictures import load_cv2


def compressed(shown: Any, quality: int) -> Picture:
    """A picture as a JPEG: full range, BT.601, 4:2:0, as JFIF has it.

    By OpenCV: for the same fidelity it took half the CPU of libavcodec's encoder (1080p: 8.5 ms against 15 ms; 720p:
    3.8 ms against 5.8 ms) and 15 % more bytes.

    Args:
        shown: ``(height, width, 3)`` BGR or ``(height, width)`` grey, uint8.
        quality: 1 to 100, as libjpeg counts.
    """
    cv2 = load_cv2()
    is_coded, file = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert is_coded, "OpenCV refuses no picture of these types"
    return coded(Layout("jpeg", shown.shape[1], shown.shape[0], "full", "bt601"), file)


def jpeg_layout(header: JpegHeader, codec: Codec | None, turn: Turn = UPRIGHT) -> Layout:
    """The layout of a picture as it came, ``encoded`` where it has a codec: what JFIF says of its colours.

    ``turn`` is what the container says of which way up it is; what EXIF says goes before it.
    """
    rotation = (turn_of_exif(header.orientation) if header.orientation > 1 else turn).rotation
    return Layout("jpeg" if codec is None else "encoded", header.width, header.height, "full", "bt601", codec, rotation)


def note_turn(frame: Any, data: Any) -> None:
    """Keep with a decoded picture which way up the EXIF data of its JPEG say it is: PyAV tells of no mirrored ones."""
    header = jpeg_header(data)
    if header is not None and header.orientation > 1:
        frame.opaque = turn_of_exif(header.orientation)


def coded(layout: Layout, data: Any, head: bytes = b"") -> Picture:
    """A picture that is coded already: ``head`` and ``data``, each a buffer."""

    def write(slot: NDArray[np.uint8]) -> None:
        if head:
            slot[: len(head)] = np.frombuffer(head, np.uint8)
        slot[len(head) :] = np.frombuffer(data, np.uint8)

    return Picture(layout, len(head) + memoryview(data).nbytes, write)


def plain_jpeg(data: bytes, turn: Turn = UPRIGHT) -> Picture | None:
    """A file that any reader of JPEG reads, as it is; None where it is none. ``turn`` as for ``jpeg_layout``."""
    header = jpeg_header(data)
    if header is None or not header.is_plain:
        return None
    return coded(jpeg_layout(header, None, turn), data)
