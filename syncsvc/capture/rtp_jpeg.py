"""Motion JPEG over RTP says its size in units of eight pixels in one byte: what is left of a bigger one is no picture.

Where the description does not say the size either, the pictures do: there is more in one than its size has room for.
"""

import struct
from typing import Any, Final

import av
from av.codec.context import CodecContext

from syncsvc.capture.sdp import MAX_JPEG_SIDE
from syncsvc.decoded import packet_of
from syncsvc.errors import SourceUnavailable

_HEAD_BYTES: Final = 4096
_WRAP: Final = 2048
"""What 256 units are."""
_START_OF_FRAME: Final = b"\xff\xc0\x00\x11\x08"


def too_big(size: str) -> str:
    """Why it cannot be taken."""
    return (
        f"it sends Motion JPEG of {size} over RTP, which has no way to say a side of more than {MAX_JPEG_SIDE} "
        "(RFC 2435): the picture would be scrambled. Choose a smaller one or H.264 in the camera, or take its Motion "
        "JPEG over HTTP"
    )


class SizeCheck:
    """Looks at the first picture of each size."""

    def __init__(self, source_id: str) -> None:
        self._source_id = source_id
        self._checked: tuple[int, int] | None = None

    def __call__(self, packet: Any) -> None:
        """Look at a packet as libavformat put it together.

        Raises:
            SourceUnavailable: its picture is bigger than it says.
        """
        size = _size_in(bytes(memoryview(packet)[:_HEAD_BYTES])) if packet.size else None
        if size is None or size[1:] == self._checked:
            return
        self._checked = width, height = size[1:]
        if not width or not height or has_more_than(bytes(packet)):
            raise SourceUnavailable(self._source_id, f"cannot be opened: {too_big(f'more than {width}x{height}')}")


def has_more_than(data: bytes) -> bool:
    """Whether a JPEG has enough in it for a picture that is wider, or higher, by all that was cut off its size."""
    size = _size_in(data)
    if size is None:
        return False
    at, width, height = size
    sizes = (height, width + _WRAP), (height + _WRAP, width)
    return any(_decodes(data[:at] + struct.pack(">HH", *size) + data[at + 4 :]) for size in sizes)


def _size_in(data: bytes) -> tuple[int, int, int] | None:
    """Where the size stands, and width and height, which are 0 where nobody said them."""
    at = data.find(_START_OF_FRAME)
    if at < 0 or len(data) < at + len(_START_OF_FRAME) + 4:
        return None
    at += len(_START_OF_FRAME)
    height, width = struct.unpack_from(">HH", data, at)
    return at, width, height


def _decodes(data: bytes) -> bool:
    """Whether a JPEG is whole."""
    context = CodecContext.create("mjpeg", "r")
    context.thread_type, context.thread_count = "NONE", 1
    context.options = {"err_detect": "explode"}
    try:
        return bool(context.decode(packet_of(av.Packet, data)))
    except (av.error.FFmpegError, ValueError):
        return False
