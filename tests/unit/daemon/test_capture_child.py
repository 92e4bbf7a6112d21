"""What is said of a stream that does not come: its last reason, until frames come."""

from collections.abc import Iterator
from random import Random
from typing import cast

import msgspec
import pytest

from syncsvc.capture.answers import FromCapture, Opened, Unavailable
from syncsvc.capture.orders import PlanRing, ToCapture
from syncsvc.capture.spec import HttpSpec, RingPlan
from syncsvc.daemon.capture_child import Private, SupervisedStream
from syncsvc.daemon.child import Child
from syncsvc.observe.status import IngestStatus
from syncsvc.testing import ManualClock, S
from syncsvc.transport.page import Position, StreamPage


class Talker:
    """A capture that says what it is told to say."""

    pid = 1

    def __init__(self, stream: SupervisedStream) -> None:
        self.channel, self._stream, self._words = self, stream, list[FromCapture]()
        self.heard: list[ToCapture] = []
        stream.child = cast(Child[FromCapture], self)
        stream.page.at(Position.DEMUX, 0)

    def says(self, message: FromCapture) -> None:
        self._words.append(message)
        self._stream.hear()

    def receive(self, timeout_s: float) -> tuple[FromCapture, tuple[int, ...]] | None:
        return (self._words.pop(), ()) if self._words else None

    def send(self, message: ToCapture) -> None:
        self.heard.append(message)

    def kill(self) -> None:
        pass


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def stream(clock: ManualClock) -> Iterator[SupervisedStream]:
    spec = HttpSpec(name="a", url="http://camera/", pixels="gray8", ring=RingPlan(S))
    page = StreamPage.create("a")
    yield SupervisedStream(spec, page, Private(frozenset(), frozenset()), clock, Random(1))
    page.close()


def test_a_reason_stays_until_frames_come(stream: SupervisedStream, clock: ManualClock) -> None:
    Talker(stream).says(Unavailable("stopped sending: timed out"))
    stream.ended(75, again=True)
    second = Talker(stream)
    second.says(Opened(25.0))
    stream.page.beat_mono_ns = clock.monotonic_ns()
    stream.page.at(Position.DEMUX, clock.monotonic_ns())
    stream.watch()
    assert stream.status(IngestStatus()).problem == "stopped sending: timed out"
    stream.page.take_seq()
    stream.watch()
    assert stream.status(IngestStatus()).problem == ""


def test_the_reason_that_a_capture_gave_counts_more_than_how_it_ended(stream: SupervisedStream) -> None:
    Talker(stream).says(Unavailable("closed the connection"))
    stream.ended(-9, again=True)
    assert stream.problem == "closed the connection"


def test_a_capture_that_died_without_a_word_is_said_to_have(stream: SupervisedStream) -> None:
    Talker(stream)
    stream.ended(-9, again=True)
    assert stream.problem == "its capture was killed by signal 9"


def test_a_capture_is_told_of_longer_leases_once_and_of_the_most_that_they_may_become(
    stream: SupervisedStream,
) -> None:
    stream.spec = msgspec.structs.replace(stream.spec, ring=RingPlan(2 * S, 5 * S))
    capture = Talker(stream)
    for span_ns in (S, S // 2, S):
        stream.lend(span_ns)
    assert capture.heard == [PlanRing(RingPlan(3 * S, 5 * S, 2 * S))]
