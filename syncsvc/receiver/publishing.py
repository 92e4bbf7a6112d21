"""The publisher as the receiver runs it: with its outlets, their sockets, and the threads that serve them."""

from collections.abc import Callable
from contextlib import ExitStack

import zmq

from syncsvc import wire
from syncsvc.clock import Clock
from syncsvc.lifecycle import StopToken, Worker
from syncsvc.observe.status import ReceiverStatus
from syncsvc.plan.plans import ReceiverPlan
from syncsvc.publish.control import Control
from syncsvc.publish.live import LiveOutlet
from syncsvc.publish.local import LocalOutlet
from syncsvc.publish.lossless import LosslessOutlet
from syncsvc.publish.publisher import Leave, Publisher
from syncsvc.publish.store import MemoryStore
from syncsvc.timing.utc import UtcMapper
from syncsvc.transport.payload import BufferPool
from syncsvc.transport.socket_files import SocketFile

HANG_UP_S = 4.0


class Publishing:
    """Bound, started and ended once, by the receiver's main thread."""

    def __init__(
        self,
        plan: ReceiverPlan,
        clock: Clock,
        utc: UtcMapper,
        *,
        hello: Callable[[], wire.HelloReply],
        status: Callable[[], ReceiverStatus],
        leave: Leave,
        backlog_of: Callable[[str], int],
        on_failure: Callable[[str, BaseException], None],
        local: type[LocalOutlet] = LocalOutlet,
    ) -> None:
        self._plan, pool = plan, BufferPool()
        history = MemoryStore(plan.history, plan.history_bytes)
        self.lossless = LosslessOutlet(clock, history, is_patient=plan.is_patient)
        self._control = Control(hello, status, clock, self.lossless)
        self._context = zmq.Context()
        self.local = local(plan.run_id, clock, utc.now_utc, backlog_of, is_patient=plan.is_patient)
        self._live = LiveOutlet(clock, backlog_of, pool.trim)
        self.publisher = Publisher(
            plan.run_id, clock, utc.now_utc, (self.lossless, self.local, self._live), (self._live, self._control),
            is_patient=plan.is_patient, leave=leave, pool=pool,
        )  # fmt: skip
        self._sending = Worker("publisher", self._send, on_failure)
        self._hearing = Worker("local", self.local.run, on_failure)

    def bind(self) -> tuple[str, str]:
        """Bind every socket; the endpoints of ``live`` and ``control``.

        Raises:
            BindError: one of them is in use, or not to be had.
        """
        self.local.bind(self._plan.live)
        with ExitStack() as failing:
            failing.callback(self.local.close)
            failing.callback(self._context.destroy, 0)
            live = self._live.bind(self._context, self._plan.live, self._plan.guests)
            if (file := SocketFile.of(live)) is not None:
                failing.callback(file.remove)
            control = self._control.bind(self._context, self._plan.control, self._plan.guests)
            failing.pop_all()
        self.publisher.control = control
        self.local.follow(live, control, self._plan.guests)
        return live, control

    def follow(self, plan: ReceiverPlan) -> None:
        """The configuration was read again."""
        self._live.follow(plan.guests)
        self._control.follow(plan.guests)

    def start(self) -> None:
        """Serve."""
        self._sending.start()
        self._hearing.start()

    def _send(self, stop: StopToken) -> None:
        """Send what there is, to the end; what the sockets still hold then has their linger to leave."""
        self.publisher.run(stop)
        self._control.close()
        self._context.term()

    def end(self, state: wire.State, deadline_s: float) -> None:
        """Send what is queued and the last word, as long as that may take; then every lease is void."""
        self.publisher.end(state)
        self._sending.join(deadline_s)
        self._hearing.stop_token.set()
        self.local.wake_up()
        self._hearing.join(HANG_UP_S)
