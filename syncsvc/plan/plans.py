"""What the receiver must know of the configuration.

Nothing of pydantic is here: the receiver has no use for it, and it costs 9 MB and 0.15 s.
"""

import msgspec

from syncsvc.certificates import Guard
from syncsvc.clock import NS_PER_MS
from syncsvc.observe.events import GroupRules
from syncsvc.observe.records import StreamSettings
from syncsvc.spool.plan import SpoolPlan
from syncsvc.wire import Carries, GroupTerms


class StreamPlan(StreamSettings, frozen=True, kw_only=True):
    """What the receiver must know of a stream: its settings, ``latency_ns`` None where nobody knows it."""

    name: str
    source: str = ""
    """Tells one source from another, without its URL: what was learnt of one camera says nothing of the next."""

    @property
    def settings(self) -> StreamSettings:
        """Those that explain its stamps."""
        return msgspec.convert(self, StreamSettings, from_attributes=True)


class GroupPlan(msgspec.Struct, frozen=True):
    """What the receiver must know of a group; ``entries`` are the streams' in its page."""

    name: str
    rules: GroupRules
    sends_late: bool
    entries: dict[str, int]
    carries: dict[str, Carries] = {}
    """Of each stream."""

    @property
    def terms(self) -> GroupTerms:
        """What a client is told of it."""
        rules = self.rules
        window_ms = rules.window_ns // NS_PER_MS if rules.window_ns else None
        skew_ms, latency_ms = rules.max_skew_ns / NS_PER_MS, rules.max_latency_ns / NS_PER_MS
        return GroupTerms(rules.streams, window_ms, skew_ms, latency_ms, self.carries)


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
    guests: int = 1024
    """How many may be connected to each of its sockets."""
    history: int = 8
    """How many batches per group and kind of payload are kept for lossless subscribers."""
    history_bytes: int = 512 << 20
    """And how many bytes of them."""
    spool: SpoolPlan | None = None
    """Where batches of coded pictures lie on the disk, if they do."""
    guard: Guard | None = None
    """Keys, and who may connect over TCP; None: there are none."""
