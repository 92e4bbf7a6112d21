"""One stream's thread without its thread: what it reads, stamps, counts and hands on, over a link in memory."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from syncsvc.errors import TransportError
from syncsvc.ingest.rest import PATIENT_NS, Rest
from syncsvc.ingest.worker import BURST, StreamIngest, Tuning
from syncsvc.layout import Layout
from syncsvc.lifecycle import StopToken, Worker
from syncsvc.model import Frame, StreamState
from syncsvc.observe.events import Doubt, Drop, Expect, Skip, State, StreamEvent
from syncsvc.observe.records import AnyRecord, ClockRecord, LossRecord, ObsRecord, SessionRecord, StampRecord
from syncsvc.testing import MS, T0, TINY, ManualClock, MemoryLink, S, observation
from syncsvc.timing.ladder import StreamClock, rungs_for
from syncsvc.timing.utc import UtcMapper
from syncsvc.transport.messages import DropMessage, EndMessage, FrameMessage, GrowthMessage, Message
from syncsvc.transport.ring import RingWriter
from tests.e2e.harness import wait_for

PATIENCE_S = 60.0


class Sink:
    """A group that only remembers."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.floors: list[int] = []
        self.drops: Counter[str] = Counter()
        self.skips: list[tuple[int, StreamState]] = []
        """How many, and in which state."""
        self.states: list[StreamState] = []
        self.doubts: list[bool] = []

    def tell(self, event: StreamEvent) -> None:
        match event:
            case Frame():
                self.frames.append(event)
            case Expect():
                self.floors.append(event.floor_ns)
            case Drop():
                self.drops[event.cause] += event.count
            case Skip():
                self.skips.append((event.count, self.states[-1]))
            case State():
                self.states.append(event.state)
            case Doubt():
                self.doubts.append(event.is_doubtful)


class Notes:
    """What a log of observations is told, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def take(self, record: AnyRecord) -> None:
        match record:
            case SessionRecord():
                self.told.append(("session",))
            case ObsRecord():
                self.told.append(("observed", record.seq))
            case LossRecord():
                self.told.append(("lost", record.cause, record.count))
            case StampRecord():
                self.told.append(("stamped", record.seq, record.clock))
            case ClockRecord():
                self.told.append(("clock", record.clock, record.doubtful, dict(record.reasons)))


class Rig:
    """An ingest whose loop runs until its link is read to the end."""

    def __init__(self, kind: str = "synthetic", sinks: int = 1, hold_ns: int = 300 * MS) -> None:
        self.clock = ManualClock()
        utc = UtcMapper(self.clock)
        stream_clock = StreamClock(
            lambda: rungs_for("auto", kind, None, utc.to_utc), hold_ns=hold_ns, edge_ns=S, to_utc=utc.to_utc
        )
        self.ingest = StreamIngest(
            "a",
            stream_clock,
            self.clock,
            utc.to_utc,
            stall_after_ns=3 * S,
            is_patient=False,
            take_pixels=lambda payload: None,
            note=(notes := Notes()).take,
        )
        self.notes = notes
        self.sinks = [Sink() for _ in range(sinks)]
        self.joined: list[int] = []
        self.ring = RingWriter(1, 8, TINY.size_bytes)
        self.ingest.rewire(self.sinks, lambda stream, seq: self.joined.append(seq))

    @property
    def sink(self) -> Sink:
        return self.sinks[0]

    def link(self, layout: Layout = TINY) -> MemoryLink:
        link = MemoryLink()
        link.send_ring(1, self.ring.slots, self.ring.slot_bytes, self.ring.fd, layout)
        return link

    def read(self, link: MemoryLink, first_seq: int, taken: int, *, is_over: bool = False) -> None:
        """A capture that took frames ``first_seq`` to ``taken - 1`` and is gone now."""
        link.hang_up()
        self.ingest.attach(link, first_seq)  # type: ignore[arg-type]  # reads like one
        self.ingest.detach(taken, is_over=is_over)
        stop = StopToken()
        stop.set()
        self.ingest.run(stop)


@pytest.fixture
def rig() -> Iterator[Rig]:
    one = Rig()
    yield one
    one.ring.close()


def frame_message(seq: int, slot: int = 0, ring_id: int = 1, **more: Any) -> Message:
    seen = observation(seq, 1000 * S + seq * 40 * MS, T0 + seq * 40 * MS, "pts")
    return FrameMessage(seen, ring_id, slot, more.get("generation", 2), more.get("size_bytes", TINY.size_bytes))


def camera_message(seq: int, ntp_error_ns: int) -> Message:
    """A camera 30 ms away, with its NTP time on every packet but the first."""
    taken = seq * 40 * MS
    ntp = T0 + taken + ntp_error_ns if seq % 30 else None
    seen = observation(seq, 1000 * S + taken + 30 * MS, pts_ns=taken, ntp_ns=ntp)
    return FrameMessage(seen, 1, 0, 2, TINY.size_bytes)


def test_what_was_written_before_the_end_is_read_stamped_and_handed_on(rig: Rig) -> None:
    link = rig.link()
    link.send(*(frame_message(seq, slot=seq) for seq in range(3)), EndMessage())
    rig.read(link, 0, 3)
    assert [(one.seq, one.time_ns, one.clock) for one in rig.sink.frames] == [
        (seq, T0 + seq * 40 * MS, "pts") for seq in range(3)
    ]
    assert rig.sink.states == [StreamState.STARTING, StreamState.LIVE, StreamState.ENDED]
    assert rig.sink.drops == {}
    assert rig.joined == [0]
    assert link.is_closed


def test_a_capture_that_hung_up_makes_its_stream_absent_only_once_it_is_known_to_be_gone(rig: Rig) -> None:
    link, stop = rig.link(), StopToken()
    stop.set()
    link.send(frame_message(0))
    link.hang_up()
    rig.ingest.attach(link, 0)  # type: ignore[arg-type]  # reads like one
    rig.ingest.run(stop)
    assert link.is_closed
    assert rig.sink.states[-1] is StreamState.LIVE, "a drain may have begun, and is told before the news"
    rig.ingest.detach(1)
    rig.ingest.run(stop)
    assert rig.sink.states[-1] is StreamState.ABSENT


def test_a_ring_that_has_grown_has_its_new_span_for_every_frame_in_it(rig: Rig) -> None:
    link = rig.link()
    link.send(frame_message(0), GrowthMessage(1, 8, 5 * S), frame_message(1))
    rig.read(link, 0, 2)
    leases = [frame.payload.lease() for frame in rig.sink.frames]
    assert [lease.ring.span_ns for lease in leases if lease is not None] == [5 * S, 5 * S]
    assert rig.ingest.status().ring_slots == 8


def test_a_ring_that_nobody_handed_over_cannot_grow(rig: Rig) -> None:
    link = rig.link()
    link.send(frame_message(0), GrowthMessage(2, 8, S), frame_message(1))
    rig.read(link, 0, 2)
    assert (len(rig.sink.frames), rig.sink.drops) == (1, {"capture_died": 1})


def test_frames_taken_and_never_announced_are_counted_as_lost_with_their_capture(rig: Rig) -> None:
    first, second = rig.link(), rig.link()
    first.send(frame_message(0), frame_message(1))
    rig.read(first, 0, 4)
    assert rig.sink.drops == {"capture_died": 2}
    assert rig.sink.states[-1] is StreamState.ABSENT
    second.send(frame_message(4), DropMessage(5, 2, "ring_full"), frame_message(7))
    rig.read(second, 4, 8)
    assert rig.sink.drops == {"capture_died": 2, "ring_full": 2}
    assert [one.seq for one in rig.sink.frames] == [0, 1, 4, 7]
    assert rig.ingest.status().captured == 8


def test_a_stream_that_is_given_up_has_ended_though_its_capture_never_said_so(rig: Rig) -> None:
    link = rig.link()
    link.send(frame_message(0))
    rig.read(link, 0, 2, is_over=True)
    assert rig.sink.drops == {"capture_died": 1}
    assert rig.sink.states == [StreamState.STARTING, StreamState.LIVE, StreamState.ENDED]


def test_frames_that_never_came_are_told_by_the_holes_in_their_pts_before_the_end(rig: Rig) -> None:
    link, lost = rig.link(), {20, 21, 45}
    numbers = [number for number in range(64) if number not in lost]
    for seq, number in enumerate(numbers):
        seen = observation(seq, 1000 * S + number * 40 * MS, T0 + number * 40 * MS, "pts", pts_ns=number * 40 * MS)
        link.send(FrameMessage(seen, 1, 0, 2, TINY.size_bytes))
    link.send(EndMessage())
    rig.read(link, 0, len(numbers))
    assert sum(count for count, _ in rig.sink.skips) == rig.ingest.status().skipped == 3
    assert {state for _, state in rig.sink.skips} == {StreamState.LIVE}
    assert rig.sink.drops == {}


def test_what_was_captured_and_lost_is_not_told_as_skipped_too(rig: Rig) -> None:
    link = rig.link()
    for seq in range(80):
        seen = observation(seq, 1000 * S + seq * 40 * MS, T0 + seq * 40 * MS, "pts", pts_ns=seq * 40 * MS)
        link.send(DropMessage(seq, 1, "ring_full") if seq % 17 == 9 else FrameMessage(seen, 1, 0, 2, TINY.size_bytes))
    rig.read(link, 0, 80)
    assert (rig.sink.skips, rig.sink.drops) == ([], {"ring_full": 5})


def test_every_fact_and_every_conclusion_is_told_for_a_replay(rig: Rig) -> None:
    link = rig.link()
    link.send(frame_message(0), DropMessage(1, 2, "ring_full"), frame_message(3))
    rig.read(link, 0, 4)
    assert rig.notes.told == [
        ("session",),
        ("observed", 0), ("stamped", 0, "pts"), ("clock", "pts", False, {}),
        ("lost", "ring_full", 2),
        ("observed", 3), ("stamped", 3, "pts"),
    ]  # fmt: skip


def test_a_camera_that_lies_is_doubted_until_it_is_opened_anew_and_tells_the_truth() -> None:
    rig = Rig("rtsp", hold_ns=0)
    link = rig.link()
    link.send(*(camera_message(seq, ntp_error_ns=10 * S) for seq in range(30)))
    rig.read(link, 0, 30)
    assert rig.sink.doubts == [False, True]
    assert {one.clock for one in rig.sink.frames} == {"model"}
    assert "ahead" in [note for note in rig.notes.told if note[0] == "clock"][-1][3]["rtcp"]
    assert rig.ingest.status().doubtful
    again = rig.link()
    again.send(*(camera_message(seq, ntp_error_ns=0) for seq in range(30, 120)))
    rig.read(again, 30, 120)
    assert rig.sink.doubts == [False, True, False]
    assert rig.sink.frames[-1].clock == "rtcp"
    rig.ring.close()


def test_each_group_has_the_frame_and_the_last_one_gives_the_slot_back() -> None:
    rig = Rig(sinks=2)
    link = rig.link()
    link.send(frame_message(0, slot=5))
    rig.read(link, 0, 1)
    rig.ring.close()
    frames = [sink.frames[0] for sink in rig.sinks]
    frames[0].payload.release()
    assert link.returned == []
    frames[1].payload.release()
    assert link.returned == [(1, 5)]


def test_a_stream_that_nobody_wants_gives_its_slots_back_at_once() -> None:
    rig = Rig(sinks=0)
    link = rig.link()
    link.send(frame_message(0, slot=3))
    rig.read(link, 0, 1)
    rig.ring.close()
    assert link.returned == [(1, 3)]


def test_frames_without_a_better_stamp_are_held_told_of_and_let_go_at_the_end() -> None:
    rig = Rig(kind="rtsp")
    link = rig.link()
    link.send(frame_message(0), frame_message(1))
    rig.read(link, 0, 2)
    rig.ring.close()
    assert rig.sink.floors == [T0 - S, T0 - S]
    assert [(one.seq, one.clock) for one in rig.sink.frames] == [(0, "arrival"), (1, "arrival")]


def test_silence_while_we_read_is_a_stall_and_time_that_we_did_not_read_is_none(rig: Rig) -> None:
    link = rig.link()
    link.send(frame_message(0))
    rig.ingest.attach(link, 0)  # type: ignore[arg-type]  # reads like one
    stop = StopToken()
    looks = 0

    def poll(timeout_s: float) -> bool:
        nonlocal looks
        looks += 1
        if looks == 3:
            rig.clock.advance(3600 * S)  # the machine was suspended, or we were stopped
        elif looks > 3:
            rig.clock.advance(100 * MS)
        if looks == 20:
            assert rig.ingest.tally.state is StreamState.LIVE
        if rig.ingest.tally.state is StreamState.STALLED or looks == 100:
            stop.set()
            link.hang_up()
        return MemoryLink.poll(link, timeout_s)

    link.poll = poll  # type: ignore[method-assign]  # time passes while it waits
    rig.ingest.run(stop)
    assert StreamState.STALLED in rig.sink.states
    assert 30 <= looks <= 40


@pytest.mark.parametrize("state", [StreamState.STALLED, StreamState.ENDED])
def test_what_is_held_is_let_go_before_nobody_waits_for_it(state: StreamState) -> None:
    rig = Rig(kind="rtsp", hold_ns=3600 * S)
    link, stop = rig.link(), StopToken()
    link.send(camera_message(0, 0))
    if state is StreamState.ENDED:
        link.send(EndMessage())
    rig.ingest.attach(link, 0)  # type: ignore[arg-type]  # reads like one
    came_in: list[list[StreamState]] = []

    def tell(event: StreamEvent) -> None:
        if isinstance(event, Frame):
            came_in.append(list(rig.sink.states))
        elif isinstance(event, State):
            rig.sink.states.append(event.state)

    def poll(timeout_s: float) -> bool:
        rig.clock.advance(100 * MS)
        if state in rig.sink.states:
            stop.set()
            link.hang_up()
        return MemoryLink.poll(link, timeout_s)

    rig.sink.tell, link.poll = tell, poll  # type: ignore[method-assign]  # time passes while it waits
    rig.ingest.run(stop)
    rig.ring.close()
    assert [state in before for before in came_in] == [False]
    assert state in rig.sink.states


NOWHERE: Mapping[str, tuple[Layout, int, int]] = {
    "slot that does not exist": (TINY, 8, TINY.size_bytes),
    "frame beyond its slot": (Layout("jpeg", 4, 2), 0, 4096),
    "frame beyond all memory": (Layout("jpeg", 4, 2), 0, 2**62 - 1),
    "pixels that are missing": (TINY, 0, TINY.size_bytes - 1),
}


@pytest.mark.parametrize("what", ["unknown ring", "ring that never came", "no message", *NOWHERE])
def test_a_capture_that_sends_nonsense_is_hung_up_on_and_harms_nobody_else(rig: Rig, what: str) -> None:
    layout, slot, size_bytes = NOWHERE.get(what, (TINY, 0, TINY.size_bytes))
    link = rig.link(layout)
    link.send(frame_message(0))
    if what in NOWHERE:
        link.send(frame_message(1, slot, size_bytes=size_bytes))
    elif what == "unknown ring":
        link.send(frame_message(1, ring_id=7))
    elif what == "ring that never came":
        link.send_ring(2, 1, 1, rig.ring.fd)
        rings = link._rings
        original = link.take_ring

        def take_ring(ring_id: int) -> tuple[int, Layout, Layout | None]:
            if ring_id == 2:
                raise TransportError("ring 2 was announced and did not come")
            return original(ring_id)

        link.take_ring = take_ring  # type: ignore[method-assign]
        assert 2 in rings
    else:
        count = 0

        def receive() -> Message:
            nonlocal count
            count += 1
            if count == 3:
                raise TransportError("a descriptor of 3 bytes cannot be read")
            return MemoryLink.receive(link)

        link.receive = receive  # type: ignore[method-assign]
        link.send(frame_message(1))
    rig.read(link, 0, 5)
    assert link.is_closed
    assert [one.seq for one in rig.sink.frames] == [0]
    assert rig.sink.drops["capture_died"] == 4
    assert rig.sink.states[-1] is StreamState.ABSENT


def test_losses_are_logged_with_cause_and_count_also_those_of_the_last_moment(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    link = rig.link()
    link.send(
        *(DropMessage(seq, 1, "ring_full") for seq in range(BURST - 1)), DropMessage(BURST - 1, 2, "decode_error")
    )
    rig.read(link, 0, BURST + 4)
    assert [record.getMessage() for record in caplog.records if "lost" in record.getMessage()] == [
        f"stream a: {BURST - 1} frames lost: {BURST - 1} ring_full",
        "stream a: 5 frames lost: 3 capture_died, 2 decode_error",
    ]


def test_losses_told_late_do_not_make_frames_count_twice(rig: Rig) -> None:
    link = rig.link()
    link.send(frame_message(0), frame_message(3), DropMessage(1, 2, "pipe_full"))
    rig.read(link, 0, 4)
    assert rig.sink.drops == {"pipe_full": 2}
    assert rig.ingest.status().captured == 4


def test_a_stream_without_a_capture_looks_around_only_when_it_is_told_something(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncsvc.ingest.worker.POLL_S", 0.0)
    looks, now_ns = 0, rig.clock.monotonic_ns()

    def look() -> int:
        nonlocal looks
        looks += 1
        return now_ns

    monkeypatch.setattr(rig.clock, "monotonic_ns", look)
    with Worker("a", rig.ingest.run) as worker:
        for _ in range(3):
            assert rig.ingest.rewire((), lambda *_: None).wait(PATIENCE_S)
        rig.ingest.detach(0)
        worker.stop_token.set()
        assert worker.join(PATIENCE_S)
    assert looks == 1 + 3 + 1 + 1, "for what the rig said, the rewirings, the end of a capture, and the stop"


def test_losses_that_were_not_due_yet_are_logged_in_time_though_no_capture_comes(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    link = rig.link()
    link.send(*(DropMessage(seq, 1, "ring_full") for seq in range(BURST - 1)))
    link.hang_up()
    rig.ingest.attach(link, 0)  # type: ignore[arg-type]  # reads like one
    rig.ingest.detach(BURST)
    with Worker("a", rig.ingest.run) as worker:
        wait_for(lambda: rig.sink.states[-1:] == [StreamState.ABSENT], "the capture is known to be gone")
        assert [record.getMessage() for record in caplog.records] == [
            f"stream a: {BURST - 1} frames lost: {BURST - 1} ring_full"
        ]
        rig.clock.advance(S)
        wait_for(lambda: len(caplog.records) > 1, "the rest is told")
        assert worker.is_alive
    assert caplog.records[-1].getMessage() == "stream a: 1 frame lost: 1 capture_died"


def test_every_rewiring_takes_effect(rig: Rig) -> None:
    second = Sink()
    is_taken = rig.ingest.rewire([second], lambda stream, seq: rig.joined.append(seq + 100))
    assert not is_taken.is_set()
    link = rig.link()
    link.send(frame_message(0))
    rig.read(link, 0, 1)
    assert rig.joined == [0, 100]
    assert is_taken.is_set()
    assert [one.seq for one in second.frames] == [0]
    assert rig.sink.frames == []


def test_the_size_of_a_frame_is_told() -> None:
    rig = Rig()
    link = rig.link(Layout("gray8", 2, 4))
    link.send(frame_message(0))
    rig.read(link, 0, 1)
    rig.ring.close()
    status = rig.ingest.status()
    assert (status.format, status.width, status.height) == ("gray8", 2, 4)
    assert (status.ring_slots, status.clock) == (8, "pts")


class Naps(StopToken):
    """Notes how long somebody wanted to sleep; the capture ends during the last of them."""

    def __init__(self, link: MemoryLink, naps: int) -> None:
        super().__init__()
        self.lengths_ns: list[int] = []
        self._link, self._naps = link, naps
        self.set()

    def sleep(self, seconds: float) -> bool:
        self.lengths_ns.append(round(seconds * S))
        if len(self.lengths_ns) == self._naps:
            self._link.hang_up()
        else:
            self._link.send(frame_message(len(self.lengths_ns) + 2, slot=len(self.lengths_ns) + 2))
        return super().sleep(seconds)


def test_it_rests_after_what_it_has_read(rig: Rig) -> None:
    rest = Rest((), is_patient=True)
    tuning = Tuning(lambda: rungs_for("auto", "synthetic", None, lambda mono_ns: mono_ns), 0, S, 3 * S, rest)
    rig.ingest.rewire(rig.sinks, lambda stream, seq: None, tuning)
    link = rig.link()
    link.send(*(frame_message(seq, slot=seq) for seq in range(3)))
    rig.ingest.attach(link, 0)  # type: ignore[arg-type]  # reads like one
    naps = Naps(link, naps=3)
    rig.ingest.run(naps)
    assert naps.lengths_ns == [PATIENT_NS] * 3
    assert [frame.seq for frame in rig.sink.frames] == [0, 1, 2, 3, 4]
