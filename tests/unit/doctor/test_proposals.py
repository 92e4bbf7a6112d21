"""What is proposed would have sufficed, and not by far too much."""

import msgspec
import numpy as np
import pytest

from syncsvc.clock import NS_PER_MS, NS_PER_S
from syncsvc.daemon.planning import HOLD_MARGIN_NS
from syncsvc.doctor.proposals import advise, rounded_up_ms
from tests.unit.doctor.logs import GROUP, camera, diagnosis_of, run_of


def test_the_proposed_skew_is_the_spread_that_the_phases_need() -> None:
    # Same rate, 13 ms apart: every set has a spread of 13 ms, and the next candidate is 27 ms away.
    advice = diagnosis_of(camera("one"), camera("two", phase_ms=13.0)).groups[GROUP]
    assert advice.spread_p50_ms == pytest.approx(13, abs=0.1)
    assert advice.max_skew_ms == 14
    assert advice.proposed_share == 1
    assert advice.complete_share == 1
    assert advice.any_phase_ms == pytest.approx(20, abs=0.1)


def test_mixed_rates_need_more_and_losses_do_not_count() -> None:
    cameras = [camera("a"), camera("b", fps=30.0, drop_pct=2.0), camera("c", fps=29.97), camera("d", fps=15.0)]
    advice = diagnosis_of(*cameras).groups[GROUP]
    assert advice.max_skew_ms is not None
    assert advice.spread_p99_ms is not None
    assert advice.spread_p99_ms <= advice.max_skew_ms <= 35
    assert advice.proposed_share is not None
    assert advice.proposed_share >= 0.99
    assert advice.any_phase_ms == pytest.approx(20 + 16.7, abs=0.2)


def test_a_bound_that_is_too_tight_shows_in_the_share_of_complete_sets() -> None:
    run = run_of(camera("one", fps=10.0), camera("two", fps=10.0, phase_ms=48.0))
    advice = advise(run.groups[GROUP], run.streams, {})
    assert advice.complete_share == 0
    assert advice.max_skew_ms == 55
    assert advice.proposed_share == 1


def test_a_reference_of_the_configuration_is_kept() -> None:
    cameras = [camera("slow", fps=10.0), camera("fast", fps=30.0, phase_ms=5.0)]
    by_fast = diagnosis_of(*cameras, reference="fast").groups[GROUP]
    by_slow = diagnosis_of(*cameras).groups[GROUP]
    assert (by_slow.max_skew_ms, by_fast.max_skew_ms) == (6, 6)
    assert by_slow.complete_share == 1
    assert by_fast.complete_share == pytest.approx(1 / 3, abs=0.01)  # of three frames, two can have no partner


def test_the_latency_that_is_proposed_for_modelled_stamps_moves_them() -> None:
    cameras = [camera("ntp"), camera("model", latency_ms=130.0)]
    run = run_of(*cameras, clocks={"model": "model"})
    raw = advise(run.groups[GROUP], run.streams, {})
    moved = advise(run.groups[GROUP], run.streams, {"model": 130.0})
    assert raw.spread_p50_ms == pytest.approx(10, abs=0.2)  # 130 ms are three intervals and 10 ms
    assert moved.spread_p50_ms == pytest.approx(0, abs=0.2)
    assert raw.lateness_ms is not None
    assert moved.lateness_ms is not None
    assert moved.lateness_ms["model"] == pytest.approx(raw.lateness_ms["model"] + 130)
    assert raw.max_latency_ms is not None
    assert moved.max_latency_ms is not None
    assert moved.max_latency_ms > raw.max_latency_ms


def test_the_latency_bound_covers_the_latest_frames_and_the_held_ones() -> None:
    advice = diagnosis_of(camera("one"), camera("two", latency_ms=400.0)).groups[GROUP]
    assert advice.lateness_ms is not None
    assert advice.lateness_ms["two"] == pytest.approx(450, abs=20)  # latency, parser, jitter
    assert advice.max_latency_ms is not None
    assert advice.lateness_ms["two"] + 150 <= advice.max_latency_ms <= advice.lateness_ms["two"] + 250


def test_what_was_waiting_when_a_connection_was_opened_does_not_count() -> None:
    plain = diagnosis_of(camera("one"), camera("two")).groups[GROUP]
    burst = diagnosis_of(camera("one"), camera("two", burst_s=1.5)).groups[GROUP]
    assert burst.max_latency_ms == plain.max_latency_ms


def test_too_little_is_said_and_not_guessed_from() -> None:
    advice = diagnosis_of(camera("one"), camera("two"), seconds=2.0).groups[GROUP]
    assert advice.max_skew_ms is None
    assert "undisturbed frames" in advice.why_not
    alone = diagnosis_of(camera("one")).groups[GROUP]
    assert alone.max_skew_ms is None
    assert alone.why_not == "fewer than two streams had frames with a settled clock"


@pytest.mark.parametrize(("value", "rounded"), [(0.1, 1), (7.0, 8), (9.5, 10), (13.0, 14), (19.5, 25), (28.6, 35)])
def test_bounds_are_round_with_a_twentieth_to_spare(value: float, rounded: float) -> None:
    assert rounded_up_ms(value) == rounded


def test_only_stamps_of_the_final_clock_count() -> None:
    run = run_of(camera("one"), camera("two", phase_ms=13.0))
    two = run.streams["two"]
    two.clock[:100] = "pts"
    two.time_ns[:100] += 7 * NS_PER_MS
    advice = advise(run.groups[GROUP], run.streams, {})
    assert advice.spread_p99_ms == pytest.approx(13, abs=0.1)
    assert np.count_nonzero(two.clock == "pts") == 100


def test_a_skew_that_the_window_does_not_allow_is_not_proposed() -> None:
    run = run_of(camera("one", fps=4.0), camera("two", fps=4.0, phase_ms=120.0))
    group = msgspec.structs.replace(run.groups[GROUP], window_ns=100 * NS_PER_MS)
    advice = advise(group, run.streams, {})
    assert advice.max_skew_ms is None
    assert "window of 100 ms" in advice.why_not


def test_without_windows_any_skew_fits_and_a_set_waits_for_one_more_frame_of_each() -> None:
    run = run_of(camera("one", fps=10.0), camera("two", fps=10.0, phase_ms=48.0))
    group = run.groups[GROUP]
    advice, narrow, sets = (
        advise(msgspec.structs.replace(group, window_ns=window), run.streams, {})
        for window in (NS_PER_S, 50 * NS_PER_MS, None)
    )
    assert narrow.why_not.startswith("55 ms would be needed")
    assert sets.max_skew_ms == advice.max_skew_ms == 55
    assert advice.lateness_ms is not None
    latest_ms = max(advice.lateness_ms.values())
    for found, wait_ms in ((advice, 2 * 55), (sets, 100)):
        assert found.max_latency_ms is not None
        assert 0 <= found.max_latency_ms - (latest_ms + wait_ms + HOLD_MARGIN_NS / NS_PER_MS) < 51
