"""What a configuration that is read again does to streams: those it keeps, changes, loses, and takes back."""

from collections.abc import Iterator
from random import Random
from typing import cast

import pytest

from syncsvc.capture.answers import FromCapture
from syncsvc.capture.orders import Stop, ToCapture
from syncsvc.config.loader import loads
from syncsvc.config.models import Config
from syncsvc.daemon.capture_child import SupervisedStream
from syncsvc.daemon.child import Child
from syncsvc.daemon.pages import Pages
from syncsvc.daemon.streams import Roster
from syncsvc.testing import ManualClock


def config(**fps: int) -> Config:
    streams = ", ".join(f"{name}: {{url: 'synthetic:?fps={rate}'}}" for name, rate in fps.items())
    return loads(f"streams: {{{streams}}}", "x.yaml")


class Capture:
    """A capture that keeps what it is told."""

    def __init__(self, stream: SupervisedStream) -> None:
        self.channel, self.told = self, list[ToCapture]()
        stream.child = cast(Child[FromCapture], self)

    def send(self, message: ToCapture) -> None:
        self.told.append(message)


@pytest.fixture
def roster() -> Iterator[Roster]:
    pages = Pages()
    yield Roster(pages, ManualClock(), Random(1))
    for name in "ab":
        pages.of_stream(name).close()


def test_a_stream_that_did_not_change_goes_on_untouched_and_one_that_did_is_captured_anew(roster: Roster) -> None:
    roster.configure(config(a=25, b=25))
    streams = dict(roster.streams)
    a, b = Capture(streams["a"]), Capture(streams["b"])
    roster.configure(config(a=25, b=50))
    assert roster.streams == streams
    assert (a.told, b.told) == ([], [Stop()])


def test_a_stream_that_returns_waits_for_its_last_capture_which_writes_the_same_page(roster: Roster) -> None:
    roster.configure(config(a=25, b=25))
    first = roster.streams["a"]
    capture = Capture(first)
    roster.configure(config(b=25))
    assert (roster.leaving, capture.told) == ([first], [Stop()])
    roster.configure(config(a=25, b=25))
    assert roster.everyone == (roster.streams["b"], roster.streams["a"], first)
    assert roster.due == [roster.streams["b"]]
    roster.leaving.remove(first)
    assert roster.due == [roster.streams["b"], roster.streams["a"]]


def test_a_stream_without_a_capture_is_gone_at_once_and_can_return(roster: Roster) -> None:
    roster.configure(config(a=25, b=25))
    roster.configure(config(b=25))
    assert roster.leaving == []
    roster.configure(config(a=25, b=25))
    assert roster.due == [roster.streams["b"], roster.streams["a"]]
