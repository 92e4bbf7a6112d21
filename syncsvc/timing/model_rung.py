"""pts laid onto the host's clock: the best time of a camera that says none itself, and the witness of one that does."""

from syncsvc.clock import NS_PER_MS
from syncsvc.model import ClockClass, Observation
from syncsvc.timing.clock_model import ClockModel
from syncsvc.timing.rungs import UNKNOWN_LATENCY_NS, Rung
from syncsvc.timing.utc import ToUtc

CONFIGURED_NS = NS_PER_MS
"""± of a latency that somebody has measured."""
DOUBTFUL_NS = 20 * NS_PER_MS
"""A latency that may be this wrong is none: half a frame at 25 fps."""


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
