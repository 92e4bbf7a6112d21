"""Sender reports as libavformat tells of them: drift is learnt, steps are measured, lies are noticed."""

from collections.abc import Iterator

import pytest

from syncsvc.bench.simulated_cameras import MONO_NS, UTC_NS, Sighting, SimulatedCamera, observe
from syncsvc.cameras.rtp import ntp_timestamp
from syncsvc.testing import MS, T0, S
from syncsvc.timing.ntp import SenderReportMap

FRAME = 40 * MS
LATENCY = 30 * MS


def feed(
    reports: SenderReportMap,
    seconds: float,
    *,
    begin: float = 0.0,
    drift_ppm: float = 0.0,
    every_s: float = 5.0,
    offset_ns: int = 0,
    latency_ns: int = LATENCY,
) -> Iterator[tuple[int, int]]:
    """Feed packets of a camera whose NTP clock gains ``drift_ppm`` on its RTP clock; gives each pts and its true time.

    As in libavformat, the NTP time of a packet is the last report's, extrapolated at the nominal rate.
    """
    for pts in range(round(begin * S), round((begin + seconds) * S), FRAME):
        last_report = int(pts / S // every_s * every_s * S)
        gained = round(last_report * drift_ppm * 1e-6)
        true_gain = round(pts * drift_ppm * 1e-6)
        ntp = (T0 + pts + gained + offset_ns) // 1000 * 1000
        reports.feed(pts, ntp, T0 + pts + true_gain + latency_ns)
        yield pts, T0 + pts + true_gain + offset_ns


def learn(reports: SenderReportMap, seconds: float, **more: float) -> None:
    for _ in feed(reports, seconds, **more):  # type: ignore[arg-type]
        pass


def test_the_first_stamp_of_a_session_is_a_frame_late_and_not_believed() -> None:
    reports = SenderReportMap()
    reports.feed(0, T0 + FRAME, T0 + LATENCY)
    assert not reports.is_anchored
    reports.feed(FRAME, T0 + FRAME, T0 + FRAME + LATENCY)
    assert not reports.is_anchored
    reports.feed(2 * FRAME, T0 + 2 * FRAME, T0 + 2 * FRAME + LATENCY)
    assert reports.is_anchored
    assert reports.time_of(0) == T0
    assert reports.is_plausible


@pytest.mark.parametrize("drift_ppm", [100, -100, 200, -200])
def test_drift_is_learnt_from_three_reports(drift_ppm: float) -> None:
    reports = SenderReportMap()
    learn(reports, 10.2, drift_ppm=drift_ppm)
    assert reports.drift_ppm == pytest.approx(drift_ppm, abs=1)
    worst = max(abs(reports.time_of(pts) - true) for pts, true in feed(reports, 30, begin=10.2, drift_ppm=drift_ppm))
    assert worst < MS // 10
    assert reports.steps == 0


def test_without_drift_nothing_is_learnt_from_the_rounding() -> None:
    reports = SenderReportMap()
    worst = max(abs(reports.time_of(pts) - true) for pts, true in feed(reports, 60) if reports.is_anchored)
    assert worst <= 1000
    assert abs(reports.drift_ppm) < 1


def test_a_step_is_followed_once_two_packets_agree() -> None:
    reports = SenderReportMap()
    learn(reports, 10)
    reports.feed(10 * S, T0 + 10 * S + 300 * MS, T0 + 10 * S + LATENCY)
    assert reports.time_of(10 * S) == T0 + 10 * S, "one packet alone may be wrong"
    learn(reports, 1, begin=10.04, offset_ns=300 * MS)
    assert reports.steps == 1
    assert reports.time_of(11 * S) == pytest.approx(T0 + 11 * S + 300 * MS, abs=1000)


def test_outliers_that_do_not_follow_each_other_are_no_step() -> None:
    reports = SenderReportMap()
    learn(reports, 10)
    for place in range(5):
        at = 10 * S + 2 * place * FRAME
        reports.feed(at, T0 + at + 300 * MS, T0 + at + LATENCY)
        reports.feed(at + FRAME, T0 + at + FRAME, T0 + at + FRAME + LATENCY)
    assert reports.steps == 0
    assert reports.time_of(11 * S) == pytest.approx(T0 + 11 * S, abs=1000)


def test_an_outlier_that_agrees_with_a_base_of_long_ago_is_no_step() -> None:
    """At 100 ppm the base of the session's start is 10 ms off after 100 s: one packet with it is one outlier."""
    reports = SenderReportMap()
    learn(reports, 100, drift_ppm=100)
    reports.feed(100 * S, T0 + 100 * S, T0 + 100 * S + LATENCY)
    assert reports.steps == 0


@pytest.mark.parametrize(
    ("what", "offset_ns"),
    [
        ("NTP of zero", -T0),
        ("NTP counted from boot", -T0 + 3600 * S),
        ("an hour ahead", 3600 * S),
        ("provably ahead", LATENCY + 6 * MS),
        ("ten seconds behind", -10 * S),
    ],
)
def test_clocks_that_cannot_be_true_are_not_plausible(what: str, offset_ns: int) -> None:
    reports = SenderReportMap()
    learn(reports, 3, offset_ns=offset_ns)
    assert reports.is_anchored
    assert not reports.is_plausible, what


@pytest.mark.parametrize("offset_ns", [0, -120 * MS, LATENCY - MS])
def test_clocks_that_may_be_true_are_plausible(offset_ns: int) -> None:
    reports = SenderReportMap()
    learn(reports, 3, offset_ns=offset_ns)
    assert reports.is_plausible


def test_a_clock_that_steps_out_of_the_possible_loses_its_gate_at_once_and_gets_it_back() -> None:
    reports = SenderReportMap()
    learn(reports, 20)
    learn(reports, 0.08, begin=20, offset_ns=3600 * S)
    assert not reports.is_plausible
    learn(reports, 0.08, begin=20.08)
    assert reports.is_plausible


def test_latency_that_never_falls_below_a_second_closes_the_gate_after_ten() -> None:
    reports = SenderReportMap()
    learn(reports, 5)
    learn(reports, 6, begin=5, latency_ns=2 * S)
    assert reports.is_plausible
    learn(reports, 6, begin=11, latency_ns=2 * S)
    assert not reports.is_plausible


def camera(reports: SenderReportMap, sightings: list[Sighting]) -> list[tuple[int, int]]:
    """Feed what libavformat shows of a camera; gives each pts with its true time, from the first base on."""
    told = []
    for sighting in sightings:
        seen = sighting.seen
        if seen.pts_ns is not None and seen.ntp_ns is not None:
            arrival = seen.arrival_mono_ns - MONO_NS + UTC_NS
            reports.feed(seen.pts_ns, seen.ntp_ns, arrival, seen.sender_report)
        if seen.pts_ns is not None and reports.is_anchored:
            told.append((reports.time_of(seen.pts_ns), sighting.taken_ns))
    return told


def worst_ns(told: list[tuple[int, int]], skip: int) -> int:
    return max(abs(time - true) for time, true in told[skip:])


def test_the_raw_reports_give_times_without_the_rounding_of_the_witness() -> None:
    one = SimulatedCamera(fps=30, drift_ppm=80, jitter_ms=20, sr_interval_s=5)
    told = camera(SenderReportMap(), observe(one, 60))
    assert worst_ns(told, 300) < 20_000, "ticks of 90 kHz are 11 us"
    assert abs(told[0][0] - told[0][1]) < MS // 10


def test_rtp_time_that_wraps_between_reports_changes_nothing() -> None:
    """2^32 ticks are 13 hours; the first RTP time is random: one seed in a thousand wraps within 50 s."""
    reports = SenderReportMap()
    base = 2**32 - 5 * 90_000
    for n in range(500):
        pts = n * FRAME
        report = n // 50 * 50
        raw = ntp_timestamp(T0 + report * FRAME), (base + report * 3600) % 2**32
        reports.feed(pts, (T0 + pts) // 1000 * 1000, T0 + pts + LATENCY, raw if n % 50 == 0 else None)
    assert abs(reports.time_of(500 * FRAME) - T0 - 500 * FRAME) < 20_000
    assert reports.steps == 0


def test_a_report_that_was_lost_with_its_frame_is_taken_from_the_witness() -> None:
    one = SimulatedCamera(drift_ppm=200, sr_interval_s=5)
    kept = [sighting for sighting in observe(one, 120) if sighting.seen.sender_report is None or sighting.picture < 10]
    assert worst_ns(camera(SenderReportMap(), kept), 500) < MS // 10


def test_a_clock_that_steps_is_not_believed_until_it_is_back_on_its_line() -> None:
    away = SimulatedCamera(drift_ppm=50, ntp_steps=((20, -300), (40, 300)), sr_interval_s=1)
    reports = SenderReportMap()
    problems = []
    for sighting in observe(away, 60):
        camera(reports, [sighting])
        problems.append((sighting.picture / 25, reports.problem))
    assert {problem for at, problem in problems if at < 20} == {""}
    assert {problem for at, problem in problems if 22 < at < 40} == {"the camera's clock stepped by -300.0 ms"}
    assert {problem for at, problem in problems if at > 42} == {""}
    assert reports.steps == 2


def test_a_step_that_stays_is_believed_in_the_end() -> None:
    away = SimulatedCamera(fps=2, ntp_steps=((20, -300),), sr_interval_s=5)
    reports = SenderReportMap()
    camera(reports, observe(away, 600))
    assert reports.problem == "the camera's clock stepped by -300.0 ms"
    assert reports.step_doubt_ns == pytest.approx(300 * MS, abs=MS)
    camera(reports, [later for later in observe(away, 700) if later.picture > 1200])
    assert reports.problem == ""
    assert reports.step_doubt_ns == 0


def test_reports_rarer_than_a_minute_and_a_fast_crystal_are_no_steps() -> None:
    one = SimulatedCamera(fps=5, drift_ppm=120, sr_interval_s=90)
    reports = SenderReportMap()
    camera(reports, observe(one, 900))
    assert reports.steps == 0
    assert reports.drift_ppm == pytest.approx(-120, abs=2)
