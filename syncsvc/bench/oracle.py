"""What the sets ought to be when the true capture times are known: the best pairing, by exhaustive optimization.

Written apart from the policy that the service uses, so that it can be held against it.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

Choice = tuple[int | None, ...]
"""Per other stream, the index of the frame taken with a reference, or None."""


@dataclass(frozen=True, slots=True)
class _Option:
    choice: Choice
    cost: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class _Path:
    cost: tuple[int, int, int]
    before: "_Path | None"
    reference: int
    choice: Choice


def best_sets(times: Mapping[str, Sequence[int]], max_skew: int, reference: str) -> list[dict[str, int]]:
    """The best sets there can be, over the whole length.

    A set holds one frame of the reference stream and at least one of another, spread at most ``max_skew``; in every
    stream a later set has a later frame. Of all ways to form sets, this is the one with the most frames in sets, then
    the least total spread, then the earliest frames.

    Args:
        times: per stream, the true capture times, rising strictly; any unit.
        max_skew: widest spread of a set, in that unit.
        reference: the stream with a frame in every set.

    Returns:
        Sets in order, each ``{stream: index into times[stream]}``.

    Source: dynamic programming over references; the state is the last index used per stream, and states that leave
    the same candidates to the next reference are one.
    """
    others = [name for name in times if name != reference]
    lists = [times[name] for name in others]
    start = _Path((0, 0, 0), None, -1, ())
    states: dict[tuple[int, ...], _Path] = {(-1,) * len(others): start}
    for index, time in enumerate(times[reference]):
        options = list(_options(time, lists, max_skew))
        firsts = tuple(bisect_left(some, time - max_skew) - 1 for some in lists)
        grown: dict[tuple[int, ...], _Path] = {}
        for used, path in states.items():
            used = tuple(map(max, used, firsts))
            _keep(grown, used, path)
            for option in options:
                if _fits(option.choice, used):
                    cost = tuple(map(sum, zip(path.cost, option.cost, strict=True)))
                    after = tuple(last if new is None else new for last, new in zip(used, option.choice, strict=True))
                    _keep(grown, after, _Path((cost[0], cost[1], cost[2]), path, index, option.choice))
        states = grown
    return _unwound(min(states.values(), key=lambda path: path.cost), reference, others)


def _keep(states: dict[tuple[int, ...], _Path], used: tuple[int, ...], path: _Path) -> None:
    if used not in states or path.cost < states[used].cost:
        states[used] = path


def _fits(choice: Choice, used: tuple[int, ...]) -> bool:
    return all(new is None or new > last for new, last in zip(choice, used, strict=True))


def _options(time: int, lists: Sequence[Sequence[int]], max_skew: int) -> Iterator[_Option]:
    """Every set around one reference, whoever else wants its frames."""

    def grow(place: int, choice: Choice, low: int, high: int, total: int) -> Iterator[_Option]:
        if place == len(lists):
            paired = sum(index is not None for index in choice)
            if paired:
                yield _Option(choice, (-paired - 1, high - low, total))
            return
        yield from grow(place + 1, (*choice, None), low, high, total)
        some = lists[place]
        for index in range(bisect_left(some, high - max_skew), bisect_right(some, low + max_skew)):
            other = some[index]
            yield from grow(place + 1, (*choice, index), min(low, other), max(high, other), total + other)

    return grow(0, (), time, time, time)


def _unwound(path: _Path | None, reference: str, others: Sequence[str]) -> list[dict[str, int]]:
    sets: list[dict[str, int]] = []
    while path is not None and path.reference >= 0:
        partners = {name: index for name, index in zip(others, path.choice, strict=True) if index is not None}
        sets.append({reference: path.reference, **partners})
        path = path.before
    return sets[::-1]
