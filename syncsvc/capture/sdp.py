"""What a camera's description says of its video, as far as nobody else tells us. Source: RFC 4566, RFC 2435."""

import re
from dataclasses import dataclass

MAX_JPEG_SIDE = 2040
"""Its RTP payload has a byte for each side, in units of eight pixels."""
_JPEG_TYPE = "26"
_SIZE = re.compile(r"a=(?:x-dimensions:|framesize:\d+|cliprect:0,0,)\s*(\d{1,5})[,x -](\d{1,5})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class VideoDescription:
    """The first video of a session."""

    is_there: bool = False
    is_jpeg: bool = False
    size: tuple[int, int] | None = None
    """Width and height, where they are told outside of the pictures."""


def video_in(text: str) -> VideoDescription:
    """Read a session description; what is not understood is not said."""
    _, found, after = re.sub(r"\r\n?", "\n", text).partition("\nm=video")
    if not found:
        return VideoDescription()
    media = after.partition("\nm=")[0]
    types = media.partition("\n")[0].split()[2:]
    is_jpeg = types[:1] == [_JPEG_TYPE] or any(
        re.search(rf"^a=rtpmap:{re.escape(kind)} +JPEG/", media, re.IGNORECASE | re.MULTILINE) for kind in types[:1]
    )
    size = _SIZE.search(media)
    told = None
    if size is not None:
        sides = int(size[1]), int(size[2])
        told = sides[::-1] if "cliprect" in size[0].lower() else sides
    return VideoDescription(True, is_jpeg, told)
