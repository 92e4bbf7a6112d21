"""When recordings begin: at one UTC instant on a window's edge, once every one of them is ready; a pure decision."""

from collections.abc import Iterable, Iterator, Mapping

from syncsvc.capture.spec import Recorded, Start
from syncsvc.clock import NS_PER_MS, NS_PER_S

AHEAD_NS = 300 * NS_PER_MS
"""Time that the word needs to reach every capture before the first frame is due."""
UNSAID_NS = NS_PER_S
"""± of recordings that do not say when they were made, of each other: whoever started them together has ten fingers."""
VOUCHED_NS = NS_PER_MS
"""± of an offset that somebody gave, on his word."""


def decide_starts(
    recordings: Mapping[str, Recorded],
    groups: Iterable[Iterable[str]],
    offsets: Mapping[str, int],
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
        offsets: by how much later than that a recording began, where somebody says so, in nanoseconds. Where one began
            earlier, its group begins on a later edge.
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
        places = _places(members, offsets)
        earliest_ns = min(after_ns for after_ns, _ in places.values())
        lead_ns = max(0, -(earliest_ns // edge_ns) * edge_ns)
        for name, (after_ns, doubt_ns) in places.items():
            begin_ns = lead_ns + after_ns
            starts[name] = Start(utc_ns + begin_ns, mono_ns + begin_ns, origin_ns, doubt_ns)
    return starts


def begun_together(
    recordings: Mapping[str, Recorded], groups: Iterable[Iterable[str]], offsets: Mapping[str, int]
) -> Iterator[tuple[str, ...]]:
    """Recordings that begin together for want of anything better: nothing says when they were made."""
    for together in _components(recordings, groups):
        unsaid = _unsaid({name: one for name, one in recordings.items() if name in together}, offsets)
        if unsaid:
            yield tuple(unsaid)


def _places(members: Mapping[str, Recorded], offsets: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """How long after the common instant each recording begins, and the doubt of that."""
    first_ns = min((one.created_ns for one in members.values() if one.created_ns is not None), default=0)
    unsaid, is_dated = _unsaid(members, offsets), _are_dated(members)
    places = {}
    for name, one in members.items():
        after_ns = (one.created_ns or 0) - first_ns if is_dated else 0
        doubt_ns = one.doubt_ns if is_dated else UNSAID_NS if name in unsaid else 0
        if not is_dated and name not in unsaid and one.origin_ns is None and len(members) > 1:
            doubt_ns = VOUCHED_NS
        if name in offsets:
            after_ns, doubt_ns = after_ns + offsets[name], min(doubt_ns, VOUCHED_NS)
        places[name] = after_ns, doubt_ns
    return places


def _are_dated(members: Mapping[str, Recorded]) -> bool:
    """Whether creation times place the recordings beside each other: all have one, and all ran at the same time."""
    spans = [(one.created_ns, one.created_ns + one.length_ns) for one in members.values() if one.created_ns is not None]
    return 1 < len(spans) == len(members) and max(begin for begin, _ in spans) < min(end for _, end in spans)


def _unsaid(members: Mapping[str, Recorded], offsets: Mapping[str, int]) -> list[str]:
    """Those of which nobody knows when they were made; where offsets say it of all but one, they are against that."""
    if len(members) == 1 or _are_dated(members):
        return []
    unsaid = [name for name, one in members.items() if one.origin_ns is None and name not in offsets]
    return [] if len(unsaid) == 1 and members.keys() & offsets.keys() else unsaid


def _components(names: Iterable[str], groups: Iterable[Iterable[str]]) -> list[set[str]]:
    components = [{name} for name in names]
    for group in groups:
        members = set(group)
        touched = [component for component in components if component & members]
        components = [component for component in components if not component & members]
        if touched:
            components.append(set().union(*touched))
    return components
