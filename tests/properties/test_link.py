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
I64 = st.integers(-(2**63), 2**63 - 1)
NATURAL, TIME = st.integers(0, 2**62 - 1), st.integers(-(2**62) + 1, 2**62 - 1)

frames = st.builds(
    FrameMessage,
    st.builds(
        Observation,
        NATURAL,
        TIME,
        st.none() | I64,
        st.none() | I64,
        st.sampled_from(["", "pts", "media", "playlist", "kernel"]),
        st.booleans(),
        st.none() | st.tuples(U64, U32),
        st.none() | I64,
        st.none() | TIME,
        NATURAL,
    ),
    U32,
    U32,
    NATURAL,
    NATURAL,
)
causes = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=32)
messages = st.one_of(
    frames,
    st.builds(DropMessage, NATURAL, U32, causes),
    st.builds(RingMessage, U32, U32, NATURAL, NATURAL),
    st.builds(GrowthMessage, U32, U32, NATURAL),
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


@given(
    frames,
    st.sampled_from(["stamp_kind", "seq", "doubt_ns", "arrival_mono_ns", "sender_report"]),
    st.text(max_size=9) | st.sampled_from([-(2**62), 2**62, 2.0]),
)
def test_a_kind_that_does_not_exist_or_a_number_out_of_bounds_is_refused(
    message: FrameMessage, key: str, value: str | float
) -> None:
    assume(value not in ("", "pts", "media", "playlist", "kernel"))
    plain = msgspec.msgpack.decode(encode(message))
    plain[1][key] = value
    with pytest.raises(TransportError):
        decode(msgspec.msgpack.encode(plain))


@given(messages.filter(lambda message: not isinstance(message, EndMessage)), st.data())
def test_a_number_of_a_descriptor_that_is_out_of_bounds_is_refused(message: Message, data: st.DataObject) -> None:
    plain = msgspec.msgpack.decode(encode(message))
    place = data.draw(st.sampled_from([place for place, value in enumerate(plain) if isinstance(value, int)]))
    plain[place] = data.draw(st.sampled_from([-1, 2**62, 2**64 - 1, 1.0, True]))
    with pytest.raises(TransportError):
        decode(msgspec.msgpack.encode(plain))


@given(messages)
def test_a_descriptor_that_says_more_than_it_may_is_refused(message: Message) -> None:
    with pytest.raises(TransportError):
        decode(msgspec.msgpack.encode([*msgspec.msgpack.decode(encode(message)), 0]))


def test_a_loss_without_a_cause_or_with_a_tale_of_it_is_refused() -> None:
    for cause in ("", "x" * 33):
        with pytest.raises(TransportError):
            decode(msgspec.msgpack.encode(["drop", 0, 1, cause]))
