"""Sender reports give the best time that a network camera has: its own NTP clock, mapped onto the media's pts.

libavformat maps every packet's RTP time through the last sender report at the nominal rate (side data ``prft``), so
between reports the error grows with the RTP crystal's drift and jumps back at the next report. The map here keeps the
anchors of the last reports and extrapolates with their measured rate.

Source: RFC 3550, 6.4.1; the traps (first prft one frame late, NTP of zero or counted from boot) were measured on PyAV.
"""

from collections import deque
from dataclasses import dataclass

from syncsvc.clock import NS_PER_MS, NS_PER_S

AGREEMENT_NS = 2 * NS_PER_MS
"""Two packets must agree this well before a base is believed: the first prft of a session is one frame late."""
STEP_NS = 5 * NS_PER_MS
"""A report further than this from the prediction is a step of the camera's clock, not drift."""
MAX_DRIFT = 500e-6
MIN_BASELINE_NS = 2 * NS_PER_S
FLOOR_BUCKET_NS = 2 * NS_PER_S
FLOOR_BUCKETS = 5
EARLIEST_NS, LATEST_NS = -5 * NS_PER_MS, NS_PER_S
"""Plausible floor of (arrival - stamp): earlier, and the camera's clock is provably ahead; later, and it is wrong."""


@dataclass(frozen=True, slots=True)
class _Anchor:
    pts_ns: int
    base_ns: int


class SenderReportMap:
    """One RTP session's map from pts to the camera's NTP time, with its plausibility gate; pure."""

    def __init__(self) -> None:
        self._anchors: deque[_Anchor] = deque(maxlen=8)
        self._candidate: _Anchor | None = None
        self._floors: deque[tuple[int, int]] = deque(maxlen=FLOOR_BUCKETS)
        self._slope = 0.0
        self.steps = 0

    @property
    def is_anchored(self) -> bool:
        """Whether two packets agreed on a base."""
        return bool(self._anchors)

    @property
    def is_plausible(self) -> bool:
        """Whether the stamps of the last ten seconds may be true: packets came after they were taken, not by much."""
        floor = self.floor_ns
        return self.is_anchored and floor is not None and EARLIEST_NS <= floor <= LATEST_NS

    @property
    def floor_ns(self) -> int | None:
        """Least (arrival - stamp) of the last ten seconds."""
        return min((low for _, low in self._floors), default=None)

    @property
    def drift_ppm(self) -> float:
        """Rate of the camera's NTP clock against its RTP clock, less one."""
        return self._slope * 1e6

    def feed(self, pts_ns: int, ntp_ns: int, arrival_utc_ns: int) -> None:
        """Learn from one packet's (pts, NTP time by the last report); arrival is UTC."""
        seen = _Anchor(pts_ns, ntp_ns - pts_ns)
        if not self._anchors:
            if self._candidate is not None and abs(seen.base_ns - self._candidate.base_ns) <= AGREEMENT_NS:
                self._anchors.append(seen)
            self._candidate = seen
        elif abs(seen.base_ns - self._base_at(pts_ns)) > STEP_NS:
            self._step(seen)
        else:
            self._candidate = None
            if seen.base_ns != self._anchors[-1].base_ns and self._is_new(seen):
                self._anchors.append(seen)
                self._fit()
        if self._anchors:
            self._watch(pts_ns, arrival_utc_ns - self.time_of(pts_ns))

    def time_of(self, pts_ns: int) -> int:
        """The camera's NTP time of a pts, in UTC nanoseconds.

        Raises:
            IndexError: no base is known yet (see ``is_anchored``).
        """
        return pts_ns + self._base_at(pts_ns)

    def _base_at(self, pts_ns: int) -> int:
        last = self._anchors[-1]
        return last.base_ns + int((pts_ns - last.pts_ns) * self._slope)

    def _is_new(self, seen: _Anchor) -> bool:
        # Rounding to microseconds makes the base of one report wander by one; a new report moves it once and for good.
        return abs(seen.base_ns - self._anchors[-1].base_ns) > 3000 or (
            seen.pts_ns - self._anchors[-1].pts_ns > 10 * NS_PER_S
        )

    def _step(self, seen: _Anchor) -> None:
        candidate = self._candidate
        self._candidate = seen
        if candidate is not None and abs(seen.base_ns - candidate.base_ns) <= AGREEMENT_NS:
            self.steps += 1
            self._anchors.clear()
            self._anchors.append(seen)
            self._floors.clear()
            self._slope = 0.0

    def _fit(self) -> None:
        first, last = self._anchors[0], self._anchors[-1]
        baseline = last.pts_ns - first.pts_ns
        if baseline >= MIN_BASELINE_NS:
            slope = (last.base_ns - first.base_ns) / baseline
            self._slope = max(-MAX_DRIFT, min(MAX_DRIFT, slope))

    def _watch(self, pts_ns: int, latency_ns: int) -> None:
        bucket = pts_ns // FLOOR_BUCKET_NS
        if self._floors and self._floors[-1][0] == bucket:
            self._floors[-1] = (bucket, min(latency_ns, self._floors[-1][1]))
        else:
            self._floors.append((bucket, latency_ns))
