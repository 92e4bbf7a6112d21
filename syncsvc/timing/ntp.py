"""Sender reports give the best time that a network camera has: its own NTP clock, mapped onto the media's pts.

A report pairs an NTP time with an RTP time. libavformat hands the raw pair on, and maps every packet through the last
report at the nominal rate (side data ``prft``), so between reports its error grows with the RTP crystal's drift and
jumps back at the next one. The map here has anchors of its own from the raw pairs and extrapolates with their measured
rate; ``prft`` tells how RTP times and pts belong together, and stands witness: it shows reports that were lost with a
frame, and steps of the camera's clock.

Source: RFC 3550, 6.4.1; the traps (first prft one frame late, NTP of zero or counted from boot) were measured on PyAV.
"""

from collections import deque
from dataclasses import dataclass
from typing import Literal

from syncsvc.clock import NS_PER_MS, NS_PER_S

AGREEMENT_NS = 2 * NS_PER_MS
"""Two packets must agree this well before a base is believed: the first prft of a session is one frame late."""
STEP_NS = 5 * NS_PER_MS
"""A report further than this from the prediction is a step of the camera's clock, not drift."""
MAX_DRIFT = 500e-6
LEARNT_DRIFT = 50e-6
"""How far the rate may move once it was measured: temperature, and the slewing of an NTP client."""
SLEWED_AFTER_NS = 10 * NS_PER_S
"""An NTP client may slew by 500 ppm at any time: a report that comes later than this may be off by all of it."""
MIN_BASELINE_NS = 2 * NS_PER_S
FLOOR_BUCKET_NS = 2 * NS_PER_S
FLOOR_BUCKETS = 5
EARLIEST_NS, LATEST_NS = -5 * NS_PER_MS, NS_PER_S
"""Plausible floor of (arrival - stamp): earlier, and the camera's clock is provably ahead; later, and it is wrong."""
DISTRUST_NS = 600 * NS_PER_S
"""How long a clock that stepped is not believed, unless it steps back; twice as long if it stepped shortly before."""
MAX_DOUBLINGS = 6
FEW = 32
"""Frames whose least latency is compared: about a second's."""
NEVER_SET_NS = 366 * 24 * 3600 * NS_PER_S
NTP_TO_UNIX_S = 2_208_988_800
_RTP_WRAP = 1 << 32
_ROUNDING_NS = 3000
"""Rounding to microseconds makes the base of one report wander by one; a new report moves it once and for good."""


@dataclass(frozen=True, slots=True)
class _Anchor:
    pts_ns: int
    base_ns: int


class SenderReportMap:
    """One RTP session's map from pts to the camera's NTP time, with its plausibility gate; pure."""

    def __init__(self) -> None:
        self._anchors: deque[_Anchor] = deque(maxlen=8)
        self._candidate: _Anchor | None = None
        self._witness: _Anchor | None = None
        self._report: tuple[int, int] | None = None
        self._rtp_offset: int | None = None
        self._rtp_guess: int | None = None
        self._floors: deque[tuple[int, int]] = deque(maxlen=FLOOR_BUCKETS)
        self._slope = self._prior_slope = 0.0
        self._is_rate_known = False
        self.scatter_ns = 0
        """How far the reports lie from one line, at most."""
        self.floor_ns: int | None = None
        """Least (arrival - stamp) of the last ten seconds."""
        self._believed: tuple[deque[_Anchor], float] | None = None
        self._distrusted_until_ns: int | None = None
        self._doublings = 0
        self.steps = 0
        self.last_step_ns = 0
        """How far the camera's clock stepped last; negative for backward."""
        self.are_pts_wrong = False
        """Whether reports and arrivals agreed against the pts: these do not follow time."""
        self._first_latencies: list[int] = []
        self._last_latencies: deque[int] = deque(maxlen=FEW)
        self._recent_latencies: deque[int] = deque(maxlen=FEW // 4)

    @property
    def is_anchored(self) -> bool:
        """Whether two packets agreed on a base."""
        return bool(self._anchors)

    @property
    def is_plausible(self) -> bool:
        """Whether the stamps of the last ten seconds may be true."""
        return self.is_anchored and not self.problem

    @property
    def problem(self) -> str:
        """What proves that the stamps cannot be true; empty where nothing does."""
        floor = self.floor_ns
        if floor is None:
            return ""
        if abs(floor) > NEVER_SET_NS:
            return "the camera's clock was never set: its NTP time is not of this year"
        fault = fault_of(floor)
        if fault:
            return f"the camera's clock is {span(abs(floor))} {fault} the arrival of its packets"
        if self._distrusted_until_ns is not None:
            return f"the camera's clock stepped by {span(self.last_step_ns)}"
        return ""

    @property
    def recent_latency_ns(self) -> int | None:
        """Least (arrival - stamp) of the last few frames, whatever the host's clock did between them."""
        return min(self._recent_latencies, default=None)

    @property
    def step_doubt_ns(self) -> int:
        """Size of a step that nothing proves wrong or right: before it or after it, the clock was off by so much."""
        floor = self.floor_ns
        is_possible = floor is not None and not fault_of(floor)
        return abs(self.last_step_ns) if self._distrusted_until_ns is not None and is_possible else 0

    @property
    def confirms_pts(self) -> bool:
        """Whether reports on both ends of the last seconds agree that pts keep the camera's time."""
        return self._is_rate_known and self._candidate is None and not self.steps

    @property
    def drift_ppm(self) -> float:
        """Rate of the camera's NTP clock against its RTP clock, less one."""
        return self._slope * 1e6

    def suppose_rate(self, slope: float) -> None:
        """The rate of the NTP clock against pts, less one, as seen otherwise: used until two reports tell it."""
        if slope != self._prior_slope:
            self._prior_slope = slope
            if not self._is_rate_known:
                self._measure()

    def feed(self, pts_ns: int, ntp_ns: int, arrival_utc_ns: int, report: tuple[int, int] | None = None) -> None:
        """Learn from one packet.

        Args:
            pts_ns: of its frame.
            ntp_ns: the frame's time by the last report at the nominal rate (``prft``), UTC.
            arrival_utc_ns: when it reached us.
            report: the raw (NTP 64 bit, RTP 32 bit) pair, where one rode on it.
        """
        seen, is_new = _Anchor(pts_ns, ntp_ns - pts_ns), self._is_new(pts_ns, ntp_ns)
        exact = self._exact(pts_ns, ntp_ns, report)
        if not self._anchors:
            if self._candidate is not None and abs(seen.base_ns - self._candidate.base_ns) <= AGREEMENT_NS:
                self._anchors.append(seen)
                self._measure()
            self._candidate = seen
        elif abs(seen.base_ns - self._base_at(pts_ns)) > self._tolerance_ns(pts_ns):
            self._step(seen)
        else:
            self._candidate = None
            if exact is not None:
                self._take(exact)
            elif is_new:  # a report that was lost with its frame
                self._take(seen)
        if self._distrusted_until_ns is not None and pts_ns >= self._distrusted_until_ns:
            self._distrusted_until_ns = self._believed = None
            self._doublings = max(0, self._doublings - 2)  # one for the step that is forgiven, one for behaving since
        if self._anchors:
            self._watch(pts_ns, arrival_utc_ns - self.time_of(pts_ns))

    def host_jumped(self) -> None:
        """The clock that arrivals are told in jumped: what was watched against it is void."""
        self._forget_latencies()

    def time_of(self, pts_ns: int) -> int:
        """The camera's NTP time of a pts, in UTC nanoseconds.

        Raises:
            IndexError: no base is known yet (see ``is_anchored``).
        """
        return pts_ns + self._base_at(pts_ns)

    def _base_at(self, pts_ns: int) -> int:
        last = self._anchors[-1]
        return last.base_ns + int((pts_ns - last.pts_ns) * (self._slope if self._is_rate_known else self._prior_slope))

    def _measure(self) -> None:
        """The anchors changed, or what is supposed of their rate."""
        self._is_rate_known = self._anchors[-1].pts_ns - self._anchors[0].pts_ns >= MIN_BASELINE_NS
        self.scatter_ns = max([abs(anchor.base_ns - self._base_at(anchor.pts_ns)) for anchor in self._anchors])

    def _tolerance_ns(self, pts_ns: int) -> int:
        is_recent = pts_ns - self._anchors[-1].pts_ns < SLEWED_AFTER_NS
        drift = LEARNT_DRIFT if self._is_rate_known and is_recent else MAX_DRIFT
        return STEP_NS + int(abs(pts_ns - self._anchors[-1].pts_ns) * (drift + abs(self._slope)))

    def _is_new(self, pts_ns: int, ntp_ns: int) -> bool:
        """Whether the witness speaks by another report than before."""
        before, now = self._witness, _Anchor(pts_ns, ntp_ns - pts_ns)
        if before is not None and abs(now.base_ns - before.base_ns) <= _ROUNDING_NS:
            return False
        self._witness = now
        return before is not None

    def _exact(self, pts_ns: int, ntp_ns: int, report: tuple[int, int] | None) -> _Anchor | None:
        """The anchor of a report that was not seen before, once it is known how RTP times and pts belong together."""
        is_first = report is not None and report != self._report
        if report is not None:
            self._report = report
        if self._report is None:
            return None
        said_ns, rtp = unix_ns(self._report[0]), self._report[1]
        if self._rtp_offset is None:  # RTP time less pts, in ticks: the same for the whole session
            guess = (rtp + _ticks(ntp_ns - said_ns) - _ticks(pts_ns)) % _RTP_WRAP
            before, self._rtp_guess = self._rtp_guess, guess
            if before is None or (guess - before + 1) % _RTP_WRAP > 2:
                return None
            self._rtp_offset, is_first = guess, True
        if not is_first:
            return None
        away = (rtp - self._rtp_offset - _ticks(pts_ns) + _RTP_WRAP // 2) % _RTP_WRAP - _RTP_WRAP // 2
        at_ns = (_ticks(pts_ns) + away) * 100_000 // 9
        return _Anchor(at_ns, said_ns - at_ns)

    def _take(self, anchor: _Anchor) -> None:
        if anchor.pts_ns - self._anchors[-1].pts_ns < NS_PER_S // 2:
            self._anchors.pop()  # a better word about the same report, or one that says nothing more
        self._anchors.append(anchor)
        if len(self._last_latencies) == FEW:  # this report agrees: only what happens after it can be a step of the pts
            self._first_latencies = list(self._last_latencies)
            self._last_latencies.clear()
        first, last = self._anchors[0], self._anchors[-1]
        if last.pts_ns - first.pts_ns >= MIN_BASELINE_NS:
            slope = (last.base_ns - first.base_ns) / (last.pts_ns - first.pts_ns)
            self._slope = max(-MAX_DRIFT, min(MAX_DRIFT, slope))
        self._measure()

    def _step(self, seen: _Anchor) -> None:
        candidate = self._candidate
        self._candidate = seen
        if candidate is not None and abs(seen.base_ns - candidate.base_ns) <= AGREEMENT_NS:
            self._follow(seen)

    def _follow(self, seen: _Anchor) -> None:
        """The clock stepped: go on from here, and believe it again where it is back on the line that was believed."""
        self.last_step_ns = seen.base_ns - self._base_at(seen.pts_ns)
        self.steps += 1
        self.are_pts_wrong = self.are_pts_wrong or self._did_arrivals_step_along()
        if self._believed is None:
            self._believed = self._anchors.copy(), self._slope
        stepped = deque([seen], maxlen=self._anchors.maxlen)
        self._anchors, self._slope = self._believed
        self._measure()
        if abs(seen.base_ns - self._base_at(seen.pts_ns)) <= self._tolerance_ns(seen.pts_ns):
            self._distrusted_until_ns = self._believed = None
        else:
            self._anchors, self._slope = stepped, 0.0
            self._measure()
            self._distrusted_until_ns = seen.pts_ns + (DISTRUST_NS << self._doublings)
            self._doublings = min(self._doublings + 1, MAX_DOUBLINGS)
        self._forget_latencies()

    def _forget_latencies(self) -> None:
        for watched in (self._floors, self._first_latencies, self._last_latencies):
            watched.clear()
        self.floor_ns = None

    def _did_arrivals_step_along(self) -> bool:
        """Whether latencies, as told by the clock before the step, have moved as it did: then pts are to blame."""
        if len(self._last_latencies) < FEW:
            return False
        moved_ns = min(self._last_latencies) - min(self._first_latencies)
        return abs(moved_ns - self.last_step_ns) < abs(self.last_step_ns) // 2

    def _watch(self, pts_ns: int, latency_ns: int) -> None:
        bucket = pts_ns // FLOOR_BUCKET_NS
        (self._last_latencies if len(self._first_latencies) == FEW else self._first_latencies).append(latency_ns)
        self._recent_latencies.append(latency_ns)
        if not self._floors or self._floors[-1][0] != bucket:
            self._floors.append((bucket, latency_ns))
        elif latency_ns < self._floors[-1][1]:
            self._floors[-1] = (bucket, latency_ns)
        else:
            return
        self.floor_ns = min([low for _, low in self._floors])


def fault_of(floor_ns: float, latest_ns: int = LATEST_NS) -> Literal["ahead of", "behind", ""]:
    """How a clock is proven wrong by the least (arrival - stamp); empty where it may be right."""
    return "ahead of" if floor_ns < EARLIEST_NS else "behind" if floor_ns > latest_ns else ""


def unix_ns(ntp: int) -> int:
    """A 64-bit NTP time as nanoseconds of UTC."""
    return ((ntp >> 32) - NTP_TO_UNIX_S) * NS_PER_S + ((ntp & 0xFFFFFFFF) * NS_PER_S >> 32)


def _ticks(span_ns: int) -> int:
    """Nanoseconds as ticks of 90 kHz, to the nearest."""
    return (span_ns * 9 + 50_000) // 100_000


def span(span_ns: int) -> str:
    """A span of time in a unit that suits it."""
    size = abs(span_ns)
    sign = "-" if span_ns < 0 else ""
    if size < NS_PER_S:
        return f"{sign}{size / NS_PER_MS:.1f} ms"
    return f"{sign}{size / NS_PER_S:.3g} s" if size < 3600 * NS_PER_S else f"{sign}{size / 3600 / NS_PER_S:.1f} h"
