"""When batches are due."""

from syncsvc.replay.tempo import Tempo

S = 1_000_000_000


def test_batches_are_as_far_apart_as_in_the_live_run_or_that_divided_by_the_speed() -> None:
    left_ns = (100 * S, 101 * S, 104 * S)
    assert [Tempo(1.0, 100 * S, 7 * S).due_mono_ns(at) for at in left_ns] == [7 * S, 8 * S, 11 * S]
    assert [Tempo(2.0, 100 * S, 7 * S).due_mono_ns(at) for at in left_ns] == [7 * S, 7 * S + S // 2, 9 * S]
    assert [Tempo(0.5, 100 * S, 7 * S).due_mono_ns(at) for at in left_ns] == [7 * S, 9 * S, 15 * S]


def test_at_full_speed_nothing_waits_for_a_clock() -> None:
    assert [Tempo(None, 100 * S, 7 * S).due_mono_ns(at) for at in (100 * S, 5000 * S)] == [7 * S, 7 * S]
