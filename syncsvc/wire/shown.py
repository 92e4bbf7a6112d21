"""What a header says of how a stream's frames look, as values."""

from functools import lru_cache
from operator import attrgetter
from typing import NamedTuple

from msgspec import UNSET

from syncsvc.layout import RAW_FORMATS, Codec, Layout
from syncsvc.model import ClockClass
from syncsvc.wire.header import Look, StreamMap

_look_of = attrgetter(*Look.__struct_fields__)


class Shown(NamedTuple):
    """What frames of a stream are from some row on; ``size_bytes`` is None where payloads are of any size."""

    clock: ClockClass
    layout: Layout
    size_bytes: int | None


@lru_cache(maxsize=64)  # batch after batch looks the same
def shown_of(look: Look) -> Shown:
    """What a map of a header says of a stream's frames."""
    codec = None if look.codec is UNSET else Codec(look.codec.name, look.codec.extradata)
    rotation = 0 if look.rotation is UNSET else look.rotation
    layout = Layout(look.format, look.width, look.height, look.range, look.matrix, codec, rotation)
    return Shown(look.clock, layout, layout.size_bytes if look.format in RAW_FORMATS else None)


def shown_as(stream: StreamMap) -> Shown | None:
    """What a stream's entry says; None where nothing is known of it."""
    return None if stream.format is None or stream.clock is None else shown_of(Look(*_look_of(stream)))
