"""Frames and batches that are pickled or deep-copied: whole, by themselves, and never torn."""

import copy
import gc
import os
import pickle
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncsvc import wire
from syncsvc.client.leases import HeldLeases
from syncsvc.errors import FrameReclaimedError, FrameUndecodable
from syncsvc.layout import Layout
from syncsvc.model import Frame, FrameBatch
from syncsvc.transport.leasing import Leased, Ring
from syncsvc.transport.ring import RingWriter
from tests.batches import VECTORS, batch, frame, two_cameras
from tests.unit.client.test_decoder import Counting, batch_of, frames, learnt, shown

BATCHES = ("two-cameras", "somebody-missing", "size-changes", "coded-streams")
SIDE = Layout("gray8", 100, 100)


def pickled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


COPIES: list[Callable[[Any], Any]] = [pickled, copy.deepcopy]
both_ways = pytest.mark.parametrize("copied", COPIES, ids=["pickle", "deepcopy"])


def facts(one: Frame) -> dict[str, Any]:
    return {field.name: getattr(one, field.name) for field in fields(one) if field.name not in ("payload", "decoder")}


def is_same(one: Frame, other: Frame) -> bool:
    return facts(one) == facts(other) and bytes(one.pixels) == bytes(other.pixels)


@both_ways
@pytest.mark.parametrize("name", BATCHES)
def test_a_batch_from_the_wire_is_copied_whole(name: str, copied: Callable[[Any], Any]) -> None:
    parts = VECTORS[name]()
    one = wire.decode_batch([*parts[:2], *map(memoryview, parts[2:])])
    other: FrameBatch = copied(one)
    for field in fields(FrameBatch):
        if field.name not in ("frames", "sets"):
            assert getattr(other, field.name) == getattr(one, field.name)
    assert list(other.frames) == list(one.frames)
    for stream, found in one.frames.items():
        assert all(is_same(*pair) for pair in zip(found, other.frames[stream], strict=True))
    for mine, theirs in zip(one.sets, other.sets, strict=True):
        assert (mine.spread_ns, mine.missing) == (theirs.spread_ns, theirs.missing)
        for stream, member in theirs.frames.items():
            assert any(member is each for each in other.frames[stream]), "a set holds the frames of its batch"


@both_ways
def test_a_copy_has_memory_of_its_own(copied: Callable[[Any], Any]) -> None:
    parts = two_cameras()
    shared = bytearray(parts[2])
    one = wire.decode_batch([*parts[:2], shared, *parts[3:]])
    other = copied(one)
    before = bytes(shared)
    shared[:] = bytes(len(shared))
    assert bytes(other.frames["north"][0].pixels) == before
    assert not other.frames["north"][0].pixels.flags.writeable


@given(
    st.sampled_from(["i420", "bgr24", "gray8"]), st.integers(1, 9), st.integers(1, 9), st.integers(0, 255),
    st.sampled_from([bytes, bytearray, memoryview, lambda data: np.frombuffer(data, np.uint8)]),
    st.integers(0, pickle.HIGHEST_PROTOCOL),
)  # fmt: skip
def test_every_frame_is_copied_bit_for_bit_by_every_protocol(
    kind: Any, width: int, height: int, start: int, made: Callable[[bytes], Any], protocol: int
) -> None:
    one = frame("north", start, layout=Layout(kind, width, height))
    held = frame("north", start, layout=one.layout, payload=made(one.payload))
    for other in (pickle.loads(pickle.dumps(held, protocol)), copy.deepcopy(held)):
        assert is_same(one, other)
        assert np.array_equal(one.to_bgr(), other.to_bgr())


class Desk:
    """A ring, and a subscriber that leases its slots."""

    def __init__(self) -> None:
        self.ring = RingWriter(1, 4, SIDE.size_bytes)
        self.held = HeldLeases(lambda: None)
        self.held.add_ring(Ring("north", 1), os.dup(self.ring.fd))

    def lease(self, value: int, number: int = 0) -> Frame:
        slot = self.ring.acquire()
        assert slot is not None
        self.ring.pixels(slot)[:] = value
        place = (1, slot, self.ring.commit(slot), SIDE.size_bytes)
        (payload,) = self.held.take(Leased(b"batch/a", b"", number, [place]))
        return frame("north", number, layout=SIDE, payload=payload)

    def take_back(self, number: int, slot: int) -> None:
        """The service calls a lease back and writes something else there."""
        assert self.held.give_back([number], keeps=False)[0] == [number]
        self.ring.give_back(slot)
        self.lease(99, number + 1)


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.ring.close()


@both_ways
def test_a_copy_takes_no_lease_along(desk: Desk, copied: Callable[[Any], Any]) -> None:
    one = desk.lease(7)
    other = copied(one)
    assert desk.held.ended() == []
    slot = one.payload.slot
    del one
    gc.collect()
    assert desk.held.ended() == [0], "the copy holds nothing"
    desk.ring.give_back(slot)
    desk.lease(99, 1)
    assert np.all(other.pixels == 7)


@both_ways
def test_a_reclaimed_frame_is_refused_and_not_copied(desk: Desk, copied: Callable[[Any], Any]) -> None:
    one = desk.lease(7)
    desk.take_back(0, one.payload.slot)
    with pytest.raises(FrameReclaimedError, match="held for longer than its lease"):
        copied(one)
    with pytest.raises(FrameReclaimedError):
        copied(batch(frames={"north": [one]}))


@both_ways
def test_a_frame_that_is_called_back_while_it_is_copied_is_whole(
    desk: Desk, copied: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = desk.lease(7)
    original = type(one.payload).view

    def view_and_lose(payload: Any) -> Any:
        found = original(payload)
        desk.take_back(0, payload.slot)
        return found

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(type(one.payload), "view", view_and_lose)
        other = copied(one)
    assert np.all(other.pixels == 7)


@both_ways
def test_an_encoded_frame_takes_its_picture_along(
    copied: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    some = frames()
    learnt(some)
    expected = [one.to_bgr() for one in some]
    others = copied(batch_of(some)).frames["cam"]
    again = copied(others)
    counting = Counting(monkeypatch)
    for copies in (others, again):
        for one, other, bgr in zip(some, copies, expected, strict=True):
            assert is_same(one, other)
            assert np.array_equal(other.to_bgr(), bgr)
    assert counting.fed == [], "a copy needs no decoder"


@both_ways
def test_a_copy_of_a_frame_without_a_picture_says_why(copied: Callable[[Any], Any]) -> None:
    some = frames(seqs=[6, 7, 8])
    learnt(some)
    others = copied(copied(some))
    assert [shown(other) for other in others] == [None, None, 8]
    with pytest.raises(FrameUndecodable, match="frame 7 of stream 'cam' cannot be decoded: it refers to frame 5"):
        others[1].to_bgr()
    with pytest.raises(FrameUndecodable, match="did not come through a subscriber"):
        copied(frames(seqs=[0])[0]).to_bgr()


def test_coded_pictures_are_copied_without_pyav_too(monkeypatch: pytest.MonkeyPatch) -> None:
    some = frames(seqs=[0])
    learnt(some)
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    other = pickled(some[0])
    assert is_same(some[0], other)
    with pytest.raises(FrameUndecodable, match="pip install av"):
        other.to_bgr()
