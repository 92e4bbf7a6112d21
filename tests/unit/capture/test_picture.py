"""Planes into packed payloads, against PyAV's own conversion; sizes odd and even, padded, scaled."""

from fractions import Fraction

import numpy as np
import pytest
from av import VideoFrame
from av.video.reformatter import ColorRange, Colorspace

from syncsvc.capture.picture import pixels_of
from syncsvc.capture.source import Picture
from syncsvc.layout import Layout
from syncsvc.pictures import to_bgr

SIZES = [(64, 48), (33, 17), (31, 20), (161, 91), (2, 2)]


def noise(width: int, height: int, av_format: str = "yuv420p") -> VideoFrame:
    """A frame of smooth noise in some format; libav pads its rows."""
    rng = np.random.default_rng(width * 1000 + height)
    small = rng.integers(0, 256, (max(1, height // 4), max(1, width // 4), 3), np.uint8)
    rgb = np.kron(small, np.ones((5, 5, 1), np.uint8))[:height, :width]
    rgb = np.pad(rgb, ((0, height - rgb.shape[0]), (0, width - rgb.shape[1]), (0, 0)), mode="edge")
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(rgb), "rgb24").reformat(format=av_format)
    frame.pts, frame.time_base = 0, Fraction(1, 90_000)
    return frame


def flat(value: int, av_format: str, width: int = 64, height: int = 48) -> VideoFrame:
    """A frame whose luma is ``value`` and whose chroma is grey."""
    frame = VideoFrame(width, height, av_format)
    for place, plane in enumerate(frame.planes):
        plane.update(bytes([value if place == 0 else 128]) * plane.buffer_size)
    return frame


def written(picture: Picture) -> np.ndarray:
    """What lands in the slot; everything of it is written."""
    first, second = np.zeros(picture.layout.size_bytes, np.uint8), np.full(picture.layout.size_bytes, 255, np.uint8)
    picture.write(first)
    picture.write(second)
    assert (first == second).all()
    return first


def planes(frame: VideoFrame) -> np.ndarray:
    """The packed planes of a frame, taken one row at a time."""
    rows = []
    for place, plane in enumerate(frame.planes):
        half = place > 0 and frame.format.name.startswith("yuv420")
        width = (frame.width + 1) // 2 if half else frame.width
        height = (frame.height + 1) // 2 if half else frame.height
        data = bytes(plane)
        width *= 3 if frame.format.name == "bgr24" else 1
        rows += [data[row * plane.line_size : row * plane.line_size + width] for row in range(height)]
    return np.frombuffer(b"".join(rows), np.uint8)


@pytest.mark.parametrize("size", SIZES)
def test_i420_is_the_planes_without_their_padding(size: tuple[int, int]) -> None:
    frame = noise(*size)
    payload = written(pixels_of(frame, "i420", None))
    assert payload.size == Layout("i420", *size).size_bytes
    assert (payload == planes(frame)).all()


@pytest.mark.parametrize("size", SIZES)
def test_gray8_is_the_luma_alone(size: tuple[int, int]) -> None:
    frame = noise(*size)
    assert (written(pixels_of(frame, "gray8", None)) == planes(frame)[: size[0] * size[1]]).all()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("source", ["yuv420p", "yuv422p", "rgb24", "nv12", "yuvj420p"])
def test_bgr24_is_what_pyav_makes_of_it(size: tuple[int, int], source: str) -> None:
    frame = noise(*size, av_format=source)
    expected = planes(frame.reformat(format="bgr24"))
    assert (written(pixels_of(frame, "bgr24", None)) == expected).all()


@pytest.mark.parametrize("source", ["yuv422p", "yuv444p", "nv12", "rgb24"])
def test_other_formats_are_converted(source: str) -> None:
    frame = noise(64, 48, av_format=source)
    assert (written(pixels_of(frame, "i420", None)) == planes(frame.reformat(format="yuv420p"))).all()


@pytest.mark.parametrize("pixels", ["i420", "bgr24", "gray8"])
@pytest.mark.parametrize("size", [(32, 24), (33, 25), (128, 96)])
def test_scaling_is_what_pyav_makes_of_it(pixels: str, size: tuple[int, int]) -> None:
    frame, names = noise(64, 48), {"i420": "yuv420p", "bgr24": "bgr24", "gray8": "yuv420p"}
    picture = pixels_of(frame, pixels, size)
    assert (picture.layout.width, picture.layout.height) == size
    expected = planes(frame.reformat(*size, format=names[pixels]))[: picture.size_bytes]
    assert np.abs(written(picture).astype(int) - expected).max() <= 1


@pytest.mark.parametrize("source", ["yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p"])
@pytest.mark.parametrize("pixels", ["i420", "gray8", "bgr24"])
@pytest.mark.parametrize("size", [None, (32, 24)])
def test_black_and_white_come_out_as_the_layouts_range_says(
    source: str, pixels: str, size: tuple[int, int] | None
) -> None:
    """Whatever is converted on the way: a subscriber who honours the layout sees black as black and white as white."""
    is_full = source.startswith("yuvj")
    for luma, expected in ((0 if is_full else 16, 0), (255 if is_full else 235, 255)):
        picture = pixels_of(flat(luma, source), pixels, size)
        bgr = to_bgr(written(picture), picture.layout)
        assert np.abs(bgr.astype(int) - expected).max() <= 2, (picture.layout, luma)


@pytest.mark.parametrize("size", [None, (32, 24)])
@pytest.mark.parametrize("source", ["yuv420p", "yuv422p"])
def test_a_full_range_that_only_the_frame_tells_of_is_kept(source: str, size: tuple[int, int] | None) -> None:
    frame = flat(255, source)
    frame.color_range = ColorRange.JPEG
    picture = pixels_of(frame, "i420", size)
    bgr = to_bgr(written(picture), picture.layout)
    assert np.abs(bgr.astype(int) - 255).max() <= 2, picture.layout


def test_range_and_matrix_are_told() -> None:
    frame = noise(64, 48)
    assert pixels_of(frame, "i420", None).layout == Layout("i420", 64, 48, "limited", "bt601")
    frame.colorspace, frame.color_range = Colorspace.ITU709, ColorRange.JPEG
    assert pixels_of(frame, "i420", None).layout == Layout("i420", 64, 48, "full", "bt709")
    assert pixels_of(noise(64, 48, "yuvj420p"), "gray8", None).layout.range == "full"
    assert pixels_of(noise(64, 48), "bgr24", None).layout.range == "full"
