"""The receiver process: groups, streams and the publisher, composed from what the daemon sends.

Started as ``python -m syncsvc.receiver.process CHANNEL_FD PARENT_PID receiver``.
"""

import logging
import os
import socket
import sys
from contextlib import ExitStack
from typing import Literal

from syncsvc import wire
from syncsvc.clock import NS_PER_S, SYSTEM_CLOCK
from syncsvc.errors import BindError, DescriptorsLost, LinkClosed, TransportError
from syncsvc.lifecycle import Standstill, die_with_parent, leave_signals_to_parent
from syncsvc.observe import logs
from syncsvc.observe.events import Draining
from syncsvc.observe.journal import Journal
from syncsvc.observe.status import ReceiverStatus, Revisions
from syncsvc.plan.from_receiver import BindRefused, Bound, Done, LeaseRoom, Report, Subscribed
from syncsvc.plan.plans import ReceiverPlan
from syncsvc.plan.to_receiver import Attach, Begin, Detach, Drain, Finish, KeepPage, Reload, Serve, ToReceiver
from syncsvc.receiver.observation_log import ObservationLog
from syncsvc.receiver.publishing import Publishing
from syncsvc.receiver.served import DRAIN_S, Served
from syncsvc.receiver.served_group import ServedGroup, Shared
from syncsvc.timing.utc import UtcMapper
from syncsvc.transport.channel import Channel
from syncsvc.transport.link import LinkReader

EX_SOFTWARE = 70
EX_CONFIG = 78
TICK_S = 0.25
REPORT_TICKS = 2
PATIENT_S = 7 * 24 * 3600.0
"""Recordings played ``asap`` end when their subscribers have taken everything, however long that is."""
STUCK_LOOKS = 20
"""Of the main thread at the publisher's, a tick apart at least: five seconds, where there is time for everybody."""

log = logging.getLogger(__name__)


class Receiver:
    """One run of the receiver, from binding the sockets to the last batch."""

    def __init__(
        self, channel: Channel[ToReceiver], plan: ReceiverPlan, observations: ObservationLog | None = None
    ) -> None:
        self._channel, self._plan, self._log, self._clock = channel, plan, observations, SYSTEM_CLOCK
        self._utc = UtcMapper(self._clock)
        self._epoch = max(plan.min_epoch, self._clock.utc_ns() // 1_000_000)
        groups: dict[str, ServedGroup] = {}
        self._publishing = Publishing(
            plan, self._clock, self._utc, epoch=self._epoch, hello=self._hello, status=self._status,
            leave=lambda batch, emitted_ns, wanted: groups[batch.group].leave(batch, emitted_ns, wanted),
            backlog_of=lambda group: groups[group].backlog.mark,
            on_failure=self._on_failure,
        )  # fmt: skip
        publisher = self._publishing.publisher
        shared = Shared(plan.run_id, plan.is_patient, self._clock, self._utc, publisher, self._on_failure, observations)
        self._served, self._live = Served(groups, shared), ""
        self._revisions: Revisions[ReceiverStatus] = Revisions()
        self._failure: str | None = None
        self._publisher_watch = Standstill(STUCK_LOOKS, int(TICK_S * NS_PER_S))
        self._has_begun, self._has_told, self._ticks = False, False, 0

    def run(self) -> int:
        """Serve until told to finish; the return value is the exit code."""
        try:
            self._live, control = self._publishing.bind()
        except BindError as error:
            self._channel.send(BindRefused(error.endpoint, error.problem))
            return EX_CONFIG
        self._channel.send(Bound(self._live, control))
        self._publishing.start()
        while self._failure is None:
            try:
                word = self._channel.receive(TICK_S)
            except DescriptorsLost as lost:
                self._do_without(lost)
                word = None
            if word is not None and self._handle(*word):
                return 0
            self._look_around()
        log.error("gives up: %s", self._failure)
        return EX_SOFTWARE

    def _on_failure(self, name: str, error: BaseException) -> None:
        """A thread broke: the process ends, the daemon starts a new one, and says so."""
        log.error("thread %s broke", name, exc_info=error)
        self._failure = f"thread {name}: {type(error).__name__}: {error}"

    def _look_around(self) -> None:
        """What is done between two messages: look at the clock, and tell the daemon what is new."""
        has_jumped = self._utc.update()
        if self._log is not None and self._has_begun:
            self._log.segment(self._utc.segment, self._utc.epoch)
        if has_jumped:
            self._epoch = max(self._epoch + 1, self._utc.now_utc() // 1_000_000)
            log.warning("the host's clock jumped: epoch %d begins", self._epoch)
            for group in self._served.running:
                group.jump(self._epoch)
        for group in self._served.running:
            group.promises.tell(self._clock.monotonic_ns())
        publisher = self._publishing.publisher
        if not self._has_told and publisher.subscriptions >= self._plan.wait_for:
            self._has_told = True
            self._channel.send(Subscribed())
        for name, stream in self._served.streams.items():
            if (span_ns := stream.longer_ns(self._publishing.local.wants)) is not None:
                self._channel.send(LeaseRoom(name, span_ns))
        is_stuck = self._publisher_watch.look(publisher.turned_ns, self._clock.monotonic_ns())
        if is_stuck and not self._plan.is_patient:
            self._failure = "the publisher is stuck"
        self._ticks += 1
        if self._ticks % REPORT_TICKS == 0:
            self._channel.send(Report(self._status()))

    def _handle(self, message: ToReceiver, fds: list[int]) -> bool:
        """Do what the daemon says; true when that was the end."""
        match message:
            case KeepPage(name):
                self._served.keep_page(name, fds[0])
            case Begin(ready_ns):
                self._begin(ready_ns)
            case Reload(plan):
                self._plan = plan
                self._publishing.follow(plan)
                if self._has_begun:
                    self._reload(plan)
            case Attach(stream, next_seq):
                self._served.streams[stream].attach(LinkReader(fds[0], socket.socket(fileno=fds[1])), next_seq)
            case Detach(stream, next_seq, is_over):
                if stream in self._served.streams:
                    self._served.streams[stream].detach(next_seq, is_over=is_over)
            case Drain():
                self._publishing.publisher.drain()
                for group in self._served.running:
                    group.consumer.tell(Draining())
            case Finish(how):
                self._finish(how)
                return True
            case Serve():
                raise TransportError("a receiver is told twice to serve")
        return False

    def _do_without(self, lost: DescriptorsLost) -> None:
        """A message came without its descriptors: that costs the stream, whose capture finds nobody and tries again.

        Raises:
            DescriptorsLost: it was of a group that we have no page of.
        """
        match lost.message:
            case Attach(stream):
                log.error("stream %s: its capture cannot be heard: %s", stream, lost)
                self._served.streams[stream].suffer(str(lost))
            case KeepPage(name) if name in self._served.groups:
                log.debug("the page of group %s is here", name)
            case _:
                raise lost

    def _begin(self, ready_ns: int) -> None:
        if self._log is not None:
            now_ns = self._clock.monotonic_ns()
            self._log.run(self._plan, epoch=self._epoch, utc_ns=self._utc.to_utc(now_ns), mono_ns=now_ns)
        self._served.follow(self._plan, self._epoch, ready_ns)
        self._has_begun = True

    def _reload(self, plan: ReceiverPlan) -> None:
        if self._log is not None:
            self._log.reload(plan, mono_ns=self._clock.monotonic_ns())
        self._served.follow(plan, self._epoch)

    def _finish(self, how: Literal["ended", "draining"]) -> None:
        """Read every pipe to its end, emit what is open, send it, say goodbye."""
        is_patient = self._plan.is_patient and how == "ended"
        self._served.finish(PATIENT_S if is_patient else DRAIN_S)
        self._publishing.end(how, PATIENT_S if is_patient else 2 * DRAIN_S)
        for group in self._served.groups.values():
            group.promises.tell()
        if self._log is not None:
            self._log.close()
        self._channel.send(Report(self._status()))
        self._channel.send(Done())

    # From the publisher's thread.

    def _hello(self) -> wire.HelloReply:
        groups = {name: group.terms for name, group in self._plan.groups.items()}
        return wire.HelloReply(self._plan.run_id, self._epoch, self._live, groups)

    def _status(self) -> ReceiverStatus:
        return self._revisions.number(
            ReceiverStatus(
                run_id=self._plan.run_id,
                epoch=self._epoch,
                pid=os.getpid(),
                subscriptions=self._publishing.publisher.subscriptions,
                local=self._publishing.local.status(),
                streams=self._served.stream_status,
                groups=self._served.group_status,
                lossless=self._publishing.lossless.status(),
                spool=self._publishing.spool_status(),
            )
        )


def main(arguments: list[str]) -> int:
    """Take over from the daemon: ``CHANNEL_FD PARENT_PID receiver``."""
    leave_signals_to_parent()
    die_with_parent(int(arguments[1]))
    logs.configure_child("receiver", ())
    channel: Channel[ToReceiver] = Channel.of(int(arguments[0]), ToReceiver)
    with ExitStack() as running:
        try:
            first, log_fd = channel.wait_for(Serve)
            journal = running.enter_context(Journal(*log_fd)) if first.is_logged else None
            return Receiver(channel, first.plan, ObservationLog(journal) if journal else None).run()
        except (TransportError, OSError) as error:
            if not isinstance(error, LinkClosed):  # else the daemon is gone
                log.error("gives up: %s", error)
            return EX_SOFTWARE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
