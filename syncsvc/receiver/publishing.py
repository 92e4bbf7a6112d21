"""The publisher as the receiver runs it: with its outlets, their sockets, and the threads that serve them."""

from collections.abc import Callable
from contextlib import ExitStack

import zmq

from syncsvc import wire
from syncsvc.clock import Clock
from syncsvc.lifecycle import StopToken, Worker
from syncsvc.observe.status import ReceiverStatus, SpoolStatus
from syncsvc.plan.plans import ReceiverPlan
from syncsvc.publish.control import Control
from syncsvc.publish.gate import Gate
from syncsvc.publish.live import LiveOutlet
from syncsvc.publish.local import LocalOutlet
from syncsvc.publish.lossless import LosslessOutlet
from syncsvc.publish.outlet import Outlet
from syncsvc.publish.publisher import Leave, Publisher
from syncsvc.publish.store import MemoryStore
from syncsvc.spool.spool import Spool
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
        epoch: int = 0,
        hello: Callable[[], wire.HelloReply],
        status: Callable[[], ReceiverStatus],
        leave: Leave,
        backlog_of: Callable[[str], int],
        on_failure: Callable[[str, BaseException], None],
        local: type[LocalOutlet] = LocalOutlet,
    ) -> None:
        self._plan, pool = plan, BufferPool()
        self._context = zmq.Context()
        self._gate = Gate.of(self._context, plan.guard)
        history = MemoryStore(plan.history, plan.history_bytes)
        spool: Spool | None = None
        if plan.spool is not None:
            spool = Spool(plan.spool, clock, run_id=plan.run_id, epoch=epoch, on_failure=on_failure)
        self.spool = spool
        deep = None if spool is None else spool.store
        self.lossless = LosslessOutlet(clock, history, deep, is_patient=plan.is_patient)
        self._control = Control(hello, status, clock, self.lossless)
        self.local = local(plan.run_id, clock, utc.now_utc, backlog_of, is_patient=plan.is_patient)
        self._live = LiveOutlet(clock, backlog_of, pool.trim)
        outlets: tuple[Outlet, ...] = (*(() if spool is None else (spool,)), self.lossless, self.local, self._live)
        self.publisher = Publisher(
            plan.run_id, clock, utc.now_utc, outlets,
            (self._live, self._control) if self._gate is None else (self._gate, self._live, self._control),
            is_patient=plan.is_patient, leave=leave, pool=pool,
        )  # fmt: skip
        self._sending = Worker("publisher", self._send, on_failure)
        self._hearing = Worker("local", self.local.run, on_failure)

    def bind(self) -> tuple[str, str]:
        """Bind every socket; the endpoints of ``live`` and ``control``.

        Raises:
            BindError: one of them is in use, or not to be had.
        """
        with ExitStack() as failing:
            if self.spool is not None:
                self.spool.claim()
                failing.callback(self.spool.close)
            self.local.bind(self._plan.live)
            failing.callback(self.local.close)
            failing.callback(self._context.destroy, 0)
            live = self._live.bind(self._context, self._plan.live, self._plan.guests, self._gate)
            if (file := SocketFile.of(live)) is not None:
                failing.callback(file.remove)
            control = self._control.bind(self._context, self._plan.control, self._plan.guests, self._gate)
            failing.pop_all()
        self.publisher.control = control
        self.local.follow(live, control, self._plan.guests)
        return live, control

    def follow(self, plan: ReceiverPlan) -> None:
        """The configuration was read again."""
        self._live.follow(plan.guests)
        self._control.follow(plan.guests)
        if self.spool is not None and plan.spool is not None:
            self.spool.follow(plan.spool.topics)
        if self._gate is not None and plan.guard is not None:
            self._gate.follow(plan.guard)

    def spool_status(self) -> SpoolStatus:
        """How the spool does, where there is one."""
        return SpoolStatus() if self.spool is None else self.spool.status()

    def start(self) -> None:
        """Serve."""
        if self.spool is not None:
            self.spool.start()
        self._sending.start()
        self._hearing.start()

    def _send(self, stop: StopToken) -> None:
        """Send what there is, to the end; what the sockets still hold then has their linger to leave."""
        self.publisher.run(stop)
        self._control.close()
        if self._gate is not None:
            self._gate.close()
        self._context.term()

    def end(self, state: wire.State, deadline_s: float) -> None:
        """Send what is queued and the last word, as long as that may take; then every lease is void."""
        self.publisher.end(state)
        if self._sending.join(deadline_s) and self.spool is not None:
            self.spool.close()
        self._hearing.stop_token.set()
        self.local.wake_up()
        self._hearing.join(HANG_UP_S)
