"""The sets of one stream's frames, the references: what each of them would have, and what they have together.

Guarantees (each has a property test):

* a frame is in at most one set;
* sets never cross: in every stream, a later set has a later frame;
* the spread of a set is at most the skew, and it has at least so many frames as are asked for;
* a reference whose best set nobody else wants a frame of has it: as many streams as the skew allows, then the least
  spread, then the earliest frames;
* where references want the same frames, as few as possible miss that (least total regret, see ``contest``): exact with
  up to four streams, while the work allowed suffices;
* the order in which streams are passed is irrelevant where no two sets are equally good;
* the work per reference is bounded, whatever the frames.

Source: the least span that holds one element of each sorted list (sliding window), per reference.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence

from syncsvc.pairing.contest import Contest, Near, best_window, members


def partners(references: Sequence[int], near: Sequence[Near], skew: int, fewest: int = 2) -> list[Mapping[int, int]]:
    """Of each reference, the other streams' frames in its set, by stream; none where it has no set. All are times.

    Args:
        references: times of the driver's frames, sorted, nanoseconds.
        near: per reference, the frames of other streams that it may have: within ``skew`` of it, by time.
        skew: widest spread of a set, nanoseconds.
        fewest: frames that a set has at least, the reference's included.
    """
    best = [best_window(time, some, skew, fewest) for time, some in zip(references, near, strict=True)]
    chosen: list[Mapping[int, int]] = [members(one, some) for one, some in zip(best, near, strict=True)]
    runs = [(place, place + 1) for place in range(len(references))]
    contest: Contest | None = None
    # Each run is solved as if it were alone; runs that touch then are solved again as one, and a little more.
    while dirty := list(_touching(chosen, runs)):
        contest = contest or Contest(references, near, best, skew, fewest)
        for start, end in dirty:
            chosen[start:end] = contest.solve(start, end)
            runs[start:end] = [(start, end)] * (end - start)
    return chosen


def sets_around(
    references: Sequence[int], others: Mapping[str, Sequence[int]], skew: int, fewest: int = 2
) -> list[dict[str, int]]:
    """The same for streams by name, whose frames are all free; sorted times, as ``partners`` has them."""
    names = sorted(others)
    frames = sorted((time, stream) for stream, name in enumerate(names) for time in others[name])
    instants = [time for time, _ in frames]
    near = [frames[bisect_left(instants, t - skew) : bisect_right(instants, t + skew)] for t in references]
    return [{names[stream]: time for stream, time in some.items()} for some in partners(references, near, skew, fewest)]


def _touching(chosen: Sequence[Mapping[int, int]], runs: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The runs to solve again: those whose sets share a frame or cross, as one, with half as much on either side."""
    start = end = 0
    for first, second in _clashes(chosen):
        low, high = runs[first][0], runs[second][1]
        if low >= end:
            if end:
                yield start, end
            start, end = low, high
        more = (high - low) // 2 - 1
        start = min(start, runs[max(0, low - more)][0])
        end = max(end, runs[min(len(runs), high + more) - 1][1])
    if end:
        yield start, end


def _clashes(chosen: Sequence[Mapping[int, int]]) -> Iterator[tuple[int, int]]:
    """Pairs of references whose sets share a frame or cross."""
    last: dict[int, tuple[int, int]] = {}
    for place, some in enumerate(chosen):
        for stream, time in some.items():
            if stream in last and time <= last[stream][0]:
                yield last[stream][1], place
            last[stream] = time, place
