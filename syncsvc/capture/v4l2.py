"""USB and other V4L2 cameras through OpenCV, with the kernel's stamp of each buffer.

``CAP_PROP_POS_MSEC`` of the V4L2 backend is the buffer's ``timeval`` on CLOCK_MONOTONIC, taken 20-28 ms before the
frame reaches user space on common webcams; it is read once after ``grab``.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syncsvc.capture.jpeg import JpegPicture
from syncsvc.capture.source import Loss, Picture, Pulse, Shot
from syncsvc.capture.spec import V4l2Spec
from syncsvc.clock import NS_PER_MS, Clock
from syncsvc.errors import SourceUnavailable
from syncsvc.layout import Layout
from syncsvc.model import Observation
from syncsvc.pictures import load_cv2
from syncsvc.transport.page import Position

OpenDevice = Callable[[str], Any]
"""Gives what ``cv2.VideoCapture`` gives; tests hand in a fake, because a test machine has no camera."""


def open_device(device: str) -> Any:
    """The device behind OpenCV's V4L2 backend."""
    cv2 = load_cv2()
    return cv2.VideoCapture(device, cv2.CAP_V4L2)


class BgrPicture:
    """A picture as OpenCV gives it, ``(height, width, 3)`` uint8, BGR."""

    __slots__ = ("_bgr", "layout", "size_bytes")

    def __init__(self, bgr: NDArray[np.uint8], pixels: str, size: tuple[int, int] | None) -> None:
        bgr = scaled(bgr, size)
        height, width = bgr.shape[:2]
        if pixels == "i420" and (width % 2 or height % 2):
            bgr = bgr[: height - height % 2, : width - width % 2]  # OpenCV converts even sizes only
            height, width = bgr.shape[:2]
        color_range = "limited" if pixels == "i420" else "full"
        self.layout = Layout(pixels, width, height, color_range)  # type: ignore[arg-type]  # checked at load
        self.size_bytes = self.layout.size_bytes
        self._bgr = bgr

    def write(self, slot: NDArray[np.uint8]) -> None:
        """Convert into the slot."""
        cv2 = load_cv2()
        height, width = self.layout.height, self.layout.width
        if self.layout.format == "bgr24":
            np.copyto(slot.reshape(height, width, 3), self._bgr)
        elif self.layout.format == "gray8":
            cv2.cvtColor(self._bgr, cv2.COLOR_BGR2GRAY, dst=slot.reshape(height, width))
        else:
            cv2.cvtColor(self._bgr, cv2.COLOR_BGR2YUV_I420, dst=slot.reshape(height * 3 // 2, width))


def scaled(bgr: NDArray[np.uint8], size: tuple[int, int] | None) -> NDArray[np.uint8]:
    """The picture in another size, if one is asked for."""
    if size is None or (bgr.shape[1], bgr.shape[0]) == size:
        return bgr
    cv2 = load_cv2()
    return np.asarray(cv2.resize(bgr, size, interpolation=cv2.INTER_AREA), np.uint8)


class V4l2Source:
    """One capture device."""

    def __init__(self, spec: V4l2Spec, clock: Clock, pulse: Pulse, opener: OpenDevice = open_device) -> None:
        self._spec, self._clock, self._pulse, self._opener = spec, clock, pulse, opener
        self._device: Any = None

    def open(self) -> None:
        """Open the device and ask for what the URL asked for; a driver may give something near it.

        Raises:
            SourceUnavailable: there is no such device, or it is in use.
        """
        cv2 = load_cv2()
        self._pulse(Position.OPENING)
        spec = self._spec
        device = self._opener(spec.device)
        if not device.isOpened():
            device.release()
            raise SourceUnavailable(spec.name, f"cannot be opened: {spec.device}")
        if spec.fourcc is not None:
            device.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*spec.fourcc))
        if spec.device_size is not None:
            device.set(cv2.CAP_PROP_FRAME_WIDTH, spec.device_size[0])
            device.set(cv2.CAP_PROP_FRAME_HEIGHT, spec.device_size[1])
        if spec.fps is not None:
            device.set(cv2.CAP_PROP_FPS, spec.fps)
        self._device = device

    @property
    def fps(self) -> float:
        """The rate that the driver set."""
        fps = float(self._device.get(load_cv2().CAP_PROP_FPS))
        return fps if 0 < fps <= 1000 else 30.0

    def shots(self) -> Iterator[Shot | Loss]:
        """Frames as the driver gives them.

        Raises:
            SourceUnavailable: the device went away.
        """
        cv2 = load_cv2()
        while True:
            self._pulse(Position.DEMUX)
            is_there = self._device.grab()
            arrival_ns = self._clock.monotonic_ns()
            if not is_there:
                raise SourceUnavailable(self._spec.name, "stopped sending")
            stamp_ns = round(self._device.get(cv2.CAP_PROP_POS_MSEC) * NS_PER_MS)
            self._pulse(Position.DECODE)
            is_whole, bgr = self._device.retrieve()
            if not is_whole:
                yield Loss("decode_error")
                continue
            seen = Observation(-1, arrival_ns, is_key=True)
            if stamp_ns > 0:
                seen = replace(seen, pts_ns=stamp_ns, stamp_ns=stamp_ns, stamp_kind="kernel")
            yield Shot(self._picture(bgr), seen)

    def _picture(self, bgr: NDArray[np.uint8]) -> Picture:
        spec = self._spec
        if spec.pixels == "jpeg":
            return JpegPicture(scaled(bgr, spec.size), spec.quality)
        return BgrPicture(bgr, spec.pixels, spec.size)

    def close(self) -> None:
        """Release the device."""
        if self._device is not None:
            self._device.release()
            self._device = None
