"""Every fault that a simulated camera has is found, measured and named; a faultless one has none."""

from itertools import pairwise
from typing import Any

import pytest
from msgspec import structs

from syncsvc.bench.simulated_cameras import SimulatedCamera, Stalls
from syncsvc.clock import NS_PER_MS
from syncsvc.doctor.diagnosis import StreamDiagnosis, diagnose
from syncsvc.doctor.observed import NONE, gather
from syncsvc.doctor.pts_clock import fit_floor
from syncsvc.observe.records import LossRecord, LostRecords, ObsRecord, UtcRecord
from tests.statuses import STREAM
from tests.unit.doctor.logs import camera, diagnosis_of, log_of, run_of


def of(one: SimulatedCamera, *others: SimulatedCamera, seconds: float = 25.0) -> StreamDiagnosis:
    return diagnosis_of(one, *others, seconds=seconds).streams[one.name]


def codes(stream: StreamDiagnosis) -> set[str]:
    return {finding.code for finding in stream.findings}


def test_a_faultless_camera_has_no_finding() -> None:
    stream = of(camera())
    assert stream.findings == ()
    assert (stream.clock, stream.uncertainty_ms, stream.ntp.verdict) == ("rtcp", 1.0, "believable")
    assert stream.delivery.fps == pytest.approx(25, rel=1e-4)
    assert stream.delivery.pts_fps == pytest.approx(25, rel=1e-3)
    assert stream.delivery.parser_ms == pytest.approx(40, abs=1)
    assert stream.delivery.sessions == 1


@pytest.mark.parametrize("ppm", [-100.0, 0.0, 80.0])
@pytest.mark.parametrize("fps", [15.0, 29.97])
def test_drift_is_found_against_arrivals_and_against_ntp(ppm: float, fps: float) -> None:
    stream = of(camera(drift_ppm=ppm, fps=fps))
    assert stream.pts_clock.drift_ppm == pytest.approx(ppm, abs=5)
    assert stream.ntp.drift_ppm == pytest.approx(ppm, abs=1)
    assert stream.drift is not None
    assert stream.drift[2] == "ntp"
    assert abs(stream.drift[0] - ppm) <= stream.drift[1]
    assert stream.delivery.fps == pytest.approx(fps * (1 + ppm * 1e-6), rel=1e-4)


def test_the_drift_of_twenty_cameras_lies_within_its_doubt_nineteen_times() -> None:
    cameras = [camera(jitter_ms=10.0, drift_ppm=7.0 * seed - 70, seed=seed, sr="none") for seed in range(20)]
    drifts = [of(one).drift for one in cameras]
    errors = [(abs(d[0] - one.drift_ppm), d[1]) for d, one in zip(drifts, cameras, strict=True) if d is not None]
    assert len(errors) == 20
    assert sum(error <= doubt for error, doubt in errors) >= 18
    assert max(doubt for _, doubt in errors) < 40


def test_drift_needs_ten_seconds() -> None:
    stream = of(camera(sr="none"), seconds=8.0)
    assert stream.drift is None
    assert stream.pts_clock.delay is not None


@pytest.mark.parametrize("latency_ms", [10.0, 60.0, 250.0])
def test_latency_is_measured_against_a_believable_clock(latency_ms: float) -> None:
    diagnosis = diagnosis_of(camera("slow", latency_ms=latency_ms, drift_ppm=50), camera("quick", latency_ms=5.0))
    slow = diagnosis.streams["slow"]
    assert slow.latency_ms == pytest.approx(latency_ms, abs=0.5)
    assert slow.behind_ms == pytest.approx(latency_ms - 5, abs=0.5)
    assert slow.proposed_latency_ms == pytest.approx(latency_ms, abs=0.5)
    assert (slow.latency_basis, diagnosis.streams["quick"].behind_ms) == ("ntp", 0)


@pytest.mark.parametrize(
    ("fault", "verdict", "code", "words"),
    [
        ({"sr": "none"}, "silent", "ntp_absent", "sends no sender reports"),
        ({"sr": "zero"}, "zero", "ntp_zero", "NTP is 0"),
        ({"sr": "uptime"}, "uptime", "ntp_uptime", "switched on"),
        ({"ntp_offset_ms": 10_000.0}, "ahead", "ntp_ahead", "9.97 s ahead"),
        ({"ntp_offset_ms": -10_000.0}, "behind", "ntp_behind", "10.03 s behind"),
        ({"ntp_offset_ms": 86_400_000.0}, "ahead", "ntp_ahead", "24.0 h ahead"),
        ({"ntp_steps": ((8.0, 50.0), (15.0, -80.0))}, "steps", "ntp_steps", "stepped 2 times, by 80 ms at most"),
    ],
)
def test_a_lying_clock_is_named_and_no_latency_is_taken_from_it(
    fault: dict[str, Any], verdict: str, code: str, words: str
) -> None:
    stream = of(camera(**fault))
    assert stream.ntp.verdict == verdict
    assert codes(stream) == {code}
    assert words in stream.findings[0].text
    assert stream.latency_ms is None
    assert stream.proposed_latency_ms is None


def test_reports_that_are_stamped_when_sent_are_suspected_beside_honest_ones() -> None:
    diagnosis = diagnosis_of(camera("sent", sr="sendtime", jitter_ms=0.5), camera("honest", latency_ms=45.0))
    sent = diagnosis.streams["sent"]
    assert codes(sent) == {"ntp_sent"}
    assert "45 ms and more" in sent.findings[0].text
    assert sent.proposed_latency_ms is None
    assert diagnosis.streams["honest"].behind_ms == 0
    assert diagnosis.streams["honest"].findings == ()


def test_a_grid_that_the_arrivals_do_not_follow_is_told_from_drift() -> None:
    stream = of(camera(fps=21.0, pts="grid", declared_fps=25.0, sr="none"))
    assert codes(stream) == {"ntp_absent", "pts_grid"}
    assert stream.delivery.fps == pytest.approx(21, rel=1e-3)
    assert stream.delivery.pts_fps == pytest.approx(25, rel=1e-3)
    assert "25.00 frames/s, and 21.00 come" in stream.findings[1].text


def test_a_declared_rate_that_is_not_kept_is_told() -> None:
    run = run_of(camera(fps=21.0))
    stream = diagnose(run, {"cam": structs.replace(STREAM, declared_fps=25.0, problem="")}).streams["cam"]
    assert [finding.text for finding in stream.findings] == ["declares 25 frames/s and delivers 21.00"]
    assert diagnose(run, {"cam": structs.replace(STREAM, declared_fps=21.0, problem="")}).streams["cam"].findings == ()


def test_steps_of_pts_are_found_and_losses_in_a_jam_are_no_step() -> None:
    stream = of(camera(pts_steps=((8.0, 400.0), (16.0, -700.0)), sr="none"))
    assert stream.pts_clock.steps_ms == pytest.approx([400, -700], abs=15)
    assert "pts_steps" in codes(stream)
    jammed = of(camera(stalls=Stalls(5.0, 0.8), sr="none"))
    assert jammed.pts_clock.steps_ms == ()
    begun_late = of(camera(fps=8.0, burst_s=1.1, sr="none"))
    assert begun_late.pts_clock.steps_ms == ()
    assert begun_late.pts_clock.drift_ppm == pytest.approx(0, abs=6)


def test_reconnections_are_counted_and_measured_through() -> None:
    stream = of(camera(reconnect_at_s=(6.0,), drift_ppm=40.0))
    assert stream.delivery.sessions == 2
    assert stream.pts_clock.steps_ms == ()
    assert codes(stream) == {"reconnects"}
    assert stream.pts_clock.drift_ppm == pytest.approx(40, abs=6)
    assert stream.latency_ms == pytest.approx(30, abs=0.5)


def test_pauses_are_told_by_where_they_stand() -> None:
    stream = of(camera(stalls=Stalls(5.0, 0.5)))
    assert stream.delivery.pauses.count >= 4
    assert stream.delivery.pauses.every_s == pytest.approx(5, abs=0.1)
    assert stream.delivery.pauses.longest_ms == pytest.approx(500, abs=45)
    assert codes(stream) == {"pauses"}
    records = log_of([camera(jitter_ms=0.0)])
    observed = [record for record in records if isinstance(record, ObsRecord)]
    keyed = {record.seq for record in observed if record.seq % 50 == 0}
    moved = []
    for record in records:
        if isinstance(record, ObsRecord) and record.start_mono_ns is not None:
            late_ns = 90 * NS_PER_MS if record.seq in keyed else 60 * NS_PER_MS if record.seq - 1 in keyed else 0
            start, arrival = record.start_mono_ns + late_ns, record.arrival_mono_ns + late_ns
            record = ObsRecord(
                **{
                    **{f: getattr(record, f) for f in record.__struct_fields__},
                    "start_mono_ns": start,
                    "arrival_mono_ns": arrival,
                    "key": record.seq in keyed,
                }
            )
        moved.append(record)
    keys = diagnose(gather(moved)).streams["cam"]
    assert keys.delivery.pauses.are_at_keys
    assert keys.delivery.key_every_frames == 50
    assert keys.delivery.key_every_s == pytest.approx(2, abs=0.01)
    assert "pauses at key frames, every 2.0 s" in " ".join(finding.text for finding in keys.findings)


def test_frames_that_never_came_are_counted_by_the_gaps_in_pts() -> None:
    stream = of(camera(drop_pct=4.0, drift_ppm=90.0))
    assert "never_came" in codes(stream)
    expected = 25 * 25 - stream.delivery.frames
    assert stream.delivery.never_came == pytest.approx(expected, abs=2)


def test_losses_are_listed_by_cause() -> None:
    losses = [LossRecord(stream="cam", cause=c, count=n, mono_ns=0) for c, n in (("a", 2), ("b", 1), ("a", 3))]
    stream = diagnose(gather([*log_of([camera()]), *losses])).streams["cam"]
    assert [finding.text for finding in stream.findings] == ["frames lost: 5 a, 1 b"]


def test_a_stream_without_a_frame_has_its_problem_and_nothing_else() -> None:
    run = run_of(camera(), seconds=0.0)
    stream = diagnose(
        run, {"cam": structs.replace(STREAM, declared_fps=None, problem="cannot be opened: timed out")}
    ).streams["cam"]
    assert [finding.text for finding in stream.findings] == ["no frame came: cannot be opened: timed out"]
    assert (stream.delivery.frames, stream.clock, stream.latency_ms) == (0, "", None)


def test_one_frame_is_enough_for_a_report() -> None:
    for seconds in (0.05, 0.1, 0.2, 0.5):
        diagnosis = diagnosis_of(camera("one"), camera("two"), seconds=seconds)
        assert diagnosis.groups["all"].max_skew_ms is None
        assert diagnosis.groups["all"].why_not


def test_utc_follows_the_segments_of_the_hosts_clock() -> None:
    records = log_of([camera(jitter_ms=0.0)])
    run = gather(records)
    begun = run.streams["cam"].arrival_ns[0]
    slewed = UtcRecord(mono_ns=int(begun) + 10**9, utc_ns=5_000_000_000, rate=1e-4, epoch=1)
    record = gather([*records, slewed]).streams["cam"]
    utc = record.arrival_ns + record.utc_less_mono_ns
    after = record.arrival_ns >= slewed.mono_ns
    elapsed = record.arrival_ns[after] - slewed.mono_ns
    assert abs(utc[after] - (slewed.utc_ns + elapsed * 1.0001)).max() < 1000
    assert (utc[~after] > slewed.utc_ns).all()


def test_frames_keep_their_order_and_their_gaps() -> None:
    record = gather(log_of([camera(drop_pct=10.0)])).streams["cam"]
    assert all(before < after for before, after in pairwise(record.seq))
    assert record.pts_ns[0] == NONE
    assert (record.time_ns != NONE).all()


def test_lost_records_are_told() -> None:
    diagnosis = diagnose(gather([*log_of([camera()]), LostRecords(count=7), LostRecords(count=1)]))
    assert diagnosis.lost_records == 8


def test_no_line_goes_under_too_few_points() -> None:
    record = run_of(camera()).streams["cam"]
    assert fit_floor(record.pts_ns[1:10], record.start_ns[1:10]) is None
    line = fit_floor(record.pts_ns[1:], record.start_ns[1:])
    assert line is not None
    assert (record.start_ns[1:] - line.of(record.pts_ns[1:])).min() >= -1
