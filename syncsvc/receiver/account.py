"""One group's account of what was emitted: what must outlive the receiver in a page, the rest for the status."""

import threading
from collections import deque

from syncsvc.clock import NS_PER_MS, NS_PER_S, Clock
from syncsvc.model import Counts, FrameBatch, FrameSet
from syncsvc.observe.figures import Figures
from syncsvc.observe.histogram import LATENCY_S, Buckets
from syncsvc.observe.status import GroupStatus
from syncsvc.plan.plans import GroupPlan
from syncsvc.receiver.promises import Promises
from syncsvc.transport.page import GroupPage

RECENT_SETS = 512


class Account:
    """Written by whoever sends a batch, one at a time, read by anyone."""

    def __init__(self, page: GroupPage, clock: Clock, promises: Promises) -> None:
        self.page, self._clock, self._promises = page, clock, promises
        self._lock = threading.Lock()
        self._attached: set[str] = set()
        self._expected: set[str] = set()
        self._batches = self._complete = self._sets = self._full_sets = 0
        self._last_end_ns = self._last_mono_ns = self._epoch = 0
        self._spreads_ns: deque[int] = deque(maxlen=RECENT_SETS)
        self._spread_sum_ns = 0
        self._latency_s = Buckets(LATENCY_S)
        self._offsets_ns: dict[str, deque[float]] = {}
        self._counts: dict[str, Counts] = {}

    plan: GroupPlan

    def begin(self, plan: GroupPlan, *, with_receiver: bool) -> None:
        """The group begins; an earlier receiver can have served it only where it begins together with ours."""
        with self._lock:
            self._keep(plan)
            self._attached = set()
            self._expected = set(plan.rules.streams) if with_receiver else set()

    def follow(self, plan: GroupPlan) -> None:
        """The group changes; streams that left it begin anew if they return."""
        with self._lock:
            self._keep(plan)
            self._attached &= set(plan.rules.streams)
            self._expected &= set(plan.rules.streams)

    def _keep(self, plan: GroupPlan) -> None:
        """Tell of the streams of this plan and of no others."""
        self.plan = plan
        self._counts = {name: self._counts.get(name, Counts()) for name in plan.rules.streams}
        self._offsets_ns = {name: self._offsets_ns.get(name, deque(maxlen=RECENT_SETS)) for name in plan.rules.streams}

    def lost_with_receiver(self, stream: str, next_seq: int) -> tuple[int, int]:
        """Frames that an earlier receiver took down with it, and those that it had said to be late, but in no batch.

        They are counted once, when the stream is first attached.
        """
        with self._lock:
            if stream in self._attached:
                return 0, 0
            self._attached.add(stream)
            entry = self.plan.entries[stream]
            if stream not in self._expected:  # what it took before it came is nobody's
                self._begin_at(entry, next_seq)
            lost = max(0, next_seq - self.page.accounted(entry))
            late = min(lost, self.page.late(entry))
            self.page.set_late(entry, late)
            return lost - late, late

    def _begin_at(self, entry: int, next_seq: int) -> None:
        self.page.account(entry, next_seq)
        self.page.set_late(entry, 0)

    def was_late(self, stream: str) -> None:
        """A frame leaves as late: the next batch counts it, or the next receiver's."""
        with self._lock:
            entry = self.plan.entries.get(stream)
            if entry is not None:
                self.page.set_late(entry, self.page.late(entry) + 1)

    def joined(self, stream: str, next_seq: int) -> None:
        """A stream that already runs belongs to the group from frame ``next_seq`` on."""
        with self._lock:
            if stream not in self._attached and next_seq:
                self._attached.add(stream)
                self._begin_at(self.plan.entries[stream], next_seq)

    def before_send(self, batch: FrameBatch, latency_ns: int | None) -> int | None:
        """Note a batch just before it leaves, so long after its window's end, so that no window is ever emitted twice.

        Returns:
            Of the first one of an epoch, where the last window that left before it ended, if any did.
        """
        is_first, self._epoch = batch.epoch != self._epoch, batch.epoch
        since_ns = self.page.emitted_end_ns if is_first else 0
        self.page.emitted_end_ns = batch.window_end_ns
        with self._lock:
            for name, counts in batch.counts.items():
                entry = self.plan.entries.get(name)
                if entry is not None:
                    self.page.account(entry, self.page.accounted(entry) + counts.captured)
                    self.page.set_late(entry, max(0, self.page.late(entry) - counts.late))
                if name in self._counts:
                    self._counts[name] += counts
            self._batches += 1
            self._complete += batch.complete
            self._sets += len(batch.sets)
            self._full_sets += sum(not some.missing for some in batch.sets)
            self._last_end_ns, self._last_mono_ns = batch.window_end_ns, self._clock.monotonic_ns()
            if latency_ns is not None:
                self._latency_s.add(latency_ns / NS_PER_S)
            for some in batch.sets:
                self._note_set(some)
        return since_ns or None

    def _note_set(self, some: FrameSet) -> None:
        self._spreads_ns.append(some.spread_ns)
        self._spread_sum_ns += some.spread_ns
        first_ns = min(frame.time_ns for frame in some.frames.values())
        middle_ns = sum(frame.time_ns - first_ns for frame in some.frames.values()) / len(some.frames)
        for name, frame in some.frames.items():
            if name in self._offsets_ns:
                self._offsets_ns[name].append(frame.time_ns - first_ns - middle_ns)

    @property
    def status(self) -> GroupStatus:
        """What the service tells of the group."""
        rules, now_ns = self.plan.rules, self._clock.monotonic_ns()
        with self._lock:
            spreads = Figures.of(self._spreads_ns)
            return GroupStatus(
                streams=rules.streams,
                batches=self._batches,
                complete_batches=self._complete,
                sets=self._sets,
                full_sets=self._full_sets,
                last_window_end_ns=self._last_end_ns,
                last_batch_age_ms=(now_ns - self._last_mono_ns) / NS_PER_MS if self._batches else None,
                window_ms=rules.window_ns / NS_PER_MS if rules.window_ns else None,
                max_skew_ms=rules.max_skew_ns / NS_PER_MS,
                max_latency_ms=rules.max_latency_ns / NS_PER_MS,
                spread_p50_ms=spreads.p50 / NS_PER_MS if spreads.count else None,
                spread_max_ms=spreads.max / NS_PER_MS if spreads.count else None,
                counts=dict(self._counts),
                promises=self._promises.status,
                spread_sum_ms=self._spread_sum_ns / NS_PER_MS,
                latency_s=self._latency_s.histogram,
                offsets_ms={name: sum(some) / len(some) / NS_PER_MS for name, some in self._offsets_ns.items() if some},
            )
