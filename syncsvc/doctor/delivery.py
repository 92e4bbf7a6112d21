"""How a stream's frames come: rate, regularity, pauses, key frames, and what was lost on the way."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from syncsvc.clock import NS_PER_MS, NS_PER_S
from syncsvc.doctor.observed import NONE, Ints, ObservedStream

PAUSE_INTERVALS = 2.5
"""A longer gap is a pause: two intervals are what one lost frame leaves."""
PAUSES_AT_KEYS_SHARE = 0.8
_LEAST_PAUSES = 3


@dataclass(frozen=True, slots=True)
class Jitter:
    """Median and 99th percentile, milliseconds."""

    p50_ms: float
    p99_ms: float

    @classmethod
    def of(cls, values_ns: NDArray[np.float64] | Ints) -> "Jitter":
        """Of non-empty nanoseconds."""
        p50, p99 = np.percentile(values_ns, (50, 99))
        return cls(float(p50) / NS_PER_MS, float(p99) / NS_PER_MS)


@dataclass(frozen=True, slots=True)
class Pauses:
    """Gaps of more than 2.5 intervals within a connection; ``every_s`` is their median distance, if they come often."""

    count: int = 0
    longest_ms: float = 0.0
    every_s: float | None = None
    are_at_keys: bool = False


@dataclass(frozen=True, slots=True)
class FrameDelivery:
    """One stream's; ``fps`` as delivered, ``pts_fps`` as its own pts count; None where it cannot be told."""

    frames: int
    seconds: float
    sessions: int
    fps: float | None = None
    pts_fps: float | None = None
    interval: Jitter | None = None
    parser_ms: float | None = None
    key_every_frames: int | None = None
    key_every_s: float | None = None
    pauses: Pauses = Pauses()
    pts_missing: int = 0
    pts_not_rising: int = 0
    never_came: int = 0
    """Frames that the gaps in pts speak of."""
    losses: Mapping[str, int] = field(default_factory=dict)


def delivery_of(record: ObservedStream, floor_ns: Ints) -> FrameDelivery:
    """Look at how the frames of a stream came.

    Args:
        record: of the stream.
        floor_ns: when each frame would have begun to arrive without any waiting; ``NONE`` where unknown.
    """
    if len(record) < 3:
        return FrameDelivery(len(record), 0.0, record.sessions, losses=record.losses)
    begun = np.where(record.start_ns == NONE, record.arrival_ns, record.start_ns)
    same = np.diff(record.session) == 0
    steps = np.diff(begun)[same].astype(np.float64)
    key_frames, key_seconds = _key_distance(record)
    has_start = (record.start_ns != NONE) & (record.arrival_ns >= record.start_ns)
    held = (record.arrival_ns - record.start_ns)[has_start]
    has_pts = record.pts_ns != NONE
    rises = np.diff(record.pts_ns[has_pts])[np.diff(record.session[has_pts]) == 0]
    return FrameDelivery(
        len(record),
        float(record.arrival_ns[-1] - record.arrival_ns[0]) / NS_PER_S,
        record.sessions,
        _rate(record, floor_ns) or _rate(record, begun),
        NS_PER_S / float(np.median(rises)) if len(rises) and np.median(rises) > 0 else None,
        Jitter.of(np.abs(steps - np.median(steps))) if len(steps) else None,
        float(np.median(held)) / NS_PER_MS if len(held) else None,
        key_frames,
        key_seconds,
        _pauses(record, begun, same),
        int((~has_pts).sum()),
        int((rises <= 0).sum()),
        int(np.maximum(0, np.rint(rises / np.median(rises)) - 1).sum()) if len(rises) and np.median(rises) > 0 else 0,
        record.losses,
    )


def _rate(record: ObservedStream, time_ns: Ints) -> float | None:
    """Frames per second of these times: the slope of the count over time, within connections, by least squares."""
    known = time_ns != NONE
    over_time = over_both = 0.0
    for session in np.unique(record.session[known]):
        times = time_ns[known & (record.session == session)]
        time_s = (times - times[0]) / NS_PER_S
        away = time_s - time_s.mean()
        over_time += float(away @ away)
        over_both += float(away @ np.arange(len(times)))
    return over_both / over_time if over_time > 0 else None


def _key_distance(record: ObservedStream) -> tuple[int | None, float | None]:
    keys = np.flatnonzero(record.is_key)
    same = np.diff(record.session[keys]) == 0
    if not same.any():
        return None, None
    apart, apart_ns = np.diff(keys)[same], np.diff(record.arrival_ns[keys])[same]
    return int(np.median(apart)), float(np.median(apart_ns)) / NS_PER_S


def _pauses(record: ObservedStream, begun: Ints, same: NDArray[np.bool_]) -> Pauses:
    """Gaps, and whether they stand next to key frames, as an encoder that takes breath makes them."""
    steps = np.diff(begun)
    if not same.any() or not record.tells_time_by_arriving:
        return Pauses()
    limit = PAUSE_INTERVALS * float(np.median(steps[same]))
    gaps = np.flatnonzero(same & (steps > limit))
    if not len(gaps):
        return Pauses()
    longest_ms = float(steps[gaps].max()) / NS_PER_MS
    if len(gaps) < _LEAST_PAUSES:
        return Pauses(len(gaps), longest_ms)
    every_s = float(np.median(np.diff(begun[gaps]))) / NS_PER_S
    is_at_key = record.is_key[gaps] | record.is_key[gaps + 1]
    is_rare = float(record.is_key.mean()) < 0.5  # where every frame is a key frame, all are "at keys"
    return Pauses(len(gaps), longest_ms, every_s, is_rare and float(is_at_key.mean()) >= PAUSES_AT_KEYS_SHARE)
