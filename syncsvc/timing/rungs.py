"""The ways to know when a picture was taken, each with its gate, its ± and its word on why it does not speak.

A rung that evidence refuses *lies*; one that has nothing to say does not.
"""

from syncsvc.clock import NS_PER_MS, NS_PER_S
from syncsvc.model import ClockClass, Observation
from syncsvc.timing.clock_model import ClockModel
from syncsvc.timing.utc import JUMP_NS, ToUtc

TICK_NS = 11_112
"""One tick of 90 kHz bounds the usual time bases."""
JITTER_NS = 60 * NS_PER_MS
"""The 95th percentile of the network's delay at 20 ms of jitter."""
UNKNOWN_LATENCY_NS = 100 * NS_PER_MS
"""What exposure, encoding and path of usual cameras take at most, where nobody measured it."""
CONFIGURED_NS = NS_PER_MS
"""± of a latency that somebody has measured."""
DOUBTFUL_NS = 20 * NS_PER_MS
"""A latency that may be this wrong is none: half a frame at 25 fps."""


class Rung:
    """One way to know when a picture was taken; its kinds say what is otherwise than here."""

    clock: ClockClass

    @property
    def is_open(self) -> bool:
        """Whether its gate lets it speak now."""
        return not self.problem

    @property
    def is_settled(self) -> bool:
        """Whether frames need not be held for a better word of it."""
        return self.is_open

    @property
    def is_lying(self) -> bool:
        """Whether evidence refuses it: its source says what cannot be."""
        return False

    @property
    def problem(self) -> str:
        """Why it does not speak, in a few words; empty while it does."""
        return ""

    def feed(self, seen: Observation, arrival_ns: int) -> None:
        """Learn from an observation, whether this rung is in use or not; ``arrival_ns`` is UTC."""

    def stamp(self, seen: Observation, arrival_ns: int) -> tuple[int, int] | None:
        """``(time, ±)`` of it in UTC nanoseconds; None when this rung cannot tell."""
        raise NotImplementedError

    def host_jumped(self) -> None:
        """UTC jumped: what was watched against it is void."""


class RecordedRung(Rung):
    """Stamps of recordings, and of generated frames: the times that they were made for, taken as they are.

    They were made by the host's clock as it was then. Where that has jumped since, they go with it, as a camera's do.
    """

    clock: ClockClass = "pts"

    def __init__(self) -> None:
        self._jumped_ns: int | None = None

    def stamp(self, seen: Observation, arrival_ns: int) -> tuple[int, int] | None:
        """The media's own time, exact to its tick."""
        if seen.stamp_kind != "pts" or seen.stamp_ns is None:
            return None
        if self._jumped_ns is None:
            self._jumped_ns = self._jumped_since(seen, arrival_ns)
        return seen.stamp_ns + self._jumped_ns, TICK_NS + seen.doubt_ns

    @staticmethod
    def _jumped_since(seen: Observation, arrival_ns: int) -> int:
        """How far the host's clock has jumped since the stamps' origin was fixed; slewing is none."""
        if seen.utc_less_mono_ns is None:
            return 0
        moved_ns = arrival_ns - seen.arrival_mono_ns - seen.utc_less_mono_ns
        return moved_ns if abs(moved_ns) > JUMP_NS // 2 else 0

    def host_jumped(self) -> None:
        """The next frame tells by how much."""
        self._jumped_ns = None


class KernelRung(Rung):
    """The kernel's stamp of a V4L2 buffer, on CLOCK_MONOTONIC."""

    clock: ClockClass = "kernel"

    def __init__(self, to_utc: ToUtc) -> None:
        self._to_utc = to_utc
        self._is_believed: bool | None = None

    @property
    def is_lying(self) -> bool:
        """Whether the last stamp cannot be one of CLOCK_MONOTONIC."""
        return self._is_believed is False

    @property
    def problem(self) -> str:
        """Stamps on another clock, or none."""
        if self._is_believed:
            return ""
        return "the driver's stamps are not on CLOCK_MONOTONIC" if self.is_lying else "the driver gives no stamps"

    def feed(self, seen: Observation, arrival_ns: int) -> None:
        """The gate: a stamp is believed when the frame is at most a second old."""
        if seen.stamp_kind == "kernel" and seen.stamp_ns is not None:
            self._is_believed = 0 <= seen.arrival_mono_ns - seen.stamp_ns < NS_PER_S

    def stamp(self, seen: Observation, arrival_ns: int) -> tuple[int, int] | None:
        """The start of the buffer's transfer. ± 5 ms: exposure and readout before it are the sensor's secret."""
        if seen.stamp_kind != "kernel" or seen.stamp_ns is None or not self.is_open:
            return None
        return self._to_utc(seen.stamp_ns), 5 * NS_PER_MS


class ModelRung(Rung):
    """pts, laid onto the host's clock by a clock model, less the constant latency that no model can see."""

    clock: ClockClass = "model"

    def __init__(self, latency_ns: int | None, to_utc: ToUtc) -> None:
        self._latency_ns, self._to_utc = latency_ns, to_utc
        self.model = ClockModel()
        self.learnt_ns: int | None = None
        """The latency, as a better clock of this camera showed it while it was believed."""
        self.learnt_doubt_ns = 0
        self.step_doubt_ns = 0
        """How far that better clock stepped since, where nothing proves which of its times was wrong."""
        self._is_fed = False
        self._refusal = ""

    def refuse(self, why: str) -> None:
        """Another clock proves that the pts are wrong, until the camera is opened anew."""
        self._refusal = why

    def take_over(self, before: "ModelRung") -> None:
        """Another session of the same camera: its pts begin anew, its crystal is the same."""
        self.model = before.model
        self.model.begin_session()

    @property
    def is_settled(self) -> bool:
        """Whether enough frames came to know the least delay."""
        return self.is_open and self.model.is_settled

    @property
    def problem(self) -> str:
        """No pts, or what proves that they do not follow time."""
        return (self.model.trouble or self._refusal) if self._is_fed else "no pts"

    @property
    def is_lying(self) -> bool:
        """Whether the pts do not follow time."""
        return bool(self.model.trouble or self._refusal)

    def feed(self, seen: Observation, arrival_ns: int) -> None:
        """Learn when the frame began to arrive."""
        if seen.pts_ns is not None:
            self._is_fed = True
            self.model.feed(seen.pts_ns, seen.began_mono_ns)

    @property
    def is_calibrated(self) -> bool:
        """Whether the latency is known, from the configuration or from a better clock."""
        return self._latency_ns is not None or (self.learnt_ns is not None and self.step_doubt_ns < DOUBTFUL_NS)

    def earliest_ns(self, pts_ns: int) -> int:
        """UTC at which a frame of this pts would have begun to arrive with the least delay."""
        return self._to_utc(self.model.time_of(pts_ns))

    def stamp(self, seen: Observation, arrival_ns: int) -> tuple[int, int] | None:
        """Its arrival with the least delay, less the latency: as configured, else as learnt, else unknown."""
        if seen.pts_ns is None or not self._is_fed:
            return None
        latency_ns, doubt_ns = self._latency()
        return self.earliest_ns(seen.pts_ns) - latency_ns, self.model.uncertainty_ns + doubt_ns

    def _latency(self) -> tuple[int, int]:
        if self._latency_ns is not None:
            return self._latency_ns, CONFIGURED_NS
        if self.learnt_ns is not None:
            return self.learnt_ns, self.learnt_doubt_ns + self.step_doubt_ns
        return 0, UNKNOWN_LATENCY_NS


class ArrivalRung(Rung):
    """When the packet reached us, less the configured latency: the last resort, and never silent."""

    clock: ClockClass = "arrival"

    def __init__(self, latency_ns: int | None) -> None:
        self._latency_ns = latency_ns

    def stamp(self, seen: Observation, arrival_ns: int) -> tuple[int, int]:
        """± is how long the parser held it, the network's usual delay, and the latency where nobody knows it."""
        held_ns = max(0, seen.arrival_mono_ns - seen.began_mono_ns)
        unknown_ns = UNKNOWN_LATENCY_NS if self._latency_ns is None else 0
        return arrival_ns - (self._latency_ns or 0), JITTER_NS + held_ns + unknown_ns
