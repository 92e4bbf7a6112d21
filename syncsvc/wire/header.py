"""The header as types: what msgspec checks of a message before any of our code looks at it."""

from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from syncsvc.errors import WireError
from syncsvc.layout import MAX_EXTRADATA_BYTES, ColorMatrix, ColorRange, PixelFormat, Rotation, Side
from syncsvc.model import ClockClass, MissingReason

_INT64 = 2**63
Name = Annotated[str, Meta(pattern=r"^[a-z0-9_-]{1,64}\Z")]
Label = Annotated[str, Meta(min_length=1, max_length=64)]
Stamp = Annotated[int, Meta(ge=-_INT64, le=_INT64 - 1)]
Natural = Annotated[int, Meta(ge=0, le=_INT64 - 1)]

# stream, seq, time_ns, uncertainty_ns, arrival_ns, flags, part
FrameRow = tuple[str, Natural, Stamp, Natural, Stamp, Natural, Natural]
# spread_ns, [index into frames or -1, one per stream]
SetRow = tuple[Natural, list[Annotated[int, Meta(ge=-1, le=_INT64 - 1)]]]


class CountsMap(Struct, frozen=True):
    """The ``counts`` of a header, of one stream or of the whole message."""

    captured: Natural
    delivered: Natural
    late: Natural
    dropped: dict[Label, Natural]
    skipped: Natural = 0


class CodecMap(Struct, frozen=True):
    """What decodes a stream's encoded payloads."""

    name: Label
    extradata: Annotated[bytes, Meta(max_length=MAX_EXTRADATA_BYTES)]


class Look(Struct, frozen=True):
    """What a stream's payloads and stamps are, from some frame on."""

    format: PixelFormat
    width: Side
    height: Side
    range: ColorRange
    matrix: ColorMatrix
    clock: ClockClass
    codec: CodecMap | UnsetType = UNSET
    rotation: Rotation | UnsetType = UNSET


class StreamMap(Struct, frozen=True):
    """One entry of ``streams``; all but ``counts`` is null while nothing is known of the stream."""

    format: PixelFormat | None
    width: Side | None
    height: Side | None
    range: ColorRange | None
    matrix: ColorMatrix | None
    clock: ClockClass | None
    counts: CountsMap
    codec: CodecMap | UnsetType = UNSET
    rotation: Rotation | UnsetType = UNSET
    changes: list[tuple[Natural, Look]] | UnsetType = UNSET


class Header(Struct, frozen=True, kw_only=True):
    """The header of a batch or of a late frame, in the order in which its keys are sent."""

    v: Literal[1]
    group: Name
    run_id: Label
    epoch: Natural
    seq: Natural
    late_ns: Natural = 0
    since_ns: Stamp | UnsetType = UNSET
    window: tuple[Stamp, Stamp]
    emitted_ns: Stamp
    complete: bool
    missing: dict[Name, MissingReason]
    streams: dict[Name, StreamMap]
    counts: CountsMap
    frames: list[FrameRow]
    sets: list[SetRow]


class ReceivedHeader(Header, frozen=True, kw_only=True):
    """The same as it may come: with what is said of one delivery, and of no batch."""

    redelivered: bool | UnsetType = UNSET


_Message = TypeVar("_Message")


def unpack(decoder: msgspec.msgpack.Decoder[_Message], data: Any, what: str) -> _Message:
    """Bytes to a typed value.

    Raises:
        WireError: they are not one; the text starts with ``what`` and names the place.
    """
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"{what}: {error}") from error
