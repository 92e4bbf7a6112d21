"""What a subscriber saw of a run with virtual cameras, less the pixels: all that a verdict needs, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass

from syncsvc import barcode
from syncsvc.cameras import CameraStats
from syncsvc.model import Counts, Frame, FrameBatch, Gap
from syncsvc.pictures import planes_i420


@dataclass(frozen=True, slots=True)
class SeenFrame:
    """One frame, as the service stamped it and as its picture says; the latter is None where it cannot be read."""

    seq: int
    time_ns: int
    uncertainty_ns: int
    clock: str
    arrival_ns: int
    true_ns: int | None
    counter: int | None
    camera: int | None


@dataclass(frozen=True, slots=True)
class SeenSet:
    """One set: its spread as the service says, and the ``seq`` of each member."""

    spread_ns: int
    members: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class SeenBatch:
    """One batch."""

    seq: int
    epoch: int
    window_start_ns: int
    window_end_ns: int
    emitted_ns: int
    received_ns: int
    missing: Mapping[str, str]
    frames: Mapping[str, tuple[SeenFrame, ...]]
    sets: tuple[SeenSet, ...]
    counts: Mapping[str, Counts]


@dataclass(frozen=True, slots=True)
class CameraAccount:
    """What a camera says that it sent to the service: first and last counter of each session, both included."""

    sessions: tuple[tuple[int, int], ...]
    skipped: int = 0
    """Pictures that it never took, because the machine was too slow."""
    dropped: int = 0
    """Pictures that it took and was told to lose."""

    @classmethod
    def of(cls, stats: CameraStats) -> "CameraAccount":
        """The account behind a camera's statistics."""
        sessions = [
            (session.first_counter, session.last_counter)
            for session in (*stats.ended_sessions, *stats.sessions)
            if session.first_counter is not None and session.last_counter is not None
        ]
        return cls(tuple(sessions), stats.skipped, stats.dropped)


@dataclass(frozen=True, slots=True)
class History:
    """A whole run: the promise, what came, and what the cameras sent. ``cameras`` is in the order of their numbers."""

    max_skew_ns: int
    max_latency_ns: int
    cameras: Mapping[str, CameraAccount]
    batches: tuple[SeenBatch, ...]
    gaps: tuple[Gap, ...] = ()


def see(batch: FrameBatch, received_ns: int) -> SeenBatch:
    """Read every picture of a batch, and let go of the pixels.

    Args:
        batch: of i420 or gray8 frames with barcodes.
        received_ns: when it was in our hands, UTC.
    """
    return SeenBatch(
        batch.seq,
        batch.epoch,
        batch.window_start_ns,
        batch.window_end_ns,
        batch.emitted_ns,
        received_ns,
        dict(batch.missing),
        {name: tuple(_see_frame(frame) for frame in frames) for name, frames in batch.frames.items()},
        tuple(SeenSet(s.spread_ns, {name: frame.seq for name, frame in s.frames.items()}) for s in batch.sets),
        dict(batch.counts),
    )


def _see_frame(frame: Frame) -> SeenFrame:
    if frame.format == "i420":
        luma = planes_i420(frame.pixels, frame.width, frame.height)[0]
    else:
        luma = frame.pixels.reshape(frame.height, frame.width)
    code = barcode.read(luma)
    said = (None, None, None) if code is None else (code.time_us * 1000, code.counter, code.stream_id)
    return SeenFrame(frame.seq, frame.time_ns, frame.uncertainty_ns, frame.clock, frame.arrival_ns, *said)
