"""From shots to slots and descriptors, with a real ring and a real pipe in one process."""

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from syncsvc.capture.feed import MOST_COMPRESSED_BYTES, Feed
from syncsvc.capture.ring_growth import RETRY_NS
from syncsvc.capture.source import Loss, Picture, Shot
from syncsvc.capture.spec import FileSpec, RingPlan
from syncsvc.daemon.watchdog import verdict
from syncsvc.errors import LinkClosed, MemoryShortage
from syncsvc.layout import MAX_EXTRADATA_BYTES, Codec, Layout
from syncsvc.model import Observation
from syncsvc.testing import MS, T0, ManualClock, ManualStop, S
from syncsvc.transport import memfd as memory
from syncsvc.transport.link import LinkReader, LinkWriter, open_link
from syncsvc.transport.messages import DropMessage, EndMessage, FrameMessage, GrowthMessage, Message, RingMessage
from syncsvc.transport.page import StreamPage
from syncsvc.transport.ring import RingReader


def plain(value: int, layout: Layout, size_bytes: int | None = None) -> Picture:
    """A picture of one value."""
    size = layout.size_bytes if size_bytes is None else size_bytes

    def write(slot: np.ndarray) -> None:
        assert slot.size == size
        slot[:] = value

    return Picture(layout, size, write)


SMALL, BIG = Layout("gray8", 16, 8), Layout("gray8", 64, 32)


class Rig:
    """A feed, and the receiver's end of its link."""

    def __init__(self, span_ms: int = 100, longest_ms: int = 0, **options: Any) -> None:
        reader, writer, ours, theirs = open_link()
        self.clock, self.page = ManualClock(), StreamPage.create("a")
        self.stop = ManualStop(self.clock)
        self.writer = LinkWriter(writer, theirs)
        plan = RingPlan(span_ms * MS, longest_ms * MS)
        spec = FileSpec(name="a", pixels="gray8", ring=plan, path="", **options)
        self.feed = Feed(spec, self.writer, self.page, self.clock, self.stop)
        self.reader = LinkReader(reader, ours)
        self.rings: dict[int, RingReader] = {}
        self.slots: dict[int, int] = {}
        self.layouts: dict[int, Layout] = {}
        self.coded: dict[int, Layout | None] = {}

    def shot(self, number: int, layout: Layout = SMALL, period_ms: int = 40, size_bytes: int | None = None) -> Shot:
        at = number * period_ms * MS
        return Shot(
            plain(number % 251, layout, size_bytes), Observation(-1, 1000 * S + at, at, T0 + at, "pts", True), at
        )

    def take(self, *numbers: int, **more: Any) -> None:
        for number in numbers:
            self.feed.take(self.shot(number, **more))
            self.settle()

    def replan(self, plan: RingPlan) -> None:
        self.feed.rings.replan(plan)

    def settle(self) -> None:
        """Wait for a ring that is being made beside."""
        for thread in [thread for thread in threading.enumerate() if thread.name == "ring"]:
            thread.join()

    def read(self, *, gives_back: bool = False) -> list[Message]:
        """Everything that was announced; frames are checked against their slots."""
        found = []
        while self.reader.poll(0):
            message = self.reader.receive()
            if isinstance(message, RingMessage):
                fd, self.layouts[message.ring_id], self.coded[message.ring_id] = self.reader.take_ring(message.ring_id)
                self.rings[message.ring_id] = RingReader(fd)
                self.slots[message.ring_id] = message.slots
                os.close(fd)
            elif isinstance(message, FrameMessage):
                ring = self.rings[message.ring_id]
                pts = message.observation.pts_ns
                assert pts is not None
                assert len(set(ring.pixels(message.slot, message.size_bytes).tolist())) == 1
                ring.check(message.slot, message.generation)
                if gives_back:
                    self.reader.give_back([(message.ring_id, message.slot)])
            found.append(message)
        return found

    def close(self) -> None:
        self.writer.close()
        self.reader.close()
        self.page.close()


@pytest.fixture
def rig() -> Iterator[Rig]:
    one = Rig()
    yield one
    one.close()


def frames(messages: list[Message]) -> list[int]:
    return [message.observation.seq for message in messages if isinstance(message, FrameMessage)]


def drops(messages: list[Message]) -> dict[str, int]:
    found: dict[str, int] = {}
    for message in messages:
        if isinstance(message, DropMessage):
            found[message.cause] = found.get(message.cause, 0) + message.count
    return found


def test_the_ring_comes_first_and_then_the_frames(rig: Rig) -> None:
    rig.take(0, 1, 2)
    messages = rig.read()
    assert messages[0] == RingMessage(1, 7, SMALL.size_bytes, 10**8), "ceil(30/s * 0.1 s) + 4"
    assert frames(messages) == [0, 1, 2]
    last = messages[-1]
    assert isinstance(last, FrameMessage)
    assert (last.observation.stamp_ns, rig.layouts[1], last.size_bytes) == (T0 + 80 * MS, SMALL, SMALL.size_bytes)
    assert rig.rings[1].pixels(last.slot, 1)[0] == 2
    assert rig.page.next_seq == 3
    assert rig.page.media_ns == 80 * MS + 1


def test_without_a_free_slot_the_frame_is_dropped_and_counted(rig: Rig) -> None:
    rig.take(*range(10))
    messages = rig.read(gives_back=True)
    assert frames(messages) == list(range(7))
    assert drops(messages) == {"ring_full": 3}
    assert rig.page.next_seq == 10
    rig.take(10, 11)
    assert frames(rig.read()) == [10, 11]


def test_a_loss_of_the_source_takes_a_number(rig: Rig) -> None:
    rig.take(0)
    rig.feed.take(Loss("decode_error"))
    rig.take(1)
    messages = rig.read()
    assert [type(message) for message in messages] == [RingMessage, FrameMessage, DropMessage, FrameMessage]
    assert drops(messages) == {"decode_error": 1}
    assert frames(messages) == [0, 2]


def test_a_full_pipe_costs_frames_never_the_camera_and_all_are_accounted_for() -> None:
    rig = Rig(span_ms=30_000)
    count = 850
    rig.take(*range(count))
    messages = rig.read()
    told = drops(messages)
    rig.feed.end(is_over=False)
    messages += rig.read()
    assert drops(messages).keys() == {"pipe_full"}
    assert len(frames(messages)) + drops(messages)["pipe_full"] == count
    assert told == {} or told.keys() == {"pipe_full"}
    assert frames(messages) == list(range(len(frames(messages))))
    rig.close()


def test_every_layout_has_a_ring_of_its_own(rig: Rig) -> None:
    rig.take(0, 1)
    rig.take(2, layout=BIG)
    rig.take(3, layout=SMALL)
    messages = rig.read()
    rings = [message for message in messages if isinstance(message, RingMessage)]
    assert [(ring.ring_id, ring.slot_bytes) for ring in rings] == [
        (1, SMALL.size_bytes),
        (2, BIG.size_bytes),
        (3, SMALL.size_bytes),
    ]
    assert [(m.ring_id, m.size_bytes) for m in messages if isinstance(m, FrameMessage)] == [
        (1, SMALL.size_bytes),
        (1, SMALL.size_bytes),
        (2, BIG.size_bytes),
        (3, SMALL.size_bytes),
    ]


H264 = Layout("encoded", 64, 32, codec=Codec("h264", b"\0\0\0\1sps"))


def test_a_ring_brings_its_codec_and_a_new_codec_a_new_ring(rig: Rig) -> None:
    other = replace(H264, codec=Codec("h264", bytes(MAX_EXTRADATA_BYTES)))
    rig.take(0, 1, layout=H264, size_bytes=100)
    rig.take(2, layout=other, size_bytes=100)
    rig.take(3, layout=replace(H264, matrix="bt709"), size_bytes=100)
    rig.take(4, layout=SMALL)
    messages = [message for message in rig.read() if isinstance(message, FrameMessage)]
    found = [(message.ring_id, rig.layouts[message.ring_id]) for message in messages]
    assert found == [(1, H264), (1, H264), (2, other), (3, replace(H264, matrix="bt709")), (4, SMALL)]


def test_compressed_pictures_get_room_to_spare_and_none_is_lost_when_one_does_not_fit(rig: Rig) -> None:
    sizes = [100, 65_536, 65_537, 98_305, 98_306, 1, 147_459]
    for number, size_bytes in enumerate(sizes):
        rig.take(number, layout=H264, size_bytes=size_bytes)
    messages = rig.read()
    assert [message.slot_bytes for message in messages if isinstance(message, RingMessage)] == [65_536, 98_306, 221_188]
    assert [message.size_bytes for message in messages if isinstance(message, FrameMessage)] == sizes
    assert drops(messages) == {}


def test_a_new_plan_keeps_the_room_that_compressed_pictures_needed(rig: Rig) -> None:
    rig.take(0, layout=H264, size_bytes=200_000)
    rig.replan(RingPlan(S))
    rig.take(1, 2, layout=H264, size_bytes=10)
    rings = [message for message in rig.read() if isinstance(message, RingMessage)]
    assert [(ring.slots, ring.slot_bytes) for ring in rings] == [(7, 300_000), (34, 300_000)]


def with_coded(rig: Rig, number: int, size_bytes: int, parameters: bytes = b"") -> Shot:
    """A shot with a coded picture beside it, of another value."""
    shot = rig.shot(number)
    coded = plain(100 + number, Layout("encoded", 16, 8, codec=Codec("h264", parameters)), size_bytes)
    return replace(shot, picture=structs.replace(shot.picture, coded=coded))


def test_a_coded_picture_lies_behind_the_pixels_in_the_same_slot(rig: Rig) -> None:
    rig.feed.take(with_coded(rig, 1, 9))
    rig.feed.take(rig.shot(2))
    ring, first, second = rig.read()
    assert isinstance(ring, RingMessage)
    assert isinstance(first, FrameMessage)
    assert isinstance(second, FrameMessage)
    assert (first.size_bytes, first.coded_bytes) == (SMALL.size_bytes, 9)
    assert rig.rings[1].pixels(first.slot, SMALL.size_bytes + 9).tolist() == [1] * SMALL.size_bytes + [101] * 9
    assert (second.ring_id, second.coded_bytes) == (1, 0), "one without takes no ring of its own"
    assert rig.coded == {1: Layout("encoded", 16, 8, codec=Codec("h264"))}


def test_other_parameters_or_a_coded_picture_that_does_not_fit_take_another_ring_and_lose_nothing(rig: Rig) -> None:
    for number, (size_bytes, parameters) in enumerate([(9, b""), (9, b"new"), (1 << 20, b"new"), (9, b"new")]):
        rig.feed.take(with_coded(rig, number, size_bytes, parameters))
    told = rig.read()
    assert [one.ring_id for one in told if isinstance(one, FrameMessage)] == [1, 2, 3, 3]
    assert not [one for one in told if isinstance(one, DropMessage)]
    assert rig.rings[3].slot_bytes > rig.rings[2].slot_bytes > SMALL.size_bytes


def test_pixels_that_the_machine_cannot_hold_are_refused_with_the_numbers(rig: Rig) -> None:
    with pytest.raises(MemoryShortage, match="MiB each"):
        rig.take(0, layout=Layout("bgr24", 60_000, 60_000))


def test_a_picture_that_no_camera_sends_is_lost_and_takes_no_memory(rig: Rig) -> None:
    rig.take(0, layout=H264, size_bytes=MOST_COMPRESSED_BYTES + 1)
    rig.take(1, layout=H264, size_bytes=10)
    messages = rig.read()
    assert drops(messages) == {"too_big": 1}
    assert frames(messages) == [1]


def test_leases_of_an_older_ring_are_no_business_of_the_new_one(rig: Rig) -> None:
    rig.take(0)
    rig.take(1, layout=BIG)
    rig.read(gives_back=True)
    rig.take(*range(2, 9), layout=BIG)
    assert drops(rig.read()) == {}


def test_a_new_plan_makes_a_ring_while_frames_go_into_the_one_before(rig: Rig) -> None:
    rig.take(0)
    rig.replan(RingPlan(S))
    rig.take(1, 2)
    messages = rig.read()
    assert rig.slots == {1: 7, 2: 34}
    assert [one.ring_id for one in messages if isinstance(one, FrameMessage)] == [1, 1, 2]
    assert [one.span_ns for one in messages if isinstance(one, RingMessage)] == [S // 10, S]


def test_a_ring_that_was_made_for_what_no_longer_comes_is_let_go(rig: Rig) -> None:
    rig.take(0)
    rig.replan(RingPlan(S))
    rig.take(1)
    rig.take(2, layout=BIG)
    rig.take(3, layout=BIG)
    assert [one.ring_id for one in rig.read() if isinstance(one, FrameMessage)] == [1, 1, 3, 3]


def test_a_ring_stays_as_it_is_where_the_machine_lacks_the_memory_for_a_bigger_one(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.take(0)
    rig.replan(RingPlan(10**9 * S))
    rig.take(1, 2, 3)
    messages = rig.read()
    assert [one.ring_id for one in messages if isinstance(one, FrameMessage)] == [1, 1, 1, 1]
    assert drops(messages) == {}
    assert "stream a: the ring stays as it is: ring of 30000000004 slots" in caplog.text


def growths(messages: list[Message]) -> list[GrowthMessage]:
    return [message for message in messages if isinstance(message, GrowthMessage)]


def rings_of(messages: list[Message]) -> set[int]:
    return {message.ring_id for message in messages if isinstance(message, FrameMessage)}


def test_a_ring_with_room_for_a_longer_plan_grows_in_place() -> None:
    rig = Rig(longest_ms=1000)
    rig.take(0)
    rig.replan(RingPlan(S, S))
    rig.take(*range(1, 34))
    messages = rig.read()
    assert rig.slots == {1: 7}
    assert growths(messages) == [GrowthMessage(1, 34, S)]
    assert (frames(messages), rings_of(messages), drops(messages)) == ([*range(34)], {1}, {})
    rig.take(34)
    assert drops(rig.read(gives_back=True)) == {"ring_full": 1}
    rig.close()


def test_that_a_ring_has_grown_is_told_as_soon_as_the_pipe_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(longest_ms=1000)
    rig.take(0)
    rig.replan(RingPlan(S // 2, S))
    with monkeypatch.context() as full:
        full.setattr(rig.writer, "send", lambda message: isinstance(message, FrameMessage))
        rig.take(1, 2)
    rig.take(3, 4)
    assert growths(rig.read()) == [GrowthMessage(1, 19, S // 2)]
    rig.close()


def test_beyond_its_room_and_back_from_it_a_ring_is_exchanged() -> None:
    rig = Rig(longest_ms=1000)
    rig.take(0)
    for number, span_ns in enumerate((2 * S, S, 3 * S // 2), 1):
        rig.replan(RingPlan(span_ns, 2 * S))
        rig.take(2 * number, 2 * number + 1)
    messages = rig.read()
    assert rig.slots == {1: 7, 2: 64, 3: 34}
    assert growths(messages) == [GrowthMessage(3, 49, 3 * S // 2)]
    rig.close()


def test_a_ring_that_grew_for_what_no_longer_comes_is_not_spoken_of() -> None:
    rig = Rig(longest_ms=1000)
    rig.take(0)
    rig.replan(RingPlan(S, S))
    rig.take(1)
    rig.take(2, layout=BIG)
    messages = rig.read()
    assert (rig.slots, growths(messages)) == ({1: 7, 2: 34}, [])
    assert frames(messages) == [0, 1, 2]
    rig.close()


def test_a_ring_does_not_grow_where_the_machine_lacks_the_memory(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rig, layout = Rig(longest_ms=1000), Layout("gray8", 1024, 1024)
    rig.take(0, layout=layout)
    monkeypatch.setattr(memory, "available_bytes", lambda: memory.RESERVE_BYTES)
    rig.replan(RingPlan(S, S))
    rig.take(*range(1, 80), layout=layout)
    messages = rig.read()
    assert (growths(messages), rings_of(messages), drops(messages)) == ([], {1}, {"ring_full": 73})
    assert "stream a: the ring stays as it is: ring of 34 slots = ceil(30.00/s * 1.000 s) + 4" in caplog.text
    assert rig.feed.rings.rate.fps == 30, "no slot is free for want of memory, not because the camera is fast"
    rig.close()


def test_memory_that_was_lacking_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    layout, later = Layout("gray8", 1024, 1024), RETRY_NS // (40 * MS)
    for is_spent in (False, True):
        rig = Rig(longest_ms=1000)
        rig.take(*range(4), layout=layout)
        with monkeypatch.context() as short:
            short.setattr(memory, "UNCHECKED_BYTES", 0)
            short.setattr(memory, "available_bytes", lambda: memory.RESERVE_BYTES)
            if is_spent:
                rig.reader.retire(1)
            else:
                rig.replan(RingPlan(S, S))
            rig.take(4, 5, layout=layout)
        rig.take(6, layout=layout)
        rig.read(gives_back=True)
        assert rig.feed.rings.current is not None
        assert (rig.feed.rings.current.ring_id, rig.feed.rings.current.slots) == (1, 7)
        rig.take(6 + later, 7 + later, layout=layout)
        messages = rig.read()
        assert growths(messages) == ([] if is_spent else [GrowthMessage(1, 34, S)])
        assert rig.slots == ({1: 7, 3: 7} if is_spent else {1: 7})
        assert drops(messages) == {}
        rig.close()


def test_a_first_ring_that_lacks_memory_only_for_subscribers_on_this_host_is_made_without(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rig, layout = Rig(), Layout("gray8", 1024, 1024)
    rig.replan(RingPlan(S, S, S // 10))
    with monkeypatch.context() as short:
        short.setattr(memory, "available_bytes", lambda: memory.RESERVE_BYTES)
        rig.take(0, layout=layout)
    assert "stream a: the ring has no room for subscribers on this host: ring of 34 slots" in caplog.text
    later = RETRY_NS // (40 * MS)
    rig.take(later, later + 1, layout=layout)
    messages = rig.read()
    assert [(one.slots, one.span_ns) for one in messages if isinstance(one, RingMessage)] == [(7, S // 10)]
    assert growths(messages) == [GrowthMessage(2, 34, S)]
    rig.close()


def test_a_ring_grows_in_place_for_a_faster_camera_too_where_it_has_the_room() -> None:
    rig = Rig(longest_ms=1000)
    messages: list[Message] = []
    for number in range(80):
        rig.take(number, period_ms=10)
        if number % 20 == 19:
            messages += rig.read(gives_back=True)
    assert growths(messages) == [GrowthMessage(1, 16, S // 10)]
    assert rig.slots == {1: 7}
    rig.close()


def test_a_ring_that_lost_slots_for_good_is_exchanged(rig: Rig) -> None:
    rig.take(*range(4))
    rig.read()
    rig.reader.retire(1)
    rig.take(4, 5)
    assert [one.ring_id for one in rig.read() if isinstance(one, FrameMessage)] == [1, 2]


def test_a_ring_that_lost_more_slots_while_another_was_made_is_exchanged_once(rig: Rig) -> None:
    rig.take(*range(4))
    rig.reader.retire(1)
    rig.take(4)
    rig.reader.retire(1)
    rig.take(5, 6)
    assert [one.ring_id for one in rig.read() if isinstance(one, FrameMessage)] == [1, 1, 1, 1, 1, 2, 2]


def test_a_ring_grows_for_a_camera_that_is_faster_than_it_says(rig: Rig) -> None:
    messages: list[Message] = []
    for number in range(80):  # 100 frames a second, read late: every second frame finds no slot
        rig.take(number, period_ms=10)
        if number % 20 == 19:
            messages += rig.read(gives_back=True)
    assert rig.slots[1] == 7
    assert rig.slots[2] == 16, "a little over 110/s, for 0.1 s, and four"
    assert len(frames(messages)) + drops(messages)["ring_full"] == 80
    assert rig.feed.rings.rate.fps == pytest.approx(110)


def test_asap_waits_for_a_slot_and_drops_nothing() -> None:
    rig = Rig(pace="asap")
    seen: list[Message] = []
    waits = 0

    def wait_for_lease(timeout_s: float) -> bool:
        nonlocal waits
        waits += 1
        seen.extend(rig.read(gives_back=True))
        return True

    rig.writer.wait_for_lease = wait_for_lease  # type: ignore[method-assign]  # the receiver reads while we wait
    rig.take(*range(50))
    seen += rig.read()
    assert waits >= 6
    assert frames(seen) == list(range(50))
    assert drops(seen) == {}
    rig.close()


def test_asap_lets_go_of_its_wait_when_it_is_stopped() -> None:
    rig = Rig(pace="asap")
    rig.take(*range(7))

    def wait_for_lease(timeout_s: float) -> bool:
        rig.stop.set()
        return False

    rig.writer.wait_for_lease = wait_for_lease  # type: ignore[method-assign]  # the stop comes while we wait
    rig.take(7)
    assert rig.page.next_seq == 7, "a frame that was never taken is not counted"
    rig.close()


def test_the_end_is_told_after_everything_else(rig: Rig) -> None:
    rig.take(0)
    rig.feed.take(Loss("decode_error"))
    rig.feed.end(is_over=True)
    assert rig.read()[-2:] == [DropMessage(1, 1, "decode_error"), EndMessage()]


def test_without_a_receiver_it_ends(rig: Rig) -> None:
    rig.take(0)
    rig.reader.close()
    with pytest.raises(LinkClosed):
        rig.take(1)


def test_a_ring_that_takes_seconds_to_make_is_no_hung_capture(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    complaints = []

    def get_slowly(fd: int, offset: int, size_bytes: int) -> None:
        assert size_bytes <= memory.STEP_BYTES
        os.ftruncate(fd, offset + size_bytes)  # no memory is taken, only time
        rig.clock.advance(S)
        now_ns = rig.clock.monotonic_ns()
        complaints.append(verdict(*rig.page.position, now_ns, now_ns))

    monkeypatch.setattr(memory.os, "posix_fallocate", get_slowly)
    monkeypatch.setattr(memory, "available_bytes", lambda: 1 << 40)
    monkeypatch.setattr(memory, "UNCHECKED_BYTES", 0)
    rig.take(0, layout=Layout("gray8", 8192, 8192))
    assert len(complaints) > 5
    assert set(complaints) == {None}
