"""How frames of a doubtful stream join sets, against every way there is."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from syncsvc.pairing.attach import Span, attach

Scene = tuple[list[Span], list[int], int]


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """Sets around references that rise, as wide as the skew at most, and frames anywhere."""
    skew = draw(st.integers(0, 12))
    spans = []
    for reference in sorted(draw(st.sets(st.integers(0, 40), max_size=4))):
        before = draw(st.integers(0, skew))
        spans.append(Span(reference, reference - before, reference + draw(st.integers(0, skew - before))))
    return spans, sorted(draw(st.sets(st.integers(-5, 45), max_size=5))), skew


def cost(spans: list[Span], chosen: tuple[int | None, ...]) -> tuple[int, int, int]:
    pairs = [(span, time) for span, time in zip(spans, chosen, strict=True) if time is not None]
    added = sum(max(span.high, time) - min(span.low, time) - (span.high - span.low) for span, time in pairs)
    return -len(pairs), added, sum(time for _, time in pairs)


def is_allowed(spans: list[Span], chosen: tuple[int | None, ...], skew: int) -> bool:
    taken = [time for time in chosen if time is not None]
    fits = all(
        max(span.high, time) - min(span.low, time) <= skew
        for span, time in zip(spans, chosen, strict=True)
        if time is not None
    )
    return fits and taken == sorted(set(taken))


@given(scenes())
def test_most_frames_join_and_then_the_spread_added_is_least(scene: Scene) -> None:
    spans, frames, skew = scene
    chosen = tuple(attach(spans, frames, skew))
    assert is_allowed(spans, chosen, skew)
    ways = product([None, *frames], repeat=len(spans))
    assert cost(spans, chosen) == min(cost(spans, way) for way in ways if is_allowed(spans, way, skew))


@given(scenes(), st.integers(-1000, 1000))
def test_only_distances_matter(scene: Scene, shift: int) -> None:
    spans, frames, skew = scene
    moved = [Span(*(time + shift for time in span)) for span in spans]
    expected = [None if time is None else time + shift for time in attach(spans, frames, skew)]
    assert attach(moved, [time + shift for time in frames], skew) == expected


def test_without_sets_or_frames_nothing_joins() -> None:
    assert attach([], [1, 2], 10) == []
    assert attach([Span(1, 1, 1), Span(2, 2, 2)], [], 10) == [None, None]
