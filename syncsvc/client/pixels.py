"""Turns a batch into one array, the shape that models and image functions take."""

from collections.abc import Sequence
from operator import index
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from syncsvc.model import Frame, FrameBatch
from syncsvc.pictures import load_cv2

_MISSING = ("skip", "fill", "zeros")


def stack(
    batch: FrameBatch,
    streams: Sequence[str] | None = None,
    missing: Literal["skip", "fill", "zeros"] = "skip",
    *,
    size: tuple[int, int] | None = None,
) -> NDArray[np.uint8]:
    """The pictures of a batch's sets in memory of their own.

    Args:
        batch: any batch.
        streams: which of the group's streams, in this order; None takes all in the group's order.
        missing: ``skip`` leaves out sets that lack one of these streams, ``fill`` puts black in its place (``zeros``
            is an older word for it).
        size: ``(width, height)`` to which each picture is scaled, whatever its sides were to each other; None keeps
            the cameras', which must be one then.

    Returns:
        ``(sets, streams, height, width, 3)`` uint8, BGR. Without any set, height and width are those of ``size``, or 0.

    Raises:
        ValueError: a stream is not of the group, a word is not known, ``size`` is none, or the frames differ in size
            without it (those of one stream too, where its camera changed its size within the batch).
        FrameReclaimedError: a frame was leased, and held for too long (mode ``local`` only).
        FrameUndecodable: a frame of an encoded stream refers to one that is not here, as before the first key frame.
        ImportError: OpenCV cannot be loaded; the message names the system packages that it needs.
    """
    if missing not in _MISSING:
        raise ValueError(f"missing {missing!r}: allowed are 'skip' and 'fill'")
    names = list(batch.frames) if streams is None else list(streams)
    for name in names:
        if name not in batch.frames:
            raise ValueError(f"stream {name!r} is not in group {batch.group!r}: {', '.join(batch.frames)}")
    sets = [s.frames for s in batch.sets if missing != "skip" or all(name in s.frames for name in names)]
    members = [s[name] for s in sets for name in names if name in s]
    width, height = _common_size(members) if size is None else _checked(size)
    stacked = np.zeros((len(sets), len(names), height, width, 3), np.uint8)
    for pictures, frames in zip(stacked, sets, strict=True):
        for picture, name in zip(pictures, names, strict=True):
            if name in frames:
                _put(frames[name], picture)
    return stacked


_MOST = 65_535


def _checked(size: Sequence[int]) -> tuple[int, int]:
    try:
        width, height = map(index, size)
    except (TypeError, ValueError):
        width = height = 0
    if not (0 < width <= _MOST and 0 < height <= _MOST):
        raise ValueError(f"size {size!r}: allowed are a width and a height of 1 to {_MOST} pixels")
    return width, height


def _common_size(frames: Sequence[Frame]) -> tuple[int, int]:
    """Width and height of all; zeros where there are none."""
    sizes = {(frame.width, frame.height) for frame in frames}
    if len(sizes) > 1:
        named = sorted({(frame.stream, frame.width, frame.height) for frame in frames})
        listed = ", ".join(f"{name} {width}x{height}" for name, width, height in named)
        raise ValueError(
            f"frames of different sizes do not stack: {listed}; size=(width, height) scales them here, `size` in the "
            "configuration where they are captured"
        )
    return sizes.pop() if sizes else (0, 0)


def _put(frame: Frame, picture: NDArray[np.uint8]) -> None:
    """Write a frame into ``(height, width, 3)`` uint8, scaled where it is not of that size."""
    height, width = picture.shape[:2]
    bgr = frame.to_bgr()
    if bgr.shape[:2] == (height, width):
        picture[:] = bgr
        return
    cv2 = load_cv2()
    shrinks = width * height < frame.width * frame.height
    picture[:] = cv2.resize(bgr, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
