"""What is said of a stream that does not come: its last reason, until frames come."""

import errno
import os
from collections.abc import Iterator
from random import Random
from typing import Literal, cast

import pytest
from msgspec import structs

from syncsvc.capture.spec import FileSpec, HttpSpec, RingPlan
from syncsvc.capture.words import Ended, FromCapture, Misconfigured, Opened, PlanRing, ToCapture, Unavailable, Unhoused
from syncsvc.daemon.capture_child import SupervisedCapture
from syncsvc.daemon.child import Child
from syncsvc.daemon.supervisor import Supervisor
from syncsvc.observe.status import IngestStatus
from syncsvc.testing import ManualClock, S
from syncsvc.transport.page import Position, StreamPage


class Talker:
    """A capture that says what it is told to say."""

    pid = 1

    def __init__(self, stream: SupervisedCapture) -> None:
        self.channel, self._stream = self, stream
        self.heard: list[ToCapture] = []
        stream.child = cast(Child[FromCapture], self)
        stream.page.at(Position.DEMUX, 0)

    def says(self, message: FromCapture) -> None:
        self._stream.handle(message)

    def ends(self, code: int) -> None:
        self._stream.child = None
        self._stream.ended(code)

    def send(self, message: ToCapture) -> None:
        self.heard.append(message)

    def kill(self) -> None:
        pass


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def stream(clock: ManualClock) -> Iterator[SupervisedCapture]:
    spec = HttpSpec(name="a", url="http://camera/", pixels="gray8", ring=RingPlan(S))
    page = StreamPage.create("a")
    supervisor = Supervisor(clock, Random(1))
    yield SupervisedCapture(spec, page, frozenset(), supervisor, lambda stream: None)
    supervisor.close()
    page.close()


def test_a_reason_stays_until_frames_come(stream: SupervisedCapture, clock: ManualClock) -> None:
    first = Talker(stream)
    first.says(Unavailable("stopped sending: timed out"))
    first.ends(75)
    second = Talker(stream)
    second.says(Opened(25.0))
    stream.page.beat_mono_ns = clock.monotonic_ns()
    stream.page.at(Position.DEMUX, clock.monotonic_ns())
    stream.watch()
    assert stream.status(IngestStatus()).problem == "stopped sending: timed out"
    stream.page.take_seq()
    stream.watch()
    assert stream.status(IngestStatus()).problem == ""


def test_the_reason_that_a_capture_gave_counts_more_than_how_it_ended(stream: SupervisedCapture) -> None:
    capture = Talker(stream)
    capture.says(Unavailable("closed the connection"))
    capture.ends(-9)
    assert stream.problem == "closed the connection"


def test_a_capture_that_died_without_a_word_is_said_to_have(stream: SupervisedCapture) -> None:
    Talker(stream).ends(-9)
    assert stream.problem == "its capture was killed by signal 9"


def test_a_capture_is_told_of_longer_leases_once_and_of_the_most_that_they_may_become(
    stream: SupervisedCapture,
) -> None:
    stream.spec = structs.replace(stream.spec, ring=RingPlan(2 * S, 5 * S))
    capture = Talker(stream)
    for span_ns in (S, S // 2, S):
        stream.make_room(span_ns)
    assert capture.heard == [PlanRing(RingPlan(3 * S, 5 * S, 2 * S))]


def test_a_refused_source_waits_until_somebody_asks_for_it_again(stream: SupervisedCapture) -> None:
    stream.want_no_other()
    stream.respecify(stream.spec, frozenset(), is_other=True)
    assert stream.is_due
    capture = Talker(stream)
    stream.due_ns = None
    capture.says(Misconfigured("it is no video"))
    capture.ends(78)
    assert (stream.due_ns, stream.restarts, stream.refusal) == (None, 0, "it is no video")
    stream.retry()
    assert stream.is_due
    assert (stream.restarts, stream.refusal) == (1, None)


def test_a_recording_that_ended_is_not_played_again_and_one_that_changed_is(stream: SupervisedCapture) -> None:
    capture = Talker(stream)
    stream.due_ns = None
    capture.says(Ended())
    capture.ends(0)
    stream.excuse()
    assert stream.due_ns is None
    stream.respecify(stream.spec, frozenset(), is_other=True)
    assert stream.is_due
    assert not stream.is_ended


def test_the_end_of_a_recording_that_is_to_be_another_is_not_the_end(stream: SupervisedCapture) -> None:
    spec = FileSpec(name="a", path="a.mp4", pixels="i420", ring=RingPlan(S))
    stream.spec = spec
    capture = Talker(stream)
    stream.due_ns = None
    stream.respecify(structs.replace(spec, path="b.mp4"), frozenset(), is_other=True)
    capture.says(Ended())
    capture.ends(0)
    assert stream.is_due
    assert not stream.is_ended


def test_a_camera_that_refuses_a_password_is_asked_ever_more_seldom_and_said_to_once(
    stream: SupervisedCapture, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    pauses = []
    for _ in range(7):
        capture = Talker(stream)
        capture.says(Unavailable("401 Unauthorized", is_refusal=True))
        capture.ends(75)
        assert stream.due_ns is not None
        pauses.append((stream.due_ns - clock.monotonic_ns()) // S)
        clock.advance(pauses[-1] * S)
        assert stream.is_due
    assert pauses == [30, 60, 120, 240, 480, 600, 600]
    problem = stream.status(IngestStatus()).problem
    assert problem.startswith("401 Unauthorized; tried again after 30 s")
    assert caplog.text.count("401 Unauthorized") == 1


def test_another_password_is_tried_at_once_and_begins_anew(stream: SupervisedCapture, clock: ManualClock) -> None:
    for _ in range(5):
        capture = Talker(stream)
        capture.says(Unavailable("401 Unauthorized", is_refusal=True))
        capture.ends(75)
    stream.respecify(structs.replace(stream.spec, url="http://ann:other@camera/"), frozenset(), is_other=True)
    assert stream.is_due
    capture = Talker(stream)
    capture.says(Unavailable("401 Unauthorized", is_refusal=True))
    capture.ends(75)
    assert stream.due_ns == clock.monotonic_ns() + 30 * S


def test_a_reason_is_said_once_while_it_stays_the_same(
    stream: SupervisedCapture, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        capture = Talker(stream)
        capture.says(Unavailable("cannot be opened: Connection refused"))
        capture.ends(75)
    assert caplog.text.count("Connection refused") == 1


def test_a_capture_that_cannot_be_started_is_tried_again_and_says_why(
    stream: SupervisedCapture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: str) -> Child[FromCapture]:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    stream.spawn(start, lambda *_: None)
    assert stream.is_due
    assert "Too many open files" in stream.status(IngestStatus()).problem
    monkeypatch.setattr("syncsvc.daemon.capture_child.passing_link", lambda: start(""))
    stream.spawn(start, lambda *_: None)
    assert stream.due_ns is not None
    assert not stream.is_due


def test_what_the_receiver_has_against_its_frames_is_said_of_a_stream(stream: SupervisedCapture) -> None:
    assert stream.status(IngestStatus(problem="its ring cannot be mapped")).problem == "its ring cannot be mapped"


def test_a_stream_that_the_machine_has_no_memory_for_says_so_once_and_is_tried_again(
    stream: SupervisedCapture, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    for available in (12, 13):
        capture = Talker(stream)
        capture.says(Unhoused(f"30 MiB wanted, {available} MiB available"))
        capture.ends(75)
        assert stream.is_unhoused
        assert stream.status(IngestStatus()).problem == f"30 MiB wanted, {available} MiB available"
        assert stream.due_ns is not None
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        "stream a is left out for now: 30 MiB wanted, 12 MiB available"
    ]
    stream.page.take_seq()
    Talker(stream)
    stream.page.beat_mono_ns = clock.monotonic_ns()
    stream.page.at(Position.DEMUX, clock.monotonic_ns())
    stream.watch()
    assert not stream.is_unhoused


def as_recording(stream: SupervisedCapture, pace: Literal["asap", "realtime"]) -> None:
    stream.spec = FileSpec(name="a", path="a.mp4", pixels="i420", ring=RingPlan(S), pace=pace)


def test_a_recording_that_breaks_off_is_over_and_keeps_its_reason(stream: SupervisedCapture) -> None:
    as_recording(stream, "asap")
    capture = Talker(stream)
    stream.due_ns = None
    capture.says(Ended("a.mp4: breaks off"))
    capture.ends(0)
    assert (stream.is_ended, stream.is_due, stream.failure) == (True, False, "a.mp4: breaks off")
    assert stream.status(IngestStatus()).problem == "a.mp4: breaks off"
    stream.respecify(stream.spec, frozenset(), is_other=True)
    assert (stream.is_ended, stream.is_due, stream.failure) == (False, True, "")


@pytest.mark.parametrize("code", [-11, 1, 75])
@pytest.mark.parametrize("pace", ["asap", "realtime"])
def test_a_recording_whose_captures_end_without_a_frame_is_given_up(
    stream: SupervisedCapture, pace: Literal["asap", "realtime"], code: int
) -> None:
    as_recording(stream, pace)
    for _ in range(2):
        Talker(stream).ends(code)
        assert not stream.is_ended
    Talker(stream).ends(code)
    assert stream.is_ended
    assert "no frame came of 3 captures" in stream.failure


def test_a_recording_that_gets_on_between_two_ends_of_its_captures_is_not_given_up(stream: SupervisedCapture) -> None:
    as_recording(stream, "asap")
    for number in range(1, 9):
        capture = Talker(stream)
        stream.page.media_ns = number
        capture.ends(-9)
    assert not stream.is_ended


def test_a_camera_and_a_recording_in_time_that_is_put_right_later_are_never_given_up(stream: SupervisedCapture) -> None:
    for _ in range(9):
        Talker(stream).ends(-11)
    as_recording(stream, "realtime")
    for _ in range(9):
        capture = Talker(stream)
        capture.says(Misconfigured("it is no video"))
        capture.ends(78)
        stream.retry()
    assert not stream.is_ended


def test_a_camera_that_breaks_its_capture_again_and_again_is_quarantined_and_says_so(
    stream: SupervisedCapture, clock: ManualClock
) -> None:
    for broken in range(6):
        assert not stream.is_quarantined
        Talker(stream).ends(-11)
        assert stream.due_ns is not None
        assert (stream.due_ns - clock.monotonic_ns() > 20 * S) == (broken == 5)
        clock.advance(S)
    told = stream.status(IngestStatus())
    assert (told.quarantined, told.quarantines) == (True, 1)
    assert "quarantined" in told.problem
    assert "signal 11" in told.problem
    Talker(stream)
    stream._spawned_ns = clock.monotonic_ns()
    stream.page.beat_mono_ns = clock.monotonic_ns()
    stream.page.at(Position.DEMUX, clock.monotonic_ns())
    stream.page.take_seq()
    stream.watch()
    assert stream.is_quarantined, "a frame alone does not say that it holds"
    clock.advance(3 * S)
    stream.page.beat_mono_ns = clock.monotonic_ns()
    stream.page.at(Position.DEMUX, clock.monotonic_ns())
    stream.watch()
    assert not stream.status(IngestStatus()).quarantined


def test_a_camera_that_is_not_there_is_never_quarantined(stream: SupervisedCapture) -> None:
    for _ in range(50):
        capture = Talker(stream)
        capture.says(Unavailable("cannot be opened: Connection refused"))
        capture.ends(75)
    assert not stream.is_quarantined
