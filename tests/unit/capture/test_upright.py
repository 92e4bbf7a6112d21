"""Which way up: display matrices and EXIF in every orientation, against what OpenCV makes of the same data."""

import struct
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from syncsvc.capture.decode import Decoder, OpenInput, open_container
from syncsvc.capture.picture import picture_of
from syncsvc.capture.readers import reader_of
from syncsvc.capture.source import Picture
from syncsvc.capture.spec import HttpSpec, RingPlan
from syncsvc.capture.upright import UPRIGHT, Turn, turn_of_exif, turn_of_matrix
from syncsvc.layout import Layout, jpeg_header
from syncsvc.pictures import to_bgr
from syncsvc.testing import ManualClock, S


def quadrants(width: int = 64, height: int = 48) -> NDArray[np.uint8]:
    """A picture of four corners, each of its own colour, BGR."""
    shown = np.zeros((height, width, 3), np.uint8)
    half_h, half_w = height // 2, width // 2
    shown[:half_h, :half_w], shown[:half_h, half_w:] = (255, 0, 0), (0, 255, 0)
    shown[half_h:, :half_w], shown[half_h:, half_w:] = (0, 0, 255), (200, 200, 200)
    return shown


def exif_jpeg(orientation: int, order: str = "<") -> bytes:
    """The corners as a JPEG of a camera that was held somehow."""
    plain = bytes(cv2.imencode(".jpg", quadrants(), [cv2.IMWRITE_JPEG_QUALITY, 95])[1])
    mark = b"II*\0" if order == "<" else b"MM\0*"
    entries = struct.pack(order + "HHHIHHHHI4s", 2, 0x0112, 3, 1, orientation, 0, 0x010F, 2, 4, b"Cam\0")
    body = b"Exif\0\0" + mark + struct.pack(order + "I", 8) + entries + bytes(4)
    return plain[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + plain[2:]


def read(data: bytes, tmp_path: Path, pixels: str, size: tuple[int, int] | None = None) -> Picture:
    path = tmp_path / "held.jpg"
    path.write_bytes(data)
    spec = HttpSpec(name="a", url="", pixels=pixels, size=size, ring=RingPlan(S))
    with open_container("a", str(path), {}, None, lambda _: None) as container:
        reader = reader_of(spec, OpenInput("a", container, lambda _: None, ManualClock()))
        sighting = next(reader.frames())
        assert isinstance(sighting, tuple)
        return picture_of(sighting[0], spec)


def bgr_of(picture: Picture) -> NDArray[np.uint8]:
    payload = np.zeros(picture.size_bytes, np.uint8)
    picture.write(payload)
    return to_bgr(payload, picture.layout)


def distance(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    assert one.shape == other.shape
    return float(np.abs(one.astype(int) - other).mean())


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("pixels", ["i420", "bgr24", "gray8"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_of_a_camera_that_was_held_somehow_are_upright(
    tmp_path: Path, orientation: int, pixels: str, order: str
) -> None:
    data = exif_jpeg(orientation, order)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if pixels == "gray8":
        expected = cv2.cvtColor(cv2.cvtColor(expected, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    picture = read(data, tmp_path, pixels)
    assert picture.layout.rotation == 0
    assert distance(bgr_of(picture), expected) < 4


@pytest.mark.parametrize("size", [(30, 40), (31, 17)])
def test_the_size_that_is_asked_for_is_that_of_the_upright_picture(tmp_path: Path, size: tuple[int, int]) -> None:
    data = exif_jpeg(6)
    upright = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    picture = read(data, tmp_path, "i420", size)
    assert (picture.layout.width, picture.layout.height) == size
    assert distance(bgr_of(picture), cv2.resize(upright, size, interpolation=cv2.INTER_AREA)) < 12


@pytest.mark.parametrize("pixels", ["jpeg", "encoded"])
@pytest.mark.parametrize(("orientation", "rotation"), [(1, 0), (3, 180), (6, 270), (8, 90)])
def test_coded_pictures_say_by_how_much_they_are_to_be_turned(
    tmp_path: Path, pixels: str, orientation: int, rotation: int
) -> None:
    data = exif_jpeg(orientation)
    layout = read(data, tmp_path, pixels).layout
    assert (layout.format, layout.width, layout.height, layout.rotation) == (pixels, 64, 48, rotation)
    lying = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    upright = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert distance(np.rot90(lying, layout.rotation // 90), upright) < 1


@pytest.mark.parametrize("cut", range(0, 60, 3))
def test_exif_data_that_end_early_or_make_no_sense_say_nothing(cut: int) -> None:
    data = exif_jpeg(6)
    assert jpeg_header(data[:4] + data[4 : 4 + cut]) is None
    for junk in (b"\xff" * cut, bytes(cut)):
        header = jpeg_header(data[:10] + junk + data[10 + cut :])
        assert header is None or header.orientation in range(1, 9)


def matrix(turn: Turn) -> bytes:
    """The display matrix of a turn: where the axes of the picture go."""
    (a, b), (c, d) = {0: ((1, 0), (0, 1)), 1: ((0, -1), (1, 0)), 2: ((-1, 0), (0, -1)), 3: ((0, 1), (-1, 0))}[
        turn.quarters
    ]
    sign = -1 if turn.is_mirrored else 1
    return struct.pack("=9i", *(one << 16 for one in (sign * a, sign * b, 0, c, d, 0, 0, 0)), 1 << 30)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_display_matrix_says_the_same_as_exif(orientation: int) -> None:
    turn = turn_of_exif(orientation)
    assert turn_of_matrix(matrix(turn)) == turn


def test_a_matrix_that_shows_nothing_turns_nothing() -> None:
    assert turn_of_matrix(bytes(36)) == UPRIGHT


def portrait(path: Path, degrees: int) -> Path:
    """The corners as a video whose container says how it was held."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "10", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.set_display_rotation(degrees)
        for number in range(5):
            frame = av.VideoFrame.from_ndarray(quadrants(), "bgr24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("container", ["mp4", "mkv"])
@pytest.mark.parametrize("degrees", [0, 90, 180, -90])
def test_a_video_that_was_held_somehow_is_upright(tmp_path: Path, container: str, degrees: int) -> None:
    path = portrait(tmp_path / f"held.{container}", degrees)
    with open_container("a", str(path), {}, None, lambda _: None) as opened:
        sighting = next(Decoder(OpenInput("a", opened, lambda _: None, ManualClock())).frames())
        assert isinstance(sighting, tuple)
        picture = picture_of(sighting[0], HttpSpec(name="a", url="", pixels="i420", ring=RingPlan(S)))
    upright = np.rot90(quadrants(), degrees // 90 % 4)
    assert picture.layout == Layout("i420", upright.shape[1], upright.shape[0])
    assert distance(bgr_of(picture), upright) < 10
