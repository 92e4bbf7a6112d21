"""Who is served: groups and streams, each its own owner, which come, go and change as the plan says."""

import logging
from collections.abc import Mapping

from syncsvc.lifecycle import Worker
from syncsvc.observe.status import GroupStatus, IngestStatus
from syncsvc.plan.plans import GroupPlan, ReceiverPlan
from syncsvc.receiver.served_group import ServedGroup, Shared
from syncsvc.receiver.served_stream import ServedStream
from syncsvc.transport.page import GroupPage

DRAIN_S = 4.0
MOVE_S = 1.0

log = logging.getLogger(__name__)


class Served:
    """The receiver's groups and streams; its main thread tells them, anyone may look."""

    def __init__(self, groups: dict[str, ServedGroup], shared: Shared) -> None:
        """Keep the groups in ``groups``: those that run, and those that once did or will."""
        self.groups, self._shared = groups, shared
        self.streams: dict[str, ServedStream] = {}
        self._leaving: list[Worker] = []
        self._plans: Mapping[str, GroupPlan] = {}

    @property
    def running(self) -> list[ServedGroup]:
        """The groups that take frames."""
        return [group for group in tuple(self.groups.values()) if group.is_running]

    def keep_page(self, group: str, fd: int) -> None:
        """The daemon's page for a group: the same across receivers, and however often it is handed over."""
        page = GroupPage(fd)
        if group in self.groups:
            page.close()
        else:
            self.groups[group] = ServedGroup(page, self._shared)

    def follow(self, plan: ReceiverPlan, epoch: int, ready_ns: int | None = None) -> None:
        """Make groups and streams what the plan says; those that did not change go on untouched.

        Streams leave a group before it is flushed, so that no frame goes into one that is closed. ``epoch`` and
        ``ready_ns`` are those of ``ServedGroup.follow``.
        """
        leaving = [group for group in self.running if group.plan.name not in plan.groups]
        for name, group_plan in plan.groups.items():
            self.groups[name].follow(group_plan, epoch, ready_ns)
        self._plans, moves = plan.groups, []
        for name in [name for name in self.streams if name not in plan.streams]:
            stream = self.streams.pop(name)
            moves.append(stream.leave())
            self._leaving = [*(worker for worker in self._leaving if worker.is_alive), stream.worker]
        for name, stream_plan in plan.streams.items():
            if name not in self.streams:
                self.streams[name] = ServedStream(stream_plan, self._shared)
            groups = [self.groups[group] for group, its in plan.groups.items() if name in its.rules.streams]
            moves.append(self.streams[name].follow(stream_plan, groups))
        for is_taken in moves:
            is_taken.wait(MOVE_S)
        for group in leaving:
            group.consumer.flush()
            group.join(DRAIN_S)

    def finish(self, deadline_s: float) -> None:
        """Read every pipe to its end, and emit what is open; the last batches may take so long to be taken."""
        for worker in (reading := [*self._leaving, *(stream.worker for stream in self.streams.values())]):
            worker.stop_token.set()
        for worker in reading:
            if not worker.join(DRAIN_S):
                log.warning("%s did not come to the end of its pipe", worker.name)
        for group in (ending := self.running):
            group.consumer.flush()
        for group in ending:
            group.join(deadline_s)

    @property
    def stream_status(self) -> dict[str, IngestStatus]:
        """What the service tells of each stream."""
        return {name: stream.status for name, stream in tuple(self.streams.items())}

    @property
    def group_status(self) -> dict[str, GroupStatus]:
        """What the service tells of each group of the plan."""
        return {name: self.groups[name].account.status for name in self._plans}
