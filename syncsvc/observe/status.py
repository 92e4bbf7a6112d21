"""What the service tells of itself: one set of values for the API, metrics, ``control`` and the doctor."""

import platform
import threading
from typing import Any, Final, Generic, Literal, TypeVar

import msgspec
from msgspec import Struct, field, structs

from syncsvc.clock import NS_PER_MS
from syncsvc.model import Counts, StreamState
from syncsvc.observe.events import GroupRules
from syncsvc.observe.histogram import LATENCY_S, LATENESS_S, Buckets, Histogram
from syncsvc.observe.usage import ProcessUsage, usage_of

DROP_CAUSES: Final = (
    "ring_full", "pipe_full", "decode_error", "b_frame", "network_loss", "no_key", "no_parameters", "too_big",
    "no_timestamp", "read_error", "capture_died", "receiver_died",
)  # fmt: skip
"""Why a frame that was captured may be lost; docs/operations.md says what to do."""


class Quantiles(Struct, frozen=True):
    """Quantiles of the recent ones, and of all their number and sum."""

    quantiles: dict[str, float]
    count: int
    sum: float


class PromisesStatus(Struct, frozen=True):
    """Whether a group kept what it promised: batches that left too late, and sets that were too wide (never)."""

    late_batches: int = 0
    late_max_ms: float = 0.0
    wide_sets: int = 0
    lateness_s: Histogram = Histogram()
    """Of every batch; 0 when in time."""


class GroupStatus(Struct, frozen=True):
    """A group, since its receiver began; spreads and offsets are those of recent sets.

    ``latency_s`` is how long after its window's end a batch left, ``offsets_ms`` how much later than the middle of its
    sets a stream's frames were, on average.
    """

    streams: tuple[str, ...]
    batches: int
    complete_batches: int
    sets: int
    full_sets: int
    last_window_end_ns: int
    last_batch_age_ms: float | None
    window_ms: float | None
    max_skew_ms: float
    max_latency_ms: float
    spread_p50_ms: float | None
    spread_max_ms: float | None
    counts: dict[str, Counts]
    promises: PromisesStatus = PromisesStatus()
    spread_sum_ms: float = 0.0
    latency_s: Histogram = Histogram()
    offsets_ms: dict[str, float] = field(default_factory=dict)

    @classmethod
    def unheard(cls, rules: GroupRules) -> "GroupStatus":
        """Of a group that has emitted nothing yet."""
        return cls(
            rules.streams, 0, 0, 0, 0, 0, None, rules.window_ns / NS_PER_MS if rules.window_ns else None,
            rules.max_skew_ns / NS_PER_MS, rules.max_latency_ns / NS_PER_MS, None, None,
            {name: Counts() for name in rules.streams}, PromisesStatus(lateness_s=Buckets(LATENESS_S).histogram),
            latency_s=Buckets(LATENCY_S).histogram,
        )  # fmt: skip

    @property
    def spread_s(self) -> "Quantiles":
        """The spreads by their quantile, in seconds."""
        quantiles = {"0.5": _seconds(self.spread_p50_ms), "1": _seconds(self.spread_max_ms)}
        known = {quantile: value for quantile, value in quantiles.items() if value is not None}
        return Quantiles(known, self.sets, self.spread_sum_ms / 1000)

    @property
    def offsets_s(self) -> dict[str, float]:
        """The offsets in seconds."""
        return {name: offset_ms / 1000 for name, offset_ms in self.offsets_ms.items()}

    @property
    def drops(self) -> dict[str, dict[str, int]]:
        """Lost frames by stream and cause, whatever could have cost some among them."""
        return {name: dict.fromkeys(DROP_CAUSES, 0) | dict(counts.dropped) for name, counts in self.counts.items()}


class IngestStatus(Struct, frozen=True):
    """What the receiver knows of a stream; the defaults, before it has told."""

    state: StreamState = StreamState.STARTING
    clock: str | None = None
    doubtful: bool = False
    clock_problems: dict[str, str] = field(default_factory=dict)
    drift_ppm: float | None = None
    uncertainty_ms: float | None = None
    fps: float = 0.0
    captured: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    skipped: int = 0
    last_frame_age_ms: float | None = None
    format: str | None = None
    width: int | None = None
    height: int | None = None
    ring_slots: int | None = None
    problem: str = ""


class StreamStatus(IngestStatus, frozen=True, kw_only=True):
    """The same, and what the daemon knows of its capture; what that has not told yet, or lost by its end, is None."""

    kind: str
    pid: int | None
    restarts: int
    declared_fps: float | None
    position: str | None
    position_age_ms: int | None
    quarantined: bool = False
    """Its capture broke so often that it is tried ever more seldom."""
    quarantines: int = 0
    sandbox: tuple[str, ...] = ()
    """What its capture gave up (docs/sandbox.md); nothing where the sandbox is off."""

    @property
    def states(self) -> dict[str, bool]:
        """Every state that a stream may be in, and whether this one is."""
        return {state.value: state is self.state for state in StreamState}

    @property
    def uncertainty_s(self) -> dict[str, float | None]:
        """The half width of its capture times' interval by the clock in use, in seconds."""
        return {str(self.clock): _seconds(self.uncertainty_ms)}


class LocalStatus(Struct, frozen=True):
    """Subscribers on this host, and the frames that they hold."""

    subscribers: int = 0
    leases: int = 0
    leases_revoked: int = 0
    cut_off: int = 0
    batches_missed: int = 0


class LosslessStatus(Struct, frozen=True):
    """Lossless subscribers that are there, subscriptions that are kept, and the history that they share."""

    subscribers: int = 0
    subscriptions: int = 0
    batches: int = 0
    size_bytes: int = 0
    gaps: int = 0
    """Told, of batches that the history has not any more."""
    cut_off: int = 0
    """Connections that were ended since their subscriber did not read while the history passed it."""


SpoolState = Literal["off", "opening", "running", "paused"]


class SpoolStatus(Struct, frozen=True):
    """The batches on disk; the counters are those since the receiver began."""

    state: SpoolState = "off"
    problem: str = ""
    """Why it is paused."""
    batches: int = 0
    size_bytes: int = 0
    segments: int = 0
    written: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    """Batches that are not there, by cause."""
    damaged: int = 0
    """What is not as it was written; it is told of, and not handed out."""
    pauses: int = 0
    waiting: int = 0
    """Batches on their way to the disk."""

    @property
    def is_paused(self) -> bool:
        """Whether batches are lost to it now."""
        return self.state == "paused"


class ReceiverStatus(Struct, frozen=True):
    """What the receiver reports to the daemon, and answers on ``control``."""

    run_id: str
    epoch: int
    pid: int
    subscriptions: int
    local: LocalStatus
    streams: dict[str, IngestStatus]
    groups: dict[str, GroupStatus]
    lossless: LosslessStatus = LosslessStatus()
    spool: SpoolStatus = SpoolStatus()
    revision: int = 0
    replays: str = ""
    """The recording that is served, where there are no cameras."""


class ReceiverProcess(Struct, frozen=True):
    """The process that serves as the receiver now."""

    pid: int | None


class ServiceStatus(Struct, frozen=True):
    """Everything: what ``/api/status`` shows and metrics are taken from."""

    run_id: str
    pid: int
    is_ready: bool
    live: str
    control: str
    epoch: int | None
    """None before the first report of a receiver."""
    subscriptions: int
    local: LocalStatus
    receiver: ReceiverProcess
    streams: dict[str, StreamStatus]
    groups: dict[str, GroupStatus]
    lossless: LosslessStatus = LosslessStatus()
    spool: SpoolStatus = SpoolStatus()
    revision: int = 0
    version: str = ""
    """Ours."""
    nursery: int | None = None
    """The process that captures are forked from."""

    @property
    def usage(self) -> dict[str, ProcessUsage]:
        """What its processes take now, read when asked for: no part of what is told on ``control`` or as JSON."""
        captures = {f"capture {name}": stream.pid for name, stream in self.streams.items()}
        return usage_of({"daemon": self.pid, "receiver": self.receiver.pid, "nursery": self.nursery, **captures})

    @property
    def build(self) -> dict[str, dict[str, int]]:
        """What runs: our version and Python's."""
        return {self.version: {platform.python_version(): 1}}


Status = TypeVar("Status", ReceiverStatus, ServiceStatus)


class Revisions(Generic[Status]):
    """Numbers what is told: the number rises whenever anything but an age differs from what was told last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._revision = 0
        self._last: Any = None

    def number(self, status: Status) -> Status:
        """The status with its number; from any thread."""
        content = _without_ages(msgspec.to_builtins(status))
        with self._lock:
            if content != self._last:
                self._revision, self._last = self._revision + 1, content
            return structs.replace(status, revision=self._revision)


def _without_ages(value: Any) -> Any:
    """Maps without what changes by the passing of time alone."""
    if not isinstance(value, dict):
        return value
    return {key: _without_ages(one) for key, one in value.items() if not key.endswith("_age_ms")}


def _seconds(value_ms: float | None) -> float | None:
    return None if value_ms is None else value_ms / 1000
