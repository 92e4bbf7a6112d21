"""Headers as lines of JSON: what ``tail --json`` prints, and recordings keep."""

from collections.abc import Mapping

import msgspec

from syncsvc.errors import WireError
from syncsvc.layout import Layout
from syncsvc.model import ClockClass, FrameBatch
from syncsvc.wire.batch import decode_head
from syncsvc.wire.header import Header
from syncsvc.wire.shown import shown_as
from syncsvc.wire.topics import head_topic

_reader = msgspec.json.Decoder(Header)
_encoder = msgspec.msgpack.Encoder()


def decode_line(line: bytes) -> tuple[FrameBatch, Mapping[str, Layout], Mapping[str, ClockClass]]:
    """Read a header from a line; binary values are text in base64.

    Returns:
        The batch without payloads; and by stream its last known layout and clock, also of those without a frame.

    Raises:
        WireError: it is none, or not what the protocol says.
    """
    try:
        header = _reader.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"header: {error}") from error
    batch = decode_head([head_topic(header.group), _encoder.encode(header)])
    known = {name: shown for name, stream in header.streams.items() if (shown := shown_as(stream)) is not None}
    layouts = {name: shown.layout for name, shown in known.items()}
    return batch, layouts, {name: shown.clock for name, shown in known.items()}
