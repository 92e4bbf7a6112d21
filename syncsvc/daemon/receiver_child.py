"""The receiver process, supervised: it reports twice a second, and is killed when it falls silent."""

from collections.abc import Callable
from typing import Literal

from syncsvc.clock import NS_PER_S
from syncsvc.daemon.child import SpawnedChild
from syncsvc.daemon.supervisor import Supervised, Supervisor
from syncsvc.lifecycle import START_NS
from syncsvc.observe.status import ReceiverStatus
from syncsvc.plan.from_receiver import FromReceiver, Report
from syncsvc.plan.plans import ReceiverPlan
from syncsvc.plan.to_receiver import Finish, Serve, ToReceiver

SILENCE_S = 5.0


class SupervisedReceiver(Supervised[FromReceiver, ToReceiver]):
    """The daemon's side of the receiver, across all processes that serve as it."""

    def __init__(
        self, supervisor: Supervisor, on_message: Callable[[FromReceiver], None], on_end: Callable[[int], None]
    ) -> None:
        """Be due; the callbacks get every message but reports, and exit codes."""
        super().__init__("the receiver", supervisor)
        self._on_message, self._on_end = on_message, on_end
        self._heard_ns = 0
        self._has_spoken = False
        self.is_ready = self.is_finishing = False
        self.min_epoch = 0
        self.report: ReceiverStatus | None = None
        """The last one; of one process or of the one before it."""

    def spawn(self, plan: ReceiverPlan, without: frozenset[str], *log: int) -> None:
        """Start a process, without these variables in its environment; tell it the plan, and hand over the log."""
        self.is_ready = self._has_spoken = False
        if self._start(lambda: SpawnedChild("syncsvc.receiver.process", "receiver", FromReceiver, without=without)):
            self.send(Serve(plan, is_logged=bool(log)), *log)

    def finish(self, how: Literal["ended", "draining"]) -> None:
        """Let it emit what is open, and end."""
        self.is_finishing = True
        self.send(Finish(how))

    def handle(self, message: FromReceiver) -> None:
        """Keep reports, and pass on what else it says."""
        self._heard_ns, self._has_spoken = self._clock.monotonic_ns(), True
        if isinstance(message, Report):
            self.report = message.report
            self.min_epoch = max(self.min_epoch, message.report.epoch + 1)
        else:
            self._on_message(message)

    def complaint(self) -> str | None:
        """Its silence, which counts from its first word: until then it may import."""
        if not self._has_spoken:
            is_late = self._clock.monotonic_ns() > self._spawned_ns + START_NS
            return "it was not ready in time" if is_late else None
        silent_s = (self._clock.monotonic_ns() - self._heard_ns) / NS_PER_S
        return None if self.is_finishing or silent_s <= SILENCE_S else f"no word for {silent_s:.1f} s"

    def ended(self, code: int) -> None:
        """The process is over: the next one begins a new epoch."""
        self.is_ready = False
        self.min_epoch += 1
        super().ended(code)
        self._on_end(code)
