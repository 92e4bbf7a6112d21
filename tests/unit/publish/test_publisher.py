"""The publisher over outlets that only remember: order, who gets what, what is copied, and when it is the end."""

import threading
from collections.abc import Callable, Collection, Iterator
from typing import Any

import pytest

from syncsvc import wire
from syncsvc.errors import FrameUndecodable
from syncsvc.lifecycle import StopToken, Worker
from syncsvc.model import FrameBatch, LateFrame
from syncsvc.publish.headers import Headers
from syncsvc.publish.local import LocalOutlet
from syncsvc.publish.outlet import Outlet, Prepared, Waits
from syncsvc.publish.publisher import QUEUE_LENGTH, Publisher
from syncsvc.testing import T0, TINY, ManualClock, S, frame
from syncsvc.transport.payload import CodedPart
from tests.batches import batch

BATCHES, HEADS, LATE = wire.batch_topic("lobby"), wire.head_topic("lobby"), wire.late_topic("lobby")
CODED = wire.coded_topic("lobby")


class Pixels:
    """A payload that remembers what was done with it."""

    def __init__(self) -> None:
        self.copies: list[bool] = []
        self.coded_copies = self.releases = 0
        self.coded: CodedPart | None = None

    def copy_out(self, pool: Any, *, keeps_slot: bool = False) -> bytes:
        assert not self.releases, "it is gone"
        self.copies.append(keeps_slot)
        return b"pixels"

    def copy_coded(self, pool: Any) -> bytes | None:
        assert not self.releases, "it is gone"
        self.coded_copies += 1
        return b"coded" if self.coded is not None else None

    def release(self) -> None:
        self.releases += 1


class Door:
    """An outlet that remembers."""

    def __init__(self, *topics: bytes, copies: bool = False, is_bound: bool = False) -> None:
        self.topics, self.needs_copies, self.is_bound = set(topics), copies, is_bound
        self.subscriptions = len(topics)
        self.sent: list[Prepared] = []
        self.threads: list[str] = []
        self.told: list[wire.Status] = []
        self.end_words: list[tuple[wire.State, bool, int]] = []
        self.on_send: Callable[[Waits], None] = lambda waits: None

    def wants(self, topic: bytes) -> bool:
        return topic in self.topics

    def send(self, prepared: Prepared, waits: Waits) -> None:
        assert all(one.payload.releases == 0 for one in prepared.frames)
        self.threads.append(threading.current_thread().name)
        self.on_send(waits)
        self.sent.append(prepared)

    def send_status(self, status: bytes, waits: Waits) -> None:
        self.told.append(wire.decode_status(status))

    def end(self, status: Callable[[], bytes], waits: Waits, *, is_over: bool, linger_ms: int) -> None:
        self.end_words.append((wire.decode_status(status()).state, is_over, linger_ms))

    @property
    def seqs(self) -> list[int]:
        return [one.item.seq for one in self.sent]


class Rig:
    """A publisher, and whom it told just before it sent."""

    def __init__(self, *doors: Outlet, is_patient: bool = False) -> None:
        self.clock, self.noted = ManualClock(), list[tuple[int, int]]()
        self.headers = Headers("run-7")
        self.publisher = Publisher(
            "run-7", self.clock, lambda: T0 + 9, doors, is_patient=is_patient,
            leave=self.leave,
        )  # fmt: skip
        self.is_over = False

    def leave(self, batch: FrameBatch, emitted_ns: int, wanted: Collection[bytes]) -> dict[bytes, bytes]:
        self.noted.append((batch.seq, emitted_ns))
        return {topic: self.headers.encode(batch, emitted_ns) for topic in wanted}

    def finish(self, state: wire.State = "draining") -> None:
        """Run to the end, here."""
        self.publisher.end(state)
        self.run(StopToken())

    def run(self, stop: StopToken) -> None:
        self.is_over = True
        self.publisher.run(stop)


Rigs = Callable[..., Rig]


@pytest.fixture
def rig_of() -> Iterator[Rigs]:
    """Makes rigs, and ends those that a test did not end."""
    made: list[Rig] = []

    def make(*doors: Outlet, is_patient: bool = False) -> Rig:
        made.append(Rig(*doors, is_patient=is_patient))
        return made[-1]

    yield make
    for rig in made:
        if not rig.is_over:
            rig.finish()


def one(seq: int) -> FrameBatch:
    frames = {name: [frame(name, seq, T0 + seq, payload=Pixels())] for name in ("north", "south")}
    return batch(seq, frames=frames, group="lobby")


def late(seq: int) -> LateFrame:
    return LateFrame("lobby", seq, 5, T0, T0 + S, frame("north", seq, T0, payload=Pixels()))


def pixels(item: FrameBatch | LateFrame) -> list[Pixels]:
    frames = (
        [frame for some in item.frames.values() for frame in some] if isinstance(item, FrameBatch) else [item.frame]
    )
    return [frame.payload for frame in frames]


def test_a_batch_without_a_reader_costs_no_copy_and_no_header_but_is_noted_and_let_go(
    rig_of: Rigs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    door = Door(copies=True, is_bound=True)
    rig, items = rig_of(door), [one(0), late(1)]
    monkeypatch.setattr(wire, "encode_batch", lambda *_, **__: pytest.fail("a header for nobody"))
    for item in items:
        rig.publisher.put(item)
    rig.finish()
    assert (door.sent, rig.noted) == ([], [(0, T0 + 9)])
    assert [(one.copies, one.releases) for item in items for one in pixels(item)] == [([], 1)] * 3


def test_every_outlet_gets_the_same_prepared_batch_whose_frames_were_copied_once(rig_of: Rigs) -> None:
    leasing, first, second = Door(BATCHES), Door(BATCHES, copies=True), Door(BATCHES, copies=True, is_bound=True)
    rig, item = rig_of(leasing, first, second), one(0)
    rig.publisher.put(item)
    rig.finish()
    (prepared,) = leasing.sent
    assert first.sent[0] is prepared
    assert second.sent[0] is prepared
    assert (prepared.topic, prepared.item, len(prepared.copies)) == (BATCHES, item, 2)
    assert wire.decode_header(prepared.header)["emitted_ns"] == T0 + 9
    assert [(one.copies, one.releases) for one in pixels(item)] == [([True], 1)] * 2, "slots stay for leases"


def test_a_header_costs_no_pixel_and_goes_to_whoever_wants_no_more(rig_of: Rigs) -> None:
    watching, reading = Door(HEADS, copies=True, is_bound=True), Door(BATCHES, copies=True)
    rig, alone, both = rig_of(watching, reading), one(0), one(1)
    reading.topics.clear()
    rig.publisher.put(alone)
    rig.finish()
    (head,) = watching.sent
    assert (head.topic, head.frames, head.copies) == (HEADS, (), ())
    assert wire.decode_head([head.topic, head.header]).seq == 0
    assert [(one.copies, one.releases) for one in pixels(alone)] == [([], 1)] * 2, "nobody wants them"
    rig, watching.topics, reading.topics = rig_of(watching, reading), {HEADS}, {BATCHES}
    rig.publisher.put(both)
    rig.finish()
    assert watching.sent[1].header == reading.sent[0].header
    assert (watching.sent[1].copies, len(reading.sent[0].copies)) == ((), 2)


def test_coded_pictures_go_to_whoever_wants_them_and_cost_no_pixel(rig_of: Rigs) -> None:
    recording, reading = Door(CODED, copies=True), Door(BATCHES, copies=True)
    rig, item = rig_of(recording, reading), one(0)
    north, _ = pixels(item)
    north.coded = CodedPart(TINY, 5)
    rig.publisher.put(item)
    assert list(recording.sent[0].copies) == [b"coded", b""], "who has none has an empty part"
    assert list(reading.sent[0].copies) == [b"pixels"] * 2
    reading.topics.clear()
    rig.publisher.put(alone := one(1))
    assert [one.copies for one in pixels(alone)] == [[], []]


def test_a_coded_picture_is_copied_early_before_its_slot_goes_home(rig_of: Rigs) -> None:
    rig, early = rig_of(Door(CODED, BATCHES, copies=True)), Pixels()
    early.coded = CodedPart(TINY, 5)
    take_early: Callable[..., None] = rig.publisher.take_early
    take_early(early, [BATCHES])
    assert (early.coded_copies, early.copies) == (1, [False])
    take_early(plain := Pixels(), [BATCHES])
    assert (plain.coded_copies, plain.copies) == (0, [False])


def test_a_frame_is_not_copied_early_for_those_who_want_headers(rig_of: Rigs) -> None:
    rig, early = rig_of(Door(HEADS, copies=True)), Pixels()
    take_early: Callable[..., None] = rig.publisher.take_early
    take_early(early, [BATCHES])
    assert early.copies == []


def test_slots_go_home_with_the_copy_where_nobody_takes_leases(rig_of: Rigs) -> None:
    rig, item = rig_of(Door(), Door(BATCHES, copies=True)), one(0)
    rig.publisher.put(item)
    assert [one.copies for one in pixels(item)] == [[False]] * 2


def test_slots_stay_where_somebody_takes_leases_of_another_group(rig_of: Rigs) -> None:
    rig, item = rig_of(Door(b"batch/other"), Door(BATCHES, copies=True)), one(0)
    rig.publisher.put(item)
    assert [one.copies for one in pixels(item)] == [[True]] * 2


def test_what_no_bound_outlet_wants_is_sent_by_whoever_brings_it(rig_of: Rigs) -> None:
    leasing, bound = Door(BATCHES), Door(LATE, copies=True, is_bound=True)
    rig, item = rig_of(leasing, bound), one(0)
    rig.publisher.put(item)
    assert leasing.threads == [threading.current_thread().name]
    assert [(one.copies, one.releases) for one in pixels(item)] == [([], 1)] * 2
    assert bound.sent == []


def test_a_bound_outlet_is_used_by_the_publishers_thread_only_and_nothing_overtakes(rig_of: Rigs) -> None:
    leasing, bound = Door(BATCHES), Door(BATCHES, copies=True, is_bound=True)
    rig = rig_of(leasing, bound)
    rig.publisher.put(one(0))
    assert leasing.sent == [], "it waits for the thread"
    bound.topics.clear()
    rig.publisher.put(one(1))
    assert leasing.sent == [], "another is before it"
    rig.publisher.end("draining")
    with Worker("publisher", rig.run) as worker:
        assert worker.join(5)
    assert leasing.seqs == [0, 1]
    assert leasing.threads == ["publisher"] * 2


def test_a_late_frame_goes_to_who_wants_late_frames_and_is_let_go(rig_of: Rigs) -> None:
    batches, both = Door(BATCHES), Door(BATCHES, LATE, copies=True, is_bound=True)
    rig, item = rig_of(batches, both), late(3)
    rig.publisher.put(item)
    rig.finish()
    (prepared,) = both.sent
    assert (prepared.topic, prepared.item, len(prepared.copies)) == (LATE, item, 1)
    assert batches.sent == []
    assert [one.releases for one in pixels(item)] == [1]
    assert rig.noted == [], "it is no batch"


def test_a_batch_is_let_go_also_where_an_outlet_breaks(rig_of: Rigs) -> None:
    door = Door(BATCHES)
    rig, item = rig_of(door), one(0)

    def break_down(waits: Waits) -> None:
        raise OSError("broken")

    door.on_send = break_down
    with pytest.raises(OSError, match="broken"):
        rig.publisher.put(item)
    assert [one.releases for one in pixels(item)] == [1] * 2
    door.on_send = lambda waits: None
    rig.publisher.put(one(1))
    assert door.seqs == [1], "its turn was given back"


def test_a_frame_is_copied_as_it_comes_where_copies_will_be_wanted(rig_of: Rigs) -> None:
    leasing, copying = Door(BATCHES), Door(BATCHES, copies=True)
    rig, early = rig_of(leasing, copying), Pixels()
    take_early: Callable[..., None] = rig.publisher.take_early
    take_early(early, [b"batch/other"])
    assert early.copies == []
    take_early(early, [b"batch/other", BATCHES])
    assert early.copies == [True], "the slot stays"
    leasing.topics.clear()
    take_early(early, [BATCHES])
    assert early.copies == [True, False], "the slot is at home"


def test_it_has_room_until_its_queue_is_full_and_never_where_subscribers_are_waited_for(rig_of: Rigs) -> None:
    rig = rig_of(Door(BATCHES, copies=True, is_bound=True))
    for seq in range(QUEUE_LENGTH):
        assert rig.publisher.has_room()
        rig.publisher.put(one(seq))
    assert not rig.publisher.has_room()
    patient = rig_of(Door(BATCHES), is_patient=True)
    assert not patient.publisher.has_room()
    patient.publisher.put(one(0))
    assert patient.noted == [], "who brings a batch never waits for a subscriber"


def test_subscribers_are_waited_for_with_asap_and_at_the_end_and_the_watchdog_sees_it(rig_of: Rigs) -> None:
    asked: list[bool] = []
    door = Door(BATCHES)
    rig = rig_of(door)

    def ask(waits: Waits) -> None:
        rig.clock.advance(7 * S)
        asked.append(waits())
        assert rig.publisher.turned_ns == rig.clock.monotonic_ns()

    door.on_send = ask
    rig.publisher.put(one(0))
    rig.publisher.drain()
    rig.publisher.put(one(1))
    rig.finish()
    assert asked == [False, True]
    patient_door = Door(BATCHES)
    patient = rig_of(patient_door, is_patient=True)
    patient_door.on_send = lambda waits: asked.append(waits())
    patient.publisher.put(one(0))
    patient.finish("ended")
    assert asked[2:] == [True]


def test_status_is_told_to_all_once_a_second_and_the_last_word_at_the_end(rig_of: Rigs) -> None:
    doors = Door(BATCHES, copies=True, is_bound=True), Door()
    rig, second = rig_of(*doors, is_patient=True), S
    doors[0].on_send = lambda waits: rig.clock.advance(second // 2)
    for seq in range(QUEUE_LENGTH):
        rig.publisher.put(one(seq))
    with Worker("publisher", rig.run) as worker:
        until = StopToken()
        while len(doors[1].told) < 2 and not until.sleep(0.01):
            rig.publisher.put(one(9))
        rig.publisher.end("draining")
        assert worker.join(5)
    for door in doors:
        assert [status.state for status in door.told[:2]] == ["running"] * 2
        assert len(door.told) <= 1 + len(doors[0].sent) // 2
        assert door.end_words == [("draining", False, 3000)]
    patient = Door(BATCHES)
    rig_of(patient, is_patient=True).finish("ended")
    assert patient.end_words == [("ended", True, -1)], "what was sent has all the time to leave"


def test_the_status_says_where_questions_are_answered(rig_of: Rigs) -> None:
    door = Door()
    rig = rig_of(door)
    rig.publisher.control = "tcp://127.0.0.1:5556"
    with Worker("publisher", rig.run) as worker:
        until = StopToken()
        while not door.told and not until.sleep(0.01):
            pass
        rig.publisher.end("draining")
        assert worker.join(5)
    assert door.told[0].control == "tcp://127.0.0.1:5556"


def test_the_thread_may_end_before_it_was_woken_for_the_end(rig_of: Rigs) -> None:
    rig = rig_of(Door(BATCHES))
    rig.finish()
    rig.publisher.end("draining")
    outlet = LocalOutlet("run-7", rig.clock, lambda: T0, lambda group: 1, is_patient=False)
    stop = StopToken()
    stop.set()
    outlet.run(stop)
    outlet.wake_up()


def test_a_stop_without_an_end_lets_go_of_what_is_queued(rig_of: Rigs) -> None:
    door = Door(BATCHES, copies=True, is_bound=True)
    rig, item, stop = rig_of(door), one(0), StopToken()
    rig.publisher.put(item)
    stop.set()
    rig.run(stop)
    assert door.sent == []
    assert [one.releases for one in pixels(item)] == [1] * 2
    assert door.end_words == [("running", False, -1)]


def test_without_memory_for_copies_who_wants_them_misses_a_batch_and_nobody_else(
    rig_of: Rigs, caplog: pytest.LogCaptureFixture
) -> None:
    copying, watching = Door(BATCHES, copies=True, is_bound=True), Door(HEADS, is_bound=True)
    rig, first, second = rig_of(copying, watching), one(0), one(1)

    def refuse(*_: Any, **__: Any) -> bytes:
        raise MemoryError

    for payload in pixels(first):
        payload.copy_out = refuse  # type: ignore[method-assign]  # the machine has none for it
    for frames in first.frames.values():
        rig.publisher.take_early(frames[0].payload, [BATCHES])
    rig.publisher.put(first)
    rig.publisher.put(second)
    rig.finish()
    assert copying.seqs == [1]
    assert watching.seqs == [0, 1]
    assert [seq for seq, _ in rig.noted] == [0, 1]
    assert [payload.releases for payload in pixels(first)] == [1, 1]
    assert "batch/lobby is not sent: there is no memory to copy it" in caplog.messages


def test_a_frame_that_cannot_be_decoded_costs_who_wants_its_pixels_a_batch_and_nobody_else(
    rig_of: Rigs, caplog: pytest.LogCaptureFixture
) -> None:
    copying, watching = Door(BATCHES, copies=True, is_bound=True), Door(HEADS, is_bound=True)
    rig, first, second = rig_of(copying, watching), one(0), one(1)

    def refuse(*_: Any, **__: Any) -> bytes:
        raise FrameUndecodable("north", 7, "it is damaged")

    pixels(first)[0].copy_out = refuse  # type: ignore[method-assign]  # a recorded picture is decoded when it is wanted
    rig.publisher.put(first)
    rig.publisher.put(second)
    rig.finish()
    assert (copying.seqs, watching.seqs) == ([1], [0, 1])
    assert [payload.releases for payload in pixels(first)] == [1, 1]
    assert "batch/lobby is not sent: frame 7 of stream 'north' cannot be decoded: it is damaged" in caplog.messages
