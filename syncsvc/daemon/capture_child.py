"""One stream's capture, supervised: killed when its pulse stops, told what it is to capture and when to begin."""

import logging
from collections.abc import Callable
from contextlib import ExitStack
from typing import ClassVar

from msgspec import structs

from syncsvc.capture.spec import EX_CONFIG, EX_UNAVAILABLE, AnySpec, FileSpec, Recorded, RingPlan, Start
from syncsvc.capture.words import (
    Capture,
    Confined,
    Ended,
    FromCapture,
    Misconfigured,
    Opened,
    PlanRing,
    Play,
    Ready,
    Stop,
    ToCapture,
    Unavailable,
    Unhoused,
    Warned,
)
from syncsvc.clock import NS_PER_MS, NS_PER_S
from syncsvc.daemon.child import Child
from syncsvc.daemon.restart import CAPTURE_BREAKS, FIRST_REFUSED_S, PERIOD_S
from syncsvc.daemon.supervisor import Supervised, Supervisor
from syncsvc.daemon.watchdog import verdict
from syncsvc.errors import TransportError
from syncsvc.observe.status import IngestStatus, StreamStatus
from syncsvc.plan.to_receiver import Attach
from syncsvc.transport.link import passing_link
from syncsvc.transport.page import Position, StreamPage

log = logging.getLogger(__name__)

REFUSED = f"; tried again after {FIRST_REFUSED_S:.0f} s, then ever more seldom, so that the account is not locked"
_FRUITLESS = 3
"""Captures of a recording, one after the other, that may end without a frame before it is given up."""


class SupervisedCapture(Supervised[FromCapture, ToCapture]):
    """The daemon's side of one stream, across all captures that serve it."""

    healthy_after_ns: ClassVar[int] = 2 * NS_PER_S
    """And it must have taken frames."""
    most_breaks: ClassVar[int] = CAPTURE_BREAKS

    def __init__(
        self,
        spec: AnySpec,
        page: StreamPage,
        secrets: frozenset[str],
        supervisor: Supervisor,
        on_end: Callable[["SupervisedCapture"], None],
    ) -> None:
        """Be due; ``on_end`` is called when a capture is over, and the next one is planned where one is wanted."""
        super().__init__(f"stream {spec.name}: its capture", supervisor)
        self.spec, self.page, self._secrets, self._on_end = spec, page, secrets, on_end
        self.start: Start | None = None
        self.recorded = Recorded()
        self.is_ready = self.is_ended = self._is_rewound = self._has_told = self._is_refused = False
        self.restarts = 0
        self.problem = self._warning = self.failure = ""
        """What is wrong, what goes wrong while frames come, and why a recording ended early."""
        self._fruitless = self._spawned_media_ns = 0
        self._problem_seq = self._spawned_seq = 0
        self.declared_fps: float | None = None
        self.refusal: str | None = None
        self.is_unhoused = False
        """The machine lacked the memory for its pictures; until frames come."""
        self._leased_ns = 0
        self.is_quarantined = False
        """Until frames of a capture that works come again."""
        self.quarantines = 0
        self.sandbox: tuple[str, ...] = ()
        """What its capture gave up."""
        self._unheld: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Of the stream."""
        return self.spec.name

    @property
    def is_recording(self) -> bool:
        """Whether it waits for the common start of the recordings."""
        return isinstance(self.spec, FileSpec)

    def spawn(self, start: Callable[[str], Child[FromCapture]], attach: Callable[[Attach, int, int], None]) -> None:
        """Start a capture.

        Args:
            start: starts a process that does nothing before its first word.
            attach: tells the receiver, and hands it its ends of the pipe and of the lease socket.
        """
        with ExitStack() as ours:
            try:
                reader, writer, leases, theirs = ours.enter_context(passing_link())
                child = start(self.name)
            except (OSError, TransportError) as error:
                self._cannot_start(str(error))
                return
            self._begin(child)
            spec = structs.replace(self.spec, ring=self._ring_plan)
            self.send(Capture(spec, tuple(sorted(self._secrets))), self.page.fd, writer, theirs.fileno())
            attach(Attach(self.name, self._spawned_seq), reader, leases.fileno())

    def _cannot_start(self, why: str) -> None:
        why = f"its capture cannot be started: {why}"
        if why != self.problem:
            log.error("stream %s: %s", self.name, why)
        self._went_wrong(why)
        self._plan_next(has_worked=False)

    def _begin(self, child: Child[FromCapture]) -> None:
        """This process captures from now on."""
        self.is_ready = self._has_told = self._is_refused = False
        self._warning = ""
        if self._is_rewound:  # another recording, or played otherwise: from its beginning, at a start of its own
            self.page.media_ns = self.page.pass_begun_ns = 0
            self.start, self._is_rewound = None, False
        self._adopt(child)
        self._spawned_seq, self._spawned_media_ns = self.page.next_seq, self.page.media_ns
        self.page.at(Position.STARTING, self._spawned_ns)
        self.page.beat_mono_ns = self._spawned_ns

    def handle(self, message: FromCapture) -> None:
        """Take in what the capture says."""
        match message:
            case Ready(recorded):
                self.is_ready, self.recorded = True, recorded
                if self.start is not None:
                    self.begin(self.start)
            case Ended(problem) if not self._is_rewound:  # else what ended is no longer what is to be played
                self._end(problem)
            case Unavailable(problem, is_refusal):
                self._is_refused = is_refusal
                problem += REFUSED if is_refusal else ""
                if problem != self.problem:
                    log.warning("stream %s: %s", self.name, problem)
                self._went_wrong(problem)
            case Warned(problem):
                self._warning = problem
                log.warning("stream %s: %s", self.name, problem)
            case Unhoused(problem):
                if not self.is_unhoused:
                    log.error("stream %s is left out for now: %s", self.name, problem)
                self._went_wrong(problem)
                self.is_unhoused = True
            case Misconfigured(problem):
                self.refusal = problem
            case Opened(fps):
                self.declared_fps = fps
            case Confined(held, missing):
                self._is_confined_as(held, missing)

    def _is_confined_as(self, held: tuple[str, ...], missing: tuple[str, ...]) -> None:
        """Keep what it gave up, and say what it could not; again where that is another."""
        self.sandbox = held
        if missing and missing != self._unheld:
            log.warning("stream %s: its capture is not confined as it could be: %s", self.name, ", ".join(missing))
        self._unheld = missing

    def _end(self, failure: str) -> None:
        """The recording is over, for a reason where that is not its last frame."""
        self.is_ended, self.failure = True, failure
        if failure:
            self._went_wrong(failure)
        self.want_no_other()

    def _went_wrong(self, why: str) -> None:
        """Keep the reason until frames come again: that a connection opens does not mend it."""
        self.problem, self._problem_seq, self._has_told = why, self.page.next_seq, True

    def begin(self, start: Start) -> None:
        """Tell the recording when to start."""
        self.start = start
        self.send(Play(start))

    def stop(self) -> None:
        """Ask the capture to end, and start no other."""
        self.want_no_other()
        self.send(Stop())

    def kill(self, why: str) -> None:
        """End the capture now, and keep the reason."""
        super().kill(why)
        self._went_wrong(why)

    def watch(self) -> None:
        """Kill the capture when its pulse has stopped; forget what was wrong once frames come."""
        if self.page.next_seq > self._problem_seq:
            self.problem, self.is_unhoused = "", False
            if self.child is not None and self._has_lived:
                self.is_quarantined = False
        super().watch()

    def complaint(self) -> str | None:
        """Its pulse has stopped."""
        position, since_ns = self.page.position
        now_ns = self._clock.monotonic_ns()
        return verdict(position, since_ns, self.page.beat_mono_ns, now_ns, self.spec.timeouts_s)

    def ended(self, code: int) -> None:
        """The capture's process is over; where its source is refused, somebody must ask for a ``retry``."""
        if self.refusal is None:
            self._go_on(code)
        self._on_end(self)

    def retry(self) -> None:
        """Capture a refused source again, in time."""
        self.refusal = None
        self._go_on(EX_CONFIG)

    def _go_on(self, code: int) -> None:
        if self._is_wanted and not self._is_excused:
            self.restarts += 1
            self._say_how_it_ended(code)
            if code not in (0, EX_UNAVAILABLE, EX_CONFIG):
                self._note_break()
            self._fruitless = 0 if self.page.media_ns > self._spawned_media_ns else self._fruitless + 1
            if self._is_hopeless(code):
                self._end(f"is given up, for no frame came of {_FRUITLESS} captures: {self.problem or self.refusal}")
        has_taken = self.page.next_seq > self._spawned_seq
        self._plan_next(has_worked=has_taken and self._has_lived, is_refused=self._is_refused)
        if self.is_beyond_help:
            self._quarantine()

    def _quarantine(self) -> None:
        """Its capture breaks again and again: it is left alone for long, and tried once then."""
        self.is_beyond_help, self.is_quarantined = False, True
        self.quarantines += 1
        pause_s = self._policy.pause_in_quarantine(self._now_s)
        if self.due_ns is not None:
            self.due_ns = self._clock.monotonic_ns() + round(pause_s * NS_PER_S)
        self._went_wrong(
            f"is quarantined: its capture broke more than {CAPTURE_BREAKS} times in {PERIOD_S:.0f} s "
            f"(last: {self.problem}); tried again in {pause_s:.0f} s"
        )
        log.error("stream %s %s", self.name, self.problem)

    def _is_hopeless(self, code: int) -> bool:
        """Whether a recording is not worth another try; one that others do not wait for may still be put right."""
        may_return = code == EX_CONFIG and not self.spec.is_patient
        return self.is_recording and self._fruitless >= _FRUITLESS and not may_return

    def _say_how_it_ended(self, code: int) -> None:
        if code < 0:
            if not self._has_told:
                self._went_wrong(f"its capture was killed by signal {-code}")
            log.warning("stream %s: its capture was killed by signal %d", self.name, -code)
        elif code not in (0, EX_UNAVAILABLE, EX_CONFIG):
            self._went_wrong(f"its capture broke with exit code {code}")
            log.error("stream %s: %s", self.name, self.problem)

    def respecify(self, spec: AnySpec, secrets: frozenset[str], *, is_other: bool) -> None:
        """The configuration was read again: a stream that changed is captured anew, one that did not loses nothing."""
        before, self.spec, self._secrets = self.spec, spec, secrets
        if is_other:
            self._is_rewound = self._is_rewound or before.playing != spec.playing
            self.is_ended, self.refusal, self._is_wanted = False, None, True
            self._policy.was_healthy()
            self.failure, self._fruitless, self.is_quarantined = "", 0, False
            self._is_excused = self.child is not None
            if self.child is not None:
                self.send(Stop())
            else:
                self.due_ns = self._clock.monotonic_ns()
        elif before.ring != spec.ring:
            self._plan_ring()

    def make_room(self, span_ns: int) -> None:
        """Subscribers on this host hold its frames for so long beyond their batch: the ring needs room for that."""
        if span_ns > self._leased_ns:
            self._leased_ns = span_ns
            self._plan_ring()

    @property
    def _ring_plan(self) -> RingPlan:
        ring = self.spec.ring
        return RingPlan(ring.span_ns + self._leased_ns, ring.longest_ns, ring.span_ns)

    def _plan_ring(self) -> None:
        self.send(PlanRing(self._ring_plan))

    def status(self, told: IngestStatus) -> StreamStatus:
        """What is known of the stream: by the receiver, and by the daemon."""
        child, (position, since_ns) = self.child, self.page.position
        return StreamStatus(
            **{**structs.asdict(told), "problem": self.problem or told.problem or self._warning},
            kind=self.spec.kind,
            pid=child.pid if child else None,
            restarts=self.restarts,
            declared_fps=self.declared_fps,
            position=position.name.lower() if child else None,
            sandbox=self.sandbox if child else (),
            quarantined=self.is_quarantined,
            quarantines=self.quarantines,
            position_age_ms=(self._clock.monotonic_ns() - since_ns) // NS_PER_MS if child else None,
        )
