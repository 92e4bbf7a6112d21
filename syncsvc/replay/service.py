"""The service that a replay is: the live run's sockets and outlets, fed from a recording instead of cameras."""

import logging
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from syncsvc import wire
from syncsvc.certificates import Guard
from syncsvc.clock import NS_PER_S, Clock
from syncsvc.daemon.attendance import Attendance
from syncsvc.errors import SyncsvcError
from syncsvc.lifecycle import StopToken, Worker
from syncsvc.model import FrameBatch
from syncsvc.observe.status import LocalStatus, ReceiverStatus, Revisions
from syncsvc.plan.plans import ReceiverPlan
from syncsvc.receiver.publishing import Publishing
from syncsvc.receiver.served import DRAIN_S
from syncsvc.recording.contents import StoredRecording
from syncsvc.replay.course import ReplayCourse, grain_ns, shift_to
from syncsvc.replay.no_memory import NoMemoryShared
from syncsvc.replay.reading import Read, ReadAhead
from syncsvc.replay.replayed_group import ReplayedGroup, plan_of
from syncsvc.replay.span import ReplaySpan, first_played
from syncsvc.replay.stream_notes import StreamNotes
from syncsvc.replay.tempo import Tempo
from syncsvc.timing.utc import UtcMapper

PATIENT_S = 7 * 24 * 3600.0
"""Who is waited for takes as long as it likes."""
LOOK_S = 0.05
TICK_S = 0.25

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """How a recording is served.

    ``speed`` is how much faster than in the live run batches leave; None: as fast as subscribers take them.
    """

    live: str
    control: str
    wait_for: int = 0
    speed: float | None = 1.0
    times: Literal["now", "original"] = "now"
    is_endless: bool = False
    guests: int = 1024
    """Connections to each socket."""
    guard: Guard | None = None
    """Who is let in over TCP; None: there are no keys."""


@dataclass(frozen=True, slots=True)
class Played:
    """What a replay has sent, and frames that its recording does not have."""

    batches: int = 0
    frames: int = 0
    sets: int = 0
    lost: int = 0


class ReplayService:
    """One run, from binding the sockets to the last word."""

    def __init__(self, recording: StoredRecording, span: ReplaySpan, terms: Terms, clock: Clock) -> None:
        self._recording, self._span, self._terms, self._clock = recording, span, terms, clock
        self._run_id, self._utc = uuid.uuid4().hex, UtcMapper(clock)
        self._epoch = clock.utc_ns() // 1_000_000
        plans = {name: plan_of(name, group) for name, group in recording.groups.items()}
        self._plan = ReceiverPlan(
            self._run_id, 0, terms.live, terms.control, terms.wait_for, terms.speed is None, {}, plans, terms.guests,
            guard=terms.guard,
        )  # fmt: skip
        self._groups = {name: ReplayedGroup(plan, self._run_id, clock) for name, plan in plans.items()}
        self._notes = StreamNotes(recording.groups, clock)
        self._revisions: Revisions[ReceiverStatus] = Revisions()
        self._failure, self._halt = "", StopToken()
        self._live = ""
        self._played = Played()
        self._publishing = Publishing(
            self._plan, clock, self._utc, hello=self._hello, status=self._status,
            leave=lambda batch, emitted_ns, wanted: self._groups[batch.group].leave(batch, emitted_ns, wanted),
            backlog_of=lambda group: self._groups[group].backlog.mark,
            on_failure=self._on_failure,
            local=NoMemoryShared,
        )  # fmt: skip

    @property
    def played(self) -> Played:
        """What was handed to subscribers so far."""
        return self._played

    def bind(self) -> tuple[str, str]:
        """Bind the sockets; the endpoints of ``live`` and ``control``.

        Raises:
            BindError: one of them is in use, or not to be had.
        """
        self._live, control = self._publishing.bind()
        return self._live, control

    def run(self, stop: StopToken, on_progress: Callable[[FrameBatch], None]) -> None:
        """Play, say the last word, and let go of everything; after ``bind``.

        Args:
            stop: ends it earlier, as a service is drained.
            on_progress: called with each batch before it is sent.

        Raises:
            SyncsvcError: the recording could not be read to its end, or a thread of ours broke; what could be sent was.
        """
        stop.on_set(self._stop)
        self._publishing.start()
        reading = ReadAhead(self._recording, self._span, self._publishing.publisher)
        try:
            self._play(reading, on_progress)
        finally:
            how: wire.State = "draining" if self._halt.is_set else "ended"
            self._publishing.end(how, PATIENT_S if self._terms.speed is None and how == "ended" else 2 * DRAIN_S)
            for group in self._groups.values():
                group.close()
        if self._failure:
            raise SyncsvcError(self._failure)
        if reading.problem is not None:
            raise reading.problem

    def _stop(self) -> None:
        self._halt.set()
        self._publishing.publisher.drain()

    def _on_failure(self, name: str, error: BaseException) -> None:
        log.error("thread %s broke", name, exc_info=error)
        self._failure = f"thread {name}: {type(error).__name__}: {error}"
        self._halt.set()

    def _play(self, reading: ReadAhead, on_progress: Callable[[FrameBatch], None]) -> None:
        self._wait_for_subscriptions()
        first = first_played(self._span, self._recording.segments)
        if first is None or self._halt.is_set:
            return
        grain, shift_ns, wait_ns = grain_ns(self._recording.groups.values()), 0, 0
        if self._terms.times == "now":
            now_ns = self._utc.now_utc()
            shift_ns = shift_to(now_ns, first.emitted_ns, grain)
            wait_ns = max(0, first.emitted_ns + shift_ns - now_ns) if self._terms.speed is not None else 0
        tempo = Tempo(self._terms.speed, first.emitted_ns + shift_ns, self._clock.monotonic_ns() + wait_ns)
        course = ReplayCourse(self._epoch, shift_ns, grain, is_moving=self._terms.times == "now")
        reader = Worker("reads", partial(reading.run, course, is_endless=self._terms.is_endless), self._on_failure)
        with reader:
            while (read := reading.next(self._halt)) is not None and self._is_due(tempo.due_mono_ns(read.due_ns)):
                on_progress(read.batch)
                self._send(read)
        self._notes.end()

    def _wait_for_subscriptions(self) -> None:
        attendance, publisher = Attendance(), self._publishing.publisher
        while publisher.subscriptions < self._terms.wait_for:
            attendance.tell_waiting(publisher.subscriptions, self._terms.wait_for)
            if self._halt.sleep(LOOK_S):
                return
        attendance.tell_begun()

    def _is_due(self, due_mono_ns: int) -> bool:
        """Wait for a moment; false when the end came meanwhile."""
        while (left_ns := due_mono_ns - self._clock.monotonic_ns()) > 0:
            self._utc.update()
            if self._halt.sleep(min(TICK_S, left_ns / NS_PER_S)):
                return False
        return not self._halt.is_set

    def _send(self, read: Read) -> None:
        batch, played = read.batch, self._played
        self._groups[batch.group].expect(read.looks)
        self._notes.note(batch)
        self._played = Played(
            played.batches + 1,
            played.frames + sum(map(len, batch.frames.values())),
            played.sets + len(batch.sets),
            played.lost + read.lost,
        )
        self._publishing.publisher.put(batch)

    # From the publisher's thread.

    def _hello(self) -> wire.HelloReply:
        return wire.HelloReply(self._run_id, self._epoch, self._live, dict(self._recording.groups))

    def _status(self) -> ReceiverStatus:
        return self._revisions.number(
            ReceiverStatus(
                run_id=self._run_id,
                epoch=self._epoch,
                pid=os.getpid(),
                subscriptions=self._publishing.publisher.subscriptions,
                local=LocalStatus(),
                streams=self._notes.status,
                groups={name: group.status for name, group in self._groups.items()},
                replays=self._recording.place,
            )
        )
