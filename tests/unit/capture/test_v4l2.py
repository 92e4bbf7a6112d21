"""A V4L2 camera, with a fake device where OpenCV's would be."""

from itertools import islice
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import pytest

from syncsvc.capture.source import Loss, Shot
from syncsvc.capture.spec import RingPlan, V4l2Spec
from syncsvc.capture.v4l2 import V4l2Source
from syncsvc.errors import SourceUnavailable
from syncsvc.layout import Layout
from syncsvc.pictures import to_bgr
from syncsvc.testing import MS, ManualClock, S
from syncsvc.transport.page import Position


class Device:
    """Frames of one grey, 40 ms apart, whose kernel stamp is 25 ms old; ``script`` has what goes wrong at a frame."""

    def __init__(
        self, clock: ManualClock, size: tuple[int, int] = (64, 48), script: dict[int, str] | None = None
    ) -> None:
        self.clock, self.size, self.script = clock, size, script or {}
        self.number, self.is_open, self.released = -1, True, 0
        self.asked: dict[int, float] = {}

    def isOpened(self) -> bool:  # noqa: N802  # OpenCV's name
        return self.is_open

    def set(self, what: int, value: float) -> bool:
        self.asked[what] = value
        return True

    def get(self, what: int) -> float:
        if what == cv2.CAP_PROP_POS_MSEC:
            lacks = {"no stamp": 0.0, "negative stamp": -1.0}
            return lacks.get(self.fault, (self.clock.monotonic_ns() - 25 * MS) / MS)
        return self.asked.get(what, 0.0)

    @property
    def fault(self) -> str:
        return self.script.get(self.number, "")

    def grab(self) -> bool:
        self.number += 1
        self.clock.advance(40 * MS)
        return self.fault != "gone"

    def retrieve(self) -> tuple[bool, Any]:
        if self.fault == "torn":
            return False, None
        width, height = self.size
        return True, np.full((height, width, 3), 10 * self.number, np.uint8)

    def release(self) -> None:
        self.released += 1


def open_source(device: Device, **more: Any) -> tuple[V4l2Source, list[Position]]:
    positions: list[Position] = []
    spec = V4l2Spec(name="a", ring=RingPlan(S), device="/dev/video7", **{"pixels": "i420"} | more)

    with patch.object(cv2, "VideoCapture", return_value=device) as opener:
        source = V4l2Source(spec, device.clock, positions.append)
    opener.assert_called_once_with("/dev/video7", cv2.CAP_V4L2)
    return source, positions


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def test_frames_carry_the_kernels_stamp(clock: ManualClock) -> None:
    source, positions = open_source(Device(clock))
    shots = list(islice(source.shots(), 3))
    for number, shot in enumerate(shots, start=1):
        assert isinstance(shot, Shot)
        assert shot.seen.arrival_mono_ns == 1000 * S + number * 40 * MS
        assert shot.seen.stamp_kind == "kernel"
        assert shot.seen.stamp_ns == pytest.approx(shot.seen.arrival_mono_ns - 25 * MS, abs=1000)
        assert shot.seen.pts_ns == shot.seen.stamp_ns
    assert positions[:3] == [Position.OPENING, Position.DEMUX, Position.DECODE]


@pytest.mark.parametrize("fault", ["no stamp", "negative stamp"])
def test_a_driver_without_stamps_gives_none(clock: ManualClock, fault: str) -> None:
    source, _ = open_source(Device(clock, script={0: fault}))
    [shot] = islice(source.shots(), 1)
    assert isinstance(shot, Shot)
    assert (shot.seen.stamp_ns, shot.seen.stamp_kind, shot.seen.pts_ns) == (None, "", None)


def test_a_torn_frame_is_a_loss_and_a_device_that_goes_away_ends_the_capture(clock: ManualClock) -> None:
    device = Device(clock, script={1: "torn", 3: "gone"})
    source, _ = open_source(device)
    shots = source.shots()
    kinds = [type(next(shots)) for _ in range(3)]
    assert kinds == [Shot, Loss, Shot]
    with pytest.raises(SourceUnavailable, match="stopped sending"):
        next(shots)
    source.close()
    assert device.released == 1


def test_a_device_that_is_not_there(clock: ManualClock) -> None:
    device = Device(clock)
    device.is_open = False
    with pytest.raises(SourceUnavailable, match="cannot be opened: /dev/video7"):
        open_source(device)
    assert device.released == 1


def test_the_driver_is_asked_for_what_the_url_asks_for(clock: ManualClock) -> None:
    device = Device(clock)
    source, _ = open_source(device, fourcc="MJPG", device_size=(1280, 720), fps=15)
    assert device.asked == {
        cv2.CAP_PROP_FOURCC: cv2.VideoWriter.fourcc(*"MJPG"),
        cv2.CAP_PROP_FRAME_WIDTH: 1280,
        cv2.CAP_PROP_FRAME_HEIGHT: 720,
        cv2.CAP_PROP_FPS: 15,
    }
    assert source.fps == 15
    silent, _ = open_source(Device(clock))
    assert silent.fps == 30


@pytest.mark.parametrize("pixels", ["i420", "bgr24", "gray8"])
@pytest.mark.parametrize("size", [(64, 48), (65, 49), (64, 49), (33, 2)])
@pytest.mark.parametrize("scaled", [None, (32, 24), (31, 25)])
def test_pixels_in_any_size(
    clock: ManualClock, pixels: str, size: tuple[int, int], scaled: tuple[int, int] | None
) -> None:
    device = Device(clock, size=size)
    device.number = 10
    source, _ = open_source(device, pixels=pixels, size=scaled)
    [shot] = islice(source.shots(), 1)
    assert isinstance(shot, Shot)
    layout = shot.picture.layout
    slot = np.zeros(layout.size_bytes + 3, np.uint8)
    shot.picture.write(slot[: layout.size_bytes])
    width, height = scaled or size
    cut = pixels == "i420"
    assert (layout.width, layout.height) == ((width // 2 * 2, height // 2 * 2) if cut else (width, height))
    assert layout.size_bytes == Layout(pixels, layout.width, layout.height).size_bytes
    bgr = to_bgr(slot[: layout.size_bytes], layout)
    assert np.abs(bgr.astype(int) - 110).max() <= 2
    assert (slot[layout.size_bytes :] == 0).all()
