"""Which delays run away, as no clock's do, and which only come and go."""

import pytest

from syncsvc.timing.delay_trend import RateWatch


def rates_of(delays_s: list[float], step_s: float, begin_s: float = 0.0) -> list[tuple[float, float]]:
    """``(arrival, rate)`` where a rate was seen, of a frame each ``step_s``."""
    watch = RateWatch()
    seen = [(begin_s + i * step_s, watch.feed(begin_s + i * step_s, delay_s)) for i, delay_s in enumerate(delays_s)]
    return [(arrival_s, rate) for arrival_s, rate in seen if rate is not None]


@pytest.mark.parametrize("growth", [0.16, -0.2])
def test_a_young_session_is_doubted_within_three_seconds_and_an_older_one_within_eight(growth: float) -> None:
    arrival_s, rate = rates_of([growth * i * 0.04 for i in range(500)], 0.04)[0]
    assert arrival_s < 3
    assert rate == pytest.approx(1 - growth, abs=0.015)
    steady = [0.0] * 250
    arrival_s, rate = rates_of(steady + [growth * i * 0.04 for i in range(500)], 0.04)[0]
    assert 15 < arrival_s < 18
    assert rate == pytest.approx(1 - growth, abs=0.015)


def test_growth_of_two_per_cent_is_seen_within_half_a_minute() -> None:
    arrival_s, rate = rates_of([0.02 * i * 0.04 for i in range(1000)], 0.04)[0]
    assert 18 < arrival_s < 25
    assert rate == pytest.approx(0.98, abs=0.002)


def test_slow_growth_must_last_for_minutes() -> None:
    arrival_s, rate = rates_of([0.001 * i * 0.04 for i in range(6500)], 0.04)[0]
    assert 180 < arrival_s < 245
    assert rate == pytest.approx(0.999, abs=1e-4)
    assert not rates_of([0.0006 * i * 0.04 for i in range(12000)], 0.04)


def test_what_is_left_out_of_a_grid_now_and_then_is_growth_too() -> None:
    delays = [0.04 * (i // 70) for i in range(6500)]  # a picture in seventy is not counted: 0.14 s in ten seconds
    assert rates_of(delays, 0.04)


def test_a_queue_that_grows_unevenly_or_only_for_some_seconds_is_none() -> None:
    uneven = [0.0, 0.04, 0.08, 0.4, 0.44, 0.48, 0.52, 0.56, 0.6]
    steps = [level for level in uneven for _ in range(25)]
    assert not rates_of([0.0] * 250 + steps + [0.0] * 250, 0.04)
    ramp = [0.05 * i * 0.04 for i in range(125)]
    assert not rates_of([0.0] * 250 + ramp + [0.0] * 250, 0.04)


def test_growth_over_a_silence_is_not_reckoned_with() -> None:
    watch = RateWatch()
    for i in range(20):  # a frame every 70 seconds, ever later: nothing is known of the time between
        assert watch.feed(i * 70.0, i * 0.5) is None


def test_a_path_that_slows_down_by_a_tenth_of_a_second_is_no_rate() -> None:
    for lasts_s in (20, 60, 100, 150):
        ramp = [0.1 * i / (25 * lasts_s) for i in range(25 * lasts_s)]
        assert not rates_of([0.0] * 500 + ramp + [0.1] * 5000, 0.04), lasts_s
