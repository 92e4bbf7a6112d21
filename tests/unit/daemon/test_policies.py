"""Restarts, watchdog and the common start: pure policies, tried out in microseconds."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncsvc.capture.spec import Recorded
from syncsvc.daemon.restart import LONGEST_PAUSE_S, Intensity, RestartPolicy
from syncsvc.daemon.starts import AHEAD_NS, UNSAID_NS, VOUCHED_NS, begun_together, decide_starts
from syncsvc.daemon.watchdog import verdict
from syncsvc.testing import MS, T0, S
from syncsvc.transport.page import Position


@given(st.randoms(use_true_random=False))
def test_the_first_restart_is_immediate_and_later_ones_back_off(random: Random) -> None:
    policy = RestartPolicy(random)
    pauses = [policy.pause_after_failure() for _ in range(100)]
    assert pauses[0] == 0
    for pause, longest in zip(pauses[1:], [0.5, 1, 2, 4, *[LONGEST_PAUSE_S] * 95], strict=True):
        assert longest / 2 <= pause <= longest
    assert policy.failures == 100
    policy.was_healthy()
    assert policy.failures == 0
    assert policy.pause_after_failure() == 0


def test_who_is_refused_for_a_password_waits_longer_each_time_so_that_no_account_is_locked() -> None:
    policy = RestartPolicy(Random(1))
    assert [policy.pause_after_refusal() for _ in range(8)] == [30, 60, 120, 240, 480, 600, 600, 600]
    policy.was_healthy()
    assert policy.pause_after_refusal() == 30


@given(st.lists(st.floats(0, 100), max_size=60))
def test_breaks_are_too_many_exactly_when_one_more_than_allowed_fall_into_a_period(apart_s: list[float]) -> None:
    intensity, now_s, since = Intensity(5, 60.0), 0.0, list[float]()
    for pause_s in apart_s:
        now_s += pause_s
        since.append(now_s)
        is_too_often = len([at for at in since if now_s - at <= 60]) > 5
        assert intensity.add(now_s) == is_too_often
        if is_too_often:
            since.clear()


def test_a_quarantine_lasts_longer_each_time_and_never_the_same_for_all() -> None:
    policies = [RestartPolicy(Random(seed)) for seed in range(50)]
    for longest in (60, 120, 240, 480, 600, 600):
        pauses = [policy.pause_in_quarantine(1000.0) for policy in policies]
        assert longest / 2 <= min(pauses) < max(pauses) <= longest
        assert max(pauses) - min(pauses) > longest / 4
    assert policies[0].pause_in_quarantine(1000.0 + 3601) <= 60, "an hour later it is forgotten"


def test_the_jitter_spreads_many_cameras() -> None:
    policies = [RestartPolicy(Random(seed)) for seed in range(50)]
    for _ in range(5):
        pauses = [policy.pause_after_failure() for policy in policies]
    assert max(pauses) - min(pauses) > 1


def test_a_camera_may_take_the_time_that_it_was_given() -> None:
    for position, until_s in ((Position.OPENING, 2 * (30 + 90)), (Position.DEMUX, 2 * 90)):
        for since_s, is_stuck in ((until_s - 0.1, False), (until_s + 0.1, True)):
            assert bool(verdict(position, 1000 * S - round(since_s * S), 1000 * S, 1000 * S, (30.0, 90.0))) == is_stuck


@pytest.mark.parametrize(
    ("position", "since_s", "beat_s", "expected"),
    [
        (Position.DEMUX, 0, 2.9, None),
        (Position.DEMUX, 0, 3.1, "no heartbeat for 3.1 s"),
        (Position.WAITING, 3600, 0, None),
        (Position.WAITING, 0, 3.1, "no heartbeat for 3.1 s"),
        (Position.DECODE, 1.9, 0, None),
        (Position.DECODE, 2.1, 0, "stuck in decode for 2.1 s"),
        (Position.HANDOVER, 2.1, 0, "stuck in handover for 2.1 s"),
        (Position.DEMUX, 5.9, 0, None),
        (Position.DEMUX, 6.1, 0, "stuck in demux for 6.1 s"),
        (Position.OPENING, 25.9, 0, None),
        (Position.OPENING, 26.1, 0, "stuck in opening for 26.1 s"),
        (Position.STARTING, 119, 119, None),
        (Position.STARTING, 0, 121, "no heartbeat for 121.0 s"),
    ],
)
def test_verdicts(position: Position, since_s: float, beat_s: float, expected: str | None) -> None:
    now = 1000 * S
    assert verdict(position, now - round(since_s * S), now - round(beat_s * S), now) == expected


def starts(
    origins: dict[str, int | None], groups: list[list[str]], now: int = T0, **more: int | bool
) -> dict[str, tuple[int, int, int]]:
    options = {"edge_ns": S, "first_ns": T0, "is_patient": False} | more
    recordings = {name: Recorded(origin_ns) for name, origin_ns in origins.items()}
    found = decide_starts(recordings, groups, {}, now_utc_ns=now, now_mono_ns=500 * S, **options)  # type: ignore[arg-type]
    return {name: (start.utc_ns, start.mono_ns, start.origin_ns) for name, start in found.items()}


def test_recordings_begin_together_on_the_next_edge_that_everybody_can_hear_of() -> None:
    for now in (T0 + 1, T0 + S - AHEAD_NS, T0 + S - AHEAD_NS + 1):
        begin = T0 + S if now <= T0 + S - AHEAD_NS else T0 + 2 * S
        assert starts({"a": None, "b": None}, [["a", "b"]], now) == dict.fromkeys(
            "ab", (begin, 500 * S + begin - now, 0)
        )
    assert starts({"a": None}, [["a"]], T0 + 1, edge_ns=7 * S)["a"][0] % (7 * S) == 0


def test_asap_begins_with_the_window_that_became_ready() -> None:
    begin = starts({"a": None}, [["a"]], T0 + 5 * S, first_ns=T0 + 300, is_patient=True)["a"]
    assert begin == (T0, 495 * S, 0)


def test_recordings_that_share_a_group_share_one_offset_also_through_others() -> None:
    origins = {"a": 50, "b": 40, "c": 30, "d": 10, "e": None}
    groups = [["a", "b", "live"], ["b", "c"], ["d"], ["e"]]
    found = {name: start[2] for name, start in starts(dict(origins), groups).items()}
    assert found == {"a": 30, "b": 30, "c": 30, "d": 10, "e": 0}
    assert starts({"a": 50, "b": None}, [["a", "b"]])["b"][2] == 50
    assert starts({"lone": 5}, []) == {"lone": (T0 + S, 501 * S, 5)}


def made(created_s: float | None, length_s: float, doubt_ns: int = 1000) -> Recorded:
    created_ns = None if created_s is None else T0 + round(created_s * S)
    return Recorded(created_ns=created_ns, doubt_ns=doubt_ns, length_ns=round(length_s * S))


def placed(
    *groups: list[str], offsets: dict[str, int] | None = None, **recordings: Recorded
) -> dict[str, tuple[int, int]]:
    """How long after the common instant each recording begins, and the doubt."""
    found = decide_starts(
        recordings, groups, offsets or {}, edge_ns=S, first_ns=T0, now_utc_ns=T0, now_mono_ns=500 * S, is_patient=False
    )
    assert all(start.mono_ns - start.utc_ns == 500 * S - T0 for start in found.values())
    return {name: (start.utc_ns - T0 - S, start.doubt_ns) for name, start in found.items()}


def test_creation_times_place_recordings_beside_each_other() -> None:
    found = placed(["a", "b", "c"], a=made(7.25, 10), b=made(5, 10), c=made(9, 3, S))
    assert found == {"a": (2250 * MS, 1000), "b": (0, 1000), "c": (4 * S, S)}


@pytest.mark.parametrize(
    "other",
    [
        made(None, 10),
        made(15, 10),
        made(86_400, 10),
        Recorded(origin_ns=T0 + S),
    ],
    ids=["has none", "begins when the first is over", "is of another day", "has a sidecar"],
)
def test_creation_times_that_do_not_fit_together_place_nothing(other: Recorded) -> None:
    is_known = other.origin_ns is not None
    assert placed(["a", "b"], a=made(5, 10), b=other) == {"a": (0, UNSAID_NS), "b": (0, 0 if is_known else UNSAID_NS)}


def test_recordings_that_do_not_say_when_they_were_made_are_a_second_in_doubt_of_each_other() -> None:
    two = {"a": Recorded(), "b": Recorded()}
    assert placed(["a", "b"], **two) == {"a": (0, UNSAID_NS), "b": (0, UNSAID_NS)}
    assert list(begun_together(two, [["a", "b"]], {})) == [("a", "b")]
    assert placed(["a"], ["b"], **two) == {"a": (0, 0), "b": (0, 0)}, "alone it is in doubt of nobody"
    assert list(begun_together(two, [["a"], ["b"]], {})) == []


def test_an_offset_moves_a_recording_and_vouches_for_it() -> None:
    two = {"a": Recorded(), "b": Recorded()}
    assert placed(["a", "b"], offsets={"b": 250 * MS}, **two) == {"a": (0, VOUCHED_NS), "b": (250 * MS, VOUCHED_NS)}
    assert list(begun_together(two, [["a", "b"]], {"b": 250 * MS})) == []
    three = two | {"c": Recorded()}
    found = placed(["a", "b", "c"], offsets={"b": 0}, **three)
    assert found == {"a": (0, UNSAID_NS), "b": (0, VOUCHED_NS), "c": (0, UNSAID_NS)}
    assert list(begun_together(three, [["a", "b", "c"]], {"b": 0})) == [("a", "c")]


def test_an_offset_before_the_others_lets_the_group_begin_on_a_later_edge() -> None:
    found = placed(["a", "b"], offsets={"b": -1300 * MS}, a=Recorded(), b=Recorded())
    assert {name: after_ns for name, (after_ns, _) in found.items()} == {"a": 2 * S, "b": 700 * MS}


def test_an_offset_comes_on_top_of_creation_times_and_sidecars() -> None:
    found = placed(["a", "b"], offsets={"a": 100 * MS}, a=made(5, 10, S), b=made(7, 10, S))
    assert found == {"a": (100 * MS, VOUCHED_NS), "b": (2 * S, S)}
    timed = Recorded(origin_ns=T0)
    assert placed(["a", "b"], offsets={"a": 100 * MS}, a=timed, b=timed) == {"a": (100 * MS, 0), "b": (0, 0)}


def test_a_creation_time_alone_or_of_another_group_means_nothing() -> None:
    assert placed(["a"], ["b"], a=made(5, 10), b=made(6, 10)) == {"a": (0, 0), "b": (0, 0)}


def test_nothing_starts_nothing() -> None:
    assert starts({}, [["a"]]) == {}
