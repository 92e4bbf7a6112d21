"""The nursery, supervised: started, asked for captures, killed when it falls silent, started again."""

import logging
import os
import signal
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from random import Random
from typing import Any

from syncsvc.capture.answers import Born, Fit, FromCapture, FromNursery
from syncsvc.capture.orders import Bear, Preload
from syncsvc.clock import NS_PER_S, Clock
from syncsvc.daemon.child import Child, SpawnedChild
from syncsvc.daemon.restart import RestartPolicy
from syncsvc.daemon.selector import Listening
from syncsvc.errors import LinkClosed, TransportError
from syncsvc.lifecycle import adopt_orphans
from syncsvc.transport.channel import Channel

IMPORT_NS = 30 * NS_PER_S
"""On a machine that starts everything at once."""
FORK_S = 2.0
HEALTHY_AFTER_NS = 10 * NS_PER_S

Children = Callable[[], Sequence[Child[Any]]]

log = logging.getLogger(__name__)


class SupervisedNursery:
    """The daemon's side of the nursery, across all processes that serve as it."""

    def __init__(self, clock: Clock, random: Random, listening: Listening) -> None:
        adopt_orphans()
        self._clock, self._policy, self._listening = clock, RestartPolicy(random), listening
        self.child: Child[FromNursery] | None = None
        self._is_born = self._is_unfit = self._is_replaced = False
        self._without: frozenset[str] = frozenset()
        self.due_ns: int | None = clock.monotonic_ns()
        """When the next process is to be started (CLOCK_MONOTONIC); None while one runs."""
        self._spawned_ns = 0

    @property
    def is_ready(self) -> bool:
        """Whether captures can be started."""
        return self._is_born or self._is_unfit

    @property
    def is_due(self) -> bool:
        """Whether the next process is to be started now."""
        return self.due_ns is not None and self._clock.monotonic_ns() >= self.due_ns

    def spawn(self, kinds: Collection[str], without: frozenset[str], children: Children) -> None:
        """Start a process that imports what sources of these kinds need.

        Args:
            kinds: of the streams.
            without: variables that are not in its environment.
            children: everybody whose parent we know to be.
        """
        self.due_ns, self._spawned_ns, self._without = None, self._clock.monotonic_ns(), without
        child = self.child = SpawnedChild("syncsvc.capture.nursery", "nursery", FromNursery, without=without)
        child.channel.send(Preload(tuple(sorted(kinds))))
        self._listening.to_child(child, lambda: self._spoke(child), lambda: self._ended(child, children))

    def _spoke(self, child: Child[FromNursery]) -> None:
        try:
            word = child.channel.receive(0)
        except LinkClosed:
            self._listening.no_more_to(child)
            return
        except TransportError as error:
            log.error("the nursery is killed: %s", error)
            child.kill()
            return
        if word is not None and isinstance(word[0], Fit):
            self._is_born, self._is_unfit = word[0].is_fit, not word[0].is_fit
            if self._is_unfit:
                log.warning("a library starts threads at import: captures are not forked, but started one by one")
                child.kill()

    def bear(self, name: str) -> Child[FromCapture]:
        """Start a capture; it does nothing before its first word.

        Raises:
            LinkClosed: the nursery is gone, or cannot.
        """
        if self._is_unfit:
            return SpawnedChild("syncsvc.capture.process", name, FromCapture, without=self._without)
        if self.child is None:
            raise LinkClosed("there is no nursery")
        ours: Channel[FromCapture]
        ours, theirs = Channel.pair(FromCapture)
        try:
            self.child.channel.send(Bear(), theirs.fileno())
            word = self.child.channel.receive(FORK_S)
            if word is None:
                self._is_born = False
                self.child.kill()
                raise LinkClosed("the nursery does not answer")
            if not isinstance(word[0], Born):
                raise LinkClosed(f"the nursery cannot fork: {word[0]}")
            return Child(name, word[0].pid, ours)
        except TransportError:
            ours.close()
            raise
        finally:
            theirs.close()

    def hide(self, without: frozenset[str]) -> None:
        """These variables may hold passwords now: a process that has others of them is replaced."""
        is_news, self._without = not without <= self._without, without
        if is_news and self.child is not None:
            self._is_replaced, self._is_born = True, False
            self.child.kill()

    def watch(self) -> None:
        """Kill it when its imports do not end."""
        if self.child is not None and not self.is_ready and self._clock.monotonic_ns() > self._spawned_ns + IMPORT_NS:
            log.error("the nursery is killed: it was not ready in time")
            self.child.kill()

    def _ended(self, child: Child[FromNursery], children: Children) -> None:
        """The process is over: plan the next one, and end the captures that it left to us without a word."""
        self._listening.reap(child)
        self.child, self._is_born = None, False
        known = {other.pid for other in children()}
        for pid in [pid for pid in _children() if pid not in known]:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        now_ns = self._clock.monotonic_ns()
        if self._is_unfit:
            return
        if self._is_replaced:
            self._is_replaced, self.due_ns = False, now_ns
            return
        if now_ns - self._spawned_ns > HEALTHY_AFTER_NS:
            self._policy.was_healthy()
        self.due_ns = now_ns + round(self._policy.pause_after_failure() * NS_PER_S)
        log.error("the nursery ended: captures that run go on, the next ones wait for another")


def _children() -> list[int]:
    """Children of our main thread, which starts and adopts them all; none where the kernel does not list them."""
    try:
        return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    except OSError:
        return []
