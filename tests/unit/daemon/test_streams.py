"""What a configuration that is read again does to streams: those it keeps, changes, loses, and takes back."""

from collections.abc import Iterator
from random import Random
from typing import cast

import pytest

from syncsvc.capture.words import FromCapture, Stop, ToCapture
from syncsvc.config.loader import loads
from syncsvc.config.models import Config
from syncsvc.daemon.capture_child import SupervisedCapture
from syncsvc.daemon.child import Child
from syncsvc.daemon.pages import KeptPages
from syncsvc.daemon.streams import Streams
from syncsvc.daemon.supervisor import Supervisor
from syncsvc.testing import ManualClock


def config(**fps: int) -> Config:
    streams = ", ".join(f"{name}: {{url: 'synthetic:?fps={rate}'}}" for name, rate in fps.items())
    return loads(f"streams: {{{streams}}}", "x.yaml")


class Capture:
    """A capture that keeps what it is told."""

    def __init__(self, stream: SupervisedCapture) -> None:
        self.channel, self.told = self, list[ToCapture]()
        stream.child = cast(Child[FromCapture], self)

    def send(self, message: ToCapture) -> None:
        self.told.append(message)


@pytest.fixture
def streams() -> Iterator[Streams]:
    pages, supervisor = KeptPages(), Supervisor(ManualClock(), Random(1))
    yield Streams(pages, supervisor, lambda stream: None)
    supervisor.close()
    for name in "ab":
        pages.of_stream(name).close()


def test_a_stream_that_did_not_change_goes_on_untouched_and_one_that_did_is_captured_anew(streams: Streams) -> None:
    streams.configure(config(a=25, b=25))
    before = dict(streams.by_name)
    a, b = Capture(before["a"]), Capture(before["b"])
    streams.configure(config(a=25, b=50))
    assert streams.by_name == before
    assert (a.told, b.told) == ([], [Stop()])


def test_a_stream_that_returns_waits_for_its_last_capture_which_writes_the_same_page(streams: Streams) -> None:
    streams.configure(config(a=25, b=25))
    first = streams.by_name["a"]
    capture = Capture(first)
    streams.configure(config(b=25))
    assert (streams.leaving, capture.told) == ([first], [Stop()])
    streams.configure(config(a=25, b=25))
    assert streams.everyone == (streams.by_name["b"], streams.by_name["a"], first)
    assert streams.due == [streams.by_name["b"]]
    streams.leaving.remove(first)
    assert streams.due == [streams.by_name["b"], streams.by_name["a"]]


def test_a_stream_without_a_capture_is_gone_at_once_and_can_return(streams: Streams) -> None:
    streams.configure(config(a=25, b=25))
    streams.configure(config(b=25))
    assert streams.leaving == []
    streams.configure(config(a=25, b=25))
    assert streams.due == [streams.by_name["b"], streams.by_name["a"]]
