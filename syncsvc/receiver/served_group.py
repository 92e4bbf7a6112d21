"""One group as the receiver serves it: all that is known of it in one place, so that it comes and goes by itself."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from syncsvc import wire
from syncsvc.align.group import Group, GroupOutput, first_window
from syncsvc.clock import Clock
from syncsvc.lifecycle import Worker
from syncsvc.model import Frame, FrameBatch, LateFrame
from syncsvc.observe.events import Belated, Drop, Open, Reconfigure
from syncsvc.plan.plans import GroupPlan
from syncsvc.publish.backlog import Backlog
from syncsvc.publish.headers import GroupHeaders
from syncsvc.publish.publisher import Publisher
from syncsvc.receiver.account import Account
from syncsvc.receiver.observation_log import ObservationLog
from syncsvc.receiver.promises import Promises
from syncsvc.timing.utc import UtcMapper
from syncsvc.transport.page import GroupPage


@dataclass(frozen=True, slots=True)
class Shared:
    """What all groups and streams of one receiver use."""

    run_id: str
    is_patient: bool
    clock: Clock
    utc: UtcMapper
    publisher: Publisher
    on_failure: Callable[[str, BaseException], None]
    """Told of a thread that broke."""
    log: ObservationLog | None = None


class ServedGroup:
    """A group, from its page on: while it runs, and when it is over, what it must know when it begins again."""

    def __init__(self, page: GroupPage, shared: Shared) -> None:
        self._shared, self.promises = shared, Promises(is_patient=shared.is_patient)
        self._headers = GroupHeaders(shared.run_id)
        self.account = Account(page, shared.clock, self.promises)
        self.backlog = Backlog()
        self._epoch = self._next_seq = self._emitted_end_ns = 0
        self._running: tuple[Group, Worker] | None = None

    @property
    def is_running(self) -> bool:
        """Whether it takes frames."""
        return self._running is not None

    @property
    def plan(self) -> GroupPlan:
        """What it was told last."""
        return self.account.plan

    @property
    def topic(self) -> bytes:
        """Under which its batches go."""
        return wire.batch_topic(self.plan.name)

    @property
    def consumer(self) -> Group:
        """Takes the frames of its streams, while it runs."""
        assert self._running is not None, f"group {self.plan.name} does not run"
        return self._running[0]

    # From the receiver's main thread.

    def follow(self, plan: GroupPlan, epoch: int, ready_ns: int | None = None) -> None:
        """Be what the plan says: start, or change where it differs; streams that stay lose nothing.

        ``ready_ns`` is when the service became ready, UTC: windows open from then on; None: from the present one on.
        """
        if self._running is None:
            self.account.begin(plan, with_receiver=ready_ns is not None)
            self._start(epoch, ready_ns)
        elif plan != self.plan:
            self.account.follow(plan)
            self.backlog.follow(plan.rules.max_latency_ns, plan.rules.window_ns)
            self.promises.follow(plan.name, plan.rules, self._shared.utc.now_utc())
            self.consumer.tell(Reconfigure(plan.rules))
            self.promises.adopted(self._epoch, self.consumer.seq)

    def _start(self, epoch: int, ready_ns: int | None) -> None:
        plan, shared = self.plan, self._shared
        emitted_end_ns = self._emitted_end_ns or self.account.page.emitted_end_ns  # which knows only of what has left
        now_ns = shared.utc.now_utc()
        ready_ns = now_ns if ready_ns is None else ready_ns
        number = first_window(ready_ns, emitted_end_ns, plan.rules.window_ns, now_ns)
        publisher, self._epoch = shared.publisher, epoch
        self.backlog.follow(plan.rules.max_latency_ns, plan.rules.window_ns)
        self.promises.follow(plan.name, plan.rules, now_ns)
        self.promises.adopted(epoch, self._next_seq)
        self.promises.begin_epoch(epoch, shared.utc.jumped_ns)
        output = GroupOutput(
            self._emit, self._late, publisher.has_room, shared.log.note if shared.log is not None else None
        )
        opening = Open(plan.rules, epoch, number, self._next_seq, shared.is_patient)
        group = Group(plan.name, opening, shared.utc, output)
        self._running = group, Worker(f"align-{plan.name}", group.run, shared.on_failure).start()

    def join(self, deadline_s: float) -> None:
        """It was flushed: wait until what was open is emitted; it may start again."""
        assert self._running is not None, f"group {self.plan.name} does not run"
        group, worker = self._running
        worker.join(deadline_s)
        self._running, self._next_seq = None, group.seq

    def jump(self, epoch: int) -> None:
        """The host's clock jumped."""
        self._epoch = epoch
        self.promises.begin_epoch(epoch, self._shared.utc.jumped_ns)
        self.consumer.jump(epoch)

    def attached(self, stream: str, next_seq: int) -> int:
        """A capture of one of its streams begins with this frame; returns how many an earlier receiver lost."""
        lost, late = self.account.lost_with_receiver(stream, next_seq)
        if late:
            self.consumer.tell(Belated(stream, late))
        if lost:
            self.consumer.tell(Drop(stream, "receiver_died", lost))
        return lost

    # From whoever sends.

    def leave(self, batch: FrameBatch, emitted_ns: int, wanted: Collection[bytes]) -> Mapping[bytes, bytes]:
        """A batch leaves now: note it; its header under each topic that somebody wants."""
        shared = self._shared
        late_ns = self.promises.judge(batch, emitted_ns, shared.utc.jumped_ns)
        since_ns = self.account.before_send(batch, None if shared.is_patient else emitted_ns - batch.window_end_ns)
        self.backlog.note(batch.window_end_ns)
        if shared.log is not None:
            shared.log.sent(batch, emitted_ns, late_ns, since_ns)
        return self._headers.of(batch, emitted_ns, wanted, late_ns=late_ns, since_ns=since_ns)

    def _emit(self, batch: FrameBatch) -> None:
        self._emitted_end_ns = batch.window_end_ns
        self._shared.publisher.put(batch)

    def _late(self, frame: Frame, seq: int, window: tuple[int, int]) -> None:
        self.account.was_late(frame.stream)
        if self.plan.sends_late:
            self._shared.publisher.put(LateFrame(self.plan.name, seq, self._epoch, *window, frame))
        else:
            frame.payload.release()
