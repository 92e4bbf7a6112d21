"""What the sets ought to be under the rule of the service, when the true capture times of a whole run are known.

Written apart from the rule that the service uses, so that it can be held against it: every stream drives in turn, over
all windows before the next one does, and what a driver's frames get is the ``oracle``'s.
"""

from bisect import bisect_left, bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from syncsvc.demo.oracle import best_sets

Times = Mapping[str, Sequence[int]]


def ideal_sets(times: Times, max_skew: int, window: int, reference: str | None = None) -> list[dict[str, int]]:
    """The best sets there can be.

    In each window the streams drive in the order of how many frames they have there (not zero; ties by the order of
    ``times``). The sets of a turn stay which leave out no stream that has a frame in reach of the reference, but for
    frames that other sets have; when all have driven, what is left is paired once more. Sets never cross, by the order
    of their references. With ``reference`` given, it alone drives. Windows in a row with one driver are solved as one.

    Args:
        times: per stream, the true capture times, rising strictly; any unit.
        max_skew: widest spread of a set, in that unit.
        window: length of a window, in that unit; windows begin at multiples of it.
        reference: the stream with a frame in every set, if there is to be one.

    Returns:
        Sets in the order of their references, each ``{stream: index into times[stream]}``, its driver first.
    """
    table = _Table(times, max_skew)
    orders = _orders(times, window)
    turns = range(len(times)) if reference is None else ()
    for turn in turns:
        for driver, start, end in _reigns(orders, turn, window):
            table.keep(table.undisputed(table.solve(driver, start, end)))
    for turn in turns or [0]:
        for driver, start, end in _reigns(orders, turn, window, reference):
            table.keep(table.solve(driver, start, end))
    return [{name: bisect_left(times[name], time) for name, time in one.items()} for _, one in table.kept]


def _orders(times: Times, window: int) -> dict[int, list[str]]:
    """Of each window, who drives there, one after the other."""
    counts: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for name, some in times.items():
        for time in some:
            counts[time // window][name] += 1
    return {place: sorted(here, key=here.__getitem__) for place, here in sorted(counts.items())}


def _reigns(
    orders: Mapping[int, list[str]], turn: int, window: int, reference: str | None = None
) -> list[tuple[str, int, int]]:
    """``(driver, start, end)`` of windows in a row that one stream drives at this turn."""
    reigns: list[tuple[str, int, int]] = []
    for place, order in orders.items():
        driver = reference or (order[turn] if turn < len(order) else None)
        start, end = place * window, (place + 1) * window
        if driver is None:
            continue
        if reigns and reigns[-1][0] == driver and reigns[-1][2] == start:
            reigns[-1] = (driver, reigns[-1][1], end)
        else:
            reigns.append((driver, start, end))
    return reigns


class _Table:
    """The frames that are free, and the sets that are kept: ``(reference, {stream: time})``, by reference."""

    def __init__(self, times: Times, max_skew: int) -> None:
        self._free = {name: list(some) for name, some in times.items()}
        self._max_skew = max_skew
        self.kept: list[tuple[int, dict[str, int]]] = []
        self._sides: dict[str, tuple[list[int], list[int]]] = {name: ([], []) for name in times}
        """Of each stream, the references of the kept sets that have a frame of it, and these frames."""

    def solve(self, driver: str, start: int, end: int) -> list[tuple[int, dict[str, int]]]:
        """The sets of the driver's free frames between these times."""
        part = {
            name: self._between(name, start - self._max_skew, end + self._max_skew)
            for name in self._free
            if name != driver
        }
        part[driver] = [time for time in self._between(driver, start, end) if self._is_allowed(time, driver, time)]
        found = best_sets(part, self._max_skew, driver, self._is_allowed)
        sets = [{name: part[name][index] for name, index in chosen.items()} for chosen in found]
        return [(one[driver], one) for one in sets]

    def _between(self, name: str, start: int, end: int) -> list[int]:
        some = self._free[name]
        return some[bisect_left(some, start) : bisect_left(some, end)]

    def _is_allowed(self, reference: int, name: str, time: int) -> bool:
        """Whether a set of that reference with this frame crosses none of those that are kept."""
        references, times = self._sides[name]
        return bisect_left(references, reference) == bisect_left(times, time)

    def undisputed(self, sets: list[tuple[int, dict[str, int]]]) -> list[tuple[int, dict[str, int]]]:
        """Without those that leave somebody out, of whose frames in reach one is in none of them."""
        while disputed := [one for one in sets if any(self._left_out(*one, sets))]:
            sets = [one for one in sets if one not in disputed]
        return sets

    def _left_out(
        self, reference: int, chosen: Mapping[str, int], sets: Sequence[tuple[int, dict[str, int]]]
    ) -> Iterator[bool]:
        for name, some in self._free.items():
            if name in chosen:
                continue
            low, high = bisect_left(some, reference - self._max_skew), bisect_right(some, reference + self._max_skew)
            for time in some[low:high]:
                if self._is_allowed(reference, name, time):
                    yield not any(one.get(name) == time for _, one in sets)

    def keep(self, sets: Sequence[tuple[int, dict[str, int]]]) -> None:
        """These sets are final."""
        for reference, one in sets:
            insort(self.kept, (reference, one), key=lambda kept: kept[0])
            for name, time in one.items():
                references, times = self._sides[name]
                place = bisect_left(times, time)
                references.insert(place, reference)
                times.insert(place, time)
                del self._free[name][bisect_left(self._free[name], time)]
