"""What a camera says of its own pictures: NTP in sender reports, stamps in the stream; believed until proven wrong.

One way alone cannot tell a clock that is a little behind from latency, nor stamps of sending from a quick camera: the ±
says how much of that a frame's way here leaves open.
"""

from syncsvc.clock import NS_PER_MS, NS_PER_S
from syncsvc.model import ClockClass, Observation
from syncsvc.timing.clock_model import ClockModel
from syncsvc.timing.ntp import LATEST_NS, SenderReportMap, fault_of, span
from syncsvc.timing.rungs import UNKNOWN_LATENCY_NS, ModelRung, Rung
from syncsvc.timing.utc import ToUtc

SHORTEST_LATENCY_NS = NS_PER_MS
"""No camera exposes, encodes and sends a picture faster: stamps this close to arrival may be times of sending."""
REPORTED_NS = NS_PER_MS
"""What an operator's word that the camera follows NTP is worth on a LAN."""
QUEUE_NS = NS_PER_S // 2
"""Later than this, frames' delays are no queue that reports could excuse: reports may be reckoned from wrong pts."""
DRIFT_AFTER_NS = 10 * NS_PER_S
"""Before, a clock model's word on the drift is worse than none: crystals are within 100 ppm."""
LATEST_PLAYLIST_NS = 120 * NS_PER_S
"""Segments of a playlist are published when they are complete, and played some segments later."""


class SenderReportRung(Rung):
    """RTCP sender reports: the camera's own NTP clock.

    What it says is exact where the camera follows NTP and reports when pictures were taken. Where nobody vouches for
    that (``clock: rtcp`` does), its ± is what a frame's way here leaves open, see ``hidden_ns``.
    """

    clock: ClockClass = "rtcp"

    def __init__(self, latency_ns: int | None, to_utc: ToUtc, witness: ModelRung, *, is_vouched: bool) -> None:
        self.map = SenderReportMap()
        self._first_pts_ns: int | None = None
        self._latency_ns, self._to_utc, self._witness, self._is_vouched = latency_ns, to_utc, witness, is_vouched

    @property
    def is_open(self) -> bool:
        """Whether the map is anchored and plausible, and the pts that it maps follow time."""
        return self.map.is_plausible and not self._are_pts_wrong

    @property
    def problem(self) -> str:
        """No report yet, or what proves them wrong."""
        unknown = "" if self.map.is_anchored else "no sender report yet"
        return self.map.problem or unknown or (self._witness.problem if self._are_pts_wrong else "")

    @property
    def _are_pts_wrong(self) -> bool:
        """A queue makes pts look wrong too: while it is short and the camera's clock agrees with them, they are not."""
        if not self._witness.is_lying:
            return False
        latency_ns = self.map.recent_latency_ns
        is_queue = self.map.confirms_pts and latency_ns is not None and latency_ns < QUEUE_NS
        return not is_queue

    @property
    def is_lying(self) -> bool:
        """Whether the reports are proven wrong, or useless for pts that are."""
        return bool(self.map.problem) or (self.map.is_anchored and self._are_pts_wrong)

    def feed(self, seen: Observation, arrival_ns: int) -> None:
        """Learn the packet's NTP time."""
        if seen.ntp_ns is not None and seen.pts_ns is not None:
            self._first_pts_ns = seen.pts_ns if self._first_pts_ns is None else self._first_pts_ns
            if seen.pts_ns - self._first_pts_ns >= DRIFT_AFTER_NS and self._witness.is_settled:
                self.map.suppose_rate(-self._witness.model.drift_ppm * 1e-6)
            self.map.feed(seen.pts_ns, seen.ntp_ns, self._to_utc(seen.began_mono_ns), seen.sender_report)
            if self.map.are_pts_wrong:
                self._witness.refuse("pts do not follow time: sender reports and arrivals agree against them")

    def stamp(self, seen: Observation, arrival_ns: int) -> tuple[int, int] | None:
        """The NTP time of its pts."""
        if seen.pts_ns is None or not self.map.is_anchored:
            return None
        time_ns = self.map.time_of(seen.pts_ns)
        return time_ns, REPORTED_NS + self.map.scatter_ns + (0 if self._is_vouched else self._hidden_ns(seen, time_ns))

    def host_jumped(self) -> None:
        """Whether the camera agrees with the host is seen anew."""
        self.map.host_jumped()

    def _hidden_ns(self, seen: Observation, time_ns: int) -> int:
        if seen.pts_ns is None or not self._witness.is_open:
            return UNKNOWN_LATENCY_NS
        floor_ns, doubt_ns = self._witness.earliest_ns(seen.pts_ns) - time_ns, self._witness.model.uncertainty_ns
        return hidden_ns(floor_ns, doubt_ns, self._latency_ns)


class MediaRung(Rung):
    """Stamps inside a live stream, by the camera's clock: SEI, the program date of a playlist, ``X-Timestamp``.

    Their rate is held against arrivals by a clock model of its own: a stamp that does not follow time is refused.
    """

    clock: ClockClass = "pts"

    def __init__(self, latency_ns: int | None) -> None:
        self._latency_ns = latency_ns
        self._rate = ClockModel(holds=False)
        self._floor_ns: int | None = None
        self._latest_ns = LATEST_NS
        self._last_ns = 0
        self._repeated = 0

    @property
    def problem(self) -> str:
        """No stamps, or what proves them wrong."""
        floor = self._floor_ns
        if floor is None:
            return "no stamps in the stream"
        fault = fault_of(floor, self._latest_ns)
        if fault:
            return f"the stamps in the stream are {span(abs(floor))} {fault} their arrival"
        if self._repeated > 2:
            return "the stamps in the stream do not rise"
        return self._rate.trouble or ""

    @property
    def is_lying(self) -> bool:
        """Whether there are stamps, and they are proven wrong."""
        return self._floor_ns is not None and bool(self.problem)

    def feed(self, seen: Observation, arrival_ns: int) -> None:
        """Hold the stamp against the frame's arrival."""
        if seen.stamp_kind not in ("media", "playlist") or seen.stamp_ns is None:
            return
        self._repeated = self._repeated + 1 if seen.stamp_ns <= self._last_ns else max(0, self._repeated - 1)
        self._last_ns = seen.stamp_ns
        if seen.stamp_kind == "playlist":
            self._latest_ns = LATEST_PLAYLIST_NS
        self._rate.feed(seen.stamp_ns, seen.began_mono_ns)
        utc_less_mono_ns = arrival_ns - seen.arrival_mono_ns
        self._floor_ns = self._rate.time_of(seen.stamp_ns) + utc_less_mono_ns - seen.stamp_ns

    def stamp(self, seen: Observation, arrival_ns: int) -> tuple[int, int] | None:
        """The stamp itself; its ± is what the frame's way here leaves open (see ``SenderReportRung``)."""
        if seen.stamp_kind not in ("media", "playlist") or seen.stamp_ns is None or self._floor_ns is None:
            return None
        return seen.stamp_ns, REPORTED_NS + seen.doubt_ns + hidden_ns(
            self._floor_ns, self._rate.uncertainty_ns, self._latency_ns
        )

    def host_jumped(self) -> None:
        """The next stamp is held against the new time."""
        self._floor_ns = None


def hidden_ns(floor_ns: int, doubt_ns: int, latency_ns: int | None) -> int:
    """How far a camera's clock may be off, unseen, where its pictures come ``floor_ns`` after their stamps at least.

    A clock that is behind looks like latency, at most as much as is seen; stamps of sending hide all of it.

    Args:
        floor_ns: least (arrival - stamp).
        doubt_ns: the ± of that.
        latency_ns: what it ought to be, where somebody knows.
    """
    if latency_ns is not None:
        return abs(floor_ns - latency_ns) + doubt_ns
    return UNKNOWN_LATENCY_NS if floor_ns < SHORTEST_LATENCY_NS + doubt_ns else floor_ns + doubt_ns
