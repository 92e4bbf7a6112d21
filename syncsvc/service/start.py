"""When recordings begin: at one UTC instant on a window's edge, once every one of them is ready; a pure decision."""

from collections.abc import Iterable, Mapping

from syncsvc.capture.spec import Start
from syncsvc.clock import NS_PER_MS

AHEAD_NS = 300 * NS_PER_MS
"""Time that the word needs to reach every capture before the first frame is due."""


def decide_starts(
    origins: Mapping[str, int | None],
    groups: Iterable[Iterable[str]],
    *,
    edge_ns: int,
    first_ns: int,
    now_utc_ns: int,
    now_mono_ns: int,
    is_patient: bool,
) -> dict[str, Start]:
    """The start of every recording.

    Args:
        origins: per recording, the recorded time of its first frame, or None where no sidecar has one.
        groups: the groups' streams; recordings that share a group, directly or through others, share one offset.
        edge_ns: span after which the windows' edges of all groups meet.
        first_ns: when the service became ready, UTC: recordings played ``asap`` begin with that window.
        now_utc_ns: UTC now.
        now_mono_ns: CLOCK_MONOTONIC at the same moment.
        is_patient: pace ``asap``.
    """
    next_edge_ns = -(-(now_utc_ns + AHEAD_NS) // edge_ns) * edge_ns
    utc_ns = first_ns // edge_ns * edge_ns if is_patient else next_edge_ns
    mono_ns = now_mono_ns + utc_ns - now_utc_ns
    starts: dict[str, Start] = {}
    for together in _components(origins, groups):
        known = [origin for name in together if (origin := origins[name]) is not None]
        starts.update({name: Start(utc_ns, mono_ns, min(known, default=0)) for name in together})
    return starts


def _components(names: Iterable[str], groups: Iterable[Iterable[str]]) -> list[set[str]]:
    components = [{name} for name in names]
    for group in groups:
        members = set(group)
        touched = [component for component in components if component & members]
        components = [component for component in components if not component & members]
        if touched:
            components.append(set().union(*touched))
    return components
