"""Payload sizes, and colours compared to swscale's conversion of the same picture."""

import struct
import subprocess
import sys
import tracemalloc
from typing import Any

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from syncsvc.layout import Layout, PixelFormat, jpeg_header
from syncsvc.pictures import planes_i420, to_bgr

SIZES = [(256, 192), (255, 191), (256, 191), (255, 192), (2, 2), (1, 1)]
MATRICES = {"bt601": Colorspace.ITU601, "bt709": Colorspace.ITU709, "bt2020": 9}
RANGES = {"limited": ColorRange.MPEG, "full": ColorRange.JPEG}


def smooth_i420(width: int, height: int, color_range: str) -> bytes:
    """Slow gradients that stay inside the range: no two ways of placing chroma differ much on them."""
    low, high = (16, 235) if color_range == "limited" else (0, 255)
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    u, v = np.meshgrid(np.linspace(0.25, 0.75, (width + 1) // 2), np.linspace(0.3, 0.7, (height + 1) // 2))
    planes = [low + (high - low) * (0.2 + 0.3 * (x + y)), 16 + 224 * u, 16 + 224 * v]
    return b"".join(np.rint(plane).astype(np.uint8).tobytes() for plane in planes)


def by_swscale(payload: bytes, layout: Layout) -> NDArray[np.uint8]:
    picture = av.VideoFrame(layout.width, layout.height, "yuv420p")
    for plane, pixels in zip(picture.planes, planes_i420(payload, layout.width, layout.height), strict=True):
        padded = np.zeros((plane.height, plane.line_size), np.uint8)
        padded[:, : pixels.shape[1]] = pixels
        plane.update(padded.tobytes())
    options: dict[str, Any] = {"src_colorspace": MATRICES[layout.matrix], "src_color_range": RANGES[layout.range]}
    converted = picture.reformat(format="bgr24", dst_color_range=ColorRange.JPEG, **options)
    return np.asarray(converted.to_ndarray(), np.uint8)


@pytest.mark.parametrize(
    ("pixels", "width", "height", "size_bytes"),
    [("i420", 4, 4, 24), ("i420", 5, 3, 27), ("i420", 1, 1, 3), ("bgr24", 5, 3, 45), ("gray8", 5, 3, 15)],
)
def test_payload_sizes(pixels: PixelFormat, width: int, height: int, size_bytes: int) -> None:
    assert Layout(pixels, width, height).size_bytes == size_bytes


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("color_range", RANGES)
@pytest.mark.parametrize(("width", "height"), SIZES[:4])
def test_i420_agrees_with_swscale(width: int, height: int, color_range: Any, matrix: Any) -> None:
    layout = Layout("i420", width, height, color_range, matrix)
    payload = smooth_i420(width, height, color_range)
    difference = np.abs(to_bgr(payload, layout).astype(int) - by_swscale(payload, layout))
    assert difference.mean() < 1.2  # swscale itself is one step off on average: its default path rounds coarsely
    assert difference.max() <= 5  # chroma is repeated here and may be interpolated there


@pytest.mark.parametrize("color_range", RANGES)
def test_the_colour_space_matters(color_range: Any) -> None:
    """The comparison above can fail: another matrix or range is far outside its bound."""
    payload = smooth_i420(64, 48, color_range)
    right = to_bgr(payload, Layout("i420", 64, 48, color_range, "bt601")).astype(int)
    other_range: Any = "full" if color_range == "limited" else "limited"
    for wrong in (Layout("i420", 64, 48, color_range, "bt709"), Layout("i420", 64, 48, other_range, "bt601")):
        assert np.abs(right - to_bgr(payload, wrong)).mean() > 3


@pytest.mark.parametrize(
    ("yuv", "color_range", "matrix", "bgr"),
    [
        ((16, 128, 128), "limited", "bt601", (0, 0, 0)),
        ((235, 128, 128), "limited", "bt709", (255, 255, 255)),
        ((0, 128, 128), "full", "bt709", (0, 0, 0)),
        ((255, 128, 128), "full", "bt601", (255, 255, 255)),
        ((81, 90, 240), "limited", "bt601", (0, 0, 255)),  # red of the 100 % colour bars, each standard its own numbers
        ((63, 102, 240), "limited", "bt709", (0, 0, 255)),
        ((74, 97, 240), "limited", "bt2020", (0, 0, 255)),
        ((29, 255, 107), "full", "bt601", (255, 0, 0)),
    ],
)
@pytest.mark.parametrize(("width", "height"), [(4, 4), (3, 5)])
def test_known_colours(
    yuv: tuple[int, int, int], color_range: Any, matrix: Any, bgr: tuple[int, int, int], width: int, height: int
) -> None:
    half = ((width + 1) // 2) * ((height + 1) // 2)
    payload = bytes([yuv[0]] * (width * height) + [yuv[1]] * half + [yuv[2]] * half)
    picture = to_bgr(payload, Layout("i420", width, height, color_range, matrix))
    assert np.abs(picture.astype(int) - np.array(bgr)).max() <= 2


def test_gray8_honours_its_range() -> None:
    ramp = bytes([0, 16, 125, 126, 235, 255])
    full = to_bgr(ramp, Layout("gray8", 3, 2, "full"))
    limited = to_bgr(ramp, Layout("gray8", 3, 2, "limited"))
    assert full[:, :, 0].ravel().tolist() == list(ramp)
    assert limited[:, :, 0].ravel().tolist() == [0, 0, 127, 128, 255, 255]
    assert np.array_equal(limited[:, :, 0], limited[:, :, 2])


def test_bgr24_is_copied_as_it_is() -> None:
    payload = bytes(range(18))
    assert to_bgr(payload, Layout("bgr24", 3, 2, "limited", "bt709")).tobytes() == payload


@pytest.mark.parametrize("pixels", ["i420", "bgr24", "gray8"])
@pytest.mark.parametrize("color_range", RANGES)
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_picture_is_our_own_and_writable(pixels: Any, color_range: Any, width: int, height: int) -> None:
    layout = Layout(pixels, width, height, color_range)
    payload = bytearray(100 for _ in range(layout.size_bytes))
    picture = to_bgr(memoryview(payload).toreadonly(), layout)
    assert (picture.shape, picture.dtype) == ((height, width, 3), np.uint8)
    before = picture.copy()
    payload[:] = bytes(len(payload))
    assert np.array_equal(picture, before)
    picture[:] = 7
    assert not any(payload)


def test_a_payload_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="5x3 has 27 bytes, not 26"):
        to_bgr(bytes(26), Layout("i420", 5, 3))
    with pytest.raises(ValueError, match="refers to others"):
        to_bgr(bytes(26), Layout("encoded", 5, 3))


def jpeg(width: int, height: int, grey: bool = False) -> bytes:
    cv2 = pytest.importorskip("cv2")
    bgr = np.full((height, width, 3), (40, 120, 200), np.uint8)
    return bytes(cv2.imencode(".jpg", bgr[:, :, 0] if grey else bgr)[1].tobytes())


@pytest.mark.parametrize(("width", "height"), [(16, 8), (5, 3), (1, 1)])
def test_a_jpeg_is_decoded(width: int, height: int) -> None:
    bgr = to_bgr(jpeg(width, height), Layout("jpeg", width, height, "full"))
    assert bgr.shape == (height, width, 3)
    assert np.abs(bgr.astype(int) - (40, 120, 200)).max() <= 3
    assert (
        to_bgr(jpeg(width, height, grey=True), Layout("jpeg", width, height, "full")).tolist()
        == [[[40, 40, 40]] * width] * height
    )


def test_a_jpeg_that_claims_another_size_is_refused_before_it_takes_memory() -> None:
    bomb = bytearray(jpeg(16, 8))
    at = bomb.index(b"\xff\xc0")
    bomb[at + 5 : at + 9] = struct.pack(">HH", 32_000, 32_000)
    tracemalloc.start()
    with pytest.raises(ValueError, match="of 16x8 says in its own header: 32000x32000"):
        to_bgr(bytes(bomb), Layout("jpeg", 16, 8, "full"))
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("cut", [0, 1, 2, 3, 20, 100])
def test_a_jpeg_that_is_none_is_refused(cut: int) -> None:
    with pytest.raises(ValueError, match="nothing that can be read"):
        to_bgr(jpeg(16, 8)[:cut], Layout("jpeg", 16, 8, "full"))


def test_hostile_jpeg_headers_are_read_or_not_and_end() -> None:
    whole, rng = jpeg(16, 8), np.random.default_rng(5)
    for _ in range(2000):
        data = bytearray(whole)
        for at in rng.integers(2, len(data), 4):
            data[at] = rng.integers(0, 256)
        found = jpeg_header(bytes(data[: rng.integers(0, len(data))]))
        assert found is None or 0 < found.width < 65_536 > found.height > 0


def test_a_jpeg_that_ends_within_its_frame_header_says_nothing() -> None:
    assert jpeg_header(bytes.fromhex("ffd8 ffc00002 ffda0000")) is None


def test_what_only_some_readers_read_is_told_from_plain_files() -> None:
    whole = jpeg(16, 8)
    assert jpeg_header(whole) == (16, 8, True, 1)
    tables = whole.index(b"\xff\xc4")
    frame = whole.index(b"\xff\xc0")
    begin = whole.index(b"\xff\xda")
    assert jpeg_header(whole[:tables] + whole[begin:]) == (16, 8, False, 1)
    for at, value in ((frame + 4, 12), (frame + 9, 4)):
        other = bytearray(whole)
        other[at] = value
        assert jpeg_header(bytes(other)) == (16, 8, False, 1)
    assert jpeg_header(whole[:2] + b"\xff" * 5 + whole[2:]) == (16, 8, True, 1), "fill"


def test_without_opencv_the_error_names_the_packages() -> None:
    code = """
import sys
sys.modules["cv2"] = None
from syncsvc.layout import Layout
from syncsvc.pictures import to_bgr
assert to_bgr(bytes(3), Layout("bgr24", 1, 1)).tolist() == [[[0, 0, 0]]]
try:
    to_bgr(bytes(3), Layout("i420", 1, 1))
except ImportError as error:
    assert "libgl1 libglib2.0-0" in str(error), error
else:
    raise AssertionError("no ImportError")
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)
