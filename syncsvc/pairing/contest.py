"""References that want the same frames, solved together, so that each gets a set as close to its best as can be.

What giving way costs a reference is its *regret*: 1 for every frame less than its best set has, and for a set that is
wider by ``w``, ``w / (w + max_skew / 128)``: always less than a frame. The solution has the least total regret, then
the least total spread, then the earliest frames, so as few references as possible miss the best that they could have.
(The most frames in all, at any price, would not do. To gain one, every set between the drops of two cameras is moved to
a wider span: eight cameras of 25 fps that drop 1 % get 45 % of the sets that the whole recording would give, since
how far to move depends on drops that a window does not see yet. This way it is 99 %, for 0.2 % of the frames.)

A set is all that is free between two instants, the first frame of each stream (a *window*), or a part of that, so that
a later reference has the rest. With up to ``FEW`` other streams every part is tried, and the solution is the best there
is; with more, windows that end earlier. Where so much is contested that the work exceeds its share, the best of the
ways that look most promising is taken, in the end that in which the later reference gives way to the earlier; what else
the policy guarantees holds whatever the search does.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import heappop, heappush
from itertools import combinations
from operator import itemgetter, le
from typing import NamedTuple

FEW = 3
"""Up to so many other streams, a set may leave any of its frames to a later reference."""
WIDE = 32
"""Ways to go on that are followed from one reference to the next, at most."""
SHARE, BASE = 2, 100
"""Work allowed in one call (ways followed): per reference, and besides."""

NEVER = -(2**63)
ALWAYS = 2**63

Near = Sequence[tuple[int, int]]
"""Frames in reach of a reference: (time, stream), by time."""
Window = tuple[int, int, int, int, int, tuple[int, ...]]
"""A set around a reference: its number of frames (negative), spread, sum of times; then where it is: of every stream
the first free frame, from the place of the first in ``Near`` until the time of the last, without the streams spared.
The least is the best."""
Cost = tuple[int, int, int]
"""Total regret, spread, sum of times."""

NOTHING: Window = (0, 0, 0, 0, 0, ())
_stream_of = itemgetter(1)


def windows(reference: int, near: Near, skew: int, floor: int = ALWAYS, fewest: int = 2) -> Iterator[Window]:
    """The windows around a reference: for each left end, as far as the skew allows.

    Args:
        reference: its time.
        near: the free frames in reach of it.
        skew: widest spread of a set, nanoseconds.
        floor: shorter windows come too, as far as that leaves out frames from this time on.
        fewest: frames that a set has at least, the reference's included.
    """
    middle, first, ends = _behind(reference, near)
    for left in range(min(middle, len(near) - 1), -1, -1):
        low = reference
        if left < middle:
            low, stream = near[left]
            if stream in first:
                ends.remove(first[stream])
            first[stream] = low
            ends.insert(0, low)
        count = bisect_right(ends, low + skew)
        while count >= fewest - 1:
            end = ends[count - 1]
            spread = (end if end > reference else reference) - low
            yield -count - 1, spread, reference + sum(ends[:count]), left, end, ()
            if end < floor or end <= reference:
                break
            count -= 1
            while count and ends[count - 1] == end:
                count -= 1


def _behind(reference: int, near: Near) -> tuple[int, dict[int, int], list[int]]:
    """Where what is later than the reference begins; of it the first time per stream, and these times, sorted."""
    middle = bisect_right(near, (reference, ALWAYS))
    first = {stream: time for time, stream in reversed(near[middle:])}
    return middle, first, sorted(first.values())


def best_window(reference: int, near: Near, skew: int, fewest: int = 2) -> Window:
    """The least of the ``windows``, or ``NOTHING``: most references need no other, so this is done without the rest."""
    middle, first, ends = _behind(reference, near)
    most, count, spread, best, enough = len(set(map(_stream_of, near))), 0, 0, NOTHING, -ALWAYS
    if ends and len(ends) >= fewest - 1:
        count, spread = len(ends), ends[-1] - reference
        best = -count - 1, spread, reference + sum(ends), middle, ends[-1], ()
        enough = reference - spread if count == most else -ALWAYS
    for left in range(middle - 1, -1, -1):
        low, stream = near[left]
        if low < enough:
            break
        if stream in first:
            ends.remove(first[stream])
        first[stream] = low
        ends.insert(0, low)
        here = bisect_right(ends, low + skew)
        if here < count or here < fewest - 1:
            continue
        end = ends[here - 1]
        wide = (end if end > reference else reference) - low
        if here > count or wide <= spread:
            one = -here - 1, wide, reference + sum(ends[:here]), left, end, ()
            if one < best:
                count, spread, best = here, wide, one
                enough = reference - spread if count == most else -ALWAYS
    return best


def parts(reference: int, near: Near, window: Window, floor: int, fewest: int = 2) -> Iterator[Window]:
    """The window as it is, and without some of the frames that a later reference may want: those from ``floor`` on."""
    yield window
    inside = members(window, near)
    later = [stream for stream, time in inside.items() if time >= floor]
    for count in range(1, min(len(later), len(inside) + 1 - fewest) + 1):
        for spared in combinations(later, count):
            times = [reference, *(time for stream, time in inside.items() if stream not in spared)]
            yield -len(times), max(times) - min(times), sum(times), window[3], window[4], spared


def members(window: Window, near: Near) -> dict[int, int]:
    """The time of the frame per stream."""
    frames, _, _, left, end, spared = window
    taken: dict[int, int] = {}
    if frames:
        for time, stream in near[left:]:
            if time > end:
                break
            if stream not in taken and stream not in spared:
                taken[stream] = time
    return taken


class _Way(NamedTuple):
    """A way through the first references of a run, the last step of which is ``options[choice]``; the least first."""

    cost: Cost
    to_go: int
    number: int
    before: "_Way | None"
    used: tuple[int, ...]
    """Per stream, the last frame used before that step, where a reference from there on may want one; else NEVER."""
    near: Near
    """The frames that were free for it."""
    options: Sequence[tuple[Cost, Window]]
    choice: int

    @property
    def chosen(self) -> dict[int, int]:
        """The partners in the last step, by stream."""
        return members(self.options[self.choice][1], self.near)

    def other(self, number: int) -> "_Way":
        """The way that takes the next best option instead."""
        _, to_go, _, before, used, near, options, choice = self
        return _Way(options[choice + 1][0], to_go, number, before, used, near, options, choice + 1)


class Contest:
    """The references of one call of the policy, and the work that is left for it."""

    def __init__(self, wanted: Sequence[int], near: Sequence[Near], best: Sequence[Window], skew: int, fewest: int):
        """Take the references' times, the frames near each, its best set alone, and how many frames a set has."""
        self._wanted, self._near, self._best, self._skew, self._fewest = wanted, near, best, skew, fewest
        streams = {stream for some in near for _, stream in some}
        self._unused, self._are_few = (NEVER,) * (max(streams, default=-1) + 1), len(streams) <= FEW
        self._price, self._half = skew + 1, skew // 128 + 1
        self._work = BASE + SHARE * len(wanted)
        self._end = self._number = 0

    def solve(self, start: int, end: int) -> list[Mapping[int, int]]:
        """The partners of each reference from ``start`` until before ``end``, by stream, as if there were no others."""
        self._end = end
        best = self._step(None, self._unused, end - start, ALWAYS, is_hasty=True)
        while best.to_go:
            best = self._step(best, self._used_by(best), best.to_go, ALWAYS, is_hasty=True)
        if self._work > 0:
            best = self._search(end - start, best)
        return _partners(best)

    def _search(self, length: int, best: _Way) -> _Way:
        """The best way, or the one given.

        Source: best-first search (uniform cost) over references; the state is the last frame used per stream.
        """
        bound = best.cost[0]
        followed: list[list[tuple[int, ...]]] = [[] for _ in range(length)]
        heap = [self._step(None, self._unused, length, bound)]
        while heap and (way := heappop(heap)).cost < best.cost:
            if not way.to_go:
                return way
            if way.choice + 1 < len(way.options):
                self._number += 1
                heappush(heap, way.other(self._number))
            others = followed[way.to_go]
            if len(others) < (WIDE if self._work > 0 else 1):
                used = self._used_by(way)
                if used not in others and not any(all(map(le, other, used)) for other in others):
                    others.append(used)
                    self._work -= 1
                    heappush(heap, self._step(way, used, way.to_go, bound))
        return best

    def _step(self, way: _Way | None, used: tuple[int, ...], to_go: int, bound: int, *, is_hasty: bool = False) -> _Way:
        """The best that the next reference can do, and the list of what else it can within the bound.

        Nobody asks what else the last one could do, nor who is in haste.
        """
        cost, spread, total = way.cost if way else (0, 0, 0)
        place, price, half = self._end - to_go, self._price, self._half
        near = [frame for frame in self._near[place] if frame[0] > used[frame[1]]] if way else self._near[place]
        best = self._best[place]
        fewest = max(self._fewest, -best[0] - (bound - cost) // price)
        cost -= price * best[0]
        options = [((cost, spread, total), NOTHING)]
        if is_hasty or to_go == 1:
            is_all = len(near) == len(self._near[place])
            some: Iterable[Window] = (best if is_all else best_window(self._wanted[place], near, self._skew, fewest),)
        else:
            some = self._windows(place, near, fewest)
        for window in some:
            regret, wider = price * window[0], window[1] - best[1]
            if wider > 0:
                regret += price * wider // (wider + half)
            if cost + regret <= bound:
                options.append(((cost + regret, spread + window[1], total + window[2]), window))
        options.sort()
        self._number += 1
        return _Way(options[0][0], to_go - 1, self._number, way, used, near, options, 0)

    def _windows(self, place: int, near: Near, fewest: int) -> Iterator[Window]:
        wanted, floor = self._wanted[place], self._wanted[place + 1] - self._skew
        if not self._are_few:
            return windows(wanted, near, self._skew, floor, fewest)
        least = self._fewest
        whole = windows(wanted, near, self._skew, fewest=least)
        return (part for one in whole for part in parts(wanted, near, one, floor, least))

    def _used_by(self, way: _Way) -> tuple[int, ...]:
        """What the way leaves used of the frames that the next reference or a later one may want."""
        floor = self._wanted[self._end - way.to_go] - self._skew
        used = [time if time >= floor else NEVER for time in way.used]
        frames, _, _, left, end, spared = way.options[way.choice][1]
        if frames and end >= floor:
            for time, stream in reversed(way.near[left : bisect_left(way.near, (end + 1,), left)]):
                if stream not in spared:
                    used[stream] = time if time >= floor else NEVER
        return tuple(used)


def _partners(last: _Way) -> list[Mapping[int, int]]:
    partners: list[Mapping[int, int]] = []
    way: _Way | None = last
    while way is not None:
        partners.append(way.chosen)
        way = way.before
    return partners[::-1]
