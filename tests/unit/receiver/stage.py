"""What groups and streams of a receiver share, with a publisher that only remembers."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast

from syncsvc import wire
from syncsvc.model import FrameBatch, LateFrame
from syncsvc.observe.events import GroupRules
from syncsvc.plan.plans import GroupPlan
from syncsvc.publish.publisher import Publisher
from syncsvc.receiver.served_group import ServedGroup, Shared
from syncsvc.testing import MS, ManualClock, S
from syncsvc.timing.utc import UtcMapper
from syncsvc.transport.page import GroupPage
from syncsvc.transport.payload import SlotPayload


class Stage:
    """A receiver's groups, without its process, sockets and streams."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.utc = UtcMapper(self.clock)
        self.failures: list[BaseException] = []
        self.groups: dict[str, ServedGroup] = {}
        self.pages: dict[str, GroupPage] = {}
        self.batches: list[FrameBatch] = []
        self.headers: list[bytes] = []
        self.late: list[LateFrame] = []
        self.early: list[Sequence[bytes]] = []
        self.is_slow = False
        """Whether what is put waits, and does not leave yet."""
        publisher = cast(Publisher, self)
        self.shared = Shared(
            "run-7", False, self.clock, self.utc, publisher, lambda name, error: self.failures.append(error)
        )

    def group(self, name: str) -> ServedGroup:
        """A group that has its page, and does not run."""
        self.pages[name] = GroupPage.create(name)
        self.groups[name] = ServedGroup(self.pages[name], self.shared)
        return self.groups[name]

    def put(self, item: FrameBatch | LateFrame) -> None:
        """Everything leaves at once, unless it is slow."""
        if isinstance(item, FrameBatch):
            self.batches.append(item)
            if not self.is_slow:
                self.let_go(item)
        else:
            self.late.append(item)

    def let_go(self, item: FrameBatch) -> None:
        """It leaves now, and somebody wants it."""
        topic = wire.batch_topic(item.group)
        self.headers.append(self.groups[item.group].leave(item, self.utc.now_utc(), {topic})[topic])

    def has_room(self) -> bool:
        """Always."""
        return True

    def take_early(self, payload: SlotPayload, topics: Sequence[bytes]) -> None:
        """Nobody wants copies."""
        self.early.append(topics)

    def of(self, group: str) -> list[FrameBatch]:
        """What one group emitted."""
        return [batch for batch in self.batches if batch.group == group]


@contextmanager
def stage() -> Iterator[Stage]:
    """Groups that still run are ended; a thread that broke fails the test."""
    one = Stage()
    try:
        yield one
    finally:
        for group in one.groups.values():
            end(group)
        for page in one.pages.values():
            page.close()
    assert not one.failures


def end(group: ServedGroup) -> None:
    """Emit what is open, and stop."""
    if group.is_running:
        group.consumer.flush()
        group.join(60)


def plan_of(name: str, streams: str, *, sends_late: bool = True) -> GroupPlan:
    """A group with windows of a second, and half a second's patience."""
    entries = {stream: entry for entry, stream in enumerate(streams)}
    return GroupPlan(name, GroupRules(tuple(streams), S, 40 * MS, 500 * MS), sends_late, entries)
