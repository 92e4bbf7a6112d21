"""Targets that are useful at once: Pillow's filters by OpenCV, and how much has moved.

Each takes a frame, which becomes BGR, or an array ``(height, width)`` or ``(height, width, channels)``, uint8; of a set
it makes a map of streams. The filters' results are Pillow's of the same names within ±1; like there, pixels at the
edges are left as they are.

Source: Pillow, ``ImageFilter.py`` (kernels) and ``Filter.c`` (kernels go from the bottom row to the top).
"""

from collections.abc import Callable, Sequence
from functools import cache, wraps
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syncsvc.layout import RAW_FORMATS
from syncsvc.model import Frame, FrameSet
from syncsvc.pictures import load_cv2
from syncsvc.pool import empty

Pixels = NDArray[np.uint8]


@cache
def _kernel(weights: tuple[int, ...], scale: int) -> NDArray[np.float32]:
    side = 3 if len(weights) == 9 else 5
    return np.array([weight / scale for weight in weights], np.float32).reshape(side, side)[::-1].copy()


def _of_sets_too(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, which takes each frame of a set by itself, with the one of its stream in the set before."""

    @wraps(function)
    def either(picture: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(picture, FrameSet):
            return function(picture, *args, **kwargs)
        before = kwargs.pop("previous", None)
        made = {}
        for name, frame in picture.frames.items():
            beside = {} if before is None else {"previous": before.frames.get(name)}
            made[name] = function(frame, *args, **beside, **kwargs)
        return made

    return either


def _filtered(picture: Frame | Pixels, weights: Sequence[int], scale: int, offset: int = 0) -> Pixels:
    source = picture if isinstance(picture, np.ndarray) else picture.to_bgr()
    kernel = _kernel(tuple(weights), scale)
    out: Pixels = empty(source.shape, np.uint8)
    load_cv2().filter2D(source, -1, kernel, dst=out, delta=offset)
    edge = min(len(kernel) // 2, *source.shape[:2])
    for place in (np.s_[:edge], np.s_[-edge:], np.s_[:, :edge], np.s_[:, -edge:]):
        out[place] = source[place]
    return out


@_of_sets_too
def blur(picture: Frame | Pixels) -> Pixels:
    """The mean of a ring two pixels away."""
    return _filtered(picture, (1, 1, 1, 1, 1, *(1, 0, 0, 0, 1) * 3, 1, 1, 1, 1, 1), 16)


@_of_sets_too
def contour(picture: Frame | Pixels) -> Pixels:
    """Edges, dark on white."""
    return _filtered(picture, (-1, -1, -1, -1, 8, -1, -1, -1, -1), 1, 255)


@_of_sets_too
def detail(picture: Frame | Pixels) -> Pixels:
    """A little sharper."""
    return _filtered(picture, (0, -1, 0, -1, 10, -1, 0, -1, 0), 6)


@_of_sets_too
def edges(picture: Frame | Pixels) -> Pixels:
    """Edges, bright on black (Pillow's ``FIND_EDGES``)."""
    return _filtered(picture, (-1, -1, -1, -1, 8, -1, -1, -1, -1), 1)


@_of_sets_too
def emboss(picture: Frame | Pixels) -> Pixels:
    """As if pressed from below."""
    return _filtered(picture, (-1, 0, 0, 0, 1, 0, 0, 0, 0), 1, 128)


@_of_sets_too
def sharpen(picture: Frame | Pixels) -> Pixels:
    """Sharper."""
    return _filtered(picture, (-2, -2, -2, -2, 32, -2, -2, -2, -2), 16)


@_of_sets_too
def smooth(picture: Frame | Pixels) -> Pixels:
    """A weighted mean of 3 x 3."""
    return _filtered(picture, (1, 1, 1, 1, 5, 1, 1, 1, 1), 13)


@_of_sets_too
def smooth_more(picture: Frame | Pixels) -> Pixels:
    """A weighted mean of 5 x 5."""
    inner = (1, 5, 5, 5, 1)
    return _filtered(picture, (1, 1, 1, 1, 1, *inner, 1, 5, 44, 5, 1, *inner, 1, 1, 1, 1, 1), 100)


@_of_sets_too
def motion(picture: Frame | Pixels, previous: Frame | Pixels | None = None, threshold: int = 25) -> dict[str, Any]:
    """The share of pixels whose brightness changed by more than ``threshold``; None where nothing was before."""
    share = None
    if previous is not None:
        now, before = _luma(picture), _luma(previous)
        if now.shape == before.shape:
            cv2 = load_cv2()
            _, changed = cv2.threshold(cv2.absdiff(now, before), threshold, 1, cv2.THRESH_BINARY)
            share = cv2.countNonZero(changed) / changed.size
    return {"changed": share}


def _luma(picture: Frame | Pixels) -> Pixels:
    if not isinstance(picture, np.ndarray):
        if picture.format in RAW_FORMATS - {"bgr24"}:
            return picture.planes()[0]
        picture = picture.to_bgr()
    if picture.ndim == 2:
        return picture
    return np.asarray(load_cv2().cvtColor(picture, load_cv2().COLOR_BGR2GRAY), np.uint8)


BUILT_IN = ("blur", "contour", "detail", "edges", "emboss", "motion", "sharpen", "smooth", "smooth_more")
