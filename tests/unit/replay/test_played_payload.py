"""A payload that is made when it is wanted."""

import numpy as np
from numpy.typing import NDArray

from syncsvc.replay.played_payload import PlayedPayload
from syncsvc.transport.payload import BufferPool, CodedPart
from tests.recordings import H264, RAW


def test_it_is_made_once_where_somebody_wants_it_and_given_back_when_it_was_sent() -> None:
    made: list[int] = []
    given_back: list[bool] = []

    def make(target: NDArray[np.uint8]) -> None:
        made.append(target.nbytes)
        target.fill(7)

    payload = PlayedPayload(12, RAW, True, make, CodedPart(H264, 5), b"coded", lambda: given_back.append(True))
    pool = BufferPool()
    assert payload.nbytes == 12
    assert payload.copy_coded(pool) is not None
    assert made == [], "nobody wants pixels"
    assert bytes(payload.copy_out(pool)) == bytes(payload.copy_out(pool, keeps_slot=True)) == b"\7" * 12
    assert (made, given_back) == ([12], [])
    payload.release()
    assert given_back == [True]


def test_without_a_coded_picture_beside_it_there_is_none() -> None:
    payload = PlayedPayload(1, RAW, True, lambda target: None, None, b"ours", lambda: None)
    assert payload.copy_coded(BufferPool()) is None
