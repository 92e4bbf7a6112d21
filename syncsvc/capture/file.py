"""Recordings: played on the UTC timeline from one start, at their own pace or as fast as they can be taken.

A frame's position (``media_ns``) is nanoseconds after the start of the recordings; its pts is that start plus the
position. A capture that is restarted goes on after the last position that was taken.
"""

import os
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path

from syncsvc.capture.picture import picture_of
from syncsvc.capture.picture_sequence import PictureSequence
from syncsvc.capture.placement import FilmPlace
from syncsvc.capture.recording import ContainerRecording, FilmFrame, Recording
from syncsvc.capture.sidecar import read_sidecar
from syncsvc.capture.source import Loss, Pulse, Shot
from syncsvc.capture.spec import FileSpec, Recorded, Start
from syncsvc.clock import NS_PER_S, Clock
from syncsvc.config.picture_files import is_sequence
from syncsvc.errors import ConfigError, RecordingBroken, SourceEnded
from syncsvc.lifecycle import StopToken
from syncsvc.model import Observation
from syncsvc.transport.page import Position, StreamPage

CATCH_UP_NS = NS_PER_S // 10
"""Frames that were due this long before a restarted capture got to them are skipped: their moment is over."""


class FileSource:
    """One recording."""

    def __init__(self, spec: FileSpec, clock: Clock, pulse: Pulse, stop: StopToken, page: StreamPage) -> None:
        """Open it; ``page`` has the position of the last frame that an earlier capture took, and of its pass.

        Raises:
            ConfigError: it or its sidecar is gone, or no good: trying again would not help.
        """
        self._spec, self._clock, self._pulse, self._stop, self._page = spec, clock, pulse, stop, page
        self._resume_ns, self._is_catching_up = page.media_ns, page.media_ns > 0
        self._recorded = read_sidecar(Path(spec.timestamps), spec.name) if spec.timestamps else None
        self._recording = _open(spec, clock, pulse)
        self.start: Start
        """To be set once it is known, before there are shots."""

    @property
    def recorded(self) -> Recorded:
        """When it was made, as its sidecar says or else the recording itself."""
        if self._recorded is not None:
            return Recorded(origin_ns=next((time for time in self._recorded if time is not None), None))
        return self._recording.recorded

    @property
    def fps(self) -> float:
        """The densest that frames come over the ring's span, at least the declared rate."""
        span, recording = self._spec.ring.span_ns, self._recording
        times = [time for time in self._recorded or () if time is not None] or recording.times_ns
        if not times:
            return recording.fps
        dense = max(bisect_left(times, time + span) - place for place, time in enumerate(times))
        return max(dense * NS_PER_S / span, recording.fps)

    @property
    def declared_fps(self) -> float | None:
        """The rate that the recording declares."""
        return self._recording.declared_fps

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as the recording says."""
        return self._recording.size

    def shots(self) -> Iterator[Shot | Loss]:
        """Frames at their due times (``realtime``), or at once.

        Raises:
            RecordingBroken: what is left of it cannot be read, or its frames have no times, and no sidecar gives them.
            SourceEnded: after the last frame.
        """
        begun_ns = self._page.pass_begun_ns
        while True:
            self._page.pass_begun_ns = begun_ns
            length_ns, is_cut, has_pictures, has_losses = 0, False, False, False
            for item in self._one_pass(begun_ns):
                if isinstance(item, Loss):
                    has_losses = True
                else:
                    has_pictures, length_ns = True, max(length_ns, item.media_ns - begun_ns)
                    if not self._is_due(item):
                        is_cut = is_cut or item.media_ns >= self._resume_ns
                        continue
                    if is_cut and self._spec.pixels == "encoded" and not item.seen.is_key:
                        item = Loss("no_key")  # a hole in the numbers, because what follows refers to what was skipped
                    is_cut = False
                yield item
            if has_losses and not has_pictures:
                raise RecordingBroken(self._spec.path, "has no picture that can be shown")
            if not self._spec.loop or length_ns == 0:
                raise SourceEnded(self._spec.name, "ended")
            begun_ns += length_ns + self._last_period_ns(length_ns)

    def _is_due(self, shot: Shot) -> bool:
        """Wait for the frame's time; false for one that an earlier capture took, or that was due before we resumed."""
        if shot.media_ns < self._resume_ns:
            return False
        if self._spec.is_patient:
            return True
        wait_ns = self.start.mono_ns + shot.media_ns - self._clock.monotonic_ns()
        if self._is_catching_up and wait_ns < -CATCH_UP_NS:
            return False
        self._is_catching_up = False
        if wait_ns > 0:
            self._pulse(Position.WAITING)
            self._stop.sleep(wait_ns / NS_PER_S)
        return True

    def _one_pass(self, begun_ns: int) -> Iterator[Shot | Loss]:
        taken = 0
        try:
            for index, item in enumerate(self._recording.play(self._near_ns(begun_ns))):
                taken = index + 1
                if isinstance(item, Loss):
                    yield item
                    continue
                place = self._placed(index, item)
                yield Loss("no_timestamp") if place is None else self._shot(item, place, begun_ns)
        except RecordingBroken:
            if taken:  # else it broke before anything was captured
                yield Loss("read_error")
            raise

    def _placed(self, index: int, item: FilmFrame) -> FilmPlace | None:
        """Where a frame belongs: by its own time or, where there is a sidecar, by that alone."""
        if self._recorded is None:
            return item.place
        time_ns = self._recorded[index] if index < len(self._recorded) else None
        return None if time_ns is None else FilmPlace(time_ns - self.start.origin_ns)

    def _near_ns(self, begun_ns: int) -> int:
        """Where in the pass to begin: not from the beginning where that was taken already, or is over."""
        if not self._is_catching_up or self._recorded is not None:
            return 0
        elapsed_ns = self._clock.monotonic_ns() - self.start.mono_ns if not self._spec.is_patient else 0
        return max(0, max(self._resume_ns, elapsed_ns) - begun_ns)

    def _shot(self, item: FilmFrame, place: FilmPlace, begun_ns: int) -> Shot:
        arrival_ns, media_ns, start = self._clock.monotonic_ns(), begun_ns + place.at_ns, self.start
        if not self._spec.is_patient:  # it comes when it is due or, where decoding falls behind, when it is there
            arrival_ns = max(arrival_ns, start.mono_ns + media_ns)
        base_ns = None if self._spec.is_patient else start.utc_ns - start.mono_ns  # else it is of no present
        seen = Observation(
            -1, arrival_ns, media_ns, start.utc_ns + media_ns, "pts", item.is_key,
            doubt_ns=start.doubt_ns + place.doubt_ns, utc_less_mono_ns=base_ns,
        )  # fmt: skip
        return Shot(picture_of(item.unit, self._spec), seen, media_ns, place.why)

    def _last_period_ns(self, length_ns: int) -> int:
        """How long the last frame of a pass lasts, before the loop begins anew."""
        if self._recorded is not None and len(self._recorded) > 1:
            return length_ns // (len(self._recorded) - 1)
        return self._recording.period_ns

    def close(self) -> None:
        """Close the file."""
        self._recording.close()


def _open(spec: FileSpec, clock: Clock, pulse: Pulse) -> Recording:
    if is_sequence(Path(spec.path)):
        return PictureSequence(spec, clock, pulse)
    if not os.access(spec.path, os.R_OK):
        raise ConfigError(spec.path, "is not there, or cannot be read")
    if spec.fps is not None:
        raise ConfigError(spec.path, "is one file, whose frames have times of their own: `?fps=` is for pictures")
    return ContainerRecording(spec, clock, pulse)
