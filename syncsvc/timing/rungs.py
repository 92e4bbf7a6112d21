"""The ways to know when a picture was taken, each with its gate, its ± and its word on why it does not speak.

From best to last: what the camera's clock says in sender reports, the kernel's stamp of a local camera, stamps inside
the stream, pts with a clock model, arrival. A rung that evidence refuses *lies*; one that has nothing to say does not.
"""

from typing import Protocol

from syncsvc.clock import NS_PER_MS, NS_PER_S
from syncsvc.model import ClockClass, Observation
from syncsvc.timing.camera_rungs import MediaRung, SenderReportRung
from syncsvc.timing.model_rung import UNKNOWN_LATENCY_NS, ModelRung
from syncsvc.timing.utc import ToUtc

TICK_NS = 11_112
"""One tick of 90 kHz bounds the usual time bases."""
JITTER_NS = 60 * NS_PER_MS
"""The 95th percentile of the network's delay at 20 ms of jitter."""


class Rung(Protocol):
    """One way to know when a picture was taken."""

    clock: ClockClass

    def feed(self, seen: Observation, arrival_ns: int) -> None:
        """Learn from an observation, whether this rung is in use or not; ``arrival_ns`` is UTC."""
        ...

    def stamp(self, seen: Observation, arrival_ns: int) -> tuple[int, int] | None:
        """``(time, ±)`` of it in UTC nanoseconds; None when this rung cannot tell."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether its gate lets it speak now."""
        ...

    @property
    def is_settled(self) -> bool:
        """Whether frames need not be held for a better word of it."""
        ...

    @property
    def problem(self) -> str:
        """Why it does not speak, in a few words; empty while it does."""
        ...

    @property
    def is_lying(self) -> bool:
        """Whether evidence refuses it: its source says what cannot be."""
        ...

    def host_jumped(self) -> None:
        """UTC jumped: what was watched against it is void."""
        ...


class RecordedRung:
    """Stamps of recordings, and of generated frames: the times that they were made for, taken as they are."""

    clock: ClockClass = "pts"
    is_open = is_settled = True
    is_lying = False
    problem = ""

    def feed(self, seen: Observation, arrival_ns: int) -> None:
        """Nothing to learn."""

    def stamp(self, seen: Observation, arrival_ns: int) -> tuple[int, int] | None:
        """The media's own time, exact to its tick."""
        if seen.stamp_kind != "pts" or seen.stamp_ns is None:
            return None
        return seen.stamp_ns, TICK_NS + seen.doubt_ns

    def host_jumped(self) -> None:
        """They have a timeline of their own."""


class KernelRung:
    """The kernel's stamp of a V4L2 buffer, on CLOCK_MONOTONIC."""

    clock: ClockClass = "kernel"

    def __init__(self, to_utc: ToUtc) -> None:
        self._to_utc = to_utc
        self.is_open = self.is_lying = False

    @property
    def is_settled(self) -> bool:
        """Every stamp stands for itself."""
        return self.is_open

    @property
    def problem(self) -> str:
        """Stamps on another clock, or none."""
        if self.is_open:
            return ""
        return "the driver's stamps are not on CLOCK_MONOTONIC" if self.is_lying else "the driver gives no stamps"

    def feed(self, seen: Observation, arrival_ns: int) -> None:
        """The gate: a stamp is believed when the frame is at most a second old."""
        if seen.stamp_kind == "kernel" and seen.stamp_ns is not None:
            self.is_open = 0 <= seen.arrival_mono_ns - seen.stamp_ns < NS_PER_S
            self.is_lying = not self.is_open

    def stamp(self, seen: Observation, arrival_ns: int) -> tuple[int, int] | None:
        """The start of the buffer's transfer. ± 5 ms: exposure and readout before it are the sensor's secret."""
        if seen.stamp_kind != "kernel" or seen.stamp_ns is None or not self.is_open:
            return None
        return self._to_utc(seen.stamp_ns), 5 * NS_PER_MS

    def host_jumped(self) -> None:
        """CLOCK_MONOTONIC did not."""


class ArrivalRung:
    """When the packet reached us, less the configured latency: the last resort, and never silent."""

    clock: ClockClass = "arrival"
    is_open = is_settled = True
    is_lying = False
    problem = ""

    def __init__(self, latency_ns: int | None) -> None:
        self._latency_ns = latency_ns

    def feed(self, seen: Observation, arrival_ns: int) -> None:
        """Nothing to learn."""

    def stamp(self, seen: Observation, arrival_ns: int) -> tuple[int, int]:
        """± is how long the parser held it, the network's usual delay, and the latency where nobody knows it."""
        held_ns = max(0, seen.arrival_mono_ns - seen.began_mono_ns)
        unknown_ns = UNKNOWN_LATENCY_NS if self._latency_ns is None else 0
        return arrival_ns - (self._latency_ns or 0), JITTER_NS + held_ns + unknown_ns

    def host_jumped(self) -> None:
        """Arrivals jump along."""


def rungs_for(clock: str, kind: str, latency_ns: int | None, to_utc: ToUtc) -> list[Rung]:
    """The ladder of one stream, best rung first; ``arrival`` always stands at the foot.

    Args:
        clock: the configured clock: ``auto``, ``rtcp``, ``model``, ``pts`` or ``arrival``.
        kind: of the source: ``rtsp``, ``http``, ``file``, ``v4l2`` or ``synthetic``.
        latency_ns: configured constant latency, subtracted from modelled and arrival stamps only; None where nobody
            said what it is.
        to_utc: maps CLOCK_MONOTONIC to UTC.
    """
    rungs: list[Rung] = []
    model = ModelRung(latency_ns, to_utc)
    if clock not in ("arrival", "model"):
        if kind in ("file", "synthetic"):
            rungs.append(RecordedRung())
        if kind == "rtsp":
            rungs.append(SenderReportRung(latency_ns, to_utc, model, is_vouched=clock == "rtcp"))
        if kind == "v4l2":
            rungs.append(KernelRung(to_utc))
        if kind in ("rtsp", "http") and clock == "auto":
            rungs.append(MediaRung(latency_ns))
    if clock != "arrival" and (clock == "model" or kind in ("rtsp", "http", "v4l2")):
        rungs.append(model)
    return [*rungs, ArrivalRung(latency_ns)]
