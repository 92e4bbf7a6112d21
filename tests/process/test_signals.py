"""What people want of the daemon by signals: however many came, each wish is heard once, and none is lost."""

import os
import signal
from collections.abc import Iterator
from random import Random
from typing import Any, cast

import pytest

from syncsvc.capture.words import FromNursery, ToNursery
from syncsvc.daemon import nursery_child
from syncsvc.daemon.nursery_child import SupervisedNursery
from syncsvc.daemon.signals import AGAIN_NS, SETTLE_NS, Wishes
from syncsvc.daemon.supervisor import Supervisor
from syncsvc.errors import LinkClosed
from syncsvc.testing import ManualClock
from syncsvc.transport.channel import Channel

NUMBERS = signal.SIGTERM, signal.SIGINT, signal.SIGHUP


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def wishes(clock: ManualClock) -> Iterator[Wishes]:
    before = {number: signal.getsignal(number) for number in NUMBERS}
    wishes = Wishes(clock)
    yield wishes
    wishes.close()
    for number, handler in before.items():
        signal.signal(number, handler)


def come(wishes: Wishes, *numbers: int) -> None:
    for number in numbers:
        os.kill(os.getpid(), number)
    if wishes.is_somebody_there:
        wishes.hear()


def test_four_hundred_wishes_for_a_reload_are_one_and_hide_none_to_stop(wishes: Wishes, clock: ManualClock) -> None:
    come(wishes, *[signal.SIGHUP] * 400, signal.SIGTERM)
    assert wishes.take_stop()
    assert not wishes.take_stop()
    assert wishes.is_waiting
    assert not wishes.take_reload()
    come(wishes, signal.SIGHUP)
    clock.advance(SETTLE_NS)
    assert wishes.take_reload()
    clock.advance(SETTLE_NS)
    assert not wishes.take_reload()
    assert not wishes.is_waiting


def test_a_reload_that_is_wanted_after_one_was_done_is_another(wishes: Wishes, clock: ManualClock) -> None:
    for _ in range(2):
        come(wishes, signal.SIGHUP)
        clock.advance(SETTLE_NS)
        assert wishes.take_reload()


def test_the_echo_of_a_wish_to_stop_is_no_second_one(wishes: Wishes, clock: ManualClock) -> None:
    come(wishes, signal.SIGTERM)
    assert wishes.take_stop()
    come(wishes, signal.SIGTERM, signal.SIGINT)
    assert not wishes.take_stop()
    clock.advance(AGAIN_NS)
    come(wishes, signal.SIGINT)
    assert wishes.take_stop()


class Deaf:
    """A nursery that never answers."""

    def __init__(self, channel: Channel[FromNursery]) -> None:
        self.channel, self.is_killed = channel, False

    def kill(self) -> None:
        self.is_killed = True


def test_a_nursery_that_does_not_answer_is_not_waited_for_while_somebody_wants_something(
    monkeypatch: pytest.MonkeyPatch, clock: ManualClock
) -> None:
    monkeypatch.setattr(nursery_child, "adopt_orphans", lambda: None)  # for good, it would be
    monkeypatch.setattr(nursery_child, "FORK_S", 3600)
    monkeypatch.setattr(nursery_child, "UNDISTURBED_S", 0.01)
    ours, theirs = Channel.pair(FromNursery)
    deaf, other = Deaf(ours), Channel[ToNursery](theirs, ToNursery)
    supervisor = Supervisor(clock, Random(1))
    urgent = os.eventfd(1)
    nursery = SupervisedNursery(supervisor, urgent)
    nursery.child = cast(Any, deaf)
    with pytest.raises(LinkClosed, match="does not answer"):
        nursery.start_capture("a")
    assert deaf.is_killed
    os.close(urgent)
    other.close()
    ours.close()
    supervisor.close()
