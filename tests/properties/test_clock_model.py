"""What the clock model promises whatever comes: times that rise, small corrections, origins that are irrelevant."""

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from syncsvc.testing import MS, S
from syncsvc.timing.clock_model import ClockModel

Frames = list[tuple[int, int]]

steps_ms = st.sampled_from([33, 40, 40, 40, 67, 200, 1500])
delays_ms = st.integers(0, 30) | st.integers(0, 400)


@st.composite
def sessions(draw: st.DrawFn) -> Frames:
    """``(pts, arrival)`` of a stream that arrives in order, however late: a steady start, then anything."""
    pts = arrival = 0
    frames = []
    begin = [(40, draw(st.integers(0, 20))) for _ in range(draw(st.integers(0, 60)))]
    for step_ms, delay_ms in begin + draw(st.lists(st.tuples(steps_ms, delays_ms), min_size=1, max_size=120)):
        pts += step_ms * MS
        arrival = max(arrival + 20_000, pts + delay_ms * MS)
        frames.append((pts, arrival))
    return frames


def times_of(frames: Frames, pts_from: int = 0, mono_from: int = 0) -> list[tuple[int, int, bool, int, str | None]]:
    """Time (less ``mono_from``), ±, settled, restarts, trouble after each frame."""
    model = ClockModel()
    told = []
    for pts, arrival in frames:
        model.feed(pts + pts_from, arrival + mono_from)
        time_ns = model.time_of(pts + pts_from) - mono_from
        told.append((time_ns, model.uncertainty_ns, model.is_settled, model.restarts, model.trouble))
    return told


@given(sessions(), st.integers(-(10**18), 10**18), st.integers(-(10**18), 10**18))
@settings(max_examples=60, deadline=None)
def test_where_pts_and_clock_begin_is_irrelevant(frames: Frames, pts_from: int, mono_from: int) -> None:
    assert times_of(frames, pts_from, mono_from) == times_of(frames)


@given(sessions())
@settings(max_examples=100, deadline=None)
def test_times_rise_and_are_slewed_unless_it_says_that_it_began_anew(frames: Frames) -> None:
    told = times_of(frames)
    for (before, after), ((pts_before, _), (pts_after, _)) in zip(pairwise(told), pairwise(frames), strict=True):
        if before[3] != after[3]:
            continue
        passed_ns, pts_ns = after[0] - before[0], pts_after - pts_before
        assert passed_ns > 0
        share = 0.01 if before[2] else 0.9
        assert abs(passed_ns - pts_ns) <= pts_ns * (share + 0.0007) + 2


@given(sessions())
@settings(max_examples=60, deadline=None)
def test_once_it_has_followed_no_frame_is_told_to_come_much_before_its_time(frames: Frames) -> None:
    """The floor lies below every arrival, but for what slewing still owes, and that is in the ±."""
    model = ClockModel()
    for pts, arrival in frames:
        model.feed(pts, arrival)
        assert model.time_of(pts) <= arrival + model.uncertainty_ns


@given(st.lists(st.tuples(st.integers(-5 * S, 5 * S), st.integers(0, 5 * S)), max_size=60))
@settings(max_examples=60, deadline=None)
def test_nothing_breaks_it(jumps: Sequence[tuple[int, int]]) -> None:
    model = ClockModel(holds=False)
    pts = arrival = 0
    for pts_step, arrival_step in jumps:
        pts, arrival = pts + pts_step, arrival + arrival_step
        model.feed(pts, arrival)
        assert model.time_of(pts) < model.time_of(pts + 1_000)
        assert model.uncertainty_ns > 0
        assert abs(model.drift_ppm) <= 600
