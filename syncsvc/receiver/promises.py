"""Whether a group keeps its two promises, looked at where its batches leave: when they do, and how wide a set is."""

import logging
import threading
from collections.abc import Sequence

from syncsvc.align.deadline import deadline_of
from syncsvc.clock import NS_PER_MS, NS_PER_S
from syncsvc.model import FrameBatch
from syncsvc.observe.events import GroupRules
from syncsvc.observe.histogram import LATENESS_S, Buckets
from syncsvc.observe.pace import Pace
from syncsvc.observe.status import PromisesStatus

log = logging.getLogger(__name__)

UNNOTICED_NS = 20 * NS_PER_MS
"""Who waits for a deadline wakes up after it, and sends after that: less than so much is not told of as a breach."""


class Promises:
    """One group's; told by whoever sends, one batch at a time, asked by anyone."""

    def __init__(self, *, is_patient: bool = False) -> None:
        """Where it is patient (pace ``asap``) nothing has a deadline; a set is as narrow as ever."""
        self._is_patient, self._group = is_patient, ""
        self._rules: GroupRules | None = None
        self._former: GroupRules | None = None
        self._since_ns = 0
        self._until: tuple[int, int] | None = None
        self._jumped_ns: dict[int, int] = {}
        self._lock = threading.Lock()
        self._pace = Pace()
        self._untold_late: list[int] = []
        self._untold_wide: list[int] = []
        self._late_batches = self._wide_sets = self._late_max_ns = 0
        self._lateness_s = Buckets(LATENESS_S)

    def follow(self, group: str, rules: GroupRules, now_ns: int) -> None:
        """The group promises this, now in UTC; what it has begun until then may still leave by what it promised."""
        self._group, self._former, self._rules, self._since_ns = group, self._rules or rules, rules, now_ns
        self._until = None

    def adopted(self, epoch: int, seq: int) -> None:
        """The group pairs by what it was told to follow; this batch, its next, may yet bring a set from before."""
        self._until = epoch, seq

    def begin_epoch(self, epoch: int, jumped_ns: int) -> None:
        """An epoch begins, when the host's clock has jumped by so much in all."""
        self._jumped_ns = {**self._jumped_ns, epoch: jumped_ns}

    def judge(self, batch: FrameBatch, emitted_ns: int, jumped_ns: int) -> int:
        """A batch leaves: how much later than its deadline, in nanoseconds; 0 when it is in time, or has none.

        Args:
            batch: of the group.
            emitted_ns: when it leaves, UTC.
            jumped_ns: by how much the host's clock has jumped in all: what is of an epoch before a jump had a deadline
                by the clock before it.
        """
        rules, former = self._rules, self._former
        assert rules is not None, "it promises something before it sends anything"
        assert former is not None, "the same"
        skew_ns, until = rules.max_skew_ns, self._until
        if until is None or (batch.epoch, batch.seq) <= until:
            skew_ns = max(skew_ns, former.max_skew_ns)
        wide_ns = [one.spread_ns for one in batch.sets if one.spread_ns > skew_ns]
        late_ns = 0
        if not self._is_patient:
            late_ns = emitted_ns - (jumped_ns - self._jumped_ns.get(batch.epoch, jumped_ns)) - deadline_of(batch, rules)
            if batch.window_start_ns <= self._since_ns:
                late_ns -= max(0, former.max_latency_ns - rules.max_latency_ns)
            late_ns = max(0, late_ns)
        with self._lock:
            self._wide_sets += len(wide_ns)
            self._untold_wide += wide_ns
            if not self._is_patient:
                self._count_late(late_ns)
        return late_ns

    def _count_late(self, late_ns: int) -> None:
        self._lateness_s.add(late_ns / NS_PER_S)
        self._late_max_ns = max(self._late_max_ns, late_ns)
        if late_ns > UNNOTICED_NS:
            self._late_batches += 1
            self._untold_late.append(late_ns)

    def tell(self, now_ns: int | None = None) -> None:
        """Say what was not kept, if that is due now (monotonic); without a time, whatever was not said yet."""
        with self._lock:
            late_ns, wide_ns = self._untold_late, self._untold_wide
            if not (late_ns or wide_ns) or (now_ns is not None and not self._pace.allows(now_ns)):
                return
            self._untold_late, self._untold_wide = [], []
        if late_ns:
            log.warning("group %s: %s left later than max_latency_ms allows, by up to %.0f ms", self._group,
                        _number(late_ns, "batch", "batches"), max(late_ns) / NS_PER_MS)  # fmt: skip
        if wide_ns:
            log.error("group %s: %s wider than max_skew_ms, up to %.3f ms: that is a fault of the service", self._group,
                      _number(wide_ns, "set left", "sets left"), max(wide_ns) / NS_PER_MS)  # fmt: skip

    @property
    def status(self) -> PromisesStatus:
        """What the service tells of it."""
        with self._lock:
            late_max_ms, lateness = self._late_max_ns / NS_PER_MS, self._lateness_s.histogram
            return PromisesStatus(self._late_batches, late_max_ms, self._wide_sets, lateness)


def _number(of: Sequence[int], one: str, more: str) -> str:
    return f"1 {one}" if len(of) == 1 else f"{len(of)} {more}"
