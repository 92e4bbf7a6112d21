"""What a capture tells the receiver of its frames: typed descriptors of at most 512 bytes, and nothing pickled."""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from syncsvc.errors import TransportError
from syncsvc.model import Natural, Observation

MAX_DESCRIPTOR_BYTES = 512

Small = Annotated[int, Meta(ge=0, le=2**32 - 1)]


class _Descriptor(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What it says is within bounds that sums of it keep, in a batch as in the status: a capture may say anything."""


class FrameMessage(_Descriptor, frozen=True, tag="frame"):
    """A frame lies in a slot; the slot is leased to the reader from here on."""

    observation: Observation
    ring_id: Small
    slot: Small
    generation: Natural
    size_bytes: Natural
    coded_bytes: Natural = 0
    """Of the coded picture that lies behind the payload, where there is one."""


class DropMessage(_Descriptor, frozen=True, tag="drop"):
    """Frames that were captured and lost, by cause."""

    first_seq: Natural
    count: Small
    cause: Annotated[str, Meta(min_length=1, max_length=32)]


class RingMessage(_Descriptor, frozen=True, tag="ring"):
    """A new ring: its descriptor waits on the lease socket. ``span_ns`` is how long a frame may stay in it."""

    ring_id: Small
    slots: Small
    slot_bytes: Natural
    span_ns: Natural = 0


class GrowthMessage(_Descriptor, frozen=True, tag="growth"):
    """A ring has more slots from here on, in the memory that was handed over; ``span_ns`` as for the ring."""

    ring_id: Small
    slots: Small
    span_ns: Natural


class EndMessage(_Descriptor, frozen=True, tag="end"):
    """The stream ended cleanly: nothing will follow, ever."""


Message = FrameMessage | DropMessage | RingMessage | GrowthMessage | EndMessage

encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Message)


def decode(data: bytes) -> Message:
    """The message behind the bytes.

    Raises:
        TransportError: the bytes are no message of ours.
    """
    try:
        message: Message = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise TransportError(f"a descriptor of {len(data)} bytes cannot be read: {error}") from error
    return message
