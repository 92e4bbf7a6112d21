"""A machine that has no room for another thread (RLIMIT_NPROC, a pids cgroup): words, and another try."""

import threading
from collections.abc import Iterator
from typing import Any, cast

import pytest

from syncsvc.capture.process import CaptureProcess
from syncsvc.capture.ring_growth import RETRY_NS
from syncsvc.capture.spec import EX_UNAVAILABLE, RingPlan, SyntheticSpec
from syncsvc.capture.words import FromCapture, Unhoused
from syncsvc.daemon.http import HttpServer
from syncsvc.errors import BindError
from syncsvc.testing import MS
from syncsvc.transport.channel import Channel
from syncsvc.transport.link import LinkReader, LinkWriter, open_link
from syncsvc.transport.messages import GrowthMessage
from syncsvc.transport.page import StreamPage
from tests.unit.capture.test_feed import Rig, frames

NO_ROOM = "cannot be started: the machine has no room for another"


def refuse(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


@pytest.fixture
def crowded(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        yield patch


class Ear:
    """The daemon's end of a capture's channel."""

    def __init__(self) -> None:
        self.heard: list[FromCapture] = []

    def send(self, word: FromCapture) -> None:
        self.heard.append(word)


@pytest.mark.usefixtures("crowded")
def test_a_capture_says_why_its_stream_is_left_out_for_now() -> None:
    reader, writer, ours, theirs = open_link()
    ear, page, link = Ear(), StreamPage.create("a"), LinkWriter(writer, theirs)
    spec = SyntheticSpec(name="a", pixels="gray8", ring=RingPlan(100 * MS))
    code = CaptureProcess(cast(Channel[Any], ear), spec, page, link).run()
    assert code == EX_UNAVAILABLE
    assert ear.heard == [Unhoused(f"thread channel {NO_ROOM}")]
    for one in (LinkReader(reader, ours), link, page):
        one.close()


def test_a_ring_that_cannot_be_made_beside_stays_as_it_is_and_grows_later(crowded: pytest.MonkeyPatch) -> None:
    rig = Rig(span_ms=100)
    try:
        rig.take(0, 1)
        rig.replan(RingPlan(2000 * MS))
        rig.take(2, 3)
        assert frames(rig.read(gives_back=True)) == [0, 1, 2, 3]
        crowded.undo()
        later = 4 + RETRY_NS // (40 * MS)
        rig.take(later, later + 1, later + 2)
        assert [one for one in rig.read() if isinstance(one, GrowthMessage)] or len(rig.rings) > 1
    finally:
        rig.close()


@pytest.mark.usefixtures("crowded")
def test_the_status_page_is_refused_in_words() -> None:
    server = HttpServer("127.0.0.1:0", cast(Any, None))
    with pytest.raises(BindError, match=f"^http.bind .*: thread http {NO_ROOM}"):
        server.start()
    server.stop()
