"""True times in test pictures: what was captured, and when, written into the luma so that a test can read it back.

128 bits on 32 x 4 cells over the full width, most significant bit first: 8 magic, 8 stream id, 24 counter, 56 capture
time (unix microseconds), 32 CRC-32 of the 12 bytes before it. Cells are as high as wide, so the code survives H.264
at bad quality and any rescale. A 16-bit checksum was not enough: a damaged picture passed it once in 200 frames.
"""

import zlib
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

COLUMNS, ROWS = 32, 4
MAGIC = 0xB5
DARK, BRIGHT, THRESHOLD = 28, 228, 128
MIN_WIDTH = 160  # five pixels a cell; below that the chroma and the transform of the codec blur the cells together

_SAMPLES = 8  # per cell and axis at most: more of them cost time and correct nothing


class Barcode(NamedTuple):
    """What one picture says of itself; ``time_us`` is the capture time in unix microseconds."""

    stream_id: int
    counter: int
    time_us: int


def height_px(width: int) -> int:
    """Rows of the picture that the code covers at this width."""
    return round(ROWS * width / COLUMNS)


def draw(luma: NDArray[np.uint8], stream_id: int, counter: int, time_us: int) -> None:
    """Burn a code into the top of a picture, in place.

    Args:
        luma: ``(h, w)`` luma or ``(h, w, 3)`` BGR, uint8; may be a strided view.
        stream_id: 0 to 255; higher bits are cut off.
        counter: 24 bits; higher bits are cut off, so it wraps.
        time_us: unix microseconds, 56 bits.

    Raises:
        ValueError: the picture is narrower than 160 pixels, or too low for the code.
    """
    height, width = luma.shape[:2]
    if width < MIN_WIDTH or height < height_px(width):
        raise ValueError(
            f"a barcode needs {MIN_WIDTH} columns and an eighth of the width in rows, not {width}x{height}"
        )
    body = bytes((MAGIC, stream_id & 0xFF)) + (counter & 0xFFFFFF).to_bytes(3, "big")
    body += (time_us & (1 << 56) - 1).to_bytes(7, "big")
    code = body + zlib.crc32(body).to_bytes(4, "big")
    bits = np.unpackbits(np.frombuffer(code, np.uint8)).reshape(ROWS, COLUMNS)
    levels = bits * np.uint8(BRIGHT - DARK) + np.uint8(DARK)
    lines = levels[:, _cell_of_column(width)]
    if luma.ndim == 3:
        lines = lines[:, :, None]
    for row in range(ROWS):
        luma[round(row * width / COLUMNS) : round((row + 1) * width / COLUMNS)] = lines[row]


def read(image: NDArray[np.uint8]) -> Barcode | None:
    """Read the code of a picture, ``(h, w)`` luma or ``(h, w, 3)`` BGR; None where there is none or it is damaged."""
    height, width = image.shape[:2]
    if width < MIN_WIDTH or height < height_px(width):
        return None
    plane = image if image.ndim == 2 else image[:, :, 1]
    rows, columns = _sample_points(width)
    per_cell = rows.size // ROWS
    samples = plane[rows[:, None], columns].reshape(ROWS, per_cell, COLUMNS, per_cell)
    sums = samples.sum(axis=(1, 3), dtype=np.uint32)
    code = np.packbits((sums > THRESHOLD * per_cell * per_cell).reshape(-1)).tobytes()
    if code[0] != MAGIC or zlib.crc32(code[:12]) != int.from_bytes(code[12:], "big"):
        return None
    return Barcode(code[1], int.from_bytes(code[2:5], "big"), int.from_bytes(code[5:12], "big"))


@lru_cache(maxsize=32)
def _cell_of_column(width: int) -> NDArray[np.intp]:
    edges = np.round(np.arange(COLUMNS + 1) * width / COLUMNS).astype(np.intp)
    return np.repeat(np.arange(COLUMNS), np.diff(edges))


@lru_cache(maxsize=32)
def _sample_points(width: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns to look at: the middle half of each cell, where the codec's ringing does not reach."""
    cell = width / COLUMNS
    count = max(2, min(_SAMPLES, int(cell / 2)))
    offsets = ((np.arange(count) + 0.5) / count - 0.5) * cell / 2
    rows = ((np.arange(ROWS)[:, None] + 0.5) * cell + offsets).astype(np.intp).reshape(-1)
    columns = ((np.arange(COLUMNS)[:, None] + 0.5) * cell + offsets).astype(np.intp).reshape(-1)
    return rows, columns
