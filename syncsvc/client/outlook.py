"""Why a subscriber hears nothing: found out beside its waits and told in the log, so that nobody waits without knowing.

Nothing is asked while messages come. A question makes no subscription, and is asked in a thread of its own: no batch
waits for its answer.
"""

import logging
import math
import threading
from collections.abc import Collection
from contextlib import suppress
from typing import Final

from syncsvc.certificates import ClientKeys
from syncsvc.client.inquiry import ask_groups
from syncsvc.client.presence import Patience, look
from syncsvc.clock import NS_PER_MS, NS_PER_S, SYSTEM_CLOCK, Clock
from syncsvc.errors import NoAnswer, SubscriberClosed, SyncsvcError, UnknownGroup, UsageError
from syncsvc.transport import leasing
from syncsvc.transport.bell import Bell

FIRST_S: Final = 0.4
"""Silence at the start before somebody asks; with the question it is told within two seconds."""
LATER_S: Final = 5.0
"""Silence that is odd where messages came: a service says how it is once a second. Also between two questions."""
PATIENCE_S: Final = 1.5
ANOTHER_MS: Final = 300
"""Less time is not worth another question."""
BINDS_S: Final = 0.1
"""A service listens on this host that much after it has bound ``live``, at the most."""
NOBODY_YET: Final = "no answer in time"
"""What is wrong where there was no time to find out."""
GRACE_S: Final = 1.0
"""How much longer than it may take an answer is waited for where nothing is known: names may take long to look up."""
JOIN_S: Final = 1.0
"""The thread ends at once, unless it looks a name up."""

log = logging.getLogger(__name__)


class Outlook:
    """What one subscriber knows of its service; for the subscriber's thread."""

    def __init__(
        self,
        endpoint: str,
        groups: Collection[str] | None,
        *,
        is_local: bool,
        has_control: bool = True,
        keys: ClientKeys | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """``groups``: all that it is to have; None asks for none. ``is_local``: it is to share memory with us.

        ``has_control``: it can be asked; where it cannot, that somebody is there is all that can be found out.
        """
        self._has_control, self._keys = has_control, keys
        self._endpoint, self._groups, self._is_local, self._clock = endpoint, groups or (), is_local, clock
        self._odd_ns: dict[str | None, int] = dict.fromkeys(groups or (None,), self._after(FIRST_S))
        """From when on the silence of each group is odd; under None that of all of them."""
        self._unheard = set(self._odd_ns)
        self._bell = Bell()
        self._thread: threading.Thread | None = None
        self._heard = 0
        self._is_good = False
        self._problem: SyncsvcError | None = None
        self._told = ""
        self._again_ns = self._answer_due_ns = 0

    def _after(self, seconds: float) -> int:
        return self._clock.monotonic_ns() + round(seconds * NS_PER_S)

    @property
    def _due_ns(self) -> int:
        """When somebody is to ask: one group's silence tells nothing of the others."""
        return max(self._again_ns, min(self._odd_ns.values()))

    @property
    def _hears_all(self) -> bool:
        return not self._unheard and self._clock.monotonic_ns() < min(self._odd_ns.values())

    def hear(self, group: str) -> None:
        """Note that something of a group came for the user."""
        self._heard += 1
        key = group if self._groups else None
        self._odd_ns[key] = self._after(LATER_S)
        self._unheard.discard(key)
        if self._told and self._hears_all:
            self._told = ""
            log.info("%s: the service is there", self._endpoint)

    def look(self) -> None:
        """Note that nothing is here; when that has been so for long, somebody asks why, and tells the log."""
        if self._clock.monotonic_ns() >= self._due_ns:
            self._ask(PATIENCE_S, tells=True)

    def until_look_ms(self, timeout_ms: int | None) -> int:
        """A wait, cut short where ``look`` is due before its end."""
        due_ms = max(1, math.ceil((self._due_ns - self._clock.monotonic_ns()) / NS_PER_MS))
        return due_ms if timeout_ms is None else min(timeout_ms, due_ms)

    def forget(self) -> None:
        """What was found out before may be so no longer."""
        self._is_good, self._problem = False, None

    def is_ready(self, left_ms: int, *, is_attached: bool = True) -> bool:
        """Whether the service is there and has what was asked for; to be asked again until ``left_ms`` is 0.

        ``is_attached``: it knows of us.

        Raises:
            NoAnswer: no service is there in time, or something else is.
            UnknownGroup: it does not have the group.
            UsageError: it shares no memory with us, as mode ``local`` needs.
        """
        if self._hears_all:
            return True
        is_answer_due = self._problem is None and self._clock.monotonic_ns() < self._answer_due_ns
        if self._is_asking and (left_ms or is_answer_due):
            return False
        if self._is_good and (is_attached or left_ms):
            return is_attached
        problem = self._problem
        if problem is not None and (left_ms < ANOTHER_MS or not _may_pass(problem)):
            self._told, self._problem = str(problem), None  # what is raised holds on to its callers, us among them
            raise problem
        if not left_ms:
            raise NoAnswer(self._endpoint, NOBODY_YET)
        self._ask(min(PATIENCE_S, left_ms / 1000), tells=False)
        return False

    @property
    def _is_asking(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _ask(self, patience_s: float, *, tells: bool) -> None:
        self._again_ns = self._after(LATER_S)
        if not self._is_asking:
            self._answer_due_ns = self._after(patience_s + GRACE_S)
            arguments = (Patience(patience_s, self._bell), self._heard if tells else None)
            self._thread = threading.Thread(target=self._find_out, args=arguments, name="syncsvc-asks", daemon=True)
            self._thread.start()

    def leave(self) -> None:
        """Ask nothing any more; from any thread, without a wait."""
        self._bell.ring()

    def close(self) -> None:
        """Ask nothing any more, and wait until that is so; from any thread."""
        self.leave()
        thread = self._thread
        if thread is not None:
            thread.join(JOIN_S)

    # From the thread that asks.

    def _find_out(self, patience: Patience, heard: int | None) -> None:
        """``heard``: how many messages had come, where the log is to be told unless there is other news meanwhile."""
        problem: SyncsvcError | None = None
        with suppress(SubscriberClosed):
            try:
                self._inquire(patience)
            except (NoAnswer, UsageError) as error:
                if patience.patience_s < PATIENCE_S and not patience.left_ms():
                    return  # there was no time to find out
                problem = error.with_traceback(None)
                problem.__context__ = None
            self._problem, self._is_good = problem, problem is None
            if problem is not None and heard is not None and self._holds(problem, heard) and str(problem) != self._told:
                self._told = str(problem)
                log.warning("%s; waiting for it", problem)

    def _holds(self, problem: SyncsvcError, heard: int) -> bool:
        """Whether what came since the question does not say otherwise."""
        if isinstance(problem, UnknownGroup):
            return self._clock.monotonic_ns() >= self._odd_ns[problem.group]
        return heard == self._heard

    def _inquire(self, patience: Patience) -> None:
        if self._is_local and not self._shares_memory():
            look(self._endpoint, patience)
            patience.pause(BINDS_S)
            if not self._shares_memory():
                problem = (
                    "who is there is another user, or in another container: mode 'local' is not to be had, 'live' is"
                )
                raise UsageError(f"{self._endpoint}: {problem}")
        if not self._has_control:
            look(self._endpoint, patience, has_keys=self._keys is not None)
            return
        groups = ask_groups(self._endpoint, patience, self._keys)
        for group in self._groups:
            if group not in groups:
                raise UnknownGroup(self._endpoint, group, groups)

    def _shares_memory(self) -> bool:
        sock = leasing.connect(self._endpoint)
        if sock is not None:
            sock.close()
        return sock is not None


def _may_pass(problem: SyncsvcError) -> bool:
    """Whether waiting may help."""
    return isinstance(problem, NoAnswer) and problem.may_come
