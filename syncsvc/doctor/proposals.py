"""What to write into a configuration, from what was seen: ``max_skew_ms``, ``latency_ms``, ``max_latency_ms``."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil

import numpy as np

from syncsvc.clock import NS_PER_MS, NS_PER_S
from syncsvc.daemon.planning import HOLD_MARGIN_NS
from syncsvc.doctor.observed import NONE, ObservedStream
from syncsvc.observe.events import GroupRules
from syncsvc.observe.figures import Figures
from syncsvc.pairing.minspread import sets_around

COMPLETE_SHARE = 0.99
SKEW_NEEDS_S = 10.0
LATENESS_PERCENTILE = 99.9
_LEAST_REFERENCES, _MOST_REFERENCES = 50, 3000
_WARM_UP_NS = NS_PER_S // 2
_BACKLOG_NS = 3 * NS_PER_S
"""What comes first of a connection may be as old as libavformat took to look at it, and no bound is made for that."""
_GAP_INTERVALS = 1.5
_WIDEST_NS = NS_PER_S // 2


@dataclass(frozen=True, slots=True)
class GroupAdvice:
    """For one group; None where too little was seen, and then ``why_not`` says so.

    ``complete_share`` is the part of the sets that had a frame of every stream with the ``max_skew_ms`` of the file,
    ``proposed_share`` with the proposed one; lost frames apart. ``any_phase_ms`` suffices however the shutters stand to
    each other after a restart of a camera.
    """

    max_skew_ms: float | None = None
    any_phase_ms: float | None = None
    spread_p50_ms: float | None = None
    spread_p99_ms: float | None = None
    complete_share: float | None = None
    proposed_share: float | None = None
    max_latency_ms: float | None = None
    lateness_ms: Mapping[str, float] | None = None
    why_not: str = ""


def advise(group: GroupRules, records: Mapping[str, ObservedStream], earlier_ms: Mapping[str, float]) -> GroupAdvice:
    """Look at the stamps of a group's streams as the service gave them.

    Args:
        group: as the run knew it.
        records: of all streams.
        earlier_ms: how much earlier a stream's stamps will be with the ``latency_ms`` that is proposed for it.
    """
    members = {name: records[name] for name in group.streams if name in records}
    lateness, times = {}, {}
    for name, record in members.items():
        late_ms = _lateness_ms(record)
        if late_ms is not None:
            lateness[name] = late_ms + earlier_ms.get(name, 0.0)
        times[name] = [time - round(earlier_ms.get(name, 0.0) * NS_PER_MS) for time in settled_times(record)]
    advice = GroupAdvice(lateness_ms=lateness)
    times = {name: some for name, some in times.items() if len(some) >= 3}
    if len(times) < 2:
        return replace(advice, why_not="fewer than two streams had frames with a settled clock")
    crew = _Crew(times, group.reference)
    guess = replace(advice, any_phase_ms=crew.any_phase_ns / NS_PER_MS)
    if len(crew.references) < _LEAST_REFERENCES:
        undisturbed = f"{len(crew.references)} undisturbed frames of {crew.reference}"
        return replace(guess, why_not=f"only {undisturbed} while all were there")
    skew_ms = rounded_up_ms(crew.sufficient_ns() / NS_PER_MS)
    if group.window_ns is not None and round(skew_ms * NS_PER_MS) >= group.window_ns:
        most = f"less than the window of {group.window_ns / NS_PER_MS:g} ms"
        return replace(guess, why_not=f"{skew_ms:g} ms would be needed, and it must be {most}")
    spreads = [max(one) - min(one) for one in crew.match(round(skew_ms * NS_PER_MS)) if len(one) == len(times)]
    if not spreads:
        return replace(advice, why_not="no set was complete")
    spread = Figures.of([spread_ns / NS_PER_MS for spread_ns in spreads])
    return GroupAdvice(
        skew_ms,
        crew.any_phase_ns / NS_PER_MS,
        spread.p50,
        spread.p99,
        crew.share(group.max_skew_ns),
        crew.share(round(skew_ms * NS_PER_MS)),
        _max_latency_ms(lateness, 2 * skew_ms if group.window_ns else max(crew.intervals.values()) / NS_PER_MS),
        lateness,
    )


def settled_times(record: ObservedStream) -> list[int]:
    """Stamps by the clock that the stream came to rest on, from half a second after its first one."""
    chosen = (record.time_ns != NONE) & (record.clock == record.clock_class)
    times = record.time_ns[chosen]
    return [int(time) for time in times if time >= times[0] + _WARM_UP_NS]


class _Crew:
    """A group's stamps where all its streams were there, and which sets the production policy makes of them."""

    def __init__(self, times: Mapping[str, list[int]], reference: str | None) -> None:
        first = max(some[0] for some in times.values())
        last = min(some[-1] for some in times.values())
        self.times = {
            name: [time for time in some if first - _WIDEST_NS <= time <= last + _WIDEST_NS]
            for name, some in times.items()
        }
        self.intervals = {name: float(np.median(np.diff(some))) for name, some in times.items()}
        slowest = max(self.intervals, key=self.intervals.__getitem__)
        self.reference = reference if reference is not None and reference in times else slowest
        self.widest_ns = min(_WIDEST_NS, round(1.02 * max(self.intervals.values())))
        self.references = [
            time
            for time in self.times[self.reference]
            if first + self.widest_ns <= time <= last - self.widest_ns and self._is_undisturbed(time)
        ][-_MOST_REFERENCES:]

    def _is_undisturbed(self, time: int) -> bool:
        """Whether no stream lost a frame nearby: what a lost frame lacks, no skew gives back."""
        return all(
            not _has_gap(some, time - self.widest_ns, time + self.widest_ns, _GAP_INTERVALS * self.intervals[name])
            for name, some in self.times.items()
        )

    @property
    def any_phase_ns(self) -> int:
        """One partner half an interval early, another half an interval late: no phases need more."""
        halves = sorted(interval / 2 for name, interval in self.intervals.items() if name != self.reference)
        return round(sum(halves[-2:]))

    def match(self, skew_ns: int) -> list[list[int]]:
        """The sets of the undisturbed references: capture times."""
        others = {name: some for name, some in self.times.items() if name != self.reference}
        found = sets_around(self.references, others, skew_ns)
        return [[time, *some.values()] for time, some in zip(self.references, found, strict=True)]

    def share(self, skew_ns: int) -> float:
        """The part of them that is complete."""
        complete = sum(len(one) == len(self.times) for one in self.match(skew_ns))
        return complete / len(self.references)

    def sufficient_ns(self) -> int:
        """The least skew, to a quarter millisecond, that makes 99 % of those sets complete that any skew can."""
        enough = COMPLETE_SHARE * self.share(self.widest_ns)
        low, high = 0, self.widest_ns
        while high - low > NS_PER_MS // 4:
            middle = (low + high) // 2
            low, high = (low, middle) if self.share(middle) >= enough else (middle, high)
        return high


def rounded_up_ms(value_ms: float) -> float:
    """To what a person would write, with a twentieth to spare: whole ones to 10, even ones to 20, then fives."""
    spared = 1.05 * value_ms
    step = 1 if spared <= 10 else 2 if spared <= 20 else 5
    return float(max(1, ceil(spared / step) * step))


def _has_gap(times: Sequence[int], low: int, high: int, limit: float) -> bool:
    first = max(0, bisect_left(times, low) - 1)
    last = bisect_left(times, high)
    near = times[first : last + 1]
    return any(after - before > limit for before, after in pairwise(near))


def _lateness_ms(record: ObservedStream) -> float | None:
    """How long after their own time frames come out of the demuxer, at most (one in a thousand apart)."""
    chosen = (record.time_ns != NONE) & (record.clock == record.clock_class)
    if record.is_asap or not chosen.any():
        return None
    _, first = np.unique(record.session, return_index=True)
    opened_ns = record.arrival_ns[first][np.searchsorted(record.session[first], record.session)]
    settled = chosen & (record.arrival_ns >= opened_ns + _BACKLOG_NS)
    late = (record.arrival_ns + record.utc_less_mono_ns - record.time_ns)[settled if settled.any() else chosen]
    return float(np.percentile(late, LATENESS_PERCENTILE)) / NS_PER_MS


def _max_latency_ms(lateness: Mapping[str, float], wait_ms: float) -> float | None:
    """Whoever is latest, how long a batch waits, and the margin with which held frames are let go.

    A window waits for two skews, a set for every stream's next frame.
    """
    if not lateness:
        return None  # pace asap: nothing has a deadline
    needed = max(lateness.values()) + wait_ms + HOLD_MARGIN_NS / NS_PER_MS
    return float(ceil(needed / 50) * 50)
