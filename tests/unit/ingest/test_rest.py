"""A stream's thread rests while nobody waits for its frames, and is awake before anything is decided."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncsvc.ingest.rest import FEW_MESSAGES, LONGEST_NS, MARGIN_NS, PATIENT_NS, Rest
from syncsvc.observe.events import GroupRules
from syncsvc.testing import MS, T0, S

SECOND = GroupRules(("a", "b"), S, 40 * MS, 500 * MS)
EDGE = T0 // S * S + S


def rest_after(time_ns: int, now_ns: int, *groups: GroupRules, delay_ns: int = 30 * MS) -> int:
    rest = Rest(groups or (SECOND,), is_patient=False)
    rest.heard(time_ns, time_ns + delay_ns)
    return rest.length_ns(now_ns, 1)


def test_in_the_middle_of_a_window_it_rests_long() -> None:
    assert rest_after(EDGE + 570 * MS, EDGE + 600 * MS) == LONGEST_NS


def test_it_is_awake_before_the_frame_that_closes_a_window() -> None:
    now = EDGE - 20 * MS
    assert rest_after(EDGE - 50 * MS, now) == 80 * MS + 30 * MS + 20 * MS - MARGIN_NS


def test_it_is_awake_before_the_deadline() -> None:
    assert rest_after(EDGE + 350 * MS, EDGE + 380 * MS) == 120 * MS - MARGIN_NS


def test_it_stays_awake_until_the_window_is_closed() -> None:
    assert rest_after(EDGE + 60 * MS, EDGE + 90 * MS) == 0
    assert rest_after(EDGE + 80 * MS, EDGE + 110 * MS) == LONGEST_NS


def test_the_group_that_decides_first_counts() -> None:
    assert rest_after(EDGE + 570 * MS, EDGE + 600 * MS, SECOND, GroupRules(("a", "b"), 100 * MS, 40 * MS, 90 * MS)) == 0


def test_for_a_group_without_windows_it_never_rests() -> None:
    assert rest_after(EDGE + 570 * MS, EDGE + 600 * MS, SECOND, GroupRules(("a", "b"), None, 40 * MS, 500 * MS)) == 0


def test_before_the_first_frame_it_does_not_rest() -> None:
    assert Rest((SECOND,), is_patient=False).length_ns(T0, 1) == 0


def test_a_stream_of_no_group_rests() -> None:
    rest = Rest((), is_patient=False)
    rest.heard(T0, T0)
    assert rest.length_ns(T0, 1) == LONGEST_NS


def test_the_least_delay_of_late_counts() -> None:
    rest = Rest((SECOND,), is_patient=False)
    for number, delay_ms in enumerate((30, 150, 150)):
        time = EDGE - 300 * MS + number * 40 * MS
        rest.heard(time, time + delay_ms * MS)
    closing = EDGE + 80 * MS + 32 * MS
    assert rest.length_ns(EDGE - 70 * MS, 1) == closing - MARGIN_NS - (EDGE - 70 * MS)


@pytest.mark.parametrize(("messages", "rest_ns"), [(1, PATIENT_NS), (FEW_MESSAGES - 1, PATIENT_NS), (FEW_MESSAGES, 0)])
def test_recordings_as_fast_as_can_be_gather_a_few_frames(messages: int, rest_ns: int) -> None:
    assert Rest((SECOND,), is_patient=True).length_ns(T0, messages) == rest_ns


groups = st.builds(
    GroupRules,
    st.just(("a", "b")),
    st.integers(20, 3000).map(lambda ms: ms * MS),
    st.integers(0, 250).map(lambda ms: ms * MS),
    st.integers(0, 3000).map(lambda ms: ms * MS),
)


@given(groups, st.integers(0, 5 * S), st.integers(0, 2 * S), st.integers(0, 100 * MS))
def test_it_never_rests_over_a_decision(rules: GroupRules, time_ns: int, delay_ns: int, passed_ns: int) -> None:
    rest = Rest((rules,), is_patient=False)
    rest.heard(T0 + time_ns, T0 + time_ns + delay_ns)
    now = T0 + time_ns + delay_ns + passed_ns
    until = now + rest.length_ns(now, 1)
    assert until - now <= LONGEST_NS
    if until > now:
        window_ns = rules.window_ns or 0
        first, last = T0 // window_ns, (until + 5 * S) // window_ns
        for window in range(first - 4 * S // window_ns, last + 1):
            closing = window * window_ns + 2 * rules.max_skew_ns
            deadline = window * window_ns + rules.max_latency_ns
            assert not T0 + time_ns < closing <= until - delay_ns
            assert not now < deadline <= until
