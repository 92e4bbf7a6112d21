"""The nursery, supervised: asked for captures, killed when it does not answer; and what is done without it."""

import logging
import os
import select
import signal
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from syncsvc.capture.words import Fit, Fork, Forked, FromCapture, FromNursery, Preload, ToNursery
from syncsvc.daemon.child import Child, SpawnedChild
from syncsvc.daemon.supervisor import Supervised, Supervisor
from syncsvc.errors import LinkClosed, TransportError
from syncsvc.lifecycle import START_NS, adopt_orphans
from syncsvc.transport.channel import Channel

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

FORK_S = 5.0
"""For two forks of a process that may have been swapped out."""
UNDISTURBED_S = 0.4
"""So long it is waited for whoever wants something meanwhile: they are to be heard within a second."""

log = logging.getLogger(__name__)


class SupervisedNursery(Supervised[FromNursery, ToNursery]):
    """The daemon's side of the nursery, across all processes that serve as it."""

    def __init__(self, supervisor: Supervisor, urgent: "FileDescriptorLike") -> None:
        """Be due; once ``urgent`` is readable nobody waits long for an answer."""
        adopt_orphans()
        self._urgent = urgent
        super().__init__("the nursery", supervisor)
        self._can_fork = self._is_unfit = False
        self._without: frozenset[str] = frozenset()

    @property
    def is_ready(self) -> bool:
        """Whether captures can be started."""
        return self._can_fork or self._is_unfit

    def spawn(self, kinds: Collection[str], without: frozenset[str]) -> None:
        """Start a process that imports what sources of these kinds need, without these variables."""
        self._without = without
        if self._start(lambda: SpawnedChild("syncsvc.capture.nursery", "nursery", FromNursery, without=without)):
            self.send(Preload(tuple(sorted(kinds))))

    def handle(self, message: FromNursery) -> None:
        """Whether it can fork; one that cannot is not needed, and none after it could."""
        if isinstance(message, Fit):
            self._can_fork, self._is_unfit = message.is_fit, not message.is_fit
            if self._is_unfit and self.child is not None:
                log.warning("a library starts threads at import: captures are not forked, but started one by one")
                self.want_no_other()
                self.child.kill()

    def start_capture(self, name: str) -> Child[FromCapture]:
        """Start a capture; it does nothing before its first word.

        Raises:
            TransportError: the nursery is gone, or cannot, or there is something more urgent.
            OSError: no process can be started, or no more descriptors can be open.
        """
        if self._is_unfit:
            return SpawnedChild("syncsvc.capture.process", name, FromCapture, without=self._without)
        if self.child is None:
            raise LinkClosed("there is no nursery")
        ours: Channel[FromCapture]
        ours, theirs = Channel.pair(FromCapture)
        try:
            self.child.channel.send(Fork(), theirs.fileno())
            answer = self.child.channel.receive(0) if self._answers(self.child.channel) else None
            if answer is None:
                self._can_fork = False
                self.kill("it does not answer")
                raise LinkClosed("the nursery does not answer")
            if not isinstance(answer[0], Forked):
                raise LinkClosed(f"the nursery cannot fork: {answer[0]}")
            return _adopted(name, answer[0].pid, ours)
        except (OSError, TransportError) as error:
            ours.close()
            if not isinstance(error, LinkClosed | OSError):
                self.kill(str(error))
            raise
        finally:
            theirs.close()

    def _answers(self, channel: Channel[FromNursery]) -> bool:
        """Wait for it; false when nothing came in time or, after a while, where something is more urgent."""
        poller = select.poll()
        poller.register(channel, select.POLLIN)
        if not poller.poll(UNDISTURBED_S * 1000):
            poller.register(self._urgent, select.POLLIN)
            return channel.fileno() in [fd for fd, _ in poller.poll(FORK_S * 1000)]
        return True

    def hide(self, without: frozenset[str]) -> None:
        """These variables may hold passwords now: a process that has others of them is replaced."""
        is_news, self._without = not without <= self._without, without
        if is_news and self.child is not None:
            self._can_fork = False
            self.excuse()

    def complaint(self) -> str | None:
        """Imports that do not end."""
        is_late = not self.is_ready and self._clock.monotonic_ns() > self._spawned_ns + START_NS
        return "it was not ready in time" if is_late else None

    def ended(self, code: int) -> None:
        """The process is over: captures that it left to us without a word end too."""
        self._can_fork = False
        known = {child.pid for child in self._supervisor.children}
        for pid in [pid for pid in _children() if pid not in known]:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        if self._is_wanted and not self._is_excused:
            log.error("the nursery ended: captures that run go on, the next ones wait for another")
        super().ended(code)


def _adopted(name: str, pid: int, channel: Channel[FromCapture]) -> Child[FromCapture]:
    """The capture that the nursery left to us; where it cannot be watched, it is none."""
    try:
        return Child(name, pid, channel)
    except OSError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


def _children() -> list[int]:
    """Children of our main thread, which starts and adopts them all; none where the kernel does not list them."""
    try:
        return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    except OSError:
        return []
