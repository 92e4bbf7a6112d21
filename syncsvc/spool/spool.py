"""The spool as the receiver runs it: an outlet that takes batches, a thread that writes them, a store that has them."""

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from syncsvc.clock import Clock
from syncsvc.lifecycle import StopToken, Worker
from syncsvc.observe.status import SpoolStatus
from syncsvc.publish.outlet import Prepared, Waits, kept
from syncsvc.spool.index import Row
from syncsvc.spool.plan import SpoolPlan
from syncsvc.spool.segments import claim
from syncsvc.spool.spool_store import SpoolStore
from syncsvc.spool.waiting import Waiting
from syncsvc.spool.writer import TOO_SLOW, SpoolWriter
from syncsvc.wire import Mark

POLL_S: Final = 0.05
END_S: Final = 2.0
_ORDER: Final = -(1 << 61)
"""What waits comes behind what is on the disk, and before what is in memory alone."""

log = logging.getLogger(__name__)


class Spool:
    """An outlet (see ``publish.outlet``) that nobody subscribes to, and the store behind it."""

    needs_copies, is_bound, subscriptions = True, False, 0

    def __init__(
        self,
        plan: SpoolPlan,
        clock: Clock,
        *,
        run_id: str,
        epoch: int,
        on_failure: Callable[[str, BaseException], None],
    ) -> None:
        """Prepare.

        Args:
            plan: where, what and how much.
            clock: for what is too old, and for the disk.
            run_id: of the daemon's run.
            epoch: of its receiver.
            on_failure: told when the thread broke.
        """
        self._folder, self._clock, self._waiting, self._lock = Path(plan.folder), clock, Waiting(), -1
        self.store = SpoolStore(self._folder, self._waiting, Mark(run_id, epoch, -1, None), plan.keep_ns, self._report)
        self._writer = SpoolWriter(self._folder, self._waiting, clock, plan, on_open=self.store.open)
        self._worker = Worker("spool", self._writer.run, on_failure)
        self._order = _ORDER
        self.follow(plan.topics)

    def _report(self, row: Row, problem: str) -> None:
        self._writer.report(row, problem)

    def follow(self, topics: Mapping[str, str]) -> None:
        """Keep these from now on."""
        self._topics = frozenset(topic.encode() for topic in topics.values())

    def claim(self) -> None:
        """Make the folder ours.

        Raises:
            BindError: it cannot be.
        """
        self._lock = claim(self._folder, self._clock)

    def start(self) -> None:
        """Write, from a thread."""
        self._worker.start()

    def status(self) -> SpoolStatus:
        """What the service tells of it."""
        return self._writer.status()

    # The outlet.

    def wants(self, topic: bytes) -> bool:
        """See ``Outlet``."""
        return topic in self._topics

    def send(self, prepared: Prepared, waits: Waits) -> None:
        """Put a batch on its way; it misses it where the disk is far behind."""
        self._order += 1
        batch = kept(prepared, self._order)
        while not self._waiting.has_room(batch) and waits():
            _pause()
        if not self._waiting.offer(batch):
            self._writer.skip(batch, TOO_SLOW)
        self.store.append(batch)

    def send_status(self, status: bytes, waits: Waits) -> None:
        """See ``Outlet``: nobody is told."""

    def end(self, status: Callable[[], bytes], waits: Waits, *, is_over: bool, linger_ms: int) -> None:
        """Write what waits."""
        self._waiting.end()
        while self._worker.is_alive and waits():
            _pause()
        if not self._worker.stop(END_S):
            log.error("spool: the disk does not keep up: %d batches are not there at the end", len(self._waiting))

    def close(self) -> None:
        """Nobody reads any more: let another service have the folder."""
        self.store.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _pause() -> None:
    StopToken().sleep(POLL_S)
