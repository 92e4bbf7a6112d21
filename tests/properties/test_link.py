"""Descriptors: whatever is sent comes back the same, whatever else comes is refused."""

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from syncsvc.errors import TransportError
from syncsvc.layout import Layout
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
    st.builds(
        Layout,
        st.sampled_from(["i420", "bgr24", "gray8", "jpeg", "encoded"]),
        U32,
        U32,
        st.sampled_from(["limited", "full"]),
        st.sampled_from(["bt601", "bt709", "bt2020"]),
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
    | st.tuples(st.sampled_from([b"F", b"D", b"R", b"E"]), st.binary(max_size=600)).map(b"".join)
)
@example(b"")
@example(b"E")
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


@given(frames, st.integers(1, 4), st.integers(5, 255))
def test_a_format_or_a_kind_that_does_not_exist_is_refused(message: FrameMessage, place: int, value: int) -> None:
    whole = bytearray(encode(message))
    struct.pack_into("B", whole, place, value)
    with pytest.raises(TransportError):
        decode(bytes(whole))
