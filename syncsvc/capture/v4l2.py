"""USB and other V4L2 cameras through OpenCV, with the kernel's stamp of each buffer.

``CAP_PROP_POS_MSEC`` of the V4L2 backend is the buffer's ``timeval`` on CLOCK_MONOTONIC, taken 20-28 ms before the
frame reaches user space on common webcams; it is read once after ``grab``.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from syncsvc.capture.jpeg import compressed
from syncsvc.capture.source import Loss, Picture, Pulse, Shot
from syncsvc.capture.spec import V4l2Spec
from syncsvc.clock import NS_PER_MS, Clock
from syncsvc.errors import SourceUnavailable
from syncsvc.layout import ColorRange, Layout
from syncsvc.model import Observation
from syncsvc.pictures import load_cv2
from syncsvc.transport.page import Position


class V4l2Source:
    """One capture device."""

    def __init__(self, spec: V4l2Spec, clock: Clock, pulse: Pulse) -> None:
        """Open the device and ask for what the URL asked for; a driver may give something near it.

        Raises:
            SourceUnavailable: there is no such device, or it is in use.
        """
        self._spec, self._clock, self._pulse = spec, clock, pulse
        cv2 = load_cv2()
        pulse(Position.OPENING)
        self._device = cv2.VideoCapture(spec.device, cv2.CAP_V4L2)
        if not self._device.isOpened():
            self._device.release()
            raise SourceUnavailable(spec.name, f"cannot be opened: {spec.device}")
        if spec.fourcc is not None:
            self._device.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*spec.fourcc))
        if spec.device_size is not None:
            self._device.set(cv2.CAP_PROP_FRAME_WIDTH, spec.device_size[0])
            self._device.set(cv2.CAP_PROP_FRAME_HEIGHT, spec.device_size[1])
        if spec.fps is not None:
            self._device.set(cv2.CAP_PROP_FPS, spec.fps)

    @property
    def fps(self) -> float:
        """The rate that the driver set, or a guess."""
        return self.declared_fps or 30.0

    @property
    def declared_fps(self) -> float | None:
        """The rate that the driver set."""
        fps = float(self._device.get(load_cv2().CAP_PROP_FPS))
        return fps if 0 < fps <= 1000 else None

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
        if spec.size is not None and (bgr.shape[1], bgr.shape[0]) != spec.size:
            cv2 = load_cv2()
            bgr = cv2.resize(bgr, spec.size, interpolation=cv2.INTER_AREA)
        if spec.pixels == "jpeg":
            return compressed(bgr, spec.quality)
        height, width = bgr.shape[:2]
        if spec.pixels == "i420":  # OpenCV converts even sizes only
            height, width = height - height % 2, width - width % 2
        color_range: ColorRange = "limited" if spec.pixels == "i420" else "full"
        layout = Layout(spec.pixels, width, height, color_range)  # type: ignore[arg-type]  # checked at load
        return Picture(layout, layout.size_bytes, partial(_convert, bgr[:height, :width], layout))

    def close(self) -> None:
        """Release the device."""
        self._device.release()


def _convert(bgr: NDArray[np.uint8], layout: Layout, slot: NDArray[np.uint8]) -> None:
    cv2 = load_cv2()
    if layout.format == "bgr24":
        np.copyto(slot.reshape(bgr.shape), bgr)
    elif layout.format == "gray8":
        cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY, dst=slot.reshape(bgr.shape[:2]))
    else:
        cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420, dst=slot.reshape(layout.height * 3 // 2, layout.width))
