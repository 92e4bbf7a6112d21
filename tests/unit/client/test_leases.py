"""Frames leased: a lease ends with the last view of its frame, and what is called back is never torn."""

import gc
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

from syncsvc.client.leases import HeldLeases, LeasedPayload
from syncsvc.errors import FrameReclaimedError, MemoryShortage, TransportError
from syncsvc.transport import memfd as memory
from syncsvc.transport.leasing import RINGS_KEPT, Leased, Ring
from syncsvc.transport.ring import RingSlots, RingWriter

SIZE = 10_000


class Desk:
    """A ring, and the held of its slots."""

    def __init__(self) -> None:
        self.rung = 0
        self.held = HeldLeases(self.ring_bell)
        self.ring = RingWriter(1, 4, SIZE)
        self.held.add_ring(Ring("north", 1), os.dup(self.ring.fd))
        self.places: list[tuple[int, int, int, int]] = []
        self.leased = 0

    def ring_bell(self) -> None:
        self.rung += 1

    def write(self, value: int) -> tuple[int, int, int, int]:
        """Fill a free slot with a value; where it lies."""
        slot = self.ring.acquire()
        assert slot is not None
        self.ring.pixels(slot)[:] = value
        return 1, slot, self.ring.commit(slot), SIZE

    def lease(self, *values: int) -> list[LeasedPayload]:
        places = [self.write(value) for value in values]
        payloads = self.held.take(Leased(b"batch/a", b"", self.leased, places))
        self.leased += len(values)
        self.places += places
        return payloads

    def overwrite(self, numbers: list[int]) -> None:
        """The service got leases back, and uses the slots for something else."""
        for number in numbers:
            self.ring.give_back(self.places[number][1])
        for _ in numbers:
            self.write(99)


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.ring.close()


def test_a_lease_ends_with_its_frame_or_with_the_last_view_of_it(desk: Desk) -> None:
    unseen, seen = desk.lease(7, 8)
    del unseen
    assert desk.rung == 1
    assert desk.held.ended() == [0]
    part = seen.view()[10:20]
    del seen
    assert desk.held.ended() == [], "somebody looks at it"
    assert part.tolist() == [8] * 10
    del part
    assert desk.held.ended() == [1]
    assert desk.held.ended() == []


def test_a_view_is_made_once(desk: Desk) -> None:
    (payload,) = desk.lease(7)
    assert payload.view() is payload.view()


def test_the_garbage_collector_ends_a_lease_also_while_the_books_are_open(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    unseen, seen, other = desk.lease(7, 8, 9)
    rings: list[object] = [[unseen], [seen.view()[1:]]]
    for ring in rings:
        ring.append(ring)  # type: ignore[attr-defined]
    view = RingSlots.view

    def view_while_garbage_is_collected(*place: Any) -> Any:
        gc.collect()
        return view(*place)

    monkeypatch.setattr(RingSlots, "view", view_while_garbage_is_collected)
    del unseen, seen, rings, ring
    assert np.all(other.view() == 9)
    assert sorted(desk.held.ended()) == [0, 1]


def test_each_lease_ends_once_whoever_ends_it(desk: Desk) -> None:
    """Threads look, hold parts of views and drop them, while what is called back is taken from under them."""
    place, leases, ended = desk.write(7), 3000, list[int]()
    waiting = deque(desk.held.take(Leased(b"batch/a", b"", 0, [place] * leases)))

    def use() -> None:
        held = deque[Any](maxlen=20)
        while waiting:
            with suppress(IndexError, FrameReclaimedError):
                payload = waiting.popleft()
                held.append(payload.view()[5:10] if payload.number % 3 else payload)

    with ThreadPoolExecutor(4) as pool:
        users = [pool.submit(use) for _ in range(4)]
        for number in range(0, leases, 7):
            ended += desk.held.give_back([number], keeps=False)[0] + desk.held.ended()
        for user in users:
            user.result()
    assert sorted(ended + desk.held.ended()) == list(range(leases))


def test_what_is_called_back_unseen_is_lost_and_told(desk: Desk) -> None:
    (payload,) = desk.lease(7)
    assert desk.held.give_back([0, 5], keeps=False) == ([0], [payload])
    with pytest.raises(FrameReclaimedError, match="held for longer than its lease"):
        payload.view()
    del payload
    assert desk.held.ended() == [], "it went home already"


def test_a_view_survives_the_slot(desk: Desk) -> None:
    (payload,) = desk.lease(7)
    view = payload.view()
    free, lost = desk.held.give_back([0], keeps=False)
    assert (free, lost) == ([0], [payload])
    desk.overwrite(free)
    assert np.all(view == 7)
    with pytest.raises(FrameReclaimedError):
        payload.view()
    # The slot serves on, where the service now has it.
    (again,) = desk.held.take(Leased(b"batch/a", b"", 1, [(1, desk.places[0][1], 4, SIZE)]))
    assert np.all(again.view() == 99)
    assert np.all(view == 7)


def test_a_slot_that_two_batches_bring_is_called_back_twice_and_no_view_is_torn(desk: Desk) -> None:
    (one,) = desk.lease(7)
    (other, third) = desk.held.take(Leased(b"batch/b", b"", 1, [desk.places[0]] * 2))
    views = one.view(), other.view()
    assert desk.held.give_back([0], keeps=False)[0] == [0]
    assert np.all(third.view() == 7), "its lease stands, and the slot with it"
    assert desk.held.give_back([1, 2], keeps=False)[0] == [1, 2]
    desk.overwrite([0])
    (again,) = desk.held.take(Leased(b"batch/a", b"", 3, [(1, desk.places[0][1], 4, SIZE)]))
    assert np.all(again.view() == 99)
    assert all(np.all(view == 7) for view in views)


def test_without_memory_for_a_copy_the_lease_stays_until_there_is_some(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    (payload,) = desk.lease(7)
    view = payload.view()
    with monkeypatch.context() as scarce:
        scarce.setattr(memory, "_map", lambda *_: (_ for _ in ()).throw(MemoryShortage("no room")))
        assert desk.held.give_back([0], keeps=False)[0] == []
        assert not desk.held.give_all_back()
    assert desk.held.give_all_back()
    desk.overwrite([0])
    assert np.all(view == 7)


def test_where_nothing_may_be_lost_everything_that_is_held_is_kept(desk: Desk) -> None:
    seen, unseen, dropped = desk.lease(7, 8, 9)
    view = seen.view()
    del dropped
    free, lost = desk.held.give_back([0, 1, 2], keeps=True)
    assert (sorted(free), lost) == ([0, 1, 2], [])
    desk.overwrite(free)
    assert np.all(view == 7)
    assert np.all(seen.view() == 7)
    assert np.all(unseen.view() == 8)


def test_at_the_end_everything_that_is_held_is_kept(desk: Desk) -> None:
    held, _ = desk.lease(7, 8)
    assert desk.held.give_all_back()
    desk.overwrite([0, 1])
    assert np.all(held.view() == 7)


def test_rings_that_were_never_handed_over_are_refused_and_old_ones_forgotten(desk: Desk) -> None:
    with pytest.raises(TransportError, match="ring 9, which was never handed over"):
        desk.held.take(Leased(b"batch/a", b"", 0, [(9, 0, 0, 1)]))
    (payload,) = desk.lease(7)
    for number in range(2, 2 + RINGS_KEPT):
        desk.held.add_ring(Ring("north", number), os.dup(desk.ring.fd))
    (other,) = desk.held.take(Leased(b"batch/a", b"", 1, [desk.places[0]]))
    assert np.all(other.view() == 7), "a batch may bring frames of any number of rings"
    with pytest.raises(TransportError, match="ring 1,"):
        desk.held.take(Leased(b"batch/a", b"", 2, [desk.places[0]]))
    desk.held.add_ring(Ring("north", 1), os.dup(desk.ring.fd))
    assert desk.held.take(Leased(b"batch/a", b"", 2, [desk.places[0]])), "announced again, it is the latest"
    assert np.all(payload.view() == 7), "what lies in it is kept while it is held"


def test_a_slot_that_holds_something_else_is_told_and_not_shown(desk: Desk) -> None:
    _, slot, generation, size = desk.write(7)
    (payload,) = desk.held.take(Leased(b"batch/a", b"", 0, [(1, slot, generation + 2, size)]))
    with pytest.raises(FrameReclaimedError):
        payload.view()


def test_a_descriptor_that_is_no_ring_is_refused_and_closed(desk: Desk) -> None:
    with pytest.raises(TransportError, match="not a ring"):
        desk.held.add_ring(Ring("north", 5), os.memfd_create("nothing"))
