"""The camera's clocks and the way of a picture to the wire, without threads or a look at any clock: pure arithmetic."""

import math
import random
from dataclasses import dataclass

from syncsvc.cameras.settings import CameraSpec
from syncsvc.clock import NS_PER_MS, NS_PER_S, Clock

RTP_HZ = 90_000
_QUICK_NS = 20_000  # longer between two readings of one clock means that we were interrupted in between
_PPB = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Moment:
    """One instant on both host clocks."""

    utc_ns: int
    mono_ns: int


def read_moment(clock: Clock) -> Moment:
    """Read both clocks at one instant: again, a few times, when something came between the readings."""
    for _ in range(4):
        before = clock.monotonic_ns()
        utc = clock.utc_ns()
        after = clock.monotonic_ns()
        if after - before < _QUICK_NS:
            break
    return Moment(utc, (before + after) // 2)


class CameraClock:
    """What the camera holds for the time: a wall clock that may step, and an oscillator that never does.

    Args:
        spec: offset and rates.
        start_mono_ns: when the camera was switched on.
        rtp_base: RTP timestamp of that instant.
    """

    def __init__(self, spec: CameraSpec, start_mono_ns: int, rtp_base: int) -> None:
        self._start_ns, self._rtp_base = start_mono_ns, rtp_base
        # One tuple, replaced at once, because capture and network threads read it: since when, error of the wall
        # clock and ticks of the oscillator so far (both in ns), and what the spec says.
        self._state = (start_mono_ns, 0, 0, *self._tuning(spec))

    @staticmethod
    def _tuning(spec: CameraSpec) -> tuple[int, int, int]:
        """The rates of wall clock and oscillator in parts per 10^9, and the offset in nanoseconds."""
        rtp_ppm = spec.drift_ppm + spec.rtp_drift_ppm
        return round(spec.drift_ppm * 1000), round(rtp_ppm * 1000), round(spec.clock_offset_ms * NS_PER_MS)

    def retune(self, spec: CameraSpec, mono_ns: int) -> None:
        """Go on from here with other rates and another offset; neither clock jumps but by the offset."""
        self._state = (mono_ns, self._wall_error_ns(mono_ns), self.elapsed_ns(mono_ns), *self._tuning(spec))

    def _wall_error_ns(self, mono_ns: int) -> int:
        since, error, _, wall_ppb, _, _ = self._state
        return error + (mono_ns - since) * wall_ppb // _PPB

    def elapsed_ns(self, mono_ns: int) -> int:
        """Nanoseconds since the start, by the oscillator."""
        since, _, elapsed, _, rtp_ppb, _ = self._state
        return elapsed + (mono_ns - since) + (mono_ns - since) * rtp_ppb // _PPB

    def wall_ns(self, moment: Moment) -> int:
        """UTC as the camera believes it."""
        return moment.utc_ns + self._wall_error_ns(moment.mono_ns) + self._state[5]

    def rtp(self, mono_ns: int) -> int:
        """RTP timestamp of an instant, 32 bits, nearest tick."""
        ticks = (self.elapsed_ns(mono_ns) * RTP_HZ + NS_PER_S // 2) // NS_PER_S
        return (self._rtp_base + ticks) & 0xFFFFFFFF

    def uptime_ns(self, mono_ns: int) -> int:
        """Nanoseconds since the start, by the host."""
        return mono_ns - self._start_ns


class Shutter:
    """When pictures are due: on a grid from ``origin``, as fast as the sensor's crystal runs."""

    def __init__(self, spec: CameraSpec, origin_mono_ns: int) -> None:
        self._base_ns = origin_mono_ns + round(spec.phase_ms * NS_PER_MS)
        self._period_ns = _period_ns(spec)
        self._index = -1
        self.skipped = 0

    def retune(self, spec: CameraSpec) -> None:
        """Go on from the last picture with another period."""
        if self._index > 0:
            self._base_ns, self._index = self._due_ns(self._index), 0
        self._period_ns = _period_ns(spec)

    def _due_ns(self, index: int) -> int:
        return self._base_ns + round(index * self._period_ns)

    def next_due_ns(self, now_ns: int) -> int:
        """The next instant of the grid. What is over by a whole period is skipped, and counted."""
        periods = (now_ns - self._base_ns) / self._period_ns
        if self._index < 0:
            self._index = max(0, math.ceil(periods))
        else:
            missed = max(0, math.floor(periods) - self._index - 1)
            self.skipped += missed
            self._index += 1 + missed
        return self._due_ns(self._index)


def _period_ns(spec: CameraSpec) -> float:
    return NS_PER_S / spec.fps / (1 + (spec.drift_ppm + spec.rtp_drift_ppm) * 1e-6)


class SendPath:
    """When a picture reaches the wire: latency, jitter and stalls. Order is kept, as on any one path."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._last_ns = 0

    def release_ns(self, spec: CameraSpec, captured_ns: int, start_ns: int) -> int:
        """When the picture captured at ``captured_ns`` leaves; ``start_ns`` is when the camera was switched on."""
        due = captured_ns + round(spec.latency_ms * NS_PER_MS)
        if spec.jitter_ms:
            drawn_ms = self._random.expovariate(1 / spec.jitter_ms)
            due += round(min(drawn_ms, spec.jitter_max_ms) * NS_PER_MS)
        self._last_ns = max(self._after_stall(spec, due, start_ns), self._last_ns)
        return self._last_ns

    @staticmethod
    def _after_stall(spec: CameraSpec, due_ns: int, start_ns: int) -> int:
        if not spec.stall_every_s or not spec.stall_s:
            return due_ns
        every, length = round(spec.stall_every_s * NS_PER_S), round(spec.stall_s * NS_PER_S)
        number, into = divmod(due_ns - start_ns, every)
        return due_ns + length - into if number > 0 and into < length else due_ns
