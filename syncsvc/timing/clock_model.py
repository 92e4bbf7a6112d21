"""Pts say when pictures were taken, on a clock of their own; arrivals say what time it is, late: the best of both.

The model gives each pts the time at which its frame would have arrived with the least delay there is. The constant
part of that delay (exposure, encoding, the way itself) cannot be seen by any one-way method.
"""

from collections import deque

from syncsvc.clock import NS_PER_MS, NS_PER_S
from syncsvc.timing.delay_floor import FloorFilter
from syncsvc.timing.delay_trend import RateWatch

SLEW, FIRST_SLEW = 0.01, 0.9
"""How much of the time passed may go into correcting what was told: once settled, and before."""
SETTLED_NS = 10 * NS_PER_MS
SIGMAS = 2.5
REST_S = 100e-6
"""What no jitter tells of: ticks of 11 µs, the receiver's own delay, crystals that wander more than most."""
UNHEARD_S = 0.5
"""Before the first bucket is full, all that came may have been waiting for us."""
ORDERLY_NS, DISORDER_NS = 2 * NS_PER_S, 200 * NS_PER_MS
"""Pts that have not gone back for so long begin anew if they do; others, if by more than pictures out of order."""
STEP_S = 0.1
"""What was told is corrected by slewing up to here; beyond, it is a new beginning."""
FIRST_STEP_S = 2.0
"""The same before it is settled: what waited for us when the session began is not older."""
RISE_S, RISE_LASTS_S = 0.5, 30.0
"""Delays that stay higher by this for so long are no queue: pts stood still while time went on."""
HOLD_S, BRIEF_S = 360.0, 60.0
"""How long higher delays count as congestion: for the clock of one session, and for one that may step."""
STEPS, STEPS_WITHIN_NS = 3, 60 * NS_PER_S
TROUBLE_LASTS_NS = 30 * NS_PER_S


class ClockModel:
    """The clock of one stream's pts, learnt from arrivals; pure, deterministic, integers in and out.

    What it tells is slewed, not stepped, and rises strictly with pts, whatever is learnt between two frames: a
    correction takes at most 1 % of the time passed once settled (90 % before). Only ``restarts`` are an exception: pts
    that begin anew or step. Adding a constant to all pts, or to all arrivals, changes nothing else.

    Args:
        holds: whether a rise of all delays is taken for congestion for six minutes, as befits the clock of one live
            session, or for one minute, because the source's clock may step.

    Attributes:
        restarts: how often it had to start anew by itself.
        is_settled: whether the floor is known within 10 ms.
        trouble: one line when pts follow no clock, for as long as that goes on and half a minute longer.
    """

    def __init__(self, *, holds: bool = True) -> None:
        self._hold_s = HOLD_S if holds else BRIEF_S
        self._filter = FloorFilter()
        self._watch = RateWatch()
        self._rate, self._rate_seen_ns = 1.0, 0
        self._pts_ns = self._mono_ns = self._now_ns = self._last_pts_ns = self._orderly_since_ns = 0
        self._shift_s = 0.0
        self._is_fed = self._is_runaway = self.is_settled = False
        self._restarts_ns: deque[int] = deque(maxlen=STEPS)
        self.restarts = 0
        self.trouble: str | None = None

    def begin_session(self) -> None:
        """The next frame's pts begin anew, for a known reason; the crystal's drift is remembered."""
        self._is_fed = self.is_settled = False
        self.trouble = None

    def feed(self, pts_ns: int, start_mono_ns: int) -> None:
        """Learn from a frame; frames come in the order of their pts.

        Args:
            pts_ns: its pts.
            start_mono_ns: CLOCK_MONOTONIC time at which its first part arrived.
        """
        self._now_ns = start_mono_ns
        if not self._is_fed:
            self._begin(pts_ns)
        elif pts_ns < self._last_pts_ns:
            self._go_back(pts_ns)
        at_s, arrival_s = self._at_s(pts_ns), (start_mono_ns - self._mono_ns) / NS_PER_S
        told_s = self._filter.floor_s(at_s) + self._shift_s
        self._filter.feed(at_s, arrival_s)
        self._adopt_rise(at_s)
        passed_s = max(0, pts_ns - self._last_pts_ns) / NS_PER_S
        self._slew(told_s - self._filter.floor_s(at_s), passed_s)
        self._last_pts_ns = max(pts_ns, self._last_pts_ns)
        self._settle()
        rate = self._watch.feed(arrival_s, arrival_s - at_s)
        if rate is not None:
            self._is_runaway, self._rate, self._rate_seen_ns = True, rate, start_mono_ns
        self.trouble = self._trouble()

    def time_of(self, pts_ns: int) -> int:
        """CLOCK_MONOTONIC nanoseconds at which a frame of this pts would have arrived with the least delay.

        Raises:
            LookupError: no frame was fed since the camera was opened.
        """
        if not self._is_fed:
            raise LookupError("no frame was fed yet")
        delay_s = self._filter.floor_s(self._at_s(pts_ns)) + self._shift_s
        return pts_ns - self._pts_ns + self._mono_ns + round(delay_s * NS_PER_S)

    @property
    def uncertainty_ns(self) -> int:
        """± of ``time_of`` for the last frame, but for the latency: the truth lies within in 95 % of frames."""
        if not self._is_fed or not self._filter.buckets:
            return round(UNHEARD_S * NS_PER_S)
        sigma_s = self._filter.sigma_s(self._at_s(self._last_pts_ns))
        return round((SIGMAS * (1 + 1 / self._filter.buckets) * sigma_s + abs(self._shift_s) + REST_S) * NS_PER_S)

    @property
    def drift_ppm(self) -> float:
        """How much faster pts run than CLOCK_MONOTONIC."""
        return -self._filter.drift * 1e6

    def _trouble(self) -> str | None:
        if self._is_runaway and self._now_ns - self._rate_seen_ns < TROUBLE_LASTS_NS:
            return f"pts advance by {self._rate:.3f} s per second of arrivals: declared and delivered rate differ"
        if len(self._restarts_ns) == STEPS and self._now_ns - self._restarts_ns[0] < STEPS_WITHIN_NS:
            return f"pts stepped {STEPS} times within a minute"
        return None

    def _at_s(self, pts_ns: int) -> float:
        return (pts_ns - self._pts_ns) / NS_PER_S

    def _begin(self, pts_ns: int) -> None:
        self._is_fed, self.is_settled = True, False
        self._pts_ns = self._last_pts_ns = pts_ns
        self._mono_ns = self._now_ns
        self._orderly_since_ns = pts_ns
        self._shift_s = 0.0
        self._watch = RateWatch()
        self._filter.anchor(0.0, 0.0)

    def _go_back(self, pts_ns: int) -> None:
        is_orderly = self._last_pts_ns - self._orderly_since_ns >= ORDERLY_NS
        if is_orderly or self._last_pts_ns - pts_ns > DISORDER_NS:
            self._begin(pts_ns)
            self._note_restart()
        self._orderly_since_ns = self._last_pts_ns

    def _note_restart(self) -> None:
        self.restarts += 1
        self._restarts_ns.append(self._now_ns)

    def _adopt_rise(self, at_s: float) -> None:
        """Delays that stay higher for too long are no congestion."""
        lasts_s = at_s - self._filter.risen_since_s
        if lasts_s > self._hold_s or (lasts_s > RISE_LASTS_S and self._filter.rise_s > RISE_S):
            self._filter.anchor(at_s, self._filter.floor_s(at_s) + self._filter.rise_s)

    def _slew(self, off_s: float, passed_s: float) -> None:
        """Go on from what was told last, ``off_s`` above what is known now, toward it."""
        if abs(off_s) > (STEP_S if self.is_settled else FIRST_STEP_S):
            self.is_settled, off_s = False, 0.0
            self._note_restart()
        most_s = passed_s * (SLEW if self.is_settled else FIRST_SLEW)
        self._shift_s = off_s - max(-most_s, min(most_s, off_s))

    def _settle(self) -> None:
        if not self.is_settled:
            self.is_settled = self.uncertainty_ns <= SETTLED_NS
