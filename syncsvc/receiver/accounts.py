"""What was emitted and accounted for, group by group: it survives the receiver, and it feeds status and metrics."""

import threading
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from syncsvc.clock import NS_PER_MS, Clock
from syncsvc.model import FrameBatch
from syncsvc.observe.figures import Figures
from syncsvc.observe.status import CountsStatus, GroupStatus
from syncsvc.plan.plans import GroupPlan
from syncsvc.transport.page import GroupPage


@dataclass(slots=True)
class _Totals:
    captured: int = 0
    delivered: int = 0
    late: int = 0
    dropped: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _GroupAccount:
    plan: GroupPlan
    batches: int = 0
    complete: int = 0
    sets: int = 0
    full_sets: int = 0
    last_end_ns: int = 0
    last_mono_ns: int = 0
    spreads_ns: deque[int] = field(default_factory=lambda: deque(maxlen=512))
    streams: defaultdict[str, _Totals] = field(default_factory=lambda: defaultdict(_Totals))


class Accounts:
    """Every group's books; written by whoever sends a batch, one at a time, read by anyone."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pages: dict[str, GroupPage] = {}
        self._groups: dict[str, _GroupAccount] = {}
        self._seen: set[tuple[str, str]] = set()
        self._left: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def add_page(self, group: str, page: GroupPage) -> None:
        """The daemon's page for a group, the same across receivers and however often it is handed over."""
        if group in self._pages:
            page.close()
        else:
            self._pages[group] = page

    def plan(self, plan: GroupPlan) -> None:
        """A group begins, or changes; streams that left it begin anew if they return."""
        with self._lock:
            left = {
                (stream, group) for stream, group in self._seen if group == plan.name and stream not in plan.streams
            }
            self._seen, self._left = self._seen - left, self._left | left
            if plan.name in self._groups:
                self._groups[plan.name].plan = plan
            else:
                self._groups[plan.name] = _GroupAccount(plan)

    def emitted_end_ns(self, group: str) -> int:
        """End of the last window that any receiver of this daemon emitted."""
        return self._pages[group].emitted_end_ns

    def lost_with_receiver(self, stream: str, next_seq: int, group: str) -> int:
        """Frames that an earlier receiver took down with it; counted once, when the stream is first attached."""
        with self._lock:
            if (stream, group) in self._seen:
                return 0
            self._seen.add((stream, group))
            place, page = self._groups[group].plan.places[stream], self._pages[group]
            if (stream, group) in self._left:  # what it took while it left is nobody's
                page.account(place, next_seq)
            return max(0, next_seq - page.accounted(place))

    def joined(self, stream: str, next_seq: int, groups: Sequence[str]) -> None:
        """A stream that already runs belongs to these groups from frame ``next_seq`` on."""
        with self._lock:
            for group in groups:
                if (stream, group) not in self._seen and next_seq:
                    self._seen.add((stream, group))
                    self._pages[group].account(self._groups[group].plan.places[stream], next_seq)

    def before_send(self, batch: FrameBatch) -> None:
        """Note a batch just before it leaves, so that no window is ever emitted twice."""
        account, page = self._groups[batch.group], self._pages[batch.group]
        page.emitted_end_ns = batch.window_end_ns
        for name, counts in batch.counts.items():
            place = account.plan.places.get(name)
            if place is not None:
                page.account(place, page.accounted(place) + counts.captured)
        with self._lock:
            account.batches += 1
            account.complete += batch.complete
            account.sets += len(batch.sets)
            account.full_sets += sum(not some.missing for some in batch.sets)
            account.last_end_ns, account.last_mono_ns = batch.window_end_ns, self._clock.monotonic_ns()
            account.spreads_ns.extend(some.spread_ns for some in batch.sets)
            for name, counts in batch.counts.items():
                totals = account.streams[name]
                totals.captured += counts.captured
                totals.delivered += counts.delivered
                totals.late += counts.late
                for cause, count in counts.dropped.items():
                    totals.dropped[cause] = totals.dropped.get(cause, 0) + count

    def status(self) -> dict[str, GroupStatus]:
        """The books as the service tells of them."""
        with self._lock:
            return {name: _status(account, self._clock.monotonic_ns()) for name, account in self._groups.items()}


def _status(account: _GroupAccount, now_mono_ns: int) -> GroupStatus:
    plan, spreads = account.plan, Figures.of(account.spreads_ns)
    return GroupStatus(
        streams=plan.streams,
        batches=account.batches,
        complete_batches=account.complete,
        sets=account.sets,
        full_sets=account.full_sets,
        last_window_end_ns=account.last_end_ns,
        last_batch_age_ms=(now_mono_ns - account.last_mono_ns) / NS_PER_MS if account.batches else None,
        window_ms=plan.window_ns / NS_PER_MS or None,
        max_skew_ms=plan.max_skew_ns / NS_PER_MS,
        max_latency_ms=plan.max_latency_ns / NS_PER_MS,
        spread_p50_ms=spreads.p50 / NS_PER_MS if spreads.count else None,
        spread_max_ms=spreads.max / NS_PER_MS if spreads.count else None,
        counts={
            name: CountsStatus(totals.captured, totals.delivered, totals.late, dict(totals.dropped))
            for name, totals in account.streams.items()
        },
    )
