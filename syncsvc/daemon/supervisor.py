"""What the daemon keeps alive: started when due, listened to, killed where it does not work, and started again."""

import logging
import selectors
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from syncsvc.clock import NS_PER_S, Clock
from syncsvc.daemon.child import Child
from syncsvc.daemon.restart import PERIOD_S, SERVICE_BREAKS, RestartPolicy
from syncsvc.errors import LinkClosed, TransportError
from syncsvc.transport.channel import Channel, Message, Received

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

Act = Callable[[], None]
Sent = TypeVar("Sent", bound=Message)

log = logging.getLogger(__name__)


class Supervisor:
    """Waits for the messages and the ends of all that is supervised, and for whatever else becomes readable."""

    def __init__(self, clock: Clock, random: Random) -> None:
        self.clock, self.random = clock, random
        self.children: list[Child[Any]] = []
        """The processes that run, as far as we know; those that nobody waited for yet included."""
        self._selector = selectors.DefaultSelector()

    def listen(self, source: "FileDescriptorLike", act: Act) -> None:
        """Call ``act``, from ``turn``, whenever something can be read."""
        self._selector.register(source, selectors.EVENT_READ, act)

    def is_listening(self, source: Channel[Any]) -> bool:
        """Whether somebody still wants to be called for it."""
        return source.fileno() in self._selector.get_map()

    def forget(self, source: "FileDescriptorLike") -> None:
        """Call nobody for it any more."""
        self._selector.unregister(source)

    def turn(self, timeout_s: float) -> None:
        """Wait for something to happen, at most so long, and act on it."""
        for key, _ in self._selector.select(timeout_s):
            if self._selector.get_map().get(key.fd) is key:  # else one before it in this turn put an end to it
                key.data()

    def close(self) -> None:
        """Listen to nobody."""
        self._selector.close()


class Supervised(Generic[Received, Sent]):
    """One thing that the daemon keeps alive, across all processes that serve as it.

    A kind of it starts processes (``_start``, or ``_adopt`` for one that runs), takes what they say (``handle``),
    complains of one that does not work, and learns of its end (``ended``). Whatever it is, it is started anew by one
    policy.
    """

    healthy_after_ns: ClassVar[int] = 10 * NS_PER_S
    """A process that lived this long counts as having worked."""
    most_breaks: ClassVar[int] = SERVICE_BREAKS
    """In a minute: with more, another start does not help."""

    def __init__(self, label: str, supervisor: Supervisor) -> None:
        """Be due; ``label`` begins what the log says of it."""
        self.label, self._supervisor, self._clock = label, supervisor, supervisor.clock
        self._policy = RestartPolicy(supervisor.random, self.most_breaks)
        self.child: Child[Received] | None = None
        self.due_ns: int | None = self._clock.monotonic_ns()
        """When the next process is to be started (CLOCK_MONOTONIC); None while one runs or none is wanted."""
        self._is_wanted, self._is_excused, self._is_killed = True, False, False
        self._spawned_ns = 0
        self.is_beyond_help = False
        """It broke more often than its policy has patience: who composes it must do something else."""

    # What a kind says.

    def handle(self, message: Received) -> None:
        """Take in what the process says."""
        raise NotImplementedError

    def complaint(self) -> str | None:
        """Why the process that runs should be killed; None while it is well."""
        return None

    def ended(self, code: int) -> None:
        """The process is over."""
        self._note_break()
        self._plan_next(has_worked=self._has_lived)

    # What it is asked.

    @property
    def is_due(self) -> bool:
        """Whether the next process is to be started now."""
        return self.due_ns is not None and self._clock.monotonic_ns() >= self.due_ns

    def send(self, message: Sent, *fds: int) -> None:
        """Send a message; where the process is gone, its end will be noticed elsewhere."""
        if self.child is not None:
            try:
                self.child.channel.send(message, *fds)
            except LinkClosed:
                log.debug("%s is gone", self.label)
            except TransportError as error:
                self.kill(f"it cannot be told: {error}")

    def kill(self, why: str) -> None:
        """End the process now."""
        if self.child is not None:
            log.error("%s is killed: %s", self.label, why)
            self._is_killed = True
            self.child.kill()

    def excuse(self) -> None:
        """It must begin anew for a reason that is not its own: it ends now, and the next one starts at once."""
        if self.child is not None:
            self._is_excused = True
            self.child.kill()
        elif self._is_wanted:
            self.due_ns = self._clock.monotonic_ns()

    def want_no_other(self) -> None:
        """Start no other process."""
        self._is_wanted, self.due_ns = False, None

    def watch(self) -> None:
        """Kill the process when there is a complaint."""
        if self.child is None or self._is_killed or self.complaint() is None:
            return
        self._receive()  # it may have spoken, and it was us who did not listen
        if (why := self.complaint()) is not None:
            self.kill(why)

    # How it lives.

    def _start(self, make: Callable[[], Child[Received]]) -> bool:
        """Make a process serve, if there can be one: else another try is made in time."""
        try:
            child = make()
        except OSError as error:
            log.error("%s cannot be started: %s", self.label, error.strerror or error)
            self._plan_next(has_worked=False)
            return False
        self._adopt(child)
        return True

    def _adopt(self, child: Child[Received]) -> None:
        """This process serves from now on."""
        self.child, self.due_ns, self._is_killed = child, None, False
        self._spawned_ns = self._clock.monotonic_ns()
        self._supervisor.children.append(child)
        self._supervisor.listen(child, self._reap)
        self._supervisor.listen(child.channel, self._receive)

    def _receive(self) -> None:
        """Take in the messages that wait."""
        child = self.child
        if child is None or not self._supervisor.is_listening(child.channel):
            return
        try:
            while (received := child.channel.receive(0)) is not None:
                self.handle(received[0])
        except TransportError as error:
            self._supervisor.forget(child.channel)
            if not isinstance(error, LinkClosed):
                self.kill(str(error))

    def _reap(self) -> None:
        """The process ended: its last words, its exit code."""
        assert self.child is not None
        self._receive()
        child, self.child = self.child, None
        self._supervisor.forget(child)
        if self._supervisor.is_listening(child.channel):
            self._supervisor.forget(child.channel)
        self._supervisor.children.remove(child)
        self.ended(child.reap(1.0) or 0)

    @property
    def _has_lived(self) -> bool:
        return self._clock.monotonic_ns() - self._spawned_ns >= self.healthy_after_ns

    def _note_break(self) -> None:
        """The process broke, through nobody's wish."""
        if self._is_wanted and not self._is_excused and self._policy.breaks_too_often(self._now_s):
            self.is_beyond_help = True
            log.error("%s broke more than %d times in %.0f s", self.label, self.most_breaks, PERIOD_S)

    @property
    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / NS_PER_S

    def _plan_next(self, *, has_worked: bool, is_refused: bool = False) -> None:
        """Say when the next process starts, if one is wanted: at once where the last one was excused.

        ``is_refused``: somebody refused its password, and may lock it out if it comes again too soon.
        """
        if not self._is_wanted:
            return
        self.due_ns = self._clock.monotonic_ns()
        if self._is_excused:
            self._is_excused = False
            return
        if has_worked:
            self._policy.was_healthy()
        pause_s = self._policy.pause_after_refusal() if is_refused else self._policy.pause_after_failure()
        self.due_ns += round(pause_s * NS_PER_S)
