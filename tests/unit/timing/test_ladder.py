"""Which rung speaks for which source, with what uncertainty, and what becomes of a camera that lies."""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from itertools import pairwise

import pytest

from syncsvc.bench.simulated_cameras import MONO_NS, UTC_NS, Congestion, Sighting, SimulatedCamera, Stalls, observe
from syncsvc.model import Observation, StreamState
from syncsvc.testing import MS, T0, GroupBench, ManualClock, S, frame, observation
from syncsvc.timing.ladder import Stamp, StreamClock, rungs_for
from syncsvc.timing.utc import UtcMapper

HOLD, EDGE = 350 * MS, S


def to_utc(mono_ns: int) -> int:
    return mono_ns - MONO_NS + UTC_NS


def clock_for(kind: str, clock: str = "auto", latency_ns: int | None = None, hold_ns: int = HOLD) -> StreamClock:
    return StreamClock(lambda: rungs_for(clock, kind, latency_ns, to_utc), hold_ns=hold_ns, edge_ns=EDGE, to_utc=to_utc)


def watch(clock: StreamClock, sightings: Iterable[Sighting]) -> list[tuple[Stamp, int]]:
    """What the clock makes of a simulated camera: each stamp, and its error in nanoseconds."""
    taken = {}
    told = []
    for sighting in sightings:
        taken[sighting.seen.seq] = sighting.taken_ns
        told += [(stamp, stamp.time_ns - taken[stamp.observation.seq]) for stamp in clock.observe(sighting.seen)]
    return told


def after(told: list[tuple[Stamp, int]], at_s: float) -> list[tuple[Stamp, int]]:
    return [(stamp, error) for stamp, error in told if stamp.time_ns >= UTC_NS + at_s * S]


def worst_ms(told: list[tuple[Stamp, int]]) -> float:
    return max(abs(error) for _, error in told) / MS


def classes(told: list[tuple[Stamp, int]]) -> list[str]:
    """The clocks in use, in the order of their first use."""
    return list(dict.fromkeys(stamp.clock for stamp, _ in told))


@pytest.mark.parametrize(
    ("kind", "configured", "ladder"),
    [
        ("rtsp", "auto", ["rtcp", "pts", "model", "arrival"]),
        ("rtsp", "rtcp", ["rtcp", "model", "arrival"]),
        ("rtsp", "model", ["model", "arrival"]),
        ("rtsp", "arrival", ["arrival"]),
        ("http", "auto", ["pts", "model", "arrival"]),
        ("http", "model", ["model", "arrival"]),
        ("file", "auto", ["pts", "arrival"]),
        ("file", "pts", ["pts", "arrival"]),
        ("synthetic", "auto", ["pts", "arrival"]),
        ("synthetic", "model", ["model", "arrival"]),
        ("v4l2", "auto", ["kernel", "model", "arrival"]),
        ("v4l2", "arrival", ["arrival"]),
    ],
)
def test_the_ladder_of_each_kind(kind: str, configured: str, ladder: list[str]) -> None:
    assert [rung.clock for rung in rungs_for(configured, kind, 0, to_utc)] == ladder


def test_latency_is_taken_from_arrival_and_model_and_never_from_rtcp() -> None:
    camera = SimulatedCamera(latency_ms=60, sr="ok")
    arrival = watch(clock_for("rtsp", "arrival", 60 * MS), observe(camera, 5))
    assert {(stamp.clock, stamp.time_ns - stamp.arrival_ns) for stamp, _ in arrival} == {("arrival", -60 * MS)}
    rtcp = watch(clock_for("rtsp", latency_ns=60 * MS), observe(camera, 5))
    assert classes(rtcp) == ["rtcp"]
    assert worst_ms(rtcp) < 0.1
    model = watch(clock_for("rtsp", "model", 60 * MS), observe(camera, 5))
    assert classes(model) == ["model"]
    assert worst_ms(after(model, 1)) < 1


def test_frames_are_held_for_the_first_report_and_stamped_by_it() -> None:
    camera = SimulatedCamera(jitter_ms=5, sr_first_s=0.2)
    clock, sightings = clock_for("rtsp"), observe(camera, 2)
    first = next(place for place, sighting in enumerate(sightings) if sighting.seen.ntp_ns is not None)
    assert first > 2
    assert watch(clock, sightings[:first]) == []
    assert clock.clock is None
    assert clock.held_since_ns == to_utc(sightings[0].seen.arrival_mono_ns)
    stamps = [stamp for sighting in sightings[first:] for stamp in clock.observe(sighting.seen)]
    assert [stamp.observation.seq for stamp in stamps] == list(range(len(sightings)))
    assert {stamp.clock for stamp in stamps} == {"rtcp"}
    errors = [stamp.time_ns - sighting.taken_ns for stamp, sighting in zip(stamps, sightings, strict=True)]
    assert max(map(abs, errors)) < MS // 10, "the first frame's pts is what the second one's leaves"
    assert clock.held_since_ns is None


def test_when_the_budget_is_over_the_model_speaks_until_the_edge_after_the_first_report() -> None:
    camera = SimulatedCamera(jitter_ms=5, sr_first_s=1.7, latency_ms=40)
    told = watch(clock_for("rtsp"), observe(camera, 10))
    assert classes(told) == ["model", "rtcp"]
    first = next(stamp for stamp, _ in told if stamp.clock == "rtcp")
    assert first.time_ns // EDGE > (UTC_NS + 1700 * MS) // EDGE
    assert first.time_ns % EDGE < 50 * MS
    assert all(abs(error) <= stamp.uncertainty_ns for stamp, error in told)


@pytest.mark.parametrize(
    ("lie", "words"),
    [
        ({"ntp_offset_ms": 10_000}, "9.96 s ahead"),
        ({"ntp_offset_ms": -10_000}, "10 s behind"),
        ({"ntp_offset_ms": 86_400_000}, "24.0 h ahead"),
        ({"ntp_offset_ms": -86_400_000}, "24.0 h behind"),
        ({"sr": "zero"}, "never set"),
        ({"sr": "uptime"}, "never set"),
    ],
)
def test_a_clock_that_was_never_true_is_refused_and_says_why(lie: dict[str, object], words: str) -> None:
    clock = clock_for("rtsp")
    told = watch(clock, observe(SimulatedCamera(jitter_ms=10, latency_ms=40, **lie), 20))  # type: ignore[arg-type]
    assert classes(told) == ["model"]
    assert words in clock.problems["rtcp"]
    assert clock.standing.lies == ("rtcp",)
    assert clock.standing.is_doubtful, "nobody knows its latency"
    assert all(abs(error) <= stamp.uncertainty_ns for stamp, error in told)


def test_a_liar_whose_latency_is_configured_is_in_good_standing() -> None:
    clock = clock_for("rtsp", latency_ns=40 * MS)
    told = watch(clock, observe(SimulatedCamera(jitter_ms=10, latency_ms=40, ntp_offset_ms=10_000), 20))
    assert classes(told) == ["model"]
    assert not clock.standing.is_doubtful
    assert worst_ms(after(told, 5)) < 5


@pytest.mark.parametrize("step_ms", [10_000, -10_000, 300, -300, 86_400_000])
def test_a_clock_that_steps_loses_its_word_and_the_stream_none_of_its_times(step_ms: float) -> None:
    clock = clock_for("rtsp")
    camera = SimulatedCamera(jitter_ms=20, latency_ms=60, drift_ppm=70, ntp_steps=((30, step_ms),), sr_interval_s=2)
    told = watch(clock, observe(camera, 90))
    assert classes(told) == ["rtcp", "model"]
    assert clock.standing.lies == ("rtcp",)
    assert worst_ms(told) < 3, "the model has learnt the latency while the clock was believed"
    assert all(abs(error) <= stamp.uncertainty_ns for stamp, error in told)
    assert clock.standing.is_doubtful == (step_ms == -300), "nothing proves which of the two times was wrong"


def test_pts_that_do_not_follow_time_leave_arrival() -> None:
    clock = clock_for("rtsp")
    camera = SimulatedCamera(fps=21, pts="grid", declared_fps=25, jitter_ms=10, latency_ms=40, sr_interval_s=2)
    told = watch(clock, observe(camera, 60))
    assert classes(after(told, 30)) == ["arrival"]
    assert set(clock.standing.lies) >= {"model"}
    assert clock.standing.is_doubtful
    assert all(abs(error) <= stamp.uncertainty_ns for stamp, error in after(told, 30))


@pytest.mark.parametrize(
    "lie", [{"sr": "sendtime", "latency_ms": 80}, {"sr": "sendtime", "latency_ms": 95}, {"ntp_offset_ms": -120}]
)
def test_what_no_one_way_method_can_tell_is_in_the_uncertainty(lie: dict[str, object]) -> None:
    told = watch(clock_for("rtsp"), observe(SimulatedCamera(jitter_ms=20, **lie), 30))  # type: ignore[arg-type]
    assert classes(told) == ["rtcp"]
    assert min(abs(error) for _, error in told) > 70 * MS
    assert sum(abs(error) <= stamp.uncertainty_ns for stamp, error in told) > 0.97 * len(told)


def test_the_uncertainty_of_reports_is_narrowed_by_a_known_latency_or_an_operators_word() -> None:
    sightings = observe(SimulatedCamera(latency_ms=60, jitter_ms=20), 30)
    widths = {
        name: max(stamp.uncertainty_ns for stamp, _ in after(watch(clock, sightings), 10)) / MS
        for name, clock in {
            "nobody": clock_for("rtsp"),
            "latency": clock_for("rtsp", latency_ns=60 * MS),
            "word": clock_for("rtsp", "rtcp"),
        }.items()
    }
    assert 60 <= widths["nobody"] <= 65
    assert widths["latency"] <= 3
    assert widths["word"] <= 1.1


def test_a_new_session_learns_anew_and_keeps_the_latency_that_it_was_taught() -> None:
    clock = clock_for("rtsp")
    camera = SimulatedCamera(latency_ms=60, jitter_ms=5, reconnect_at_s=(20,), sr_first_s=2)
    sightings = observe(camera, 30)
    watch(clock, [sighting for sighting in sightings if sighting.session == 0])
    assert clock.new_session() == []
    assert clock.clock is None
    told = watch(clock, [sighting for sighting in sightings if sighting.session == 1])
    assert classes(told) == ["model", "rtcp"]
    assert worst_ms(told[1:]) < 10, "also before the first report"


def media(seq: int, error_ns: int = 0, kind: str = "media", rate: float = 1.0) -> Observation:
    """A frame 30 ms away with a stamp inside it."""
    taken = seq * 40 * MS
    stamp = UTC_NS + int(taken * rate) + error_ns
    return observation(seq, MONO_NS + taken + 30 * MS, stamp, kind, pts_ns=None)  # type: ignore[arg-type]


def test_stamps_in_the_stream_are_believed_while_they_follow_time() -> None:
    clock = clock_for("http")
    told = [stamp for seq in range(100) for stamp in clock.observe(media(seq))]
    assert {(stamp.clock, stamp.time_ns - UTC_NS - stamp.observation.seq * 40 * MS) for stamp in told} == {("pts", 0)}


@pytest.mark.parametrize("error_ns", [10 * S, -10 * S, -UTC_NS])
def test_stamps_in_the_stream_that_cannot_be_are_refused(error_ns: int) -> None:
    clock = clock_for("http")
    told = [stamp for seq in range(100) for stamp in clock.observe(media(seq, error_ns))]
    assert {stamp.clock for stamp in told} == {"arrival"}
    assert clock.standing.lies == ("pts",)


def test_stamps_in_the_stream_at_another_rate_are_refused() -> None:
    clock = clock_for("http")
    told = [stamp for seq in range(3000) for stamp in clock.observe(media(seq, rate=0.99))]
    assert told[-1].clock == "arrival"
    assert clock.standing.lies == ("pts",)


def test_a_playlist_is_allowed_to_be_late() -> None:
    clock = clock_for("http")
    told = [stamp for seq in range(100) for stamp in clock.observe(media(seq, -20 * S, "playlist"))]
    assert {stamp.clock for stamp in told} == {"pts"}


def test_a_kernel_stamp_is_believed_when_the_frame_is_fresh() -> None:
    now = MONO_NS + 10 * S
    fresh = clock_for("v4l2").observe(observation(0, now, now - 25 * MS, "kernel"))
    assert [(stamp.time_ns, stamp.clock) for stamp in fresh] == [(to_utc(now) - 25 * MS, "kernel")]
    for stamp_ns in (now + 1, now - S, 1, T0):
        clock = clock_for("v4l2", hold_ns=0)
        stamps = clock.observe(observation(0, now, stamp_ns, "kernel"))
        assert [(stamp.time_ns, stamp.clock) for stamp in stamps] == [(to_utc(now), "arrival")]
        assert clock.standing.lies == ("kernel",)


def test_a_frame_without_what_the_rung_reads_is_stamped_by_the_foot() -> None:
    clock = clock_for("file")
    clock.observe(observation(0, MONO_NS + S, UTC_NS + S, "pts"))
    stamps = clock.observe(Observation(1, MONO_NS + 2 * S))
    assert [(stamp.time_ns, stamp.clock) for stamp in stamps] == [(UTC_NS + 2 * S, "arrival")]
    late = clock.observe(observation(2, MONO_NS + 3 * S, UTC_NS + 3 * S, "pts"))
    assert [stamp.clock for stamp in late] == ["pts"]


def test_stamps_that_do_not_rise_are_told_apart_by_a_nanosecond_and_say_so() -> None:
    clock = clock_for("file")
    times = [stamp for n, at in enumerate((5, 5, 3, 6)) for stamp in clock.observe(observation(n, S, T0 + at, "pts"))]
    assert [stamp.time_ns - T0 for stamp in times] == [5, 6, 7, 8]
    assert [stamp.uncertainty_ns - 11_112 for stamp in times] == [0, 1, 4, 2]


def test_a_recording_says_how_exactly_its_clock_counts() -> None:
    seen = Observation(0, MONO_NS, 0, UTC_NS, "pts", doubt_ns=S)
    assert clock_for("file").observe(seen)[0].uncertainty_ns == 11_112 + S


@pytest.mark.parametrize("fps", [29.5, 30.5, 29.8])
def test_reports_and_arrivals_together_convict_pts_of_a_slightly_wrong_rate(fps: float) -> None:
    clock = clock_for("rtsp")
    camera = SimulatedCamera(fps=fps, pts="grid", declared_fps=30, jitter_ms=20, latency_ms=40)
    told = watch(clock, observe(camera, 40))
    assert classes(after(told, 11)) == ["arrival"]
    assert set(clock.standing.lies) == {"rtcp", "model"}
    assert sum(abs(error) <= stamp.uncertainty_ns for stamp, error in told) > 0.9 * len(told)


@pytest.mark.parametrize(("drift_ppm", "sync_ms"), [(-20, 36), (20, -36), (-100, 180)])
def test_a_camera_that_sets_its_drifting_clock_by_sntp_keeps_its_pts(drift_ppm: float, sync_ms: float) -> None:
    """After half an hour the clock is off by just what the sync steps it back: that convicts the clock, not the pts."""
    clock = clock_for("rtsp")
    camera = SimulatedCamera(fps=5, latency_ms=40, ntp_drift_ppm=drift_ppm, ntp_steps=((1800, sync_ms),))
    told = watch(clock, observe(camera, 1900))
    assert set(classes(told)) == {"rtcp", "model"}


@pytest.mark.parametrize("step_s", [3.0, -3.0, 3600.0, -3600.0, 31_536_000.0])
def test_pts_that_jump_as_the_session_begins_send_nothing_into_the_future(step_s: float) -> None:
    camera = SimulatedCamera(latency_ms=40, jitter_ms=5, sr="none", pts_steps=((0.2, step_s * 1000),))
    told = watch(clock_for("rtsp"), observe(camera, 20))
    assert max(stamp.time_ns - stamp.arrival_ns for stamp, _ in told) <= S
    assert worst_ms(after(told, 2)) < 100


@pytest.mark.parametrize("congestion_ms", [100, 300])
def test_a_path_that_slows_down_evenly_does_not_convict_a_camera_whose_reports_agree(congestion_ms: float) -> None:
    clock = clock_for("rtsp")
    ramp = tuple(Congestion(20.0 + second, 100.0 - second, congestion_ms / 100) for second in range(100))
    told = watch(clock, observe(SimulatedCamera(latency_ms=40, jitter_ms=5, congestion=ramp), 150))
    assert classes(told) == ["rtcp"]
    assert worst_ms(told) < 1


def test_another_camera_under_the_same_name_inherits_nothing() -> None:
    clock = clock_for("rtsp")
    watch(clock, observe(SimulatedCamera(latency_ms=800, drift_ppm=200), 30))
    clock.tune(lambda: rungs_for("auto", "rtsp", None, to_utc), HOLD, EDGE, "another")
    clock.new_session()
    later = [
        replace(one, taken_ns=one.taken_ns + 60 * S, seen=moved(one.seen, 60 * S))
        for one in observe(SimulatedCamera(latency_ms=40, sr="none"), 20)
    ]
    told = watch(clock, later)
    assert classes(told) == ["model"]
    assert worst_ms(after(told, 62)) == pytest.approx(40, abs=1)
    assert all(abs(error) <= stamp.uncertainty_ns for stamp, error in told)


def moved(seen: Observation, by_ns: int) -> Observation:
    start = None if seen.start_mono_ns is None else seen.start_mono_ns + by_ns
    return replace(seen, seq=seen.seq + 1000, arrival_mono_ns=seen.arrival_mono_ns + by_ns, start_mono_ns=start)


def test_a_clock_that_was_switched_off_is_forgiven_after_a_minute() -> None:
    clock = clock_for("rtsp")
    watch(clock, observe(SimulatedCamera(sr="zero", latency_ms=40), 20))
    assert clock.standing.is_doubtful
    clock.new_session()
    silent = [replace(one, seen=moved(one.seen, 60 * S)) for one in observe(SimulatedCamera(sr="none"), 70)]
    for sighting in silent[:1000]:
        clock.observe(sighting.seen)
    assert clock.standing.is_doubtful, "its reports may still come"
    for sighting in silent[1000:]:
        clock.observe(sighting.seen)
    assert not clock.standing.is_doubtful


def test_a_better_clock_that_lags_by_windows_is_not_changed_to() -> None:
    clock = clock_for("http")
    told = []
    for seq in range(1000):
        arrival = MONO_NS + seq * 40 * MS
        stamp = to_utc(arrival) - 20 * S if seq > 125 else None
        seen = Observation(seq, arrival, seq * 40 * MS, stamp, "playlist" if stamp else "", start_mono_ns=arrival)
        told += clock.observe(seen)
    assert {stamp.clock for stamp in told} == {"model"}
    assert min(b.time_ns - a.time_ns for a, b in pairwise(told)) > 30 * MS


def test_a_clock_slewed_between_rare_reports_did_not_step() -> None:
    clock = clock_for("rtsp")
    watch(clock, observe(SimulatedCamera(fps=5, ntp_drift_ppm=-400, sr_interval_s=30), 300))
    assert clock.clock == "rtcp"
    assert clock.standing.lies == ()


@pytest.mark.parametrize("kind", ["file", "synthetic"])
@pytest.mark.parametrize("jump_ns", [3600 * S, -3600 * S, 600 * MS])
def test_recordings_and_generated_frames_follow_the_hosts_clock_where_it_jumps(kind: str, jump_ns: int) -> None:
    clock = ManualClock()
    utc = UtcMapper(clock)
    ladder = StreamClock(
        lambda: rungs_for("auto", kind, None, utc.to_utc), hold_ns=HOLD, edge_ns=EDGE, to_utc=utc.to_utc
    )
    base_ns, began_ns = clock.utc_ns() - clock.monotonic_ns(), clock.utc_ns()

    def told(seq: int) -> int:
        """What a frame every 40 ms is stamped; its capture knows of no jump."""
        stamp_ns = began_ns + seq * 40 * MS
        seen = observation(seq, clock.monotonic_ns(), stamp_ns, "pts")
        (stamp,) = ladder.observe(replace(seen, utc_less_mono_ns=base_ns))
        clock.advance(40 * MS)
        return stamp.time_ns - stamp_ns

    assert {told(seq) for seq in range(3)} == {0}
    clock.step_utc(jump_ns)
    assert told(3) == 0, "nobody has noticed yet: it is of the old epoch"
    assert utc.update()
    assert {told(seq) for seq in range(4, 7)} == {jump_ns}
    ladder.new_session()
    assert told(7) == jump_ns, "its capture was started again, and goes on by the start of before"
    clock.step_utc(-jump_ns)
    utc.update()
    assert told(8) == 0, "back to the nanosecond"


def test_a_capture_that_began_after_the_jump_needs_no_correction() -> None:
    clock = ManualClock()
    utc = UtcMapper(clock)
    ladder = StreamClock(
        lambda: rungs_for("auto", "synthetic", None, utc.to_utc), hold_ns=HOLD, edge_ns=EDGE, to_utc=utc.to_utc
    )
    clock.step_utc(3600 * S)
    seen = observation(0, clock.monotonic_ns(), clock.utc_ns(), "pts")
    seen = replace(seen, utc_less_mono_ns=clock.utc_ns() - clock.monotonic_ns())
    (early,) = ladder.observe(seen)
    assert early.time_ns == seen.stamp_ns - 3600 * S, "until it is noticed, everything is of the old epoch"
    utc.update()
    clock.advance(40 * MS)
    (stamp,) = ladder.observe(replace(seen, seq=1, arrival_mono_ns=clock.monotonic_ns(), stamp_ns=clock.utc_ns()))
    assert stamp.time_ns == clock.utc_ns()


@pytest.mark.parametrize("window_ms", [1000, None])
@pytest.mark.parametrize("jump_ns", [3600 * S, -3600 * S])
def test_a_jump_makes_no_frame_of_a_recording_beside_a_camera_late(window_ms: int | None, jump_ns: int) -> None:
    """A camera's frames are stamped by their arrivals here, the recording's by the capture: both go with the clock."""
    bench = GroupBench(["camera", "file"], window_ms=window_ms)
    clock, utc = bench.clock, bench.utc
    ladders = {
        name: StreamClock(partial(rungs_for, rung, kind, 0, utc.to_utc), hold_ns=HOLD, edge_ns=EDGE, to_utc=utc.to_utc)
        for name, kind, rung in (("camera", "rtsp", "arrival"), ("file", "file", "auto"))
    }
    base_ns, jumped_ns = clock.utc_ns() - clock.monotonic_ns(), 0
    bench.states(StreamState.LIVE)
    for seq in range(150):
        if seq == 80:
            jumped_ns = jump_ns
            bench.jump(jump_ns, epoch=2)
        for name, ladder in ladders.items():
            seen = observation(seq, clock.monotonic_ns(), clock.utc_ns() - jumped_ns, "pts")
            for stamp in ladder.observe(replace(seen, utc_less_mono_ns=base_ns)):
                bench.add(frame(name, seq, stamp.time_ns, arrival_ns=stamp.arrival_ns))
        bench.pass_to(clock.utc_ns() + 40 * MS)
    batches = bench.finish()
    assert bench.late == []
    assert sum(len(one.sets) for one in batches) == 150
    assert {one.epoch for one in batches} == {1, 2}


@pytest.mark.parametrize("kind", ["rtsp", "http"])
@pytest.mark.parametrize("stalls", [None, Stalls(7, 2)], ids=["idle", "busy"])
@pytest.mark.parametrize("off_s", [-3600, -7, 7, 3600])
def test_single_pictures_with_another_time_are_no_steps_of_a_clock(
    kind: str, stalls: Stalls | None, off_s: int
) -> None:
    clock, sightings = clock_for(kind), observe(SimulatedCamera(jitter_ms=3, stalls=stalls), 60)
    odd = {300, 500, 700, 900, 1100}
    shifted = [
        replace(one, seen=replace(one.seen, pts_ns=one.seen.pts_ns + off_s * S, ntp_ns=None))
        if number in odd and one.seen.pts_ns is not None
        else one
        for number, one in enumerate(sightings)
    ]
    told = watch(clock, shifted)
    plain = watch(clock_for(kind), [one for number, one in enumerate(sightings) if number not in odd])
    assert classes(told) == classes(plain)
    assert clock.standing.lies == ()
    others = [stamp.time_ns for number, (stamp, _) in enumerate(told) if number not in odd]
    assert max(abs(ours - its.time_ns) for ours, (its, _) in zip(others, plain, strict=True)) < MS
    assert all(abs(error) <= stamp.uncertainty_ns for stamp, error in told[100:])
