"""What the daemon tells its children, as plain typed maps: nothing else of the configuration reaches them."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from math import lcm
from typing import TYPE_CHECKING, Any

import msgspec

from syncsvc.align.batches import GroupRules
from syncsvc.capture.spec import CaptureSpec, RingPlan
from syncsvc.clock import NS_PER_MS, NS_PER_S
from syncsvc.ingest.rest import Pace
from syncsvc.publish.leases import lent_ns

if TYPE_CHECKING:  # the receiver reads this file too, and has no use for pydantic, which costs it 9 MB and 0.15 s
    from syncsvc.config.models import Config, Group, Stream


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
        return GroupRules(
            self.name, self.streams, self.window_ns, self.max_skew_ns, self.max_latency_ns, self.reference
        )

    @property
    def backlog(self) -> int:
        """How many batches a subscriber may fall behind."""
        return BATCHES_PER_GROUP if self.window_ns else SETS_PER_GROUP

    def describe(self) -> dict[str, Any]:
        """What a client is told of it."""
        return {
            "streams": list(self.streams),
            "window_ms": self.window_ns // NS_PER_MS or None,
            "max_skew_ms": self.max_skew_ns / NS_PER_MS,
            "max_latency_ms": self.max_latency_ns / NS_PER_MS,
        }

    @property
    def pace(self) -> Pace:
        """When the group decides, for the threads of its streams."""
        return Pace(self.window_ns, 2 * self.max_skew_ns, self.max_latency_ns)


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
    def backlogs(self) -> dict[str, int]:
        """How many batches of each group a subscriber may fall behind."""
        return {name: group.backlog for name, group in self.groups.items()}


BATCHES_PER_GROUP = 2
"""High-water mark: how far a subscriber may fall behind; each of these may be a hundred megabytes."""
SETS_PER_GROUP = 16
"""The same where a batch is one set: half a second at 25 frames/s, and less memory than two windows of a second."""
HOLD_MARGIN_NS = 150 * NS_PER_MS
"""Frames held for a better stamp are let go this much before the budget ends, so that they are never late for it."""
EDGE_MS = 1000
"""Where a group has no windows, clocks change and recordings begin on the edges of these."""


def is_patient(config: "Config") -> bool:
    """Whether the daemon plays recordings ``asap``: then nothing has a deadline and nothing is dropped."""
    return any(stream.kind == "file" and stream.pace == "asap" for stream in config.streams.values())


def group_plan(name: str, group: "Group", places: Mapping[str, int]) -> GroupPlan:
    """Plan of one group."""
    return GroupPlan(
        name,
        tuple(group.streams),
        (group.window_ms or 0) * NS_PER_MS,
        round(group.max_skew_ms * NS_PER_MS),
        round(group.max_latency_ms * NS_PER_MS),
        group.reference,
        group.late == "topic",
        dict(places),
    )


def stream_plan(name: str, stream: "Stream", config: "Config") -> StreamPlan:
    """Plan of one stream, as the groups that it belongs to need it."""
    groups = [group for group in config.groups.values() if name in group.streams]
    budget_ms = min((group.max_latency_ms for group in groups), default=0)
    return StreamPlan(
        name,
        stream.kind,
        stream.clock,
        round(stream.latency_ms * NS_PER_MS) or None,
        stream.stall_after_ms * NS_PER_MS,
        max(0, round(budget_ms * NS_PER_MS) - HOLD_MARGIN_NS),
        max((group.window_ms or EDGE_MS for group in groups), default=EDGE_MS) * NS_PER_MS,
        hashlib.sha256(stream.url.encode()).hexdigest()[:16],
    )


def receiver_plan(
    config: "Config",
    places: Callable[[str, Sequence[str]], Mapping[str, int]],
    *,
    run_id: str,
    min_epoch: int,
    endpoints: tuple[str, str],
) -> ReceiverPlan:
    """Plan of the receiver.

    Args:
        config: what the file says.
        places: gives the places of a group's streams in its page.
        run_id: of the daemon.
        min_epoch: least number that the receiver's epoch may have.
        endpoints: ``live`` and ``control``; after the first start with the ports that were taken.
    """
    return ReceiverPlan(
        run_id,
        min_epoch,
        *endpoints,
        config.publish.wait_for,
        is_patient(config),
        {name: stream_plan(name, stream, config) for name, stream in config.streams.items()},
        {name: group_plan(name, group, places(name, group.streams)) for name, group in config.groups.items()},
    )


def ring_plan(name: str, config: "Config") -> RingPlan:
    """How long frames of a stream may have to wait in its ring: the longest that a group of it asks for.

    Subscribers on this host may ask for as much more as the longest window brings with it.
    """
    groups = [group for group in config.groups.values() if name in group.streams]
    span_ms = max(
        ((group.window_ms or 0) + group.max_latency_ms + 2 * group.max_skew_ms for group in groups), default=0
    )
    span_ns = round((span_ms + 250) * NS_PER_MS)
    window_ms = max((group.window_ms or 0 for group in groups), default=0)
    return RingPlan(span_ns, span_ns + lent_ns(window_ms * NS_PER_MS))


def capture_spec(name: str, stream: "Stream", config: "Config") -> CaptureSpec:
    """What one capture process is told; the URL travels here, never on a command line."""
    options: dict[str, Any] = {}
    match stream.kind:
        case "rtsp":
            options = {"transport": stream.transport}
        case "file":
            options = {
                "path": str(stream.path),
                "pace": stream.pace,
                "loop": stream.loop,
                "timestamps": str(stream.timestamps) if stream.timestamps else None,
            }
        case "v4l2" | "synthetic":
            options = stream.model_dump(mode="json")
    return CaptureSpec(
        name=name,
        kind=stream.kind,
        url=stream.url,
        pixels=stream.pixels,
        size=stream.size,
        ring=ring_plan(name, config),
        options=options,
        **({"quality": stream.quality} if stream.quality is not None else {}),
    )


def window_lcm_ns(config: "Config") -> int:
    """A span after which the edges of every group's windows meet; the longest window where that is over a minute."""
    windows = [(group.window_ms or EDGE_MS) * NS_PER_MS for group in config.groups.values()]
    common = lcm(*windows)
    return common if common <= 60 * NS_PER_S else max(windows)
