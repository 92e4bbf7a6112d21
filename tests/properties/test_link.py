"""Descriptors: whatever is sent comes back the same, whatever else comes is refused."""

import msgspec
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from syncsvc.errors import TransportError
from syncsvc.model import Observation
from syncsvc.transport.messages import (
    MAX_DESCRIPTOR_BYTES,
    DropMessage,
    EndMessage,
    FrameMessage,
    GrowthMessage,
    Message,
    RingMessage,
    decode,
    encode,
)

U32, U64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
I64 = st.integers(-(2**63) + 1, 2**63 - 1)

frames = st.builds(
    FrameMessage,
    st.builds(
        Observation,
        U64,
        I64,
        st.none() | I64,
        st.none() | I64,
        st.sampled_from(["", "pts", "media", "playlist", "kernel"]),
        st.booleans(),
        st.none() | st.tuples(U64, U32),
        st.none() | I64,
        st.none() | I64,
        I64,
    ),
    U32,
    U32,
    U64,
    U64,
)
causes = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=32)
messages = st.one_of(
    frames,
    st.builds(DropMessage, U64, U64, causes),
    st.builds(RingMessage, U32, U32, U64),
    st.builds(GrowthMessage, U32, U32, I64),
    st.just(EndMessage()),
)


@given(messages)
def test_a_message_comes_back_as_it_was_sent(message: Message) -> None:
    data = encode(message)
    assert decode(data) == message
    assert len(data) <= MAX_DESCRIPTOR_BYTES


@given(
    st.binary(max_size=600)
    | st.tuples(st.sampled_from(["frame", "drop", "ring", "growth", "end"]), st.binary(max_size=600)).map(
        lambda some: b"\x96" + msgspec.msgpack.encode(some[0]) + some[1]
    )
)
@example(b"")
@example(b"\x91\xa3end")
def test_hostile_bytes_are_a_message_or_refused(data: bytes) -> None:
    try:
        message = decode(data)
    except TransportError:
        return
    assert decode(encode(message)) == message


@given(messages, st.data())
def test_a_message_cut_short_or_too_long_is_refused(message: Message, data: st.DataObject) -> None:
    whole = encode(message)
    cut = data.draw(st.integers(0, len(whole) - 1))
    for wrong in (whole[:cut], whole + b"\0"):
        with pytest.raises(TransportError):
            decode(wrong)


@given(frames, st.sampled_from(["stamp_kind", "seq", "doubt_ns", "sender_report"]), st.text(max_size=9) | st.just(-1))
def test_a_kind_that_does_not_exist_or_a_number_out_of_bounds_is_refused(
    message: FrameMessage, key: str, value: str | int
) -> None:
    assume(value not in ("", "pts", "media", "playlist", "kernel") and (key, value) != ("doubt_ns", -1))
    plain = msgspec.msgpack.decode(encode(message))
    plain[1][key] = value
    with pytest.raises(TransportError):
        decode(msgspec.msgpack.encode(plain))
