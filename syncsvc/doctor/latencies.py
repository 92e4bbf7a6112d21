"""From which stream shows what later to the latency of each: through chains of streams that overlap in view."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from syncsvc.doctor.content import Comparison


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A constant latency; ``is_relative`` where it is against the quickest stream of those that show the same."""

    latency_ms: float
    is_relative: bool


def suggest(
    comparisons: Iterable[Comparison], mute: Collection[str], trusted: Collection[str]
) -> Mapping[str, Suggestion]:
    """What accepted comparisons say of the streams without a clock to tell their latency.

    Args:
        comparisons: of streams by times that lack nothing but the constant latency; those not accepted are left out.
        mute: streams whose times lack it.
        trusted: streams whose times are true.
    """
    edges = [one for one in sorted(comparisons, key=lambda one: -one.peak) if one.is_accepted]
    found = {name: Suggestion(late_ms, False) for name, late_ms in _spread(edges, dict.fromkeys(trusted, 0.0)).items()}
    for name in mute:
        if name in found:
            continue
        island = _spread(edges, {name: 0.0})
        if len(island) > 1:
            least = min(island.values())
            found |= {one: Suggestion(late_ms - least, True) for one, late_ms in island.items()}
    return {name: suggestion for name, suggestion in found.items() if name in mute}


def _spread(edges: Iterable[Comparison], known: Mapping[str, float]) -> dict[str, float]:
    """How late each stream is that can be reached from known ones, over the best comparisons first."""
    late = dict(known)
    while True:
        for edge in edges:
            if edge.lag_ms is not None and (edge.first in late) != (edge.second in late):
                if edge.first in late:
                    late[edge.second] = late[edge.first] + edge.lag_ms
                else:
                    late[edge.first] = late[edge.second] - edge.lag_ms
                break
        else:
            return late
