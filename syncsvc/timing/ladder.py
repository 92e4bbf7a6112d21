"""Which clock a frame is stamped by: the best rung whose gate is open, changed only on a window's edge.

Every rung turns an observation into a UTC time and an honest ±. Frames at the start of a session are held for a better
rung as long as the latency budget allows, and stamped retroactively. A modelled clock is one more rung.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from syncsvc.clock import NS_PER_MS, NS_PER_S
from syncsvc.model import ClockClass, Observation
from syncsvc.timing.ntp import SenderReportMap
from syncsvc.timing.utc import JUMP_NS

ToUtc = Callable[[int], int]

SHARE = 8
"""A frame that must stay before an edge takes this part of the time left: 40 ms have room for over a hundred."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """An observation and the conclusion drawn from it; all times UTC nanoseconds."""

    observation: Observation
    time_ns: int
    uncertainty_ns: int
    clock: ClockClass
    arrival_ns: int


class Rung(Protocol):
    """One way to know when a picture was taken."""

    clock: ClockClass

    def feed(self, seen: Observation, arrival_ns: int) -> None:
        """Learn from an observation, whether this rung is in use or not."""
        ...

    def stamp(self, seen: Observation, arrival_ns: int) -> tuple[int, int] | None:
        """``(time, ±)`` of it in UTC nanoseconds; None when this rung cannot tell."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether its gate lets it speak now."""
        ...


class MediaRung:
    """Stamps inside the media: of recordings, and of generated frames."""

    clock: ClockClass = "pts"
    is_open = True

    def feed(self, seen: Observation, arrival_ns: int) -> None:
        """Nothing to learn."""

    def stamp(self, seen: Observation, arrival_ns: int) -> tuple[int, int] | None:
        """The media's own time, exact to its tick."""
        if seen.stamp_kind != "pts" or seen.stamp_ns is None:
            return None
        return seen.stamp_ns, 11_112  # half a tick is unknown here; one tick of 90 kHz bounds the usual time bases


class SenderReportRung:
    """RTCP sender reports: the camera's own NTP clock."""

    clock: ClockClass = "rtcp"

    def __init__(self) -> None:
        self.map = SenderReportMap()

    @property
    def is_open(self) -> bool:
        """Whether the map is anchored and plausible."""
        return self.map.is_plausible

    def feed(self, seen: Observation, arrival_ns: int) -> None:
        """Learn the packet's NTP time."""
        if seen.ntp_ns is not None and seen.pts_ns is not None:
            self.map.feed(seen.pts_ns, seen.ntp_ns, arrival_ns)

    def stamp(self, seen: Observation, arrival_ns: int) -> tuple[int, int] | None:
        """The NTP time of its pts. ± 1 ms: what an operator's word that the camera follows NTP is worth on a LAN."""
        if seen.pts_ns is None or not self.map.is_anchored:
            return None
        return self.map.time_of(seen.pts_ns), NS_PER_MS


class KernelRung:
    """The kernel's stamp of a V4L2 buffer, on CLOCK_MONOTONIC."""

    clock: ClockClass = "kernel"

    def __init__(self, to_utc: ToUtc) -> None:
        self._to_utc = to_utc
        self.is_open = False

    def feed(self, seen: Observation, arrival_ns: int) -> None:
        """The gate: a stamp is believed when the frame is at most a second old."""
        if seen.stamp_kind == "kernel" and seen.stamp_ns is not None:
            self.is_open = 0 <= seen.arrival_mono_ns - seen.stamp_ns < NS_PER_S

    def stamp(self, seen: Observation, arrival_ns: int) -> tuple[int, int] | None:
        """The start of the buffer's transfer. ± 5 ms: exposure and readout before it are the sensor's secret."""
        if seen.stamp_kind != "kernel" or seen.stamp_ns is None or not self.is_open:
            return None
        return self._to_utc(seen.stamp_ns), 5 * NS_PER_MS


class ArrivalRung:
    """When the packet reached us, less the configured latency: the last resort, and never silent."""

    clock: ClockClass = "arrival"
    is_open = True

    def __init__(self, latency_ns: int) -> None:
        self._latency_ns = latency_ns

    def feed(self, seen: Observation, arrival_ns: int) -> None:
        """Nothing to learn."""

    def stamp(self, seen: Observation, arrival_ns: int) -> tuple[int, int]:
        """± 100 ms: the 99th percentile of the arrival error at 20 ms of jitter."""
        return arrival_ns - self._latency_ns, 100 * NS_PER_MS


def rungs_for(clock: str, kind: str, latency_ns: int, to_utc: ToUtc) -> list[Rung]:
    """The ladder of one stream, best rung first; ``arrival`` always stands at the foot.

    Args:
        clock: the configured clock: ``auto``, ``rtcp``, ``pts`` or ``arrival``.
        kind: of the source: ``rtsp``, ``http``, ``file``, ``v4l2`` or ``synthetic``.
        latency_ns: configured constant latency, subtracted from arrival stamps only.
        to_utc: maps CLOCK_MONOTONIC to UTC.
    """
    foot: list[Rung] = [ArrivalRung(latency_ns)]
    if clock == "arrival":
        return foot
    if kind in ("file", "synthetic"):
        return [MediaRung(), *foot]
    if kind == "rtsp":
        return [SenderReportRung(), *foot]
    if kind == "v4l2":
        return [KernelRung(to_utc), *foot]
    return foot


class StreamClock:
    """One stream's capture times: rising with ``seq``, each with its rung; pure.

    Guarantees: ``time_ns`` rises strictly; the rung changes only where ``time_ns`` passes a multiple of ``edge_ns`` or
    with a new session; nothing is held longer than ``hold_ns`` after its arrival. A jump of the host's clock starts it
    anew: what was learnt against that clock is void, and times may go back with it.
    """

    def __init__(self, make_rungs: Callable[[], list[Rung]], *, hold_ns: int, edge_ns: int, to_utc: ToUtc) -> None:
        self._make_rungs, self.hold_ns, self.edge_ns, self._to_utc = make_rungs, hold_ns, edge_ns, to_utc
        self.rungs: list[Rung] = make_rungs()
        self._current: Rung | None = None
        self._held: deque[Observation] = deque()
        self._last_ns = self._last_arrival_ns = 0
        self._edge: int | None = None
        self._utc_less_mono_ns: int | None = None

    def tune(self, make_rungs: Callable[[], list[Rung]], hold_ns: int, edge_ns: int) -> None:
        """Other settings: the ladder from the next session on, the rest at once."""
        self._make_rungs, self.hold_ns, self.edge_ns = make_rungs, hold_ns, edge_ns

    @property
    def clock(self) -> ClockClass | None:
        """The rung in use; None while frames are held for a better one."""
        return self._current.clock if self._current else None

    @property
    def held_since_ns(self) -> int | None:
        """Arrival (UTC) of the oldest frame that waits for a better stamp."""
        return self._to_utc(self._held[0].arrival_mono_ns) if self._held else None

    def new_session(self) -> list[Stamp]:
        """The source was opened anew: what was learnt of its clocks is void; returns what was still held."""
        stamps = self._settle()
        self.rungs, self._current, self._edge = self._make_rungs(), None, None
        return stamps

    def observe(self, seen: Observation) -> list[Stamp]:
        """Take one observation in; returns the frames that have a time now, in order."""
        arrival_ns = self._to_utc(seen.arrival_mono_ns)
        self._notice_jump(arrival_ns - seen.arrival_mono_ns)
        for rung in self.rungs:
            rung.feed(seen, arrival_ns)
        if self._current is not None:
            return [self._stamp(seen, arrival_ns)]
        self._held.append(seen)
        return self._settle() if self.rungs[0].is_open else self.expire(arrival_ns)

    def expire(self, now_utc_ns: int) -> list[Stamp]:
        """Stamp what was held for as long as the latency budget allows, by the best rung there is."""
        if self._held and now_utc_ns - self._to_utc(self._held[0].arrival_mono_ns) >= self.hold_ns:
            return self._settle()
        return []

    def _notice_jump(self, utc_less_mono_ns: int) -> None:
        before, self._utc_less_mono_ns = self._utc_less_mono_ns, utc_less_mono_ns
        if before is not None and abs(utc_less_mono_ns - before) > JUMP_NS // 2:
            self.rungs, self._current, self._edge, self._last_ns = self._make_rungs(), None, None, 0

    def _settle(self) -> list[Stamp]:
        if self._current is None:
            self._current = self._best()
        held, doubt_ns = _with_first_pts(list(self._held))
        self._held.clear()
        stamps = [self._stamp(seen, self._to_utc(seen.arrival_mono_ns)) for seen in held]
        if doubt_ns:
            stamps[0] = replace(stamps[0], uncertainty_ns=stamps[0].uncertainty_ns + doubt_ns)
        return stamps

    def _best(self) -> Rung:
        return next(rung for rung in self.rungs if rung.is_open)

    def _stamp(self, seen: Observation, arrival_ns: int) -> Stamp:
        assert self._current is not None
        self._consider_change(seen, arrival_ns)
        rung = self._current
        if self._edge is not None and not rung.is_open:  # it lies: until the edge, time passes as arrivals say
            foot = self.rungs[-1].stamp(seen, arrival_ns)
            value = foot and (self._last_ns + arrival_ns - self._last_arrival_ns, foot[1])
        else:
            value = rung.stamp(seen, arrival_ns)
        if value is None:  # the frame lacks what the rung reads, e.g. a pts: the foot of the ladder always speaks
            rung = self.rungs[-1]
            value = rung.stamp(seen, arrival_ns)
            assert value is not None
        time_ns, uncertainty_ns = value
        told_ns = time_ns
        if self._edge is not None and time_ns >= self._edge:  # the next rung lags behind: wait for it before the edge
            time_ns = self._last_ns + (self._edge - self._last_ns) // SHARE
        time_ns = max(time_ns, self._last_ns + 1)
        self._last_ns, self._last_arrival_ns = time_ns, arrival_ns
        return Stamp(seen, time_ns, uncertainty_ns + abs(time_ns - told_ns), rung.clock, arrival_ns)

    def _consider_change(self, seen: Observation, arrival_ns: int) -> None:
        best = self._best()
        if best is self._current:
            self._edge = None
            return
        if self._edge is None:
            self._edge = (self._last_ns // self.edge_ns + 1) * self.edge_ns
        value = best.stamp(seen, arrival_ns)
        if value is not None and value[0] >= self._edge:
            self._current, self._edge = best, None


def _with_first_pts(held: list[Observation]) -> tuple[list[Observation], int]:
    """The first picture of an RTSP session comes without a pts (libavformat): give it the one that it must have had.

    Exactly, where a sender report came before it and so it has an NTP time; else as far before the second picture as
    that is before the third, and in doubt by as much.

    Returns:
        The observations, and the doubt about the first one's pts in nanoseconds.
    """
    if len(held) < 2 or held[0].pts_ns is not None or held[1].pts_ns is None:
        return held, 0
    first, second, doubt_ns = held[0], held[1], 0
    ntp = [seen.ntp_ns for seen in held[:2] if seen.ntp_ns is not None]
    if len(ntp) == 2 and ntp[0] < ntp[1]:
        back_ns = ntp[1] - ntp[0]
    elif len(held) > 2 and held[2].pts_ns is not None:
        back_ns = doubt_ns = held[2].pts_ns - held[1].pts_ns
    else:
        return held, 0
    assert second.pts_ns is not None
    return [replace(first, pts_ns=second.pts_ns - back_ns), *held[1:]], doubt_ns
