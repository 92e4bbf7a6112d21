"""From a picture to the bytes of a file: which formats there are, and what each of them can hold."""

from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from syncsvc.errors import UsageError
from syncsvc.pictures import load_cv2

Suffix = Literal["jpg", "png", "webp"]
SUFFIXES: Final[tuple[Suffix, ...]] = get_args(Suffix)
DEFAULT_QUALITY: Final = 90
_SAME: Final = {"jpeg": "jpg"}
_BYTES: Final = (np.dtype(np.uint8),)
_DEPTHS: Final = {"jpg": _BYTES, "png": (*_BYTES, np.dtype(np.uint16)), "webp": _BYTES}
_MOST_SIDE: Final = {"jpg": 65_535, "png": 65_535, "webp": 16_383}


@dataclass(frozen=True, slots=True)
class Coding:
    """A format and its quality (1 to 100; None for ``png``, which loses nothing)."""

    suffix: Suffix
    quality: int | None = None


def coding_of(format: str, quality: int | None = None) -> Coding:
    """What somebody asks for; ``quality`` None is ``DEFAULT_QUALITY`` where there is any.

    Raises:
        UsageError: there is no such format, or it has no such quality.
    """
    suffix = _SAME.get(format.lower(), format.lower())
    found = next((known for known in SUFFIXES if known == suffix), None)
    if found is None:
        raise UsageError(f"format {format!r}: allowed are {', '.join(SUFFIXES)}")
    if found == "png":
        if quality is not None:
            raise UsageError(f"quality {quality}: png loses nothing, so it has none; jpg and webp have")
        return Coding(found)
    if quality is not None and not 1 <= quality <= 100:
        raise UsageError(f"quality {quality}: allowed are 1 to 100")
    return Coding(found, DEFAULT_QUALITY if quality is None else quality)


def encode(picture: NDArray[Any], coding: Coding) -> NDArray[np.uint8]:
    """The file's bytes, one-dimensional.

    Args:
        picture: ``(h, w)``, ``(h, w, 1)`` grey, ``(h, w, 3)`` BGR or ``(h, w, 4)`` BGRA, uint8; for png uint16 too. A
            jpg drops the fourth channel.
        coding: the format.

    Raises:
        ValueError: the picture has another shape or dtype, or a side that the format does not reach.
        ImportError: OpenCV cannot be loaded; the message names the system packages that it needs.
    """
    check(picture, coding)
    cv2, suffix, parameters = _encoder(coding)
    try:
        is_done, data = cv2.imencode(suffix, picture, parameters)
    except cv2.error as error:
        raise ValueError(f"a picture {shown(picture)} cannot be coded as {coding.suffix}: {error}") from error
    if not is_done:
        raise ValueError(f"a picture {shown(picture)} cannot be coded as {coding.suffix}")
    coded: NDArray[np.uint8] = data
    return coded


def check(picture: NDArray[Any], coding: Coding) -> None:
    """See ``encode``.

    Raises:
        ValueError: the format cannot hold such a picture.
    """
    depths = _DEPTHS[coding.suffix]
    if picture.dtype not in depths:
        allowed = " or ".join(depth.name for depth in depths)
        raise ValueError(f"a picture {shown(picture)}: {coding.suffix} takes {allowed}")
    if picture.ndim not in (2, 3) or (picture.ndim == 3 and picture.shape[2] not in (1, 3, 4)):
        raise ValueError(f"a picture {shown(picture)}: allowed are (h, w), (h, w, 1), (h, w, 3) and (h, w, 4)")
    most = _MOST_SIDE[coding.suffix]
    if not (1 <= picture.shape[0] <= most and 1 <= picture.shape[1] <= most):
        raise ValueError(f"a picture {shown(picture)}: {coding.suffix} takes sides of 1 to {most} pixels")


def shown(picture: NDArray[Any]) -> str:
    """Shape and dtype, as messages have them."""
    return f"of shape {picture.shape} and dtype {picture.dtype.name}"


@cache
def _encoder(coding: Coding) -> tuple[Any, str, tuple[int, ...]]:
    """OpenCV, and what ``imencode`` is told: looked up once, as that takes as long as a row of a small picture."""
    cv2 = load_cv2()
    if coding.quality is None:
        return cv2, f".{coding.suffix}", ()
    flag = cv2.IMWRITE_JPEG_QUALITY if coding.suffix == "jpg" else cv2.IMWRITE_WEBP_QUALITY
    return cv2, f".{coding.suffix}", (int(flag), coding.quality)
