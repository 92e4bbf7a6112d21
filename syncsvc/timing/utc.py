"""The one place where CLOCK_MONOTONIC becomes UTC, so that a step of the host's clock never looks like a camera's.

The mapping is slewed by at most 500 ppm toward the host's clock; a difference of more than half a second is a jump: the
mapping follows it at once and a new clock epoch begins. Inside an epoch the mapping never goes backward.
"""

from collections.abc import Callable
from dataclasses import dataclass

from syncsvc.clock import NS_PER_S, Clock

ToUtc = Callable[[int], int]
"""CLOCK_MONOTONIC to UTC, both in nanoseconds."""
MAX_SLEW = 500e-6
JUMP_NS = NS_PER_S // 2
KEPT_SEGMENTS = 16
"""What arrived before the last update is mapped as it was then: else it could come to lie before an earlier arrival."""


@dataclass(frozen=True, slots=True)
class UtcSegment:
    """From ``mono_ns`` on UTC is ``utc_ns``, and goes on at the monotonic clock's pace times ``1 + rate``."""

    mono_ns: int
    utc_ns: int
    rate: float


class UtcMapper:
    """Maps monotonic to UTC nanoseconds; ``update`` from one thread, ``to_utc`` from any."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.epoch = 0
        self.jumped_ns = 0
        """How far all jumps went, together."""
        self.last_jump_ns = 0
        """How far the last jump went; negative for backward."""
        self._segments: tuple[UtcSegment, ...] = (UtcSegment(clock.monotonic_ns(), clock.utc_ns(), 0.0),)

    @property
    def segment(self) -> UtcSegment:
        """What maps the present."""
        return self._segments[0]

    def to_utc(self, mono_ns: int) -> int:
        """UTC of a moment on the monotonic clock, a little before or after now."""
        segments = self._segments
        segment = segments[0]
        if mono_ns < segment.mono_ns:
            segment = next((some for some in segments if some.mono_ns <= mono_ns), segments[-1])
        elapsed = mono_ns - segment.mono_ns
        return segment.utc_ns + elapsed + int(elapsed * segment.rate)

    def now_utc(self) -> int:
        """UTC now, as mapped."""
        return self.to_utc(self._clock.monotonic_ns())

    def update(self) -> bool:
        """Look at the host's clock; true when it jumped and a new epoch began.

        Call it a few times a second: the slew is chosen so that a small error is gone after a second, if 500 ppm allow.
        """
        mono = self._clock.monotonic_ns()
        error = self._clock.utc_ns() - self.to_utc(mono)
        if abs(error) > JUMP_NS:
            self.epoch, self.last_jump_ns, self.jumped_ns = self.epoch + 1, error, self.jumped_ns + error
            self._segments = (UtcSegment(mono, self.to_utc(mono) + error, 0.0),)
            return True
        rate = max(-MAX_SLEW, min(MAX_SLEW, error / NS_PER_S))
        self._segments = (UtcSegment(mono, self.to_utc(mono), rate), *self._segments[: KEPT_SEGMENTS - 1])
        return False
