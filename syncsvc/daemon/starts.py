"""When recordings begin: at one UTC instant on a window's edge, once every one of them is ready; a pure decision."""

from collections.abc import Iterable, Mapping

from syncsvc.capture.spec import Recorded, Start
from syncsvc.clock import NS_PER_MS

AHEAD_NS = 300 * NS_PER_MS
"""Time that the word needs to reach every capture before the first frame is due."""


def decide_starts(
    recordings: Mapping[str, Recorded],
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
        recordings: what each recording says of when it was made.
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
    for together in _components(recordings, groups):
        members = {name: recordings[name] for name in together}
        known = [member.origin_ns for member in members.values() if member.origin_ns is not None]
        origin_ns = min(known, default=0)
        for name, (after_ns, doubt_ns) in _offsets(members).items():
            starts[name] = Start(utc_ns + after_ns, mono_ns + after_ns, origin_ns, doubt_ns)
    return starts


def _offsets(members: Mapping[str, Recorded]) -> dict[str, tuple[int, int]]:
    """How long after the earliest each recording begins, and the doubt of that, as their creation times say.

    They are believed where every recording has one and all of them ran at the same time: else all begin together.
    """
    spans = [(one.created_ns, one.created_ns + one.length_ns) for one in members.values() if one.created_ns is not None]
    is_believed = 1 < len(spans) == len(members) and max(begin for begin, _ in spans) < min(end for _, end in spans)
    if not is_believed:
        return dict.fromkeys(members, (0, 0))
    first_ns = min(begin for begin, _ in spans)
    return {name: ((one.created_ns or 0) - first_ns, one.doubt_ns) for name, one in members.items()}


def _components(names: Iterable[str], groups: Iterable[Iterable[str]]) -> list[set[str]]:
    components = [{name} for name in names]
    for group in groups:
        members = set(group)
        touched = [component for component in components if component & members]
        components = [component for component in components if not component & members]
        if touched:
            components.append(set().union(*touched))
    return components
