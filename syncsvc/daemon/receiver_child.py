"""The receiver process, supervised: started, spoken to, killed when it falls silent, started again."""

import logging
import select
from collections.abc import Iterator
from random import Random
from typing import Literal

from syncsvc.clock import NS_PER_S, Clock
from syncsvc.daemon.child import Child, SpawnedChild
from syncsvc.daemon.restart import RestartPolicy
from syncsvc.errors import LinkClosed
from syncsvc.observe.status import ReceiverStatus
from syncsvc.plan.from_receiver import FromReceiver, Report
from syncsvc.plan.plans import ReceiverPlan
from syncsvc.plan.to_receiver import Finish, Serve, ToReceiver

SILENCE_S = 5.0
HEALTHY_AFTER_NS = 10 * NS_PER_S

log = logging.getLogger(__name__)


class SupervisedReceiver:
    """The daemon's side of the receiver, across all processes that serve as it."""

    def __init__(self, clock: Clock, random: Random) -> None:
        self._clock = clock
        self._policy = RestartPolicy(random)
        self._spawned_ns = self._heard_ns = 0
        self.due_ns: int | None = clock.monotonic_ns()
        """When the next process is to be started (CLOCK_MONOTONIC); None while one runs."""
        self.child: Child[FromReceiver] | None = None
        self.is_ready = self.is_finishing = False
        self.min_epoch = 0
        self.report: ReceiverStatus | None = None
        """The last one; of one process or of the one before it."""

    @property
    def is_due(self) -> bool:
        """Whether the next process is to be started now."""
        return self.due_ns is not None and self._clock.monotonic_ns() >= self.due_ns

    def spawn(self, plan: ReceiverPlan, without: frozenset[str], *log: int) -> Child[FromReceiver]:
        """Start a process, without these variables in its environment; tell it the plan, and hand over the log."""
        self.due_ns, self.is_ready = None, False
        self._spawned_ns = self._heard_ns = self._clock.monotonic_ns()
        self.child = SpawnedChild("syncsvc.receiver.process", "receiver", FromReceiver, without=without)
        self.send(Serve(plan, is_logged=bool(log)), *log)
        return self.child

    def send(self, message: ToReceiver, *fds: int) -> None:
        """Send a message; when the process is gone, its end will be noticed elsewhere."""
        if self.child is not None:
            try:
                self.child.channel.send(message, *fds)
            except LinkClosed:
                log.debug("the receiver is gone")

    def finish(self, how: Literal["ended", "draining"]) -> None:
        """Let it emit what is open, and end."""
        self.is_finishing = True
        self.send(Finish(how))

    def messages(self) -> Iterator[FromReceiver]:
        """The messages that wait; reports are taken in on the way.

        Raises:
            LinkClosed: the process closed its channel.
            TransportError: it speaks nonsense.
        """
        while self.child is not None and select.select([self.child.channel], [], [], 0)[0]:
            word = self.child.channel.receive(0)
            if word is None:
                return
            self._heard_ns = self._clock.monotonic_ns()
            if isinstance(word[0], Report):
                self.report = word[0].report
                self.min_epoch = max(self.min_epoch, self.report.epoch + 1)
            yield word[0]

    def watch(self) -> None:
        """Kill it when it has said nothing for five seconds; it reports twice a second."""
        silent_s = (self._clock.monotonic_ns() - self._heard_ns) / NS_PER_S
        if self.child is None or self.is_finishing or silent_s <= SILENCE_S:
            return
        if not select.select([self.child.channel], [], [], 0)[0]:  # else it spoke, and it was us who did not listen
            log.error("the receiver is killed: no word for %.1f s", silent_s)
            self._heard_ns = self._clock.monotonic_ns()
            self.child.kill()

    def ended(self) -> None:
        """The process is over: plan the next one."""
        self.child, self.is_ready = None, False
        self.min_epoch += 1
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._spawned_ns > HEALTHY_AFTER_NS:
            self._policy.was_healthy()
        self.due_ns = now_ns + round(self._policy.pause_after_failure() * NS_PER_S)
