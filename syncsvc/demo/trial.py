"""One run of the real thing on virtual cameras: cameras, daemon and subscriber, from which a History comes out."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final, Self

from syncsvc.cameras import CameraSpec, VirtualCameras
from syncsvc.client.subscriber import Subscriber
from syncsvc.clock import NS_PER_MS, NS_PER_S, SYSTEM_CLOCK
from syncsvc.daemon.runner import DaemonRunner
from syncsvc.demo.history import CameraAccount, History, SeenBatch, see
from syncsvc.errors import SubscriptionEnded
from syncsvc.lifecycle import StopToken
from syncsvc.model import FrameBatch, Gap

GROUP = "all"
_POLL_S = 0.2
_DRAIN_S = 15.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """Which cameras, and what the service promises of them."""

    cameras: tuple[CameraSpec, ...]
    max_skew_ms: float = 40.0
    max_latency_ms: float = 500.0
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    """The cameras' latencies, as far as the configuration names them."""


SCENARIO: Final = Scenario(
    (
        CameraSpec("north", fps=25, jitter_ms=5),
        CameraSpec("gate", fps=30, phase_ms=11, latency_ms=60, jitter_ms=5, rtp_drift_ppm=80),
        CameraSpec("yard", fps=20, phase_ms=23, latency_ms=25, jitter_ms=5, rtp_drift_ppm=-120),
    )
)
"""Different rates, phases, latencies and crystals; the cameras' NTP is right, and reports it at once."""


class Trial:
    """A scenario that runs while the ``with`` block lasts, where ``cameras`` may be told to change.

    Raises:
        LinkClosed: from ``with``: the daemon or the cameras did not start.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self._running = ExitStack()
        self._batches: list[SeenBatch] = []
        self._gaps: list[Gap] = []

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            self.cameras = starting.enter_context(VirtualCameras(self.scenario.cameras))
            self._daemon = starting.enter_context(DaemonRunner(self._config()))
            self._subscriber: Subscriber[FrameBatch | Gap] = starting.enter_context(
                Subscriber(self._daemon.live, GROUP, gaps="yield")
            )
            self._running = starting.pop_all()
        return self

    def _config(self) -> dict[str, object]:
        names = [spec.name for spec in self.scenario.cameras]
        group = {
            "streams": names,
            "max_skew_ms": self.scenario.max_skew_ms,
            "max_latency_ms": self.scenario.max_latency_ms,
        }
        streams: dict[str, dict[str, object]] = {name: {"url": self.cameras.urls[name]} for name in names}
        for name, latency_ms in self.scenario.latency_ms.items():
            streams[name] |= {"latency_ms": latency_ms}
        return {"streams": streams, "groups": {GROUP: group}}

    def watch(self, seconds: float, stop: StopToken) -> Iterator[SeenBatch]:
        """Batches as they come, for so long, or until the token is set or the daemon is gone."""
        end_ns = SYSTEM_CLOCK.monotonic_ns() + round(seconds * NS_PER_S)
        while not stop.is_set and self._daemon.is_running:
            left_s = (end_ns - SYSTEM_CLOCK.monotonic_ns()) / NS_PER_S
            if left_s <= 0:
                return
            yield from self._receive(min(_POLL_S, left_s))

    def finish(self) -> Iterator[SeenBatch]:
        """Ask the daemon to drain, and hand out what it still sends."""
        self._daemon.terminate()
        end_ns = SYSTEM_CLOCK.monotonic_ns() + round(_DRAIN_S * NS_PER_S)
        while SYSTEM_CLOCK.monotonic_ns() < end_ns:
            was_running = self._daemon.is_running
            seen = list(self._receive(_POLL_S))
            yield from seen
            if not seen and not was_running:
                return

    def _receive(self, timeout_s: float) -> Sequence[SeenBatch]:
        try:
            item = self._subscriber.receive(timeout_s)
        except (TimeoutError, SubscriptionEnded):
            return ()
        if isinstance(item, Gap):
            self._gaps.append(item)
            return ()
        self._batches.append(see(item, SYSTEM_CLOCK.utc_ns()))
        return (self._batches[-1],)

    def history(self) -> History:
        """The run so far."""
        names = [spec.name for spec in self.scenario.cameras]
        return History(
            max_skew_ns=round(self.scenario.max_skew_ms * NS_PER_MS),
            max_latency_ns=round(self.scenario.max_latency_ms * NS_PER_MS),
            cameras={name: CameraAccount.of(self.cameras.stats(name)) for name in names},
            batches=tuple(self._batches),
            gaps=tuple(self._gaps),
        )

    def __exit__(self, *_: object) -> None:
        self._running.close()
