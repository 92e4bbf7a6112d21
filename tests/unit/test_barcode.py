"""The barcode of test pictures: its bits, its robustness, and what it refuses."""

import os
import sys
import zlib
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncsvc import barcode
from syncsvc.barcode import Barcode

SHOWN = Barcode(7, 123_456, 1_700_000_000_123_456)
SHOWN_BYTES = bytes.fromhex("b50701e240060a2418202240e6b85c1e")  # magic, id, counter, time, CRC-32


def picture(width: int, height: int, *, bgr: bool = False) -> np.ndarray:
    return np.full((height, width, 3) if bgr else (height, width), 90, np.uint8)


def reference() -> ModuleType:
    shared = Path(os.environ.get("SYNCSVC_SHARED", Path(__file__).resolve().parents[3] / "shared"))
    if not (shared / "tools" / "camfarm" / "gtbar.py").is_file():
        pytest.skip("the independent reader is not here")
    sys.path.insert(0, str(shared / "tools" / "camfarm"))
    try:
        return import_module("gtbar")
    finally:
        sys.path.pop(0)


def test_the_bits_are_where_the_format_says() -> None:
    luma = picture(640, 360)
    barcode.draw(luma, *SHOWN)
    cells = luma[:80].reshape(4, 20, 32, 20)
    assert (cells == cells[:, :1, :, :1]).all(), "a cell is one level throughout"
    levels = cells[:, 0, :, 0]
    assert set(np.unique(levels)) == {28, 228}
    assert np.packbits(levels == 228).tobytes() == SHOWN_BYTES
    assert (luma[80:] == 90).all()


def test_the_vector_is_made_of_the_fields_and_their_checksum() -> None:
    body = b"\xb5" + bytes([7]) + (123_456).to_bytes(3, "big") + (1_700_000_000_123_456).to_bytes(7, "big")
    assert body + zlib.crc32(body).to_bytes(4, "big") == SHOWN_BYTES


@pytest.mark.parametrize("bgr", [False, True])
@pytest.mark.parametrize(
    "size", [(160, 90), (176, 144), (200, 120), (640, 360), (853, 480), (1910, 1080), (3840, 2160)]
)
def test_any_width_from_160_reads_back(size: tuple[int, int], bgr: bool) -> None:
    image = picture(*size, bgr=bgr)
    barcode.draw(image, *SHOWN)
    assert barcode.read(image) == SHOWN


@given(st.integers(0, 255), st.integers(0, 2**24 - 1), st.integers(0, 2**56 - 1))
def test_every_value_reads_back(stream_id: int, counter: int, time_us: int) -> None:
    luma = picture(320, 180)
    barcode.draw(luma, stream_id, counter, time_us)
    assert barcode.read(luma) == (stream_id, counter, time_us)


def test_values_too_large_for_their_field_wrap() -> None:
    luma = picture(320, 180)
    barcode.draw(luma, 256 + 3, 2**24 + 5, 2**56 + 9)
    assert barcode.read(luma) == (3, 5, 9)


def test_it_survives_noise_and_a_strided_view() -> None:
    padded = np.zeros((360, 704), np.uint8)
    luma = padded[:, :640]
    barcode.draw(luma, *SHOWN)
    noisy = luma.astype(np.int16) + np.random.default_rng(1).normal(0, 60, luma.shape)
    assert barcode.read(np.clip(noisy, 0, 255).astype(np.uint8)) == SHOWN
    assert not padded[:, 640:].any(), "nothing is drawn beside the view"


def test_it_survives_a_rescale() -> None:
    luma = picture(1280, 720)
    barcode.draw(luma, *SHOWN)
    assert barcode.read(np.ascontiguousarray(luma[::3, ::3])) == SHOWN


def test_one_flipped_cell_is_no_reading() -> None:
    for row, column in np.ndindex(4, 32):
        luma = picture(320, 180)
        barcode.draw(luma, *SHOWN)
        cell = luma[row * 10 : row * 10 + 10, column * 10 : column * 10 + 10]
        cell[:] = 28 if cell[0, 0] == 228 else 228
        assert barcode.read(luma) is None, (row, column)


def test_pictures_without_a_code_give_none() -> None:
    assert barcode.read(picture(640, 360)) is None
    assert barcode.read(np.random.default_rng(2).integers(0, 256, (360, 640), np.uint8)) is None
    assert barcode.read(picture(128, 90)) is None
    assert barcode.read(picture(640, 40)) is None
    assert barcode.read(picture(0, 0)) is None


@pytest.mark.parametrize("size", [(159, 90), (640, 79)])
def test_a_picture_too_small_for_the_code_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="160 columns"):
        barcode.draw(picture(*size), *SHOWN)


@pytest.mark.parametrize("width", [160, 320, 640, 1280, 1920])
def test_the_independent_reader_and_this_one_agree(width: int) -> None:
    gtbar = reference()
    ours, theirs = picture(width, width * 9 // 16), picture(width, width * 9 // 16)
    barcode.draw(ours, *SHOWN)
    gtbar.draw(theirs, *SHOWN)
    assert (ours == theirs).all()
    assert gtbar.read(ours) == SHOWN
    assert barcode.read(theirs) == SHOWN


@pytest.mark.parametrize("width", [200, 854, 1910])
def test_the_independent_reader_reads_widths_that_are_no_multiple_of_32(width: int) -> None:
    gtbar = reference()
    luma = picture(width, width * 9 // 16)
    barcode.draw(luma, *SHOWN)
    assert gtbar.read(luma) == SHOWN
