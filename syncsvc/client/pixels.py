"""Turns a batch into one array, the shape that models and image functions take."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from syncsvc.model import FrameBatch


def stack(
    batch: FrameBatch, streams: Sequence[str] | None = None, missing: Literal["skip", "zeros"] = "skip"
) -> NDArray[np.uint8]:
    """The pictures of a batch's sets in memory of their own.

    Args:
        batch: any batch.
        streams: which of the group's streams, in this order; None takes all in the group's order.
        missing: ``skip`` leaves out sets that lack one of these streams, ``zeros`` puts black in its place.

    Returns:
        ``(sets, streams, height, width, 3)`` uint8, BGR. Without any set, height and width are 0.

    Raises:
        ValueError: a stream is not of the group, a word is not known, or the frames differ in size (those of one
            stream too, where its camera changed its size within the batch).
        FrameUndecodable: a frame of an encoded stream refers to one that is not here, as before the first key frame.
        ImportError: OpenCV cannot be loaded; the message names the system packages that it needs.
    """
    if missing not in ("skip", "zeros"):
        raise ValueError(f"missing {missing!r}: allowed are 'skip' and 'zeros'")
    names = list(batch.frames) if streams is None else list(streams)
    for name in names:
        if name not in batch.frames:
            raise ValueError(f"stream {name!r} is not in group {batch.group!r}: {', '.join(batch.frames)}")
    sets = [s.frames for s in batch.sets if missing == "zeros" or all(name in s.frames for name in names)]
    sizes = {(name, s[name].width, s[name].height) for s in sets for name in names if name in s}
    shapes = {(height, width) for _, width, height in sizes}
    if len(shapes) > 1:
        listed = ", ".join(f"{name} {width}x{height}" for name, width, height in sorted(sizes))
        raise ValueError(
            f"frames of different sizes do not stack: {listed}; `size` in the configuration makes them alike"
        )
    height, width = shapes.pop() if shapes else (0, 0)
    stacked = np.zeros((len(sets), len(names), height, width, 3), np.uint8)
    for pictures, frames in zip(stacked, sets, strict=True):
        for picture, name in zip(pictures, names, strict=True):
            if name in frames:
                picture[:] = frames[name].to_bgr()
    return stacked
