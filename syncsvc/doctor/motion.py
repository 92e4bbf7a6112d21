"""Watches the pictures go by and keeps one number of each: how much has moved since the one before."""

from dataclasses import replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from syncsvc.doctor.content import Comparison, Curve, compare, difference, motion_curve, reduced
from syncsvc.doctor.diagnosis import MODELLED
from syncsvc.doctor.observed import NONE, Ints, ObservedRun, ObservedStream
from syncsvc.doctor.pts_clock import pts_clock_of
from syncsvc.errors import FrameUndecodable
from syncsvc.model import Frame, FrameBatch


class MotionWatch:
    """One pair of pictures per stream, whatever the length of the run."""

    def __init__(self) -> None:
        self._before: dict[str, NDArray[np.float32]] = {}
        self._seqs: dict[str, list[int]] = {}
        self._moved: dict[str, list[float]] = {}

    def take(self, batch: FrameBatch) -> None:
        """Look at a batch's frames; those of a stream in several groups only once."""
        for name, frames in batch.frames.items():
            for frame in frames:
                if name not in self._seqs or frame.seq > self._seqs[name][-1]:
                    self._look(name, frame)

    def _look(self, name: str, frame: Frame) -> None:
        try:
            picture = reduced(luma_of(frame))
        except FrameUndecodable:  # before the first key frame
            return
        before = self._before.get(name)
        moved = difference(picture, before) if before is not None and before.shape == picture.shape else 0.0
        self._before[name] = picture
        self._seqs.setdefault(name, []).append(frame.seq)
        self._moved.setdefault(name, []).append(moved)

    def compare(self, run: ObservedRun) -> tuple[Comparison, ...]:
        """What the streams of each group have in common, by the times that the log gives their frames."""
        curves = {name: self._curve(run.streams[name]) for name in self._seqs if name in run.streams}
        pairs: dict[frozenset[str], tuple[str, str]] = {}
        for group in run.groups.values():
            for pair in combinations((name for name in group.streams if name in curves), 2):
                pairs.setdefault(frozenset(pair), pair)
        return tuple(compare(first, second, curves[first], curves[second]) for first, second in pairs.values())

    def _curve(self, record: ObservedStream) -> Curve:
        time_ns, has_own_clock = content_times(record)
        seqs = np.array(self._seqs[record.name], np.int64)
        at = np.searchsorted(record.seq, seqs)
        at[at == len(record)] = 0
        is_known = (record.seq[at] == seqs) & (time_ns[at] != NONE)
        moved = np.array(self._moved[record.name], np.float64)
        curve = motion_curve(time_ns[at[is_known]], moved[is_known], has_own_clock)
        return replace(curve, is_untimed=record.is_untimed)


def content_times(record: ObservedStream) -> tuple[Ints, bool]:
    """When each picture was taken, UTC, ``NONE`` where unknown; and whether that is the camera's own word.

    Without a clock of the camera's own: when it would have begun to arrive without any waiting, so that what is
    missing is the constant latency and nothing else.
    """
    if record.clock_class not in MODELLED:
        return np.where(record.clock == record.clock_class, record.time_ns, NONE), True
    floor_ns = pts_clock_of(record).floor_of(record)
    if (floor_ns == NONE).all():
        floor_ns = record.start_ns
    return np.where(floor_ns == NONE, NONE, floor_ns + record.utc_less_mono_ns), False


def luma_of(frame: Frame) -> NDArray[np.uint8]:
    """A frame's brightness, ``(height, width)`` uint8; of colours the green, which is most of it. Pixels are no copy.

    Raises:
        FrameUndecodable: it is of an encoded stream and refers to a frame that is not here.
    """
    if frame.format in ("jpeg", "encoded"):
        return frame.to_bgr()[:, :, 1]
    if frame.format == "bgr24":
        green: NDArray[np.uint8] = frame.pixels.reshape(frame.height, frame.width, 3)[:, :, 1]
        return green
    return frame.pixels[: frame.height * frame.width].reshape(frame.height, frame.width)
