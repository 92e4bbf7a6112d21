"""Runs the service's own clocks, windows and pairing on simulated cameras: hours of video in seconds, by seed.

What the receiver's threads do around these classes is done here in one loop, on a clock with hands: a frame is stamped
when it comes, held frames and windows are looked at every 20 ms.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from syncsvc.align.decider import Now
from syncsvc.align.deciders import decider_for
from syncsvc.bench.rules import RuleSet
from syncsvc.bench.simulated_cameras import MONO_NS, UTC_NS, Sighting, SimulatedCamera, observe
from syncsvc.clock import NS_PER_MS, NS_PER_S
from syncsvc.daemon.planning import HOLD_MARGIN_NS
from syncsvc.layout import Layout
from syncsvc.model import Frame, FrameBatch
from syncsvc.observe.events import Doubt, End, Expect, GroupEvent, GroupRules, Jump, Open
from syncsvc.timing.ladder import Stamp, StreamClock, rungs_for
from syncsvc.timing.utc import UtcMapper

WINDOW_NS = NS_PER_S
TICK_NS = 20 * NS_PER_MS
UPDATE_TICKS = 5
"""The receiver looks at the host's clock ten times a second."""
_PIXELS = Layout("gray8", 2, 2)


@dataclass(frozen=True, slots=True)
class Setup:
    """What is simulated: cameras, what the configuration says of them, what the host's clock does."""

    cameras: tuple[SimulatedCamera, ...]
    seconds: float
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    """What the configuration says of the cameras' latencies; nothing of those that are not in it."""
    host_steps: tuple[tuple[float, float], ...] = ()
    """``(at_s, seconds)``: somebody sets the host's clock."""

    @property
    def rules(self) -> GroupRules:
        """What the group promises: what a configuration that says nothing does."""
        names = tuple(camera.name for camera in self.cameras)
        return GroupRules(names, WINDOW_NS, 40 * NS_PER_MS, 500 * NS_PER_MS)


@dataclass(slots=True)
class SimulatedRun:
    """What came of it. ``batches`` are with the moment at which each left, on the cameras' true time."""

    clocks: Mapping[str, StreamClock]
    """As the last session left them."""
    stamps: dict[str, list[Stamp]]
    batches: list[tuple[FrameBatch, int]] = field(default_factory=list)
    standings: list[tuple[float, str, str | None, bool]] = field(default_factory=list)
    """``(seconds, stream, clock, doubtful)``, whenever a stream's clock or standing changed."""

    def sets(self) -> list[RuleSet]:
        """The sets of all batches."""
        return [
            RuleSet({name: frame.seq for name, frame in found.frames.items()}, left_ns)
            for batch, left_ns in self.batches
            for found in batch.sets
        ]


def sight(cameras: Sequence[SimulatedCamera], seconds: float) -> dict[str, list[Sighting]]:
    """What every camera's capture sees, by name."""
    return {camera.name: observe(camera, seconds) for camera in cameras}


def serve(setup: Setup, sightings: Mapping[str, Sequence[Sighting]]) -> SimulatedRun:
    """Let the service see it all, and end."""
    return _Service(setup).run(sightings)


class _Hands:
    """A clock that is set by hand: both readings of now."""

    def __init__(self) -> None:
        self.mono_ns, self.step_ns = MONO_NS, 0

    def monotonic_ns(self) -> int:
        return self.mono_ns

    def utc_ns(self) -> int:
        return true_ns(self.mono_ns) + self.step_ns


def true_ns(mono_ns: int) -> int:
    """The true time of a moment on the simulated host's CLOCK_MONOTONIC, UTC nanoseconds."""
    return mono_ns - MONO_NS + UTC_NS


class _Service:
    """One group and its streams."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._clock = _Hands()
        self._utc = UtcMapper(self._clock)
        self._clocks = {camera.name: self._stream_clock(camera.name) for camera in setup.cameras}
        opening = Open(setup.rules, 0, self._utc.now_utc() // WINDOW_NS, 0, is_patient=False)
        self._group = decider_for("all", opening, self._utc.epoch)
        self._sessions = dict.fromkeys(self._clocks, 0)
        self._steps = sorted(setup.host_steps, reverse=True)
        self._ticks = 0
        self._served = SimulatedRun(self._clocks, {name: [] for name in self._clocks})
        self._standings: dict[str, tuple[str | None, bool]] = {}

    def _stream_clock(self, name: str) -> StreamClock:
        latency_ms = self._setup.latency_ms.get(name)
        latency_ns = None if latency_ms is None else round(latency_ms * NS_PER_MS)
        return StreamClock(
            lambda: rungs_for("auto", "rtsp", latency_ns, self._utc.to_utc),
            hold_ns=self._setup.rules.max_latency_ns - HOLD_MARGIN_NS,
            edge_ns=WINDOW_NS,
            to_utc=self._utc.to_utc,
        )

    def run(self, sightings: Mapping[str, Sequence[Sighting]]) -> SimulatedRun:
        every = [(one.seen.arrival_mono_ns, name, one) for name, some in sightings.items() for one in some]
        every.sort(key=lambda entry: entry[:2])
        for arrival_ns, name, one in every:
            self._pass_to(arrival_ns)
            if one.session != self._sessions[name]:
                self._sessions[name] = one.session
                self._deliver(name, self._clocks[name].new_session())
            self._deliver(name, self._clocks[name].observe(one.seen))
            held_since_ns = self._clocks[name].held_since_ns
            if held_since_ns is not None:
                self._tell(Expect(name, held_since_ns - NS_PER_S))
            self._close_due()
        self._pass_to(self._clock.mono_ns + self._setup.rules.max_latency_ns)
        self._tell(End())
        return self._served

    def _pass_to(self, mono_ns: int) -> None:
        """Let time pass, with a look at everything every tick."""
        while (next_ns := MONO_NS + (self._ticks + 1) * TICK_NS) <= mono_ns:
            self._clock.mono_ns, self._ticks = next_ns, self._ticks + 1
            while self._steps and self._steps[-1][0] <= (next_ns - MONO_NS) / NS_PER_S:
                self._clock.step_ns += round(self._steps.pop()[1] * NS_PER_S)
            if self._ticks % UPDATE_TICKS == 0 and self._utc.update():
                self._tell(Jump(self._utc.epoch, self._utc.last_jump_ns))
                self._close_due()
            now_ns = self._utc.now_utc()
            for name, clock in self._clocks.items():
                if stamps := clock.expire(now_ns):
                    self._deliver(name, stamps)
                    self._close_due()
            if self._group.deadline_ns is None or now_ns >= self._group.deadline_ns:
                self._close_due()
        self._clock.mono_ns = mono_ns

    def _deliver(self, name: str, stamps: Sequence[Stamp]) -> None:
        self._served.stamps[name] += stamps
        for stamp in stamps:
            self._tell(_frame(name, stamp))
        clock = self._clocks[name]
        standing = clock.clock, clock.standing.is_doubtful
        if standing != self._standings.get(name):
            self._standings[name] = standing
            self._tell(Doubt(name, clock.standing.is_doubtful))
            seconds = (self._clock.mono_ns - MONO_NS) / NS_PER_S
            self._served.standings.append((seconds, name, *standing))

    @property
    def _now(self) -> Now:
        return Now(self._utc.now_utc(), self._utc.epoch)

    def _tell(self, event: GroupEvent) -> None:
        self._leave(self._group.handle(event, self._now).batches)

    def _close_due(self) -> None:
        while (batch := self._group.close_due(self._now)) is not None:
            self._leave([batch])

    def _leave(self, batches: Iterable[FrameBatch]) -> None:
        self._served.batches += [(batch, true_ns(self._clock.mono_ns)) for batch in batches]


def _frame(name: str, stamp: Stamp) -> Frame:
    seen = stamp.observation
    return Frame(
        name, seen.seq, stamp.time_ns, stamp.uncertainty_ns, stamp.clock, stamp.arrival_ns, seen.is_key, _PIXELS, None
    )
