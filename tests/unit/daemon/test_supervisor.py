"""What is kept alive, whatever it is: when the next process is due, and when one that runs is killed."""

from collections.abc import Iterator
from random import Random
from typing import Any, cast

import pytest

from syncsvc.daemon.child import Child
from syncsvc.daemon.supervisor import Supervised, Supervisor
from syncsvc.testing import ManualClock, S
from syncsvc.transport.channel import Message

Anything = Supervised[Message, Message]


class Process:
    """A process that is killed by counting."""

    channel = cast(Any, 0)

    def __init__(self) -> None:
        self.kills = 0

    def kill(self) -> None:
        self.kills += 1


class Something(Anything):
    """Complains as it is told to."""

    complaints: str | None = None

    def complaint(self) -> str | None:
        return self.complaints

    def _receive(self) -> None:
        pass


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def one(clock: ManualClock) -> Iterator[Something]:
    supervisor = Supervisor(clock, Random(1))
    yield Something("it", supervisor)
    supervisor.close()


def run(one: Something, clock: ManualClock, for_s: float) -> Process:
    """A process serves for so long, and ends."""
    process = Process()
    one.child, one.due_ns, one._spawned_ns = cast(Child[Message], process), None, clock.monotonic_ns()
    clock.advance(round(for_s * S))
    return process


def end(one: Something) -> None:
    one.child = None
    one.ended(1)


def pause_s(one: Something, clock: ManualClock) -> float:
    assert one.due_ns is not None
    return (one.due_ns - clock.monotonic_ns()) / S


def test_it_is_due_at_once_and_after_the_first_failure_and_waits_after_more(one: Something, clock: ManualClock) -> None:
    assert one.is_due
    run(one, clock, 1)
    assert not one.is_due
    end(one)
    assert one.is_due
    for longest in (0.5, 1, 2, 4, 5, 5):
        run(one, clock, 1)
        end(one)
        assert longest / 2 <= pause_s(one, clock) <= longest
        assert not one.is_due
        clock.advance(5 * S)
        assert one.is_due
    run(one, clock, 10)
    end(one)
    assert one.is_due, "it had worked"


def test_what_is_excused_starts_again_at_once_and_has_not_failed(one: Something, clock: ManualClock) -> None:
    for _ in range(5):
        process = run(one, clock, 1)
        one.excuse()
        assert process.kills == 1
        end(one)
        assert one.is_due
    assert one._policy.failures == 0
    one.due_ns = clock.monotonic_ns() + 3 * S
    one.excuse()
    assert one.is_due, "no process runs, and the next one need not wait"


def test_of_what_nobody_wants_no_other_process_is_started(one: Something, clock: ManualClock) -> None:
    run(one, clock, 1)
    one.want_no_other()
    end(one)
    one.excuse()
    assert one.due_ns is None


def test_a_complaint_kills_once(one: Something, clock: ManualClock, caplog: pytest.LogCaptureFixture) -> None:
    process = run(one, clock, 1)
    one.watch()
    assert process.kills == 0
    one.complaints = "no word"
    one.watch()
    one.watch()
    assert process.kills == 1
    assert "it is killed: no word" in caplog.text


def test_what_breaks_again_and_again_is_for_the_next_level(one: Something, clock: ManualClock) -> None:
    for broken in range(12):
        run(one, clock, 1)
        one.child = None
        one.ended(1)
        assert one.is_beyond_help == (broken >= 10)


def test_what_was_excused_or_breaks_seldom_is_not(one: Something, clock: ManualClock) -> None:
    for _ in range(30):
        run(one, clock, 1)
        one.excuse()
        one.child = None
        one.ended(-9)
    for _ in range(30):
        run(one, clock, 7)
        one.child = None
        one.ended(-9)
    assert not one.is_beyond_help
