"""From the configuration to what the children are told: nothing else of it reaches them."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from math import lcm
from typing import Any

from syncsvc.capture.spec import AnySpec, FileSpec, HttpSpec, RingPlan, RtspSpec, SyntheticSpec, V4l2Spec
from syncsvc.clock import NS_PER_MS, NS_PER_S
from syncsvc.config.models import (
    Config,
    FileStream,
    GroupConfig,
    HttpStream,
    NetworkKeys,
    RtspStream,
    Stream,
    SyntheticStream,
    V4l2Stream,
)
from syncsvc.config.streamurl import without_ours
from syncsvc.config.urls import with_plain_scheme
from syncsvc.observe.events import GroupRules
from syncsvc.observe.status import GroupStatus
from syncsvc.plan.plans import GroupPlan, ReceiverPlan, StreamPlan
from syncsvc.publish.leases import held_ns_of
from syncsvc.spool.plan import SpoolPlan
from syncsvc.wire import Carries

HOLD_MARGIN_NS = 150 * NS_PER_MS
"""Frames held for a better stamp are let go this much before the budget ends, so that they are never late for it."""
EDGE_MS = 1000
"""Where a group has no windows, clocks change and recordings begin on the edges of these."""


def is_patient(config: Config) -> bool:
    """Whether the daemon plays recordings ``asap``: then nothing has a deadline and nothing is dropped."""
    return any(stream.kind == "file" and stream.pace == "asap" for stream in config.streams.values())


def _rules(group: GroupConfig) -> GroupRules:
    return GroupRules(
        tuple(group.streams),
        group.window_ms * NS_PER_MS if group.window_ms is not None else None,
        round(group.max_skew_ms * NS_PER_MS),
        round(group.max_latency_ms * NS_PER_MS),
        group.reference,
        group.min_streams,
    )


def group_plan(name: str, config: Config, entries: Mapping[str, int]) -> GroupPlan:
    """Plan of one group."""
    group = config.groups[name]
    carries: dict[str, Carries] = {stream: config.streams[stream].carries for stream in group.streams}
    return GroupPlan(name, _rules(group), group.late == "topic", dict(entries), carries)


def group_statuses(config: Config, told: Mapping[str, GroupStatus]) -> dict[str, GroupStatus]:
    """What is known of each group of the configuration, with what the receiver told."""
    return {name: told.get(name) or GroupStatus.unheard(_rules(group)) for name, group in config.groups.items()}


def stream_plan(name: str, stream: Stream, config: Config) -> StreamPlan:
    """Plan of one stream, as the groups that it belongs to need it."""
    groups = [group for group in config.groups.values() if name in group.streams]
    budget_ms = min((group.max_latency_ms for group in groups), default=0)
    return StreamPlan(
        stream.kind,
        stream.clock,
        round(stream.latency_ms * NS_PER_MS) or None,
        stream.stall_after_ms * NS_PER_MS,
        max(0, round(budget_ms * NS_PER_MS) - HOLD_MARGIN_NS),
        max((group.window_ms or EDGE_MS for group in groups), default=EDGE_MS) * NS_PER_MS,
        name=name,
        source=hashlib.sha256(stream.url.encode()).hexdigest()[:16],
    )


def receiver_plan(
    config: Config,
    entries: Callable[[str, Sequence[str]], Mapping[str, int]],
    *,
    run_id: str,
    min_epoch: int,
    endpoints: tuple[str, str],
    guests: int,
) -> ReceiverPlan:
    """Plan of the receiver; ``entries`` gives the entries of a group's streams in its page.

    ``endpoints`` are ``live`` and ``control``, after the first start with the ports that were taken; ``guests`` may be
    connected to each.
    """
    return ReceiverPlan(
        run_id,
        min_epoch,
        *endpoints,
        config.publish.wait_for,
        is_patient(config),
        {name: stream_plan(name, stream, config) for name, stream in config.streams.items()},
        {name: group_plan(name, config, entries(name, group.streams)) for name, group in config.groups.items()},
        guests,
        config.publish.history,
        config.publish.history_mb << 20,
        spool_plan(config),
        config.guard,
    )


def spool_plan(config: Config) -> SpoolPlan | None:
    """Plan of the spool: each group's batches go there as under the topic where every frame has a coded picture."""
    spool = config.spool
    if spool is None:
        return None
    names = spool.groups if spool.groups is not None else tuple(config.groups)
    of = {name: {config.streams[stream].carries for stream in config.groups[name].streams} for name in names}
    topics = {name: f"{'batch' if carries == {'coded'} else 'coded'}/{name}" for name, carries in of.items()}
    keep_ns, max_bytes = round(spool.keep_hours * 3600 * NS_PER_S), round(spool.max_gb * 10**9)
    return SpoolPlan(str(spool.folder), topics, keep_ns, max_bytes, spool.sync == "always")


def ring_plan(name: str, config: Config) -> RingPlan:
    """How long frames of a stream may have to wait in its ring: the longest that a group of it asks for.

    Subscribers on this host may ask for as much more as the longest window brings with it.
    """
    groups = [group for group in config.groups.values() if name in group.streams]
    span_ms = max(
        ((group.window_ms or 0) + group.max_latency_ms + 2 * group.max_skew_ms for group in groups), default=0
    )
    span_ns = round((span_ms + 250) * NS_PER_MS)
    window_ms = max((group.window_ms or 0 for group in groups), default=0)
    return RingPlan(span_ns, span_ns + held_ns_of(window_ms * NS_PER_MS))


def capture_spec(name: str, stream: Stream, config: Config) -> AnySpec:
    """What one capture process is told; the URL travels here, never on a command line."""
    common: dict[str, Any] = {
        "name": name,
        "pixels": stream.pixels,
        "size": stream.size,
        "ring": ring_plan(name, config),
        "max_pixels": stream.max_pixels,
        "sandbox": config.security.sandbox if config.security else "auto",
    }
    if stream.coded:
        common["coded"] = True
    if stream.quality is not None:
        common["quality"] = stream.quality
    if isinstance(stream, NetworkKeys):
        url = with_plain_scheme(stream.url)
        common["url"] = without_ours(url) if isinstance(stream, HttpStream) else url
        common["open_timeout_s"], common["read_timeout_s"] = stream.timeouts_s
    match stream:
        case RtspStream():
            return RtspSpec(transport=stream.transport, **common)
        case HttpStream():
            return HttpSpec(every_s=stream.every_s, **common)
        case FileStream():
            sidecar = str(stream.timestamps) if stream.timestamps else None
            offset_ns = round(stream.offset_ms * NS_PER_MS) if "offset_ms" in stream.model_fields_set else None
            return FileSpec(
                path=str(stream.path), pace=stream.pace, loop=stream.loop, timestamps=sidecar, offset_ns=offset_ns,
                fps=stream.fps, **common,
            )  # fmt: skip
        case V4l2Stream():
            device = str(stream.device)
            return V4l2Spec(
                device=device, fps=stream.fps, device_size=stream.device_size, fourcc=stream.fourcc, **common
            )
        case SyntheticStream():
            return SyntheticSpec(**stream.spec.model_dump(), **common)


def window_lcm_ns(config: Config) -> int:
    """A span after which the edges of every group's windows meet; the longest window where that is over a minute."""
    windows = [(group.window_ms or EDGE_MS) * NS_PER_MS for group in config.groups.values()]
    common = lcm(*windows)
    return common if common <= 60 * NS_PER_S else max(windows)
