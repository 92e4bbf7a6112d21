"""One picture of a whole set: all streams side by side, each with its name and its time, and who is missing."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from syncsvc.clock import NS_PER_MS
from syncsvc.errors import FrameReclaimedError, FrameUndecodable
from syncsvc.model import Frame, FrameSet
from syncsvc.pictures import load_cv2
from syncsvc.showing import utc
from syncsvc.sinks.stills.choice import taken_ns
from syncsvc.sinks.stills.still import upright

WIDTH: Final = 1920
"""Of a mosaic, about, whatever the cameras' pictures have; one that is smaller is not blown up."""
BAR: Final = 44
"""Rows of text below each picture."""
LINE: Final = 20
_GAP: Final = 4
_BACKGROUND, _EMPTY, _TEXT, _ALARM = (24, 24, 24), (48, 48, 48), (230, 230, 230), (80, 120, 255)
_LEAST_SIDE: Final = 64
_WIDE: Final = (16, 9)


def compose(some: FrameSet, streams: Sequence[str], reasons: Mapping[str, str]) -> NDArray[np.uint8]:
    """Draw a set.

    Args:
        some: the set.
        streams: the group's, in its order; each has its place in the grid, whether it is in the set or not.
        reasons: why streams are missing, as far as the batch says.

    Returns:
        ``(h, w, 3)`` uint8, BGR; every picture keeps its shape.

    Raises:
        FrameReclaimedError: no frame of the set can be shown any more (mode ``local`` only).
        FrameUndecodable: no frame of the set can be decoded.
        ImportError: OpenCV cannot be loaded; the message names the system packages that it needs.
    """
    pictures, problems = dict[str, NDArray[np.uint8]](), dict[str, FrameReclaimedError | FrameUndecodable]()
    for name, frame in some.frames.items():
        try:
            pictures[name] = upright(frame.to_bgr(), frame)
        except (FrameReclaimedError, FrameUndecodable) as error:
            problems[name] = error
    if not pictures:
        raise next(iter(problems.values()))
    columns = math.ceil(math.sqrt(len(streams)))
    rows = -(-len(streams) // columns)
    width, height = _cell(list(pictures.values()), columns)
    step_x, step_y = width + _GAP, height + BAR + _GAP
    canvas = np.full((rows * step_y + LINE + 2 * _GAP, columns * step_x + _GAP, 3), _BACKGROUND, np.uint8)
    for place, name in enumerate(streams):
        top, left = _GAP + place // columns * step_y, _GAP + place % columns * step_x
        cell = canvas[top : top + height + BAR, left : left + width]
        if name in pictures:
            _put(pictures[name], cell[:height])
            _label(cell[height:], some.frames[name], some)
        else:
            why = _why(name, some, reasons)
            cell[:height] = _EMPTY
            _write(cell[height:], 0, name, _TEXT)
            _write(cell[height:], 1, f"missing{why}", _ALARM)
            _write(cell[:height], 0, "missing", _ALARM, height // 2)
    _write(canvas[-LINE - _GAP :], 0, title(some, streams), _TEXT)
    return canvas


def title(some: FrameSet, streams: Sequence[str]) -> str:
    """The set in a line: when, how many, how close."""
    spread_ms = some.spread_ns / NS_PER_MS
    return f"{utc(taken_ns(some))}  {len(some.frames)} of {len(streams)} streams  spread {spread_ms:.3f} ms"


def _why(name: str, some: FrameSet, reasons: Mapping[str, str]) -> str:
    if name in some.frames:
        return ": its frame cannot be shown"
    return f": {reasons[name]}" if name in reasons else ""


def _cell(pictures: Sequence[NDArray[np.uint8]], columns: int) -> tuple[int, int]:
    """Width and height of each picture's place: shaped as the largest, and no larger than that."""
    largest = max(pictures, key=lambda picture: picture.shape[0] * picture.shape[1])
    rows, cols = largest.shape[:2]
    width = max(_LEAST_SIDE, min(WIDTH // columns - _GAP, cols))
    height = max(_LEAST_SIDE, round(width * rows / cols))
    most = round(width * _WIDE[0] / _WIDE[1])  # one that stands on end is not let run out of the page
    return width, min(height, most)


def _put(picture: NDArray[np.uint8], place: NDArray[np.uint8]) -> None:
    """Scale a picture into the middle of its place."""
    cv2 = load_cv2()
    rows, columns = place.shape[:2]
    scale = min(rows / picture.shape[0], columns / picture.shape[1], 1.0)
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    scaled = picture if scale == 1.0 else cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    top, left = (rows - scaled.shape[0]) // 2, (columns - scaled.shape[1]) // 2
    place[top : top + scaled.shape[0], left : left + scaled.shape[1]] = scaled


def _label(bar: NDArray[np.uint8], frame: Frame, some: FrameSet) -> None:
    """Name, time within the set, clock and doubt; the same words in every mosaic, so that eyes find them."""
    after_ms = (frame.time_ns - taken_ns(some)) / NS_PER_MS
    spread_ms, doubt_ms = some.spread_ns / NS_PER_MS, frame.uncertainty_ns / NS_PER_MS
    _write(bar, 0, f"{frame.stream}  {utc(frame.time_ns).partition('T')[2]}", _TEXT)
    _write(bar, 1, f"+{after_ms:.3f} of {spread_ms:.3f} ms  {frame.clock} +-{doubt_ms:.1f} ms", _TEXT)


def _write(place: NDArray[np.uint8], line: int, text: str, colour: tuple[int, int, int], top: int = 0) -> None:
    """A line of text, made as small as it must be to fit."""
    cv2 = load_cv2()
    font, room = cv2.FONT_HERSHEY_SIMPLEX, place.shape[1] - 2 * _GAP
    (wide, _), _ = cv2.getTextSize(text, font, 0.5, 1)
    scale = 0.5 * min(1.0, room / max(wide, 1))
    own: Any = np.ascontiguousarray(place)
    cv2.putText(own, text, (_GAP, top + line * LINE + 15), font, scale, colour, 1, cv2.LINE_AA)
    place[:] = own
