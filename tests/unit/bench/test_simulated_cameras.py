"""Simulated cameras: what the receiver sees follows from the truth as it does with libavformat."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from syncsvc.bench.simulated_cameras import (
    MONO_NS,
    UTC_NS,
    Congestion,
    Sighting,
    SimulatedCamera,
    Stalls,
    observe,
)
from syncsvc.testing import MS, S

CAMERA = SimulatedCamera(latency_ms=30)
ROUNDING_NS = 12_000
"""A tick of RTP, and a microsecond of libavformat's NTP times."""


def true_mono_ns(sighting: Sighting) -> int:
    """When the picture was taken, on the CLOCK_MONOTONIC of the observation."""
    return sighting.taken_ns - UTC_NS + MONO_NS


def seen_of(seconds: float, **keys: Any) -> list[Sighting]:
    return observe(replace(CAMERA, **keys), seconds)


def ntp_errors_ms(sightings: list[Sighting]) -> list[float]:
    return [
        (one.seen.ntp_ns - one.taken_ns) / MS for one in sightings if one.seen.ntp_ns is not None and one.seen.pts_ns
    ]


def delays_ms(sightings: list[Sighting]) -> list[float]:
    starts = [(one.seen.start_mono_ns, true_mono_ns(one)) for one in sightings]
    return [(start - true) / MS for start, true in starts if start is not None]


def test_a_parser_returns_a_frame_when_the_next_begins_and_the_first_has_neither_pts_nor_start() -> None:
    sightings = seen_of(4, jitter_ms=20)
    assert len(sightings) == 99  # of a hundred, the last never comes out
    assert (sightings[0].seen.pts_ns, sightings[0].seen.start_mono_ns) == (None, None)
    for before, after in pairwise(sightings):
        assert before.seen.arrival_mono_ns == after.seen.start_mono_ns
    without = seen_of(4, jitter_ms=20, parser_delay=False)
    assert len(without) == 100
    assert all(one.seen.arrival_mono_ns == one.seen.start_mono_ns for one in without)
    assert delays_ms(without)[1:99] == delays_ms(sightings)


def test_jitter_only_adds_and_order_is_kept() -> None:
    sightings = seen_of(60, jitter_ms=20)
    delays = delays_ms(sightings)
    assert 30 <= min(delays) < 30.5
    assert max(delays) <= 230 + 1
    assert sum(delays) / len(delays) == pytest.approx(52, abs=3)
    assert all(a.seen.arrival_mono_ns < b.seen.arrival_mono_ns for a, b in pairwise(sightings))


def test_a_seed_says_all_and_a_lie_changes_no_arrival() -> None:
    honest = seen_of(10, jitter_ms=20, drop_pct=5)
    assert honest == seen_of(10, jitter_ms=20, drop_pct=5)
    assert delays_ms(honest) != delays_ms(seen_of(10, jitter_ms=20, drop_pct=5, seed=2))
    for lie in ({"ntp_offset_ms": 1e4}, {"sr": "zero"}, {"sr": "none"}, {"ntp_steps": ((5.0, 300.0),)}):
        lying = seen_of(10, jitter_ms=20, drop_pct=5, **lie)
        assert [(one.taken_ns, one.seen.start_mono_ns) for one in lying] == [
            (one.taken_ns, one.seen.start_mono_ns) for one in honest
        ]


def test_the_crystal_drives_shutter_and_pts() -> None:
    first, *_, last = seen_of(600, drift_ppm=100, wander_ppm=20)[1:]
    assert first.seen.pts_ns is not None
    assert last.seen.pts_ns is not None
    pts_ns, true_ns = last.seen.pts_ns - first.seen.pts_ns, last.taken_ns - first.taken_ns
    assert (pts_ns - true_ns) / true_ns == pytest.approx(100e-6, abs=0.2e-6)  # a whole turn of wander is over
    assert pts_ns == pytest.approx((last.picture - first.picture) * 40 * MS, abs=ROUNDING_NS)


def test_reports_map_pts_to_the_time_of_capture() -> None:
    sightings = seen_of(12, jitter_ms=20)
    assert max(map(abs, ntp_errors_ms(sightings))) * MS < ROUNDING_NS
    reports = [one.seen.sender_report for one in sightings if one.seen.sender_report]
    assert len(reports) == 3  # at once, and every five seconds
    ntp, rtp = zip(*reports, strict=True)
    assert ((rtp[1] - rtp[0]) & 0xFFFFFFFF) / 90_000 == pytest.approx((ntp[1] - ntp[0]) / 2**32, abs=2e-5)
    assert ntp[0] / 2**32 - 2_208_988_800 == pytest.approx(UTC_NS / S, abs=1)


def test_a_late_first_report_rides_one_frame_early_with_the_time_of_the_next() -> None:
    sightings = seen_of(4, sr_first_s=1.0)
    with_ntp = [one for one in sightings if one.seen.ntp_ns is not None]
    first, second = with_ntp[:2]
    assert first.seen.ntp_ns == second.seen.ntp_ns
    assert first.seen.sender_report == second.seen.sender_report is not None
    assert max(map(abs, ntp_errors_ms(with_ntp[1:]))) * MS < ROUNDING_NS
    assert (first.taken_ns - UTC_NS) / S == pytest.approx(0.96)  # the next is on its way when the report is due


@pytest.mark.parametrize(
    ("keys", "error_ms"),
    [
        ({"ntp_offset_ms": 10_000.0}, 10_000),
        ({"ntp_offset_ms": -86_400_000.0}, -86_400_000),
        ({"sr": "sendtime"}, 30),
        ({"sr": "zero"}, -(UTC_NS // MS + 2_208_988_800_000)),
        ({"sr": "uptime"}, -(UTC_NS // MS + 2_208_988_800_000)),
    ],
    ids=["ten seconds ahead", "a day behind", "send time", "zero", "uptime"],
)
def test_how_reports_lie(keys: dict[str, Any], error_ms: float) -> None:
    errors = ntp_errors_ms(seen_of(3, **keys))
    assert errors[0] == pytest.approx(error_ms, abs=35)
    assert errors[-1] == pytest.approx(error_ms, abs=35)


def test_an_ntp_clock_that_steps_or_drifts_is_seen_at_the_next_report() -> None:
    errors = ntp_errors_ms(seen_of(12, sr_interval_s=2.0, ntp_steps=((5.0, 500.0),)))
    assert set(map(round, errors)) == {0, 500}
    assert sum(error < 1 for error in errors) == pytest.approx(6 * 25, abs=3)  # reports at 0, 2, 4, 6 seconds
    drifting = ntp_errors_ms(seen_of(20, ntp_drift_ppm=1000))
    assert drifting[-1] == pytest.approx(15, abs=0.2)


def test_a_grid_counts_pictures_whenever_they_are_taken() -> None:
    sightings = seen_of(20, fps=21, declared_fps=25, pts="grid", drop_pct=3)
    for one in sightings[1:]:
        assert one.seen.pts_ns == pytest.approx(one.picture * 40 * MS, abs=ROUNDING_NS)
    assert sightings[-1].picture == 418
    assert max(one.picture - index for index, one in enumerate(sightings)) > 3  # what is dropped counts on
    shaken = seen_of(20, pts="grid", shutter_jitter_ms=8)
    off = [one.taken_ns - UTC_NS - one.picture * 40 * MS for one in shaken]
    assert 7 * MS < max(off) <= 8 * MS
    true = seen_of(20, shutter_jitter_ms=8)
    pts = [one.seen.pts_ns - (one.taken_ns - true[0].taken_ns) for one in true if one.seen.pts_ns is not None]
    assert max(map(abs, pts)) < ROUNDING_NS


def test_bursts_stalls_and_congestion_delay_what_they_meet() -> None:
    burst = seen_of(4, burst_s=1.1, parser_delay=False)
    assert delays_ms(burst)[0] == pytest.approx(1100)
    assert delays_ms(burst)[40] == pytest.approx(30)
    stalled = delays_ms(seen_of(25, stalls=Stalls(10, 2), parser_delay=False))
    assert max(stalled) == pytest.approx(2030, abs=41)
    assert sum(delay > 31 for delay in stalled) == pytest.approx(2 * 50, abs=3)
    congested = delays_ms(seen_of(20, congestion=(Congestion(5, 5, 100),), parser_delay=False))
    assert congested[130] == pytest.approx(130)
    assert congested[100] == congested[260] == pytest.approx(30)


def test_a_reconnected_camera_begins_anew() -> None:
    sightings = seen_of(6, reconnect_at_s=(2.0, 4.0))
    assert [one.session for one in sightings] == sorted(one.session for one in sightings)
    for session in range(3):
        some = [one for one in sightings if one.session == session]
        assert some[0].seen.pts_ns is None
        assert some[1].seen.pts_ns == pytest.approx(40 * MS, abs=ROUNDING_NS)
        assert some[0].seen.sender_report is not None
        assert max(map(abs, ntp_errors_ms(some))) * MS < ROUNDING_NS
    assert [one.seen.seq for one in sightings] == list(range(len(sightings)))
    gaps = [after.taken_ns - before.taken_ns for before, after in pairwise(sightings)]
    assert sum(gap > 500 * MS for gap in gaps) == 2


def test_pts_steps() -> None:
    sightings = seen_of(4, pts_steps=((2.0, -300.0),))
    jumps = [b.seen.pts_ns - a.seen.pts_ns for a, b in pairwise(sightings[1:]) if a.seen.pts_ns and b.seen.pts_ns]
    assert sorted({round(jump / MS) for jump in jumps}) == [-260, 40]
