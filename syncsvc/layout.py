"""What the bytes of a payload mean: formats, sizes and what a JPEG says of itself, for both ends of the wire.

Payloads are packed without padding: i420 is Y, U, V with ``w*h + 2*ceil(w/2)*ceil(h/2)`` bytes, bgr24 ``3*w*h``,
gray8 ``w*h``. A jpeg is one JPEG file, encoded is one coded picture as the codec's standard has it.
"""

import struct
from dataclasses import dataclass
from typing import Annotated, Final, Literal, NamedTuple

from msgspec import Meta

PixelFormat = Literal["i420", "bgr24", "gray8", "jpeg", "encoded"]
ColorRange = Literal["limited", "full"]
ColorMatrix = Literal["bt601", "bt709", "bt2020"]
Rotation = Literal[0, 90, 180, 270]
Side = Annotated[int, Meta(ge=1, le=65_535)]

RAW_FORMATS: frozenset[str] = frozenset({"i420", "bgr24", "gray8"})
"""Formats made of pixels: their payloads have one size."""
MAX_PIXELS: Final = 8192 * 4320
"""8K. Bigger pictures are refused by decoders: a hostile stream header must not take the machine's memory."""
MAX_EXTRADATA_BYTES = 1 << 16
_JPEG_FRAME = struct.Struct(">BHHB")
_EXIF_ORIENTATION = 0x0112


@dataclass(frozen=True, slots=True)
class Codec:
    """What a decoder must know before the first payload of an encoded stream.

    ``name`` is libavcodec's (``h264``, ``hevc``, ``mpeg4``...). ``extradata`` are the codec's parameters: of H.264 and
    H.265 the parameter sets with start codes (Annex B), otherwise what libavcodec calls by that name; may be empty.
    """

    name: Annotated[str, Meta(max_length=64, pattern=r"^[!-~]+\Z")]
    extradata: Annotated[bytes, Meta(max_length=MAX_EXTRADATA_BYTES)] = b""


@dataclass(frozen=True, slots=True)
class Layout:
    """Format, size and colour space of a stream's payloads; ``codec`` is that of ``encoded`` ones, else None.

    ``rotation`` is by how many degrees the decoded picture is to be turned counter-clockwise to stand upright, as its
    recording or EXIF say; ``width`` and ``height`` are those before. Pictures made of pixels are turned already.
    """

    format: PixelFormat
    width: Side
    height: Side
    range: ColorRange = "limited"
    matrix: ColorMatrix = "bt601"
    codec: Codec | None = None
    rotation: Rotation = 0

    @property
    def size_bytes(self) -> int:
        """Bytes of one payload.

        Raises:
            ValueError: payloads of this format differ in size.
        """
        width, height = self.width, self.height
        match self.format:
            case "i420":
                return width * height + 2 * ((width + 1) // 2) * ((height + 1) // 2)
            case "bgr24":
                return 3 * width * height
            case "gray8":
                return width * height
        raise ValueError(f"a {self.format} payload has no fixed size")

    @property
    def shape(self) -> tuple[int, ...]:
        """One payload as an array: bgr24 is ``(height, width, 3)``, gray8 ``(height, width)``.

        i420 is ``(height * 3 / 2, width)``, as OpenCV and libav have it: the rows of Y, then U, then V, whose rows lie
        two in one. That has no shape where a side is odd: it is ``(size_bytes,)`` then.

        Raises:
            ValueError: payloads of this format differ in size.
        """
        width, height = self.width, self.height
        match self.format:
            case "bgr24":
                return height, width, 3
            case "gray8":
                return height, width
            case "i420" if width % 2 == 0 and height % 2 == 0:
                return height * 3 // 2, width
        return (self.size_bytes,)


class JpegHeader(NamedTuple):
    """What a JPEG says of itself; ``is_plain`` where every reader reads it.

    That is one with its Huffman tables (cameras leave them out of Motion JPEG), 8 bits a sample, grey or Y, Cb, Cr.
    ``orientation`` is what EXIF says, 1 to 8; 1 is upright.
    """

    width: int
    height: int
    is_plain: bool
    orientation: int = 1


def jpeg_header(data: bytes | memoryview) -> JpegHeader | None:
    """Read a JPEG's header up to its scan; None where it is none, or says nothing of its size.

    Source: ITU-T T.81, annex B.
    """
    at, frame_at, has_tables, orientation = 2, 0, False, 1
    while at + 4 <= len(data) and data[:2] == b"\xff\xd8" and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill
            at += 1
            continue
        if marker in (0xC0, 0xC1, 0xC2):
            frame_at = at + 4
        has_tables = has_tables or marker == 0xC4
        if marker == 0xE1:
            orientation = exif_orientation(bytes(data[at + 4 : at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")]))
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker != 0xDA:
            continue
        if not frame_at or frame_at + _JPEG_FRAME.size > len(data):
            break
        depth, height, width, planes = _JPEG_FRAME.unpack_from(data, frame_at)
        if not width or not height:
            break
        return JpegHeader(width, height, has_tables and depth == 8 and planes in (1, 3), orientation)
    return None


def exif_orientation(segment: bytes) -> int:
    """How a camera was held, 1 to 8, by the EXIF data of a JPEG's segment; 1 where they do not say.

    Source: CIPA DC-008 (EXIF 2.32), 4.6.4 and 4.5.2.
    """
    if segment[:6] != b"Exif\0\0" or segment[6:8] not in (b"II", b"MM"):
        return 1
    tiff = segment[6:]
    order: Literal["little", "big"] = "little" if tiff[:2] == b"II" else "big"
    at = int.from_bytes(tiff[4:8], order)
    for entry in range(at + 2, at + 2 + 12 * int.from_bytes(tiff[at : at + 2], order), 12):
        if entry + 12 > len(tiff):
            break
        if int.from_bytes(tiff[entry : entry + 2], order) == _EXIF_ORIENTATION:
            value = int.from_bytes(tiff[entry + 8 : entry + 10], order)
            return value if 1 <= value <= 8 else 1
    return 1
