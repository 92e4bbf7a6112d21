"""What a stream delivers over the last seconds, as its status says it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncsvc.ingest.delivered import DeliveredRate
from syncsvc.testing import MS, T0, S


@pytest.mark.parametrize("fps", [0.02, 0.5, 15.0, 25.0, 240.0])
def test_a_steady_stream_has_its_own_rate(fps: float) -> None:
    rate, told = DeliveredRate(), []
    for number in range(min(2000, max(5, round(20 * fps)))):
        at_ns = T0 + round(number * S / fps)
        rate.add(at_ns, at_ns + 50 * MS)
        told.append(rate.fps(at_ns + 60 * MS))
    assert told[1:] == pytest.approx([fps] * (len(told) - 1), rel=0.02)


@pytest.mark.parametrize("segment_s", [1, 2, 6, 10])
def test_segments_that_come_at_once_have_the_rate_of_their_frames_also_between_them(segment_s: int) -> None:
    rate, told = DeliveredRate(), []
    for segment in range(6):
        came_ns = T0 + (segment + 3) * segment_s * S
        for number in range(15 * segment_s):
            rate.add(T0 + segment * segment_s * S + number * S // 15, came_ns + number * MS)
        for after_ms in range(1000, 1000 * segment_s, 500):
            told += [rate.fps(came_ns + after_ms * MS)] if segment else []
    assert told == pytest.approx([15] * len(told), rel=0.02)


def test_what_no_longer_comes_has_no_rate() -> None:
    rate = DeliveredRate()
    assert rate.fps(T0) == 0
    for number in range(250):
        rate.add(T0 + number * 40 * MS, T0 + number * 40 * MS)
    assert rate.fps(T0 + 10 * S) == pytest.approx(25)
    assert rate.fps(T0 + 15 * S) == 0


def test_a_stream_that_slows_down_is_told_within_seconds() -> None:
    rate = DeliveredRate()
    for number in range(250):
        rate.add(T0 + number * 40 * MS, T0 + number * 40 * MS)
    for number in range(26):
        rate.add(T0 + 10 * S + number * 200 * MS, T0 + 10 * S + number * 200 * MS)
    assert rate.fps(T0 + 15 * S) == pytest.approx(5, rel=0.05)


@given(st.lists(st.integers(-10_000, 10_000), min_size=2, max_size=50))
def test_whatever_the_times_are_the_rate_is_a_number_that_is_not_negative(times_ms: list[int]) -> None:
    rate = DeliveredRate()
    for number, time_ms in enumerate(times_ms):
        rate.add(T0 + time_ms * MS, T0 + number * MS)
        assert rate.fps(T0 + number * MS) >= 0
