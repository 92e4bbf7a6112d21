"""One stream as the receiver serves it: its thread, and the groups that it belongs to."""

import logging
import threading
from collections.abc import Callable, Sequence

from syncsvc.ingest.rest import Rest
from syncsvc.ingest.tally import losses_line
from syncsvc.ingest.worker import StreamIngest, Tuning
from syncsvc.lifecycle import Worker
from syncsvc.observe.status import IngestStatus
from syncsvc.plan.plans import StreamPlan
from syncsvc.publish.leases import held_ns_of
from syncsvc.receiver.served_group import ServedGroup, Shared
from syncsvc.timing.ladder import StreamClock, rungs_for
from syncsvc.transport.link import LinkReader

log = logging.getLogger(__name__)


class ServedStream:
    """A stream, from its first plan until its thread has read everything; the receiver's main thread tells it."""

    def __init__(self, plan: StreamPlan, shared: Shared) -> None:
        """Start its thread; it belongs to no group yet."""
        self._shared, self._name = shared, plan.name
        self._groups: Sequence[ServedGroup] = ()
        self._topics: tuple[bytes, ...] = ()
        self._asked_ns = 0
        tuning = self._tuning(plan)
        utc = shared.utc.to_utc
        self._ingest = StreamIngest(
            plan.name,
            StreamClock(tuning.make_rungs, hold_ns=plan.hold_ns, edge_ns=plan.edge_ns, to_utc=utc, source=plan.source),
            shared.clock,
            utc,
            stall_after_ns=plan.stall_after_ns,
            is_patient=shared.is_patient,
            take_pixels=lambda payload: shared.publisher.take_early(payload, self._topics),
            note=shared.log.note if shared.log is not None else None,
        )
        self.worker = Worker(f"ingest-{plan.name}", self._ingest.run, shared.on_failure).start()

    @property
    def status(self) -> IngestStatus:
        """What the service tells of it."""
        return self._ingest.status()

    def follow(self, plan: StreamPlan, groups: Sequence[ServedGroup]) -> threading.Event:
        """Hand its frames to these groups, which run, and be stamped as the plan says; set when it does."""
        self._groups, self._topics = groups, tuple(group.topic for group in groups)
        accounts = [group.account for group in groups]

        def joined(stream: str, next_seq: int) -> None:
            for account in accounts:
                account.joined(stream, next_seq)

        return self._ingest.rewire([group.consumer for group in groups], joined, self._tuning(plan))

    def leave(self) -> threading.Event:
        """Belong to no group any more, and end when everything is read; set when no group gets frames."""
        self._groups, self._topics = (), ()
        is_taken = self._ingest.rewire((), lambda *_: None)
        self.worker.stop_token.set()
        return is_taken

    def attach(self, link: LinkReader, next_seq: int) -> None:
        """A capture begins, with frame ``next_seq``."""
        lost = max((group.attached(self._name, next_seq) for group in self._groups), default=0)
        if lost:
            log.warning("stream %s: %s", self._name, losses_line({"receiver_died": lost}))
        self._ingest.attach(link, next_seq)

    def suffer(self, problem: str) -> None:
        """A capture of it cannot be heard, and why."""
        self._ingest.tally.problem = problem

    def detach(self, next_seq: int, *, is_over: bool = False) -> None:
        """Its capture is gone, having taken the frames before ``next_seq``, and with ``is_over`` for good."""
        self._ingest.detach(next_seq, is_over=is_over)

    def longer_ns(self, is_leased: Callable[[bytes], bool]) -> int | None:
        """How much longer its frames are held than their batch, for subscribers on this host; None if told before."""
        windows_ns = [group.plan.rules.window_ns or 0 for group in self._groups if is_leased(group.topic)]
        span_ns = held_ns_of(max(windows_ns)) if windows_ns else 0
        if span_ns <= self._asked_ns:
            return None
        self._asked_ns = span_ns
        return span_ns

    def _tuning(self, plan: StreamPlan) -> Tuning:
        shared = self._shared
        return Tuning(
            lambda: rungs_for(plan.clock, plan.kind, plan.latency_ns, shared.utc.to_utc),
            plan.hold_ns,
            plan.edge_ns,
            plan.stall_after_ns,
            Rest([group.plan.rules for group in self._groups], is_patient=shared.is_patient),
            plan.source,
        )
