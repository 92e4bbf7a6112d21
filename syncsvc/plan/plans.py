"""What the receiver must know of the configuration.

Nothing of pydantic is here: the receiver has no use for it, and it costs 9 MB and 0.15 s.
"""

import msgspec

from syncsvc.clock import NS_PER_MS
from syncsvc.ingest.rest import GroupPace
from syncsvc.observe.events import GroupRules
from syncsvc.wire import GroupTerms

BATCHES_PER_GROUP = 2
"""High-water mark: how far a subscriber may fall behind; each of these may be a hundred megabytes."""
SETS_PER_GROUP = 16
"""The same where a batch is one set: half a second at 25 frames/s, and less memory than two windows of a second."""


class StreamPlan(msgspec.Struct, frozen=True):
    """What the receiver must know of a stream."""

    name: str
    kind: str
    clock: str
    latency_ns: int | None
    """None where nobody knows it: the configuration says 0, its default."""
    stall_after_ns: int
    hold_ns: int
    edge_ns: int
    source: str = ""
    """Tells one source from another, without its URL: what was learnt of one camera says nothing of the next."""


class GroupPlan(msgspec.Struct, frozen=True):
    """What the receiver must know of a group: ``GroupRules``, and ``places``, the streams' entries in its page."""

    name: str
    streams: tuple[str, ...]
    window_ns: int
    max_skew_ns: int
    max_latency_ns: int
    reference: str | None
    sends_late: bool
    places: dict[str, int]

    @property
    def rules(self) -> GroupRules:
        """The same, for the aligner."""
        return GroupRules(self.streams, self.window_ns or None, self.max_skew_ns, self.max_latency_ns, self.reference)

    @property
    def backlog(self) -> int:
        """How many batches a subscriber may fall behind."""
        return BATCHES_PER_GROUP if self.window_ns else SETS_PER_GROUP

    @property
    def terms(self) -> GroupTerms:
        """What a client is told of it."""
        return GroupTerms(
            self.streams,
            self.window_ns // NS_PER_MS or None,
            self.max_skew_ns / NS_PER_MS,
            self.max_latency_ns / NS_PER_MS,
        )

    @property
    def pace(self) -> GroupPace:
        """When the group decides, for the threads of its streams."""
        return GroupPace(self.window_ns, 2 * self.max_skew_ns, self.max_latency_ns)


class ReceiverPlan(msgspec.Struct, frozen=True):
    """Everything that the receiver is told of the configuration."""

    run_id: str
    min_epoch: int
    live: str
    control: str
    wait_for: int
    is_patient: bool
    streams: dict[str, StreamPlan]
    groups: dict[str, GroupPlan]

    @property
    def backlog(self) -> int:
        """How many batches a subscriber to all groups may fall behind."""
        return sum(group.backlog for group in self.groups.values())
