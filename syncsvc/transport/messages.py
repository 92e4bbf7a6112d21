"""What a capture tells the receiver of its frames: binary descriptors of at most 512 bytes, and nothing pickled."""

import struct
from dataclasses import dataclass

from syncsvc.errors import TransportError
from syncsvc.layout import ColorMatrix, ColorRange, Layout, PixelFormat
from syncsvc.model import Observation, StampKind

MAX_DESCRIPTOR_BYTES = 512

_FORMATS: tuple[PixelFormat, ...] = ("i420", "bgr24", "gray8", "jpeg", "encoded")
_RANGES: tuple[ColorRange, ...] = ("limited", "full")
_MATRICES: tuple[ColorMatrix, ...] = ("bt601", "bt709", "bt2020")
_KINDS: tuple[StampKind, ...] = ("", "pts", "media", "playlist", "kernel")
_NONE = -(2**63)

# tag, format, range, matrix, stamp kind, flags (1 key frame, 2 sender report), width, height, ring, slot, generation,
# payload bytes, seq, arrival, pts, stamp, doubt, NTP by the last report, start of arrival, raw report (NTP, RTP)
_FRAME = struct.Struct("<cBBBBBxxIIIIQQQqqqqqqQI")
_DROP = struct.Struct("<cxxxQQ32s")
_RING = struct.Struct("<cxxxIIQq")
_GROWTH = struct.Struct("<cxxxIIq")
_END = struct.Struct("<cxxx")


@dataclass(frozen=True, slots=True)
class FrameMessage:
    """A frame lies in a slot; the slot is leased to the reader from here on."""

    observation: Observation
    layout: Layout
    ring_id: int
    slot: int
    generation: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class DropMessage:
    """Frames that were captured and lost, by cause."""

    first_seq: int
    count: int
    cause: str


@dataclass(frozen=True, slots=True)
class RingMessage:
    """A new ring: its descriptor waits on the lease socket. ``span_ns`` is how long a frame may stay in it."""

    ring_id: int
    slots: int
    slot_bytes: int
    span_ns: int = 0


@dataclass(frozen=True, slots=True)
class GrowthMessage:
    """A ring has more slots from here on, in the memory that was handed over; ``span_ns`` as for the ring."""

    ring_id: int
    slots: int
    span_ns: int


@dataclass(frozen=True, slots=True)
class EndMessage:
    """The stream ended cleanly: nothing will follow, ever."""


Message = FrameMessage | DropMessage | RingMessage | GrowthMessage | EndMessage


def encode(message: Message) -> bytes:
    """One message as the struct that travels; a layout's codec is not in it, the ring brought that."""
    match message:
        case FrameMessage(seen, layout, ring_id, slot, generation, size):
            report = seen.sender_report
            return _FRAME.pack(
                b"F", _FORMATS.index(layout.format), _RANGES.index(layout.range), _MATRICES.index(layout.matrix),
                _KINDS.index(seen.stamp_kind), seen.is_key | (report is not None) << 1, layout.width, layout.height,
                ring_id, slot, generation, size, seen.seq, seen.arrival_mono_ns,
                _NONE if seen.pts_ns is None else seen.pts_ns, _NONE if seen.stamp_ns is None else seen.stamp_ns,
                seen.doubt_ns, _NONE if seen.ntp_ns is None else seen.ntp_ns,
                _NONE if seen.start_mono_ns is None else seen.start_mono_ns, *(report or (0, 0)),
            )  # fmt: skip
        case DropMessage(first_seq, count, cause):
            return _DROP.pack(b"D", first_seq, count, cause.encode())
        case RingMessage(ring_id, slots, slot_bytes, span_ns):
            return _RING.pack(b"R", ring_id, slots, slot_bytes, span_ns)
        case GrowthMessage(ring_id, slots, span_ns):
            return _GROWTH.pack(b"G", ring_id, slots, span_ns)
        case EndMessage():
            return _END.pack(b"E")


def decode(data: bytes) -> Message:
    """The message behind the bytes.

    Raises:
        TransportError: the bytes are no message of ours.
    """
    try:
        match data[:1]:
            case b"F":
                (_, fmt, rng, matrix, kind, flags, width, height, ring_id, slot, generation, size, seq, arrival, pts,
                 stamp, doubt, by_report, start, ntp, rtp) = _FRAME.unpack(data)  # fmt: skip
                seen = Observation(
                    seq, arrival, None if pts == _NONE else pts, None if stamp == _NONE else stamp, _KINDS[kind],
                    bool(flags & 1), (ntp, rtp) if flags & 2 else None, None if by_report == _NONE else by_report,
                    None if start == _NONE else start, doubt,
                )  # fmt: skip
                layout = Layout(_FORMATS[fmt], width, height, _RANGES[rng], _MATRICES[matrix])
                return FrameMessage(seen, layout, ring_id, slot, generation, size)
            case b"D":
                _, first_seq, count, cause = _DROP.unpack(data)
                return DropMessage(first_seq, count, cause.rstrip(b"\0").decode())
            case b"R":
                return RingMessage(*_RING.unpack(data)[1:])
            case b"G":
                return GrowthMessage(*_GROWTH.unpack(data)[1:])
            case b"E" if len(data) == _END.size:
                return EndMessage()
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise TransportError(f"a descriptor of {len(data)} bytes cannot be read: {error}") from error
    raise TransportError(f"a descriptor of {len(data)} bytes starts with {data[:1]!r}")
