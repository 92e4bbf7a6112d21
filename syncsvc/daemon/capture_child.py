"""One stream's capture, supervised: started, watched, killed when its pulse stops, started again."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from msgspec import structs

from syncsvc.capture.answers import (
    Ended,
    FromCapture,
    Misconfigured,
    Opened,
    Ready,
    Unavailable,
    Warned,
)
from syncsvc.capture.orders import Capture, PlanRing, Play, Stop, ToCapture
from syncsvc.capture.spec import EX_CONFIG, EX_UNAVAILABLE, AnySpec, FileSpec, Recorded, RingPlan, Start
from syncsvc.clock import NS_PER_MS, NS_PER_S, Clock
from syncsvc.daemon.child import Child
from syncsvc.daemon.restart import RestartPolicy
from syncsvc.daemon.watchdog import verdict
from syncsvc.errors import LinkClosed
from syncsvc.observe.status import IngestStatus, StreamStatus
from syncsvc.plan.from_receiver import FromReceiver
from syncsvc.plan.to_receiver import Attach
from syncsvc.transport.channel import Channel
from syncsvc.transport.link import open_link
from syncsvc.transport.page import Position, StreamPage

HEALTHY_AFTER_NS = 2 * NS_PER_S
"""A capture that took frames and lived this long counts as having worked."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Private:
    """What must not show: secret values, and the environment's variables that hold them."""

    secrets: frozenset[str]
    variables: frozenset[str]


class SupervisedStream:
    """The daemon's side of one stream, across all captures that serve it."""

    def __init__(self, spec: AnySpec, page: StreamPage, private: Private, clock: Clock, random: Random) -> None:
        self.spec, self.page, self._private, self._clock = spec, page, private, clock
        self.child: Child[FromCapture] | None = None
        self.start: Start | None = None
        self.recorded = Recorded()
        self.is_ready = self.is_ended = self._is_excused = self._is_rewound = self._is_killed = self._has_told = False
        self.restarts = 0
        self.problem = self._warning = ""
        self._problem_seq = 0
        self.declared_fps: float | None = None
        self.refusal: str | None = None
        self._lent_ns = 0
        self._policy = RestartPolicy(random)
        self._due_ns: int | None = clock.monotonic_ns()
        self._spawned_ns = self._spawned_seq = 0

    @property
    def is_recording(self) -> bool:
        """Whether it waits for the common start of the recordings."""
        return isinstance(self.spec, FileSpec)

    @property
    def due_ns(self) -> int | None:
        """When the next capture is to be started (CLOCK_MONOTONIC); None while one runs or none is wanted."""
        return self._due_ns

    @property
    def is_due(self) -> bool:
        """Whether it is to be started now."""
        return self._due_ns is not None and self._clock.monotonic_ns() >= self._due_ns

    def spawn(self, bear: Callable[[str], Child[FromCapture]], receiver: Channel[FromReceiver]) -> None:
        """Start a capture, and attach its pipe to the receiver.

        Args:
            bear: starts a process that does nothing before its first word.
            receiver: the channel to it.

        Raises:
            LinkClosed: the receiver is gone, or no process can be had.
        """
        now_ns = self._clock.monotonic_ns()
        try:
            child = bear(self.spec.name)
        except LinkClosed as error:
            self._went_wrong(f"its capture cannot be started: {error}")
            self._due_ns = now_ns + round(self._policy.pause_after_failure() * NS_PER_S)
            raise
        self._due_ns, self.is_ready, self._is_killed, self._has_told = None, False, False, False
        self._warning = ""
        if self._is_rewound:  # another recording, or played otherwise: from its beginning, at a start of its own
            self.page.media_ns = self.page.pass_begun_ns = 0
            self.start, self._is_rewound = None, False
        self._spawned_ns, self._spawned_seq = now_ns, self.page.next_seq
        self.page.at(Position.STARTING, now_ns)
        self.page.beat_mono_ns = now_ns
        self.child = child
        reader, writer, ours, theirs = open_link()
        try:
            spec = structs.replace(self.spec, ring=self._ring_plan)
            order = Capture(spec, tuple(sorted(self._private.secrets)))
            child.channel.send(order, self.page.fd, writer, theirs.fileno())
            receiver.send(Attach(self.spec.name, self._spawned_seq), reader, ours.fileno())
        finally:
            for end in (ours, theirs):
                end.close()
            for fd in (reader, writer):
                os.close(fd)

    def hear(self) -> None:
        """Take in what the capture says.

        Raises:
            LinkClosed: the channel is closed.
            TransportError: it speaks nonsense.
        """
        assert self.child is not None
        while (word := self.child.channel.receive(0)) is not None:
            self._handle(word[0])

    def _handle(self, message: FromCapture) -> None:
        match message:
            case Ready(recorded):
                self.is_ready, self.recorded = True, recorded
                if self.start is not None:
                    self.begin(self.start)
            case Ended():
                self.is_ended = True
            case Unavailable(problem):
                if problem != self.problem or self._policy.failures < 2:
                    log.warning("stream %s: %s", self.spec.name, problem)
                self._went_wrong(problem)
            case Warned(problem):
                self._warning = problem
                log.warning("stream %s: %s", self.spec.name, problem)
            case Misconfigured(problem):
                self.refusal = problem
            case Opened(fps):
                self.declared_fps = fps

    def _went_wrong(self, why: str) -> None:
        """Keep the reason until frames come again: that a connection opens does not mend it."""
        self.problem, self._problem_seq, self._has_told = why, self.page.next_seq, True

    def begin(self, start: Start) -> None:
        """Tell the recording when to start."""
        self.start = start
        self._send(Play(start))

    def stop(self) -> None:
        """Ask the capture to end, and start no other."""
        self._due_ns = None
        self._send(Stop())

    def kill(self) -> None:
        """End the capture now."""
        if self.child is not None:
            self.child.kill()

    def watch(self) -> None:
        """Kill the capture when its pulse has stopped."""
        if self.child is None or self._is_killed:
            return
        if self.page.next_seq > self._problem_seq:
            self.problem = ""
        position, since_ns = self.page.position
        why = verdict(position, since_ns, self.page.beat_mono_ns, self._clock.monotonic_ns())
        if why is not None:
            log.error("stream %s: its capture is killed: %s", self.spec.name, why)
            self._went_wrong(why)
            self._is_killed = True
            self.child.kill()

    def ended(self, code: int, *, again: bool) -> None:
        """The capture's process is over: plan the next one, if one is wanted."""
        self.child = None
        if self.is_ended or not again or self.refusal is not None:
            return
        now_ns = self._clock.monotonic_ns()
        if self._is_excused:
            self._is_excused, self._due_ns = False, now_ns
            return
        if self.page.next_seq > self._spawned_seq and now_ns - self._spawned_ns >= HEALTHY_AFTER_NS:
            self._policy.was_healthy()
        pause_s = self._policy.pause_after_failure()
        if code < 0:
            if not self._has_told:
                self._went_wrong(f"its capture was killed by signal {-code}")
            log.warning("stream %s: its capture was killed by signal %d", self.spec.name, -code)
        elif code not in (0, EX_UNAVAILABLE, EX_CONFIG):
            self._went_wrong(f"its capture broke with exit code {code}")
            log.error("stream %s: %s", self.spec.name, self.problem)
        self.restarts += 1
        self._due_ns = now_ns + round(pause_s * NS_PER_S)

    def excuse(self) -> None:
        """The capture must begin anew for a reason that is not its own: it ends now, the next one starts at once."""
        if self.child is not None:
            self._is_excused = True
            self.child.kill()
        elif not self.is_ended:
            self._due_ns = self._clock.monotonic_ns()

    def respecify(self, spec: AnySpec, private: Private, *, is_other: bool) -> None:
        """The configuration was read again: a stream that changed is captured anew, one that did not loses nothing."""
        before, self.spec, self._private = self.spec, spec, private
        if is_other:
            self._is_rewound = self._is_rewound or not before.plays_like(spec)
            self.is_ended, self.refusal = False, None
            self._is_excused = self.child is not None
            if self.child is not None:
                self._send(Stop())
            else:
                self._due_ns = self._clock.monotonic_ns()
        elif before.ring != spec.ring:
            self._plan_ring()

    def lend(self, span_ns: int) -> None:
        """Subscribers on this host hold its frames for so long beyond their batch: the ring needs room for that."""
        if span_ns > self._lent_ns:
            self._lent_ns = span_ns
            self._plan_ring()

    @property
    def _ring_plan(self) -> RingPlan:
        ring = self.spec.ring
        return RingPlan(ring.span_ns + self._lent_ns, ring.longest_ns, ring.span_ns)

    def _plan_ring(self) -> None:
        self._send(PlanRing(self._ring_plan))

    def status(self, told: IngestStatus) -> StreamStatus:
        """What is known of the stream: by the receiver, and by the daemon."""
        child, (position, since_ns) = self.child, self.page.position
        return StreamStatus(
            **structs.asdict(told),
            kind=self.spec.kind,
            pid=child.pid if child else None,
            restarts=self.restarts,
            problem=self.problem or self._warning,
            declared_fps=self.declared_fps,
            position=position.name.lower() if child else None,
            position_age_ms=(self._clock.monotonic_ns() - since_ns) // NS_PER_MS if child else None,
        )

    def _send(self, message: ToCapture) -> None:
        if self.child is not None:
            try:
                self.child.channel.send(message)
            except LinkClosed:
                log.debug("stream %s: its capture is gone already", self.spec.name)
