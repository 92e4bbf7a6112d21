"""The steps of a drain, each in its time and once."""

from syncsvc.daemon.drain import FINISH_GRACE_S, STOP_GRACE_S, DrainSteps, Step
from syncsvc.testing import ManualClock, S


def test_nothing_is_done_before_somebody_asks() -> None:
    drain = DrainSteps(ManualClock())
    assert not drain.has_begun
    assert drain.steps(has_captures=False) == []


def test_captures_that_end_in_time_let_the_receiver_finish_once() -> None:
    clock = ManualClock()
    drain = DrainSteps(clock)
    drain.begin()
    assert drain.has_begun
    assert drain.steps(has_captures=True) == []
    assert drain.steps(has_captures=False) == [Step.FINISH_RECEIVER]
    assert drain.steps(has_captures=False) == []


def test_captures_that_do_not_end_are_killed_and_a_receiver_that_does_not_is_given_up() -> None:
    clock = ManualClock()
    drain = DrainSteps(clock)
    drain.begin()
    clock.advance(round((STOP_GRACE_S + 0.1) * S))
    assert drain.steps(has_captures=True) == [Step.KILL_CAPTURES]
    assert drain.steps(has_captures=False) == [Step.FINISH_RECEIVER]
    clock.advance(round(FINISH_GRACE_S * S))
    assert drain.steps(has_captures=False) == [Step.GIVE_UP]
