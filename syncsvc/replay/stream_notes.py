"""What a replay tells of its streams: what their frames say that were sent."""

import threading
from collections.abc import Mapping

from syncsvc.clock import NS_PER_MS, NS_PER_S, Clock
from syncsvc.model import Counts, Frame, FrameBatch, StreamState
from syncsvc.observe.status import IngestStatus
from syncsvc.wire import GroupTerms


class StreamNotes:
    """All streams of a replay, each as its first group has it; ``note`` from one thread, asked by any."""

    def __init__(self, groups: Mapping[str, GroupTerms], clock: Clock) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._homes: dict[str, str] = {}
        for group, terms in groups.items():
            for name in terms.streams:
                self._homes.setdefault(name, group)
        self._counts = {name: Counts() for name in self._homes}
        self._newest: dict[str, tuple[Frame, int, float]] = {}
        self._is_over = False

    def note(self, batch: FrameBatch) -> None:
        """A batch is sent."""
        length_s = max(1, batch.window_end_ns - batch.window_start_ns) / NS_PER_S
        with self._lock:
            for name, frames in batch.frames.items():
                if self._homes.get(name) == batch.group:
                    self._counts[name] += batch.counts.get(name, Counts())
                    if frames:
                        self._newest[name] = frames[-1], self._clock.monotonic_ns(), len(frames) / length_s

    def end(self) -> None:
        """The recording is over."""
        self._is_over = True

    @property
    def status(self) -> dict[str, IngestStatus]:
        """What is told, by stream."""
        with self._lock:
            return {name: self._status_of(name, counts) for name, counts in self._counts.items()}

    def _status_of(self, name: str, counts: Counts) -> IngestStatus:
        ended = StreamState.ENDED if self._is_over else None
        if name not in self._newest:
            return IngestStatus(ended or StreamState.STARTING)
        frame, sent_mono_ns, fps = self._newest[name]
        return IngestStatus(
            state=ended or StreamState.LIVE,
            clock=frame.clock,
            uncertainty_ms=frame.uncertainty_ns / NS_PER_MS,
            fps=fps,
            captured=counts.captured,
            dropped=dict(counts.dropped),
            skipped=counts.skipped,
            last_frame_age_ms=(self._clock.monotonic_ns() - sent_mono_ns) / NS_PER_MS,
            format=frame.format,
            width=frame.width,
            height=frame.height,
        )
