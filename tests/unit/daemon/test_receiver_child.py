"""When a receiver is held dead: by its silence, once it has spoken."""

from collections.abc import Iterator
from random import Random
from typing import Any, cast

import pytest

from syncsvc.daemon import receiver_child
from syncsvc.daemon.child import Child
from syncsvc.daemon.receiver_child import SupervisedReceiver
from syncsvc.daemon.supervisor import Supervisor
from syncsvc.lifecycle import START_NS
from syncsvc.plan.from_receiver import Bound, FromReceiver
from syncsvc.plan.plans import ReceiverPlan
from syncsvc.testing import ManualClock, S

PLAN = ReceiverPlan("run", 1, "tcp://127.0.0.1:0", "tcp://127.0.0.1:0", 0, False, {}, {})


class Importing:
    """A process that has yet to say something."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.channel = self

    def send(self, *_: Any) -> None:
        pass


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def receiver(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[SupervisedReceiver]:
    monkeypatch.setattr(receiver_child, "SpawnedChild", Importing)
    supervisor = Supervisor(clock, Random(1))
    monkeypatch.setattr(supervisor, "listen", lambda *_: None)
    receiver = SupervisedReceiver(supervisor, lambda _: None, lambda _: None)
    receiver.spawn(PLAN, frozenset())
    yield receiver
    supervisor.close()


def test_a_receiver_may_import_for_long_and_is_to_speak_from_its_first_word_on(
    receiver: SupervisedReceiver, clock: ManualClock
) -> None:
    clock.advance(10 * S)
    assert receiver.complaint() is None
    receiver.handle(Bound("tcp://127.0.0.1:1", "tcp://127.0.0.1:2"))
    clock.advance(4 * S)
    assert receiver.complaint() is None
    clock.advance(2 * S)
    assert receiver.complaint() == "no word for 6.0 s"


def test_one_that_never_speaks_is_killed_some_time(receiver: SupervisedReceiver, clock: ManualClock) -> None:
    clock.advance(START_NS)
    assert receiver.complaint() is None
    clock.advance(1)
    assert receiver.complaint() == "it was not ready in time"
    receiver.child = cast(Child[FromReceiver], Importing())
    receiver.spawn(PLAN, frozenset())
    assert receiver.complaint() is None
