"""The receiver process: ingest threads, groups and the publisher, composed from what the daemon sends.

Started as ``python -m syncsvc.receiver.process CHANNEL_FD PARENT_PID receiver``.
"""

import logging
import os
import signal
import socket
import sys
import threading
from contextlib import ExitStack
from typing import Literal

import zmq

from syncsvc import wire
from syncsvc.align.group import Group, GroupOutput, first_window
from syncsvc.clock import NS_PER_S, SYSTEM_CLOCK
from syncsvc.errors import BindError, LinkClosed, TransportError
from syncsvc.ingest.rest import Rest
from syncsvc.ingest.worker import StreamIngest, Tuning
from syncsvc.lifecycle import StopToken, Worker, die_with_parent
from syncsvc.model import Frame, FrameBatch
from syncsvc.observe import events, logs
from syncsvc.observe.journal import Journal
from syncsvc.observe.status import ReceiverStatus, Revisions
from syncsvc.plan.from_receiver import BindRefused, Bound, Done, LeaseRoom, Report, Subscribed
from syncsvc.plan.plans import GroupPlan, ReceiverPlan, StreamPlan
from syncsvc.plan.to_receiver import Attach, Begin, Detach, Drain, Finish, KeepPage, Reload, Serve, ToReceiver
from syncsvc.publish.control import Control
from syncsvc.publish.live import LiveOutlet
from syncsvc.publish.local import LocalOutlet
from syncsvc.publish.outlet import LateFrame
from syncsvc.publish.publisher import Publisher
from syncsvc.receiver.accounts import Accounts
from syncsvc.receiver.local_readers import LocalReaders
from syncsvc.receiver.observation_log import ObservationLog
from syncsvc.timing.ladder import StreamClock, rungs_for
from syncsvc.timing.utc import UtcMapper
from syncsvc.transport.channel import Channel
from syncsvc.transport.link import LinkReader
from syncsvc.transport.page import GroupPage
from syncsvc.transport.payload import BufferPool

EX_SOFTWARE = 70
EX_CONFIG = 78
TICK_S = 0.25
REPORT_TICKS = 2
DRAIN_S = 4.0
PATIENT_S = 7 * 24 * 3600.0
"""Recordings played ``asap`` end when their subscribers have taken everything, however long that is."""
REWIRE_S = 1.0
STUCK_NS = 5 * NS_PER_S

log = logging.getLogger(__name__)


class Receiver:
    """One run of the receiver, from binding the sockets to the last batch."""

    def __init__(
        self, channel: Channel[ToReceiver], plan: ReceiverPlan, observations: ObservationLog | None = None
    ) -> None:
        self._channel, self._plan, self._log = channel, plan, observations
        self._clock = SYSTEM_CLOCK
        self._utc = UtcMapper(self._clock)
        self._epoch = max(plan.min_epoch, self._clock.utc_ns() // 1_000_000)
        self._accounts = Accounts(self._clock)
        pool = BufferPool()
        self._context = zmq.Context()
        self._local = LocalOutlet(plan.run_id, self._clock, self._utc.now_utc, is_patient=plan.is_patient)
        self._live = LiveOutlet(self._clock, pool.trim)
        self._control = Control(self._hello, self._status)
        self._publisher = Publisher(
            plan.run_id,
            self._clock,
            self._utc.now_utc,
            (self._local, self._live),
            (self._live, self._control),
            is_patient=plan.is_patient,
            before_send=self._before_send,
            pool=pool,
        )
        self._endpoints = ("", "")
        self._groups: dict[str, tuple[Group, Worker]] = {}
        self._streams: dict[str, tuple[StreamIngest, Worker]] = {}
        self._topics: dict[str, tuple[bytes, ...]] = {}
        self._gone: list[Worker] = []
        self._next_seq: dict[str, int] = {}
        self._publishing: Worker | None = None
        self._readers = LocalReaders(self._local, self._on_failure)
        self._windows_ns: dict[str, dict[str, int]] = {}
        self._revisions: Revisions[ReceiverStatus] = Revisions()
        self._failure: str | None = None
        self._ready_ns = 0
        self._has_begun = False

    def run(self) -> int:
        """Serve until told to finish; the return value is the exit code."""
        plan = self._plan
        try:
            live = self._live.bind(self._context, plan.live, plan.backlogs)
            self._endpoints = live, self._control.bind(self._context, plan.control)
        except BindError as error:
            self._context.destroy(0)
            self._channel.send(BindRefused(error.endpoint, error.problem))
            return EX_CONFIG
        self._channel.send(Bound(*self._endpoints))
        self._local.bind(live, plan.backlogs)
        self._publishing = Worker("publisher", self._publish, self._on_failure).start()
        self._readers.start()
        ticks = 0
        has_told = False
        while self._failure is None:
            word = self._channel.receive(TICK_S)
            if word is not None and self._handle(*word):
                return 0
            has_jumped = self._utc.update()
            self._log_segment()
            if has_jumped:
                self._jump()
            if not has_told and self._publisher.subscriptions >= self._plan.wait_for:
                has_told = True
                self._channel.send(Subscribed())
            for stream, span_ns in self._readers.wishes(self._windows_ns):
                self._channel.send(LeaseRoom(stream, span_ns))
            ticks += 1
            if not self._plan.is_patient and self._publisher.turn_age_ns > STUCK_NS:
                self._failure = "the publisher is stuck"
            if ticks % REPORT_TICKS == 0:
                self._channel.send(Report(self._status()))
        log.error("gives up: %s", self._failure)
        return EX_SOFTWARE

    def _publish(self, stop: StopToken) -> None:
        """Send what there is, to the end; what the sockets still hold then has their linger to leave."""
        self._publisher.run(stop)
        self._control.socket.close(0)
        self._context.term()

    def _on_failure(self, name: str, error: BaseException) -> None:
        """A thread broke: the process ends, the daemon starts a new one, and says so."""
        log.error("thread %s broke", name, exc_info=error)
        self._failure = f"thread {name}: {type(error).__name__}: {error}"

    def _handle(self, message: ToReceiver, fds: list[int]) -> bool:
        """Do what the daemon says; true when that was the end."""
        match message:
            case KeepPage(name):
                self._accounts.add_page(name, GroupPage(fds[0]))
            case Begin(ready_ns):
                self._begin(ready_ns)
            case Reload(plan):
                if self._log is not None:
                    self._log.reload(plan, mono_ns=self._clock.monotonic_ns())
                self._rebuild(plan)
            case Attach(stream, next_seq):
                ingest, _ = self._streams[stream]
                for name in self._groups_of(stream):
                    lost = self._accounts.lost_with_receiver(stream, next_seq, name)
                    if lost:
                        self._groups[name][0].tell(events.Drop(stream, "receiver_died", lost))
                ingest.attach(LinkReader(fds[0], socket.socket(fileno=fds[1])), next_seq)
            case Detach(stream, next_seq):
                if stream in self._streams:
                    self._streams[stream][0].detach(next_seq)
            case Drain():
                self._publisher.drain()
                for group, _ in self._groups.values():
                    group.tell(events.Draining())
            case Finish(how):
                self._finish(how)
                return True
            case Serve():
                raise TransportError("a receiver is told twice to serve")
        return False

    def _begin(self, ready_ns: int) -> None:
        self._ready_ns = ready_ns
        if self._log is not None:
            now_ns = self._clock.monotonic_ns()
            self._log.run(self._plan, epoch=self._epoch, utc_ns=self._utc.to_utc(now_ns), mono_ns=now_ns)
        self._rebuild(self._plan)
        self._has_begun = True

    def _finish(self, how: Literal["ended", "draining"]) -> None:
        """Read every pipe to its end, emit what is open, send it, say goodbye."""
        for worker in (reading := [*self._gone, *(worker for _, worker in self._streams.values())]):
            worker.stop_token.set()
        for worker in reading:
            if not worker.join(DRAIN_S):
                log.warning("%s did not come to the end of its pipe", worker.name)
        for group, _ in self._groups.values():
            group.flush()
        for _, worker in self._groups.values():
            worker.join(PATIENT_S if self._plan.is_patient and how == "ended" else DRAIN_S)
        assert self._publishing is not None
        self._publisher.end(how)
        self._publishing.join(PATIENT_S if self._plan.is_patient and how == "ended" else 2 * DRAIN_S)
        self._readers.stop(DRAIN_S)
        if self._log is not None:
            self._log.close()
        self._channel.send(Report(self._status()))
        self._channel.send(Done())

    def _rebuild(self, plan: ReceiverPlan) -> None:
        """Make groups and streams what the plan says; those that did not change go on untouched.

        Streams leave a group before it is flushed, so that no frame goes into one that is closed.
        """
        old, self._plan = (self._plan.groups if self._groups else {}), plan
        self._local.allow(plan.backlogs)
        leaving = [self._groups.pop(name) for name in tuple(self._groups) if name not in plan.groups]
        for name, group_plan in plan.groups.items():
            self._accounts.plan(group_plan)
            if name not in self._groups:
                self._open_group(group_plan)
            elif old.get(name) != group_plan:
                self._groups[name][0].tell(events.Reconfigure(group_plan.rules))
        rewired = []
        for name in [name for name in self._streams if name not in plan.streams]:
            ingest, worker = self._streams.pop(name)
            self._windows_ns.pop(name, None)
            rewired.append(ingest.rewire((), lambda *_: None))
            worker.stop_token.set()
            self._gone = [*(old for old in self._gone if old.is_alive), worker]
        for name, stream_plan in plan.streams.items():
            groups = self._groups_of(name)
            self._topics[name] = tuple(wire.batch_topic(group) for group in groups)
            self._windows_ns[name] = {group: plan.groups[group].window_ns for group in groups}
            if name not in self._streams:
                ingest = self._make_ingest(stream_plan)
                self._streams[name] = ingest, Worker(f"ingest-{name}", ingest.run, self._on_failure).start()
            rewired.append(self._wire(self._streams[name][0], stream_plan))
        for is_taken in rewired:
            is_taken.wait(REWIRE_S)
        for group, worker in leaving:
            group.flush()
            worker.join(DRAIN_S)
            self._next_seq[group.name] = group.seq

    def _groups_of(self, stream: str) -> list[str]:
        return [name for name, group in self._plan.groups.items() if stream in group.streams]

    def _open_group(self, plan: GroupPlan) -> None:
        is_first = plan.name not in self._next_seq and not self._has_begun
        ready_ns = self._ready_ns if is_first else self._utc.now_utc()
        emitted_end_ns = self._accounts.emitted_end_ns(plan.name) if is_first else 0
        number = first_window(ready_ns, emitted_end_ns, plan.window_ns, self._utc.now_utc())
        if not is_first:  # a group that returns never opens a window that it has emitted
            number = max(number, -(-self._accounts.emitted_end_ns(plan.name) // (plan.window_ns or 1)))
        output = GroupOutput(
            emit=self._publisher.put,
            is_free=self._publisher.has_room,
            late=lambda frame, seq, window: self._late(plan, frame, seq, window),
            **({"note": self._log.note} if self._log is not None else {}),
        )
        first_seq = self._next_seq.get(plan.name, 0)
        opening = events.Open(plan.rules, self._epoch, number, first_seq, self._plan.is_patient)
        group = Group(plan.name, opening, self._utc, output)
        worker = Worker(f"align-{plan.name}", group.run, self._on_failure)
        self._groups[plan.name] = group, worker.start()

    def _late(self, plan: GroupPlan, frame: Frame, seq: int, window: tuple[int, int]) -> None:
        if plan.sends_late:
            self._publisher.put(LateFrame(plan.name, frame, seq, self._epoch, window))
        else:
            frame.payload.release()

    def _make_ingest(self, plan: StreamPlan) -> StreamIngest:
        tuning = self._tuning(plan)
        return StreamIngest(
            plan.name,
            StreamClock(
                tuning.make_rungs,
                hold_ns=plan.hold_ns,
                edge_ns=plan.edge_ns,
                to_utc=self._utc.to_utc,
                source=plan.source,
            ),
            self._clock,
            self._utc.to_utc,
            stall_after_ns=plan.stall_after_ns,
            is_patient=self._plan.is_patient,
            take_pixels=lambda stream, payload: self._publisher.take_early(payload, self._topics[stream]),
            observations=self._log,
        )

    def _tuning(self, plan: StreamPlan) -> Tuning:
        return Tuning(
            lambda: rungs_for(plan.clock, plan.kind, plan.latency_ns, self._utc.to_utc),
            plan.hold_ns,
            plan.edge_ns,
            plan.stall_after_ns,
            Rest(
                [self._plan.groups[name].pace for name in self._groups_of(plan.name)], is_patient=self._plan.is_patient
            ),
            plan.source,
        )

    def _wire(self, ingest: StreamIngest, plan: StreamPlan) -> threading.Event:
        names = self._groups_of(plan.name)
        sinks = [self._groups[name][0] for name in names]
        return ingest.rewire(sinks, lambda stream, seq: self._accounts.joined(stream, seq, names), self._tuning(plan))

    def _jump(self) -> None:
        self._epoch = max(self._epoch + 1, self._utc.now_utc() // 1_000_000)
        log.warning("the host's clock jumped: epoch %d begins", self._epoch)
        for group, _ in self._groups.values():
            group.jump(self._epoch)

    def _before_send(self, batch: FrameBatch, emitted_ns: int) -> None:
        self._accounts.before_send(batch)
        if self._log is not None:
            self._log.sent(batch, emitted_ns)

    def _log_segment(self) -> None:
        if self._log is not None and self._has_begun:
            self._log.segment(self._utc.segment, self._utc.epoch)

    def _hello(self) -> wire.Hello:
        groups = {name: group.terms for name, group in self._plan.groups.items()}
        return wire.Hello(self._plan.run_id, self._epoch, self._endpoints[0], groups)

    def _status(self) -> ReceiverStatus:
        return self._revisions.number(
            ReceiverStatus(
                run_id=self._plan.run_id,
                epoch=self._epoch,
                pid=os.getpid(),
                subscriptions=self._publisher.subscriptions,
                local=self._local.status(),
                streams={name: ingest.status() for name, (ingest, _) in tuple(self._streams.items())},
                groups=self._accounts.status(),
            )
        )


def main(arguments: list[str]) -> int:
    """Take over from the daemon: ``CHANNEL_FD PARENT_PID receiver``."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(int(arguments[1]))
    logs.configure("receiver", ())
    channel: Channel[ToReceiver] = Channel.of(int(arguments[0]), ToReceiver)
    with ExitStack() as running:
        try:
            first = channel.receive(None)
            if first is None or not isinstance(first[0], Serve):
                raise TransportError("the first word is not what to serve")
            journal = running.enter_context(Journal(first[1][0])) if first[0].is_logged else None
            return Receiver(channel, first[0].plan, ObservationLog(journal) if journal else None).run()
        except LinkClosed:
            return EX_SOFTWARE  # the daemon is gone
        except TransportError as error:
            log.error("gives up: %s", error)
            return EX_SOFTWARE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
