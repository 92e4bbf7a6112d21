"""One group as a replay serves it: its headers and its account, told where its batches leave."""

from collections import deque
from collections.abc import Collection, Mapping

from syncsvc.clock import NS_PER_MS, Clock
from syncsvc.layout import Layout
from syncsvc.model import FrameBatch
from syncsvc.observe.events import GroupRules
from syncsvc.observe.status import GroupStatus
from syncsvc.plan.plans import GroupPlan
from syncsvc.publish.backlog import Backlog
from syncsvc.publish.headers import GroupHeaders
from syncsvc.receiver.account import Account
from syncsvc.receiver.promises import Promises
from syncsvc.transport.page import GroupPage
from syncsvc.wire import GroupTerms

Looks = tuple[Mapping[str, Layout], Mapping[str, str]]
"""Layouts and clocks of streams, as a recorded header has them."""


def plan_of(name: str, terms: GroupTerms) -> GroupPlan:
    """A group by what was promised of it."""
    window_ns = terms.window_ms * NS_PER_MS if terms.window_ms is not None else None
    skew_ns, latency_ns = round(terms.max_skew_ms * NS_PER_MS), round(terms.max_latency_ms * NS_PER_MS)
    rules = GroupRules(terms.streams, window_ns, skew_ns, latency_ns)
    return GroupPlan(name, rules, True, {stream: entry for entry, stream in enumerate(terms.streams)})


class ReplayedGroup:
    """``expect`` before a batch is handed to the publisher, ``leave`` when that sends it, in the same order."""

    def __init__(self, plan: GroupPlan, run_id: str, clock: Clock) -> None:
        promises = Promises(is_patient=True)  # what was late in the live run is in its headers
        promises.follow(plan.name, plan.rules, clock.utc_ns())
        self._page = GroupPage.create(plan.name)
        self._account = Account(self._page, clock, promises)
        self._account.begin(plan, with_receiver=True)
        self._headers, self.backlog = GroupHeaders(run_id), Backlog()
        self.backlog.follow(plan.rules.max_latency_ns, plan.rules.window_ns)
        self._looks: deque[Looks] = deque()

    def expect(self, looks: Looks) -> None:
        """The next batch says this of its streams."""
        self._looks.append(looks)

    def leave(self, batch: FrameBatch, emitted_ns: int, wanted: Collection[bytes]) -> Mapping[bytes, bytes]:
        """A batch leaves now: its header under each topic that somebody wants."""
        since_ns = self._account.before_send(batch, emitted_ns - batch.window_end_ns)
        self.backlog.note(batch.window_end_ns)
        self._headers.know(*self._looks.popleft())
        return self._headers.of(batch, emitted_ns, wanted, late_ns=batch.late_ns, since_ns=since_ns)

    @property
    def status(self) -> GroupStatus:
        """What is told of it."""
        return self._account.status

    def close(self) -> None:
        """Let go of its page."""
        self._page.close()
