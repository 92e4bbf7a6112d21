"""Which rung speaks for which source, and with what uncertainty."""

import pytest

from syncsvc.model import Observation
from syncsvc.testing import MS, T0, S, observation
from syncsvc.timing.ladder import Stamp, StreamClock, rungs_for

HOLD, EDGE = 350 * MS, S


def to_utc(mono_ns: int) -> int:
    return mono_ns + T0


def clock_for(kind: str, clock: str = "auto", latency_ns: int = 0, hold_ns: int = HOLD) -> StreamClock:
    return StreamClock(lambda: rungs_for(clock, kind, latency_ns, to_utc), hold_ns=hold_ns, edge_ns=EDGE, to_utc=to_utc)


def camera(clock: StreamClock, begin: int, end: int, *, ntp_offset_ns: int = 0, reports: bool = True) -> list[Stamp]:
    """Frames ``begin`` to ``end`` of a camera at 25 fps, 60 ms away, with its NTP time on every packet."""
    stamps = []
    for seq in range(begin, end):
        taken = seq * 40 * MS
        ntp = T0 + taken + ntp_offset_ns if reports else None
        stamps += clock.observe(observation(seq, taken + 60 * MS, pts_ns=taken, ntp_ns=ntp))
    return stamps


@pytest.mark.parametrize(
    ("kind", "configured", "classes"),
    [
        ("rtsp", "auto", ["rtcp", "arrival"]),
        ("rtsp", "rtcp", ["rtcp", "arrival"]),
        ("rtsp", "arrival", ["arrival"]),
        ("http", "auto", ["arrival"]),
        ("file", "auto", ["pts", "arrival"]),
        ("file", "pts", ["pts", "arrival"]),
        ("synthetic", "auto", ["pts", "arrival"]),
        ("v4l2", "auto", ["kernel", "arrival"]),
        ("v4l2", "arrival", ["arrival"]),
    ],
)
def test_the_ladder_of_each_kind(kind: str, configured: str, classes: list[str]) -> None:
    assert [rung.clock for rung in rungs_for(configured, kind, 0, to_utc)] == classes


def test_latency_is_taken_from_arrival_stamps_and_never_from_rtcp() -> None:
    arrival = camera(clock_for("http", latency_ns=60 * MS), 0, 5)
    assert [stamp.time_ns for stamp in arrival] == [T0 + seq * 40 * MS for seq in range(5)]
    assert {stamp.clock for stamp in arrival} == {"arrival"}
    rtcp = camera(clock_for("rtsp", latency_ns=60 * MS), 0, 5)
    assert [stamp.time_ns for stamp in rtcp] == [T0 + seq * 40 * MS for seq in range(5)]
    assert {stamp.clock for stamp in rtcp} == {"rtcp"}
    assert {stamp.uncertainty_ns for stamp in rtcp} == {MS}


def test_frames_are_held_for_the_first_report_and_stamped_by_it() -> None:
    clock = clock_for("rtsp")
    assert camera(clock, 0, 4, reports=False) == []
    assert clock.clock is None
    assert clock.held_since_ns == T0 + 60 * MS
    stamps = camera(clock, 4, 6)
    assert [stamp.time_ns for stamp in stamps] == [T0 + seq * 40 * MS for seq in range(6)]
    assert {stamp.clock for stamp in stamps} == {"rtcp"}


def test_when_the_budget_is_over_the_lower_rung_speaks_until_the_next_edge() -> None:
    clock = clock_for("rtsp")
    held = camera(clock, 0, 12, reports=False)
    assert [stamp.observation.seq for stamp in held] == list(range(12))
    assert {(stamp.clock, stamp.uncertainty_ns) for stamp in held} == {("arrival", 100 * MS)}
    later = camera(clock, 12, 60)
    first = next(stamp for stamp in later if stamp.clock == "rtcp")
    assert first.time_ns == T0 + S
    assert all(stamp.clock == "rtcp" for stamp in later if stamp.time_ns >= first.time_ns)


def test_a_camera_that_lies_is_demoted_within_its_window_and_moves_no_time() -> None:
    clock = clock_for("rtsp")
    camera(clock, 0, 30)
    lies = camera(clock, 30, 80, ntp_offset_ns=3600 * S)
    assert all(stamp.time_ns < stamp.arrival_ns for stamp in lies if stamp.clock == "rtcp")
    assert {stamp.clock for stamp in lies if stamp.time_ns >= T0 + 2 * S} == {"arrival"}
    assert all(abs(stamp.time_ns - stamp.arrival_ns) <= stamp.uncertainty_ns + 60 * MS for stamp in lies)


def test_a_camera_whose_clock_was_never_true_is_stamped_by_arrival() -> None:
    for offset in (-T0, 3600 * S, -10 * S):
        clock = clock_for("rtsp")
        stamps = camera(clock, 0, 50, ntp_offset_ns=offset)
        assert {stamp.clock for stamp in stamps} == {"arrival"}
        assert [stamp.time_ns for stamp in stamps] == [stamp.arrival_ns for stamp in stamps]


def test_a_new_session_learns_anew() -> None:
    clock = clock_for("rtsp")
    camera(clock, 0, 30)
    assert clock.new_session() == []
    assert clock.clock is None
    after = [
        stamp
        for seq in range(30, 36)  # the camera rebooted: its pts begins again, its clock is right
        for stamp in clock.observe(
            observation(seq, seq * 40 * MS + 60 * MS, pts_ns=(seq - 30) * 40 * MS, ntp_ns=T0 + seq * 40 * MS)
        )
    ]
    assert [stamp.time_ns for stamp in after] == [T0 + seq * 40 * MS for seq in range(30, 36)]


def test_a_kernel_stamp_is_believed_when_the_frame_is_fresh() -> None:
    fresh = clock_for("v4l2").observe(observation(0, 10 * S, 10 * S - 25 * MS, "kernel"))
    assert [(stamp.time_ns, stamp.clock) for stamp in fresh] == [(T0 + 10 * S - 25 * MS, "kernel")]
    for stamp_ns in (10 * S + 1, 9 * S, 1, T0):
        clock = clock_for("v4l2", hold_ns=0)
        stamps = clock.observe(observation(0, 10 * S, stamp_ns, "kernel"))
        assert [(stamp.time_ns, stamp.clock) for stamp in stamps] == [(T0 + 10 * S, "arrival")]


def test_a_frame_without_what_the_rung_reads_is_stamped_by_the_foot() -> None:
    clock = clock_for("file")
    clock.observe(observation(0, S, T0 + S, "pts"))
    stamps = clock.observe(Observation(1, 2 * S))
    assert [(stamp.time_ns, stamp.clock) for stamp in stamps] == [(T0 + 2 * S, "arrival")]
    assert [stamp.clock for stamp in clock.observe(observation(2, 3 * S, T0 + 3 * S, "pts"))] == ["pts"]


def test_stamps_that_do_not_rise_are_told_apart_by_a_nanosecond_and_say_so() -> None:
    clock = clock_for("file")
    times = [stamp for n, at in enumerate((5, 5, 3, 6)) for stamp in clock.observe(observation(n, S, T0 + at, "pts"))]
    assert [stamp.time_ns - T0 for stamp in times] == [5, 6, 7, 8]
    assert [stamp.uncertainty_ns - 11_112 for stamp in times] == [0, 1, 4, 2]
