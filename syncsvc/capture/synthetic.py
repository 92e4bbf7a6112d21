"""Frames made in process, with the true time burned in: for tests, and for trying things out without a camera.

The instants of capture are the multiples of the frame period in UTC, moved by ``phase_ms``; the stamp is the true time
as a clock with ``offset_ms`` and ``drift_ppm`` reads it; delivery is late by ``latency_ms`` and exponential
``jitter_ms``, in order.
"""

from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from random import Random

import numpy as np
from numpy.typing import NDArray

from syncsvc import barcode
from syncsvc.capture.jpeg import compressed
from syncsvc.capture.source import Loss, Picture, Pulse, Shot
from syncsvc.capture.spec import SyntheticSpec
from syncsvc.clock import NS_PER_MS, NS_PER_S, Clock
from syncsvc.layout import Layout
from syncsvc.lifecycle import StopToken
from syncsvc.model import Observation
from syncsvc.transport.page import Position


class SyntheticSource:
    """A generator of barcoded frames on the host's clock."""

    def __init__(self, spec: SyntheticSpec, clock: Clock, pulse: Pulse, stop: StopToken) -> None:
        self._spec, self._clock, self._pulse, self._stop = spec, clock, pulse, stop
        self._random = Random(spec.seed)
        self._width, self._height = spec.size or (spec.width, spec.height)
        down, across = (np.linspace(32, 80, length, dtype=np.float32) for length in (self._height, self._width))
        self._background = np.add.outer(down, across).astype(np.uint8)

    @property
    def fps(self) -> float:
        """The configured rate."""
        return self._spec.fps

    @property
    def declared_fps(self) -> float:
        """The configured rate."""
        return self._spec.fps

    def shots(self) -> Iterator[Shot | Loss]:
        """Frames for ever, each when its delivery is due."""
        spec = self._spec
        rate = Fraction(spec.fps).limit_denominator(100_000)
        phase_ns = round(spec.phase_ms * NS_PER_MS)
        begun_utc = self._clock.utc_ns()
        offset_ns = begun_utc - self._clock.monotonic_ns()  # the true time is the host's at the start, then unstepped
        counter = (begun_utc - phase_ns) * rate.numerator // (NS_PER_S * rate.denominator) + 1
        number, last_due = 0, 0
        while not self._stop.is_set:
            true_ns = counter * NS_PER_S * rate.denominator // rate.numerator + phase_ns
            due_ns = max(last_due, true_ns - offset_ns + self._delay_ns(true_ns - begun_utc))
            self._pulse(Position.WAITING)
            self._stop.sleep((due_ns - self._clock.monotonic_ns()) / NS_PER_S)
            last_due = due_ns
            counter, number = counter + 1, number + 1
            if self._random.random() < spec.drop:
                continue
            error_ns = spec.offset_ms * NS_PER_MS + spec.drift_ppm * 1e-6 * (true_ns - begun_utc)
            arrival_ns = self._clock.monotonic_ns()
            seen = Observation(
                -1, arrival_ns, true_ns - begun_utc, true_ns + round(error_ns), "pts", True, utc_less_mono_ns=offset_ns
            )
            yield Shot(self._picture(number - 1, true_ns // 1000), seen)

    def _picture(self, number: int, time_us: int) -> Picture:
        if self._spec.pixels == "jpeg":
            luma = np.empty((self._height, self._width), np.uint8)
            self._draw(luma, number, time_us)
            return compressed(luma, self._spec.quality)
        layout = Layout(self._spec.pixels, self._width, self._height, "full")  # type: ignore[arg-type]  # checked at load
        return Picture(layout, layout.size_bytes, partial(self._write, self._spec.pixels, number, time_us))

    def _write(self, pixels: str, number: int, time_us: int, slot: NDArray[np.uint8]) -> None:
        width, height = self._width, self._height
        if pixels == "bgr24":
            grey = np.empty((height, width), np.uint8)
            self._draw(grey, number, time_us)
            slot.reshape(height, width, 3)[:] = grey[:, :, None]
        else:
            slot[width * height :] = 128  # the chroma, where there is some
            self._draw(slot[: width * height].reshape(height, width), number, time_us)

    def _draw(self, luma: NDArray[np.uint8], number: int, time_us: int) -> None:
        """A grey slope, a block that moves, and a barcode over both."""
        np.copyto(luma, self._background)
        height, width = luma.shape
        side = max(2, height // 8)
        left = number * 7 % max(1, width - side)
        luma[height - side :, left : left + side] = 235
        barcode.draw(luma, self._spec.seed & 255, number, time_us)

    def _delay_ns(self, elapsed_ns: int) -> int:
        delay_ms, jitter_ms = self._spec.latency_ms, self._spec.jitter_ms
        if jitter_ms:
            delay_ms += min(self._random.expovariate(1 / jitter_ms), 10 * jitter_ms)
        delay_ns = delay_ms * NS_PER_MS
        if self._spec.stall is not None:
            every_s, for_s = self._spec.stall
            into_s = elapsed_ns / NS_PER_S % every_s
            if elapsed_ns >= every_s * NS_PER_S:
                delay_ns += max(0.0, for_s - into_s) * NS_PER_S
        return int(delay_ns)

    def close(self) -> None:
        """Nothing is held."""
