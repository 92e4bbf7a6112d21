"""One picture on its way to a file, and what became of it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from syncsvc.errors import FrameReclaimedError, FrameUndecodable, FrameWithoutPixels
from syncsvc.model import Frame
from syncsvc.sinks.stills.coding import Coding, encode
from syncsvc.sinks.stills.files import write_whole

Cause = Literal["", "late", "reclaimed", "undecodable", "refused", "unwritten"]
"""Why a still is not there: nobody had time for it, its memory was given to another frame, its frame refers to one that
is not here, it is no picture that the format can hold, the disk did not take it."""
FAILURES: Final = (
    OSError,
    ValueError,
    TypeError,
    MemoryError,
    FrameReclaimedError,
    FrameUndecodable,
    FrameWithoutPixels,
)
"""What a picture or its file may raise: it costs that one alone."""
CHUNK_BYTES: Final = 2 << 20
CHUNK_STILLS: Final = 256
"""What a worker gets at once, at most: small pictures come in dozens, a 1080p one alone."""


class FileAsItCame(NamedTuple):
    """A file's bytes as they came: nothing is to be coded."""

    data: Any


Pixels = NDArray[Any] | FileAsItCame


class Still(NamedTuple):
    """A picture and where it goes.

    ``picture`` is an array as ``coding.encode`` takes it, or makes one when it is wanted, in a worker's thread.
    """

    number: int
    path: str
    picture: Pixels | Callable[[], Pixels]
    size_bytes: int
    """About what it holds in memory until it is written."""


class Outcome(NamedTuple):
    """A still that is on the disk, or why it is not."""

    number: int
    path: str
    size_bytes: int
    """Of the file; 0 where there is none."""
    cause: Cause = ""
    problem: str = ""


def pixels_of(still: Still) -> Pixels:
    """The picture itself.

    Raises:
        FAILURES: it cannot be made.
    """
    return still.picture() if callable(still.picture) else still.picture


def save_chunk(chunk: Iterable[Still], coding: Coding) -> list[Outcome]:
    """Code and write some stills; errors of one are told, and cost nobody else anything.

    First all are coded, then all are written: threads that do both by turns take the interpreter's lock from each other
    at every call, and lost by that what they had won, with pictures of 50x50.
    """
    return [_written(coded) for coded in [_coded(still, coding) for still in chunk]]


class _Coded(NamedTuple):
    number: int
    path: str
    data: Any


def _coded(still: Still, coding: Coding) -> _Coded | Outcome:
    try:
        pixels = pixels_of(still)
        data = pixels.data if isinstance(pixels, FileAsItCame) else encode(pixels, coding)
    except FAILURES as error:
        return failure(still.number, still.path, error)
    return _Coded(still.number, still.path, data)


def _written(coded: _Coded | Outcome) -> Outcome:
    if isinstance(coded, Outcome):
        return coded
    try:
        return Outcome(coded.number, coded.path, write_whole(coded.path, coded.data))
    except FAILURES as error:
        return failure(coded.number, coded.path, error)


def failure(number: int, path: str, error: BaseException) -> Outcome:
    """The outcome of a still whose picture or file raised one of ``FAILURES``."""
    if isinstance(error, OSError):
        return Outcome(number, path, 0, "unwritten", error.strerror or str(error))
    cause: Cause = "refused"
    if isinstance(error, FrameReclaimedError):
        cause = "reclaimed"
    elif isinstance(error, FrameUndecodable | FrameWithoutPixels):
        cause = "undecodable"
    return Outcome(number, path, 0, cause, str(error) or type(error).__name__)


def picture_of(frame: Frame, keeps_jpeg: bool) -> Pixels:
    """What of a frame is coded: a jpeg as it came where that is wanted, else upright pixels, copied where they must be.

    Raises:
        FrameReclaimedError, FrameUndecodable, FrameWithoutPixels, ValueError: as ``Frame.to_bgr``.
    """
    if frame.format == "jpeg" and keeps_jpeg:
        return FileAsItCame(frame.pixels)
    if frame.format == "bgr24" or (frame.format == "gray8" and frame.layout.range == "full"):
        return frame.planes()[0]
    return upright(frame.to_bgr(), frame)


def upright(bgr: NDArray[np.uint8], frame: Frame) -> NDArray[np.uint8]:
    """A decoded picture turned as its camera says that it stands."""
    turns = frame.layout.rotation // 90
    return np.ascontiguousarray(np.rot90(bgr, turns)) if turns else bgr


def chunks(
    stills: Iterable[Still], most: int = CHUNK_STILLS, most_bytes: int = CHUNK_BYTES
) -> Iterator[Sequence[Still]]:
    """Stills in lists of at most ``most``, and of no more than so many bytes where they have several."""
    chunk, held = list[Still](), 0
    for still in stills:
        if chunk and (len(chunk) >= most or held + still.size_bytes > CHUNK_BYTES):
            yield chunk
            chunk, held = [], 0
        chunk.append(still)
        held += still.size_bytes
    if chunk:
        yield chunk
