"""A supervised process that speaks nonsense is killed, and another one is started."""

import os
from collections.abc import Iterator
from random import Random

import pytest

from syncsvc.clock import SYSTEM_CLOCK
from syncsvc.daemon.child import SpawnedChild
from syncsvc.daemon.supervisor import Supervised, Supervisor
from syncsvc.transport.channel import Message
from tests.process.echo_child import Said, Say


class Yes(Message, tag="yes", frozen=True):
    """What the child never says."""


class Echo(Supervised[Message, Say]):
    """Repeats what it is told; what is heard of it is kept."""

    def __init__(self, supervisor: Supervisor, understands: type[Message]) -> None:
        super().__init__("the echo", supervisor)
        self._understands = understands
        self.heard: list[Message] = []
        self.codes: list[int] = []

    def spawn(self) -> None:
        self._adopt(SpawnedChild("tests.process.echo_child", "echo", self._understands))
        self.send(Say("hello"))

    def handle(self, message: Message) -> None:
        self.heard.append(message)

    def ended(self, code: int) -> None:
        self.codes.append(code)
        super().ended(code)


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    supervisor = Supervisor(SYSTEM_CLOCK, Random(1))
    yield supervisor
    for child in supervisor.children:
        child.kill()
        child.reap(10)
    supervisor.close()


def turn_until(supervisor: Supervisor, told: list[int] | list[Message]) -> None:
    for _ in range(100):
        if told:
            return
        supervisor.turn(0.2)
    raise AssertionError("nothing happened")


def test_a_child_is_listened_to_until_its_end(supervisor: Supervisor) -> None:
    echo = Echo(supervisor, Said)
    echo.spawn()
    assert not echo.is_due
    turn_until(supervisor, echo.heard)
    assert echo.heard == [Said("hello", os.getpid(), "echo")]
    assert echo.child is not None
    echo.child.kill()
    turn_until(supervisor, echo.codes)
    assert (echo.codes, supervisor.children, echo.child) == ([-9], [], None)
    assert echo.is_due


def test_a_child_that_speaks_nonsense_is_killed_and_the_next_one_is_due(
    supervisor: Supervisor, caplog: pytest.LogCaptureFixture
) -> None:
    echo = Echo(supervisor, Yes)
    echo.spawn()
    turn_until(supervisor, echo.codes)
    assert (echo.codes, echo.heard, supervisor.children) == ([-9], [], [])
    assert "the echo is killed: a message cannot be read: Invalid value 'said'" in caplog.text
    assert echo.is_due
