"""What stands in H.264 and H.265 beside the picture, read without a decoder: parameter sets and messages.

Byte streams with start codes (Annex B). Source: ITU-T H.264, 7.3 and annexes B, D, E; H.265, 7.3 and annexes B, D.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from syncsvc.decoded import matrix_of
from syncsvc.layout import ColorMatrix, ColorRange

CODECS = frozenset({"h264", "hevc"})
START = b"\0\0\0\1"

_CODE = b"\0\0\1"
PARAMETER_SETS = {"h264": (7, 8), "hevc": (32, 33, 34)}
"""NAL unit types that a decoder must have seen before a key frame, in the order in which they refer to each other."""
_SPS = {"h264": 7, "hevc": 33}
_SEI = {"h264": 6, "hevc": 39}
_USER_DATA_UNREGISTERED, _RECOVERY_POINT, _DISPLAY_ORIENTATION = 5, 6, 47
_SLICE_HEAD_BYTES = 24
_IDR = 5
_HIGH_PROFILES = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244})


class Shape(NamedTuple):
    """What a sequence parameter set says of the pictures; range and matrix are None where it does not tell.

    ``number_bits``: how long the numbers are that H.264 gives the frames that others refer to; 0 where they may have
    gaps, or there are none.
    """

    width: int
    height: int
    range: ColorRange | None = None
    matrix: ColorMatrix | None = None
    number_bits: int = 0


def head_units(data: bytes, codec: str) -> Iterator[tuple[int, bytes]]:
    """Type and bytes of each NAL unit before the first slice; what follows is not looked at."""
    is_h264 = codec == "h264"
    at = data.find(_CODE)
    while 0 <= at < len(data) - 3:
        begin = at + 3
        kind = data[begin] & 0x1F if is_h264 else data[begin] >> 1 & 0x3F
        if (1 <= kind <= 5) if is_h264 else kind < 32:
            return
        at = data.find(_CODE, begin)
        yield kind, data[begin : at if at >= 0 else len(data)].rstrip(b"\0")


def parameter_sets(data: bytes, codec: str) -> dict[int, bytes]:
    """The parameter sets before the first slice by type, each with its start code."""
    found: dict[int, bytes] = {}
    for kind, unit in head_units(data, codec):
        if kind in PARAMETER_SETS[codec]:
            found[kind] = found.get(kind, b"") + START + unit
    return found


class Orientation(NamedTuple):
    """How a picture is to be shown: mirrored first, then turned counter-clockwise by so many 65536ths of a circle."""

    flips_horizontally: bool = False
    flips_vertically: bool = False
    angle: int = 0


def orientation(data: bytes, codec: str) -> Orientation | None:
    """What the last message before the first slice says of that, none of both where it takes an earlier one back.

    None where it says nothing: then the one before stands. Source: ITU-T H.264, D.1.27; H.265, D.2.17.
    """
    header, found = 1 if codec == "h264" else 2, None
    for kind, unit in head_units(data, codec):
        for message in _messages(_unescaped(unit[header:]), _DISPLAY_ORIENTATION) if kind == _SEI[codec] else ():
            bits = _Bits(message)
            with suppress(ValueError):
                is_taken_back = bits.take(1)
                flips = (False, False) if is_taken_back else (bool(bits.take(1)), bool(bits.take(1)))
                found = Orientation(*flips, 0 if is_taken_back else bits.take(16))
    return found


def user_data(data: bytes, codec: str) -> Iterator[bytes]:
    """The user data unregistered SEI messages before the first slice: 16 bytes of UUID and what follows."""
    header = 1 if codec == "h264" else 2
    for kind, unit in head_units(data, codec):
        if kind == _SEI[codec]:
            yield from _messages(_unescaped(unit[header:]), _USER_DATA_UNREGISTERED)


def recovery_frames(data: bytes, codec: str) -> int:
    """How many frames after a key frame pictures are whole: 0 but where a stream refreshes itself bit by bit.

    Such a stream may have no other key frame for hours, or ever: its recovery points say where decoding may begin, and
    how long it takes until nothing is left of what was before. Source: ITU-T H.264, D.2.8; H.265, D.3.8.
    """
    if codec not in CODECS:
        return 0
    if codec == "h264" and (first := _first_slice(data)) and first[0] & 0x1F == _IDR:
        return 0
    header = 1 if codec == "h264" else 2
    for kind, unit in head_units(data, codec):
        for message in _messages(_unescaped(unit[header:]), _RECOVERY_POINT) if kind == _SEI[codec] else ():
            with suppress(ValueError):
                return _Bits(message).golomb() if codec == "h264" else max(0, _Bits(message).signed_golomb())
    return 0


class FrameNumbers:
    """Tells where frames of an H.264 stream were lost on the way: libavcodec shows a wrong picture, and tells nobody.

    Source: ITU-T H.264, 7.4.3, frame_num.
    """

    _last = -1

    def forget(self) -> None:
        """Begin anew with the next frame."""
        self._last = -1

    def follows(self, data: bytes, bits: int) -> bool:
        """Whether the frame that this one goes on from is the last one that others refer to; true where nobody knows.

        Args:
            data: a coded picture.
            bits: ``Shape.number_bits``.
        """
        head, number = _first_slice(data), None
        if bits:
            with suppress(ValueError):  # it is too short
                header = _Bits(_unescaped(head[1:]))
                header.skip_golomb(3)  # first macroblock, slice type, picture parameter set
                number = header.take(bits)
        if number is None:
            self.forget()
            return True
        is_start, is_reference = head[0] & 0x1F == 5, head[0] & 0x60
        last, before = self._last, (number - 1) % (1 << bits)
        self._last = number if is_reference else before
        return is_start or last in (-1, before, number)  # the fields of a frame share its number


def _first_slice(data: bytes) -> bytes:
    """The beginning of the first slice's NAL unit."""
    at = data.find(_CODE)
    while 0 <= at < len(data) - 3:
        if 1 <= data[at + 3] & 0x1F <= 5:
            return data[at + 3 : at + 3 + _SLICE_HEAD_BYTES]
        at = data.find(_CODE, at + 3)
    return b""


def with_lengths(data: bytes) -> list[bytes | memoryview]:
    """The same units with their lengths in four bytes before them instead of start codes, as MP4 has them.

    Returns:
        Pieces to be put together, of which the units are views of ``data``.
    """
    view, pieces = memoryview(data), list[bytes | memoryview]()
    at = data.find(_CODE)
    while at >= 0:
        begin = at + 3
        at = data.find(_CODE, begin)
        end = at if at >= 0 else len(data)
        while end > begin and data[end - 1] == 0:
            end -= 1
        if end > begin:
            pieces += ((end - begin).to_bytes(4, "big"), view[begin:end])
    return pieces


def first_slice_at(data: bytes, codec: str) -> int:
    """Where the start code of the first slice begins; -1 where there is none."""
    at, is_h264 = data.find(_CODE), codec == "h264"
    while 0 <= at < len(data) - 3:
        kind = data[at + 3] & 0x1F if is_h264 else data[at + 3] >> 1 & 0x3F
        if (1 <= kind <= 5) if is_h264 else kind < 32:
            return at - 1 if at and data[at - 1] == 0 else at
        at = data.find(_CODE, at + 3)
    return -1


def _messages(sei: bytes, wanted: int) -> Iterator[bytes]:
    """What the messages of a kind have to say."""
    at = 0
    while at + 2 < len(sei):  # the stop bit has a byte of its own
        kind, at = _number(sei, at)
        size, at = _number(sei, at)
        if kind == wanted:
            yield sei[at : at + size]
        at += size


def _number(sei: bytes, at: int) -> tuple[int, int]:
    """A number in bytes of which all but the last are 255, and the offset behind it."""
    value = 0
    while at < len(sei) and sei[at] == 0xFF:
        value, at = value + 255, at + 1
    return value + (sei[at] if at < len(sei) else 0), at + 1


def _unescaped(unit: bytes) -> bytes:
    return unit.replace(b"\0\0\3", b"\0\0")


def shape_of(sets: dict[int, bytes], codec: str) -> Shape | None:
    """What the first sequence parameter set says; None where there is none, or it cannot be read."""
    sps = sets.get(_SPS[codec], b"").split(_CODE)[1:2]
    if not sps:
        return None
    bits = _Bits(_unescaped(sps[0]))
    try:
        shape = _h264(bits) if codec == "h264" else _hevc(bits)
    except ValueError:
        return None
    return shape if 0 < shape.width < 1 << 16 and 0 < shape.height < 1 << 16 else None


class _Bits:
    """Reads a bit string from its start."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def take(self, count: int) -> int:
        """An unsigned number of so many bits."""
        self._left -= count
        if self._left < 0:
            raise ValueError("the bits are at their end")
        return self._value >> self._left & (1 << count) - 1

    def golomb(self) -> int:
        """An Exp-Golomb number without a sign."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)

    def signed_golomb(self) -> int:
        """An Exp-Golomb number with a sign."""
        code = self.golomb()
        return (code + 1) // 2 if code % 2 else -(code // 2)

    def skip_golomb(self, count: int) -> None:
        """Exp-Golomb numbers, with a sign or not."""
        for _ in range(count):
            self.golomb()


def _crop(bits: _Bits, width: int, height: int, step_x: int, step_y: int) -> tuple[int, int]:
    if bits.take(1):
        left, right, top, bottom = (bits.golomb() for _ in range(4))
        width, height = width - step_x * (left + right), height - step_y * (top + bottom)
    return width, height


def _h264(bits: _Bits) -> Shape:
    bits.take(8)  # NAL unit header
    profile = bits.take(8)
    bits.take(16)
    bits.golomb()
    chroma, has_planes = 1, 0
    if profile in _HIGH_PROFILES:
        chroma = bits.golomb()
        if chroma == 3:
            has_planes = bits.take(1)
        bits.skip_golomb(2)
        bits.take(1)
        if bits.take(1):
            for number in range(12 if chroma == 3 else 8):
                if bits.take(1):
                    _skip_scaling_list(bits, 16 if number < 6 else 64)
    number_bits = bits.golomb() + 4
    order = bits.golomb()
    if order == 0:
        bits.golomb()
    elif order == 1:
        bits.take(1)
        bits.skip_golomb(2)
        bits.skip_golomb(bits.golomb())
    bits.golomb()
    if bits.take(1) or has_planes:
        number_bits = 0
    columns, rows = bits.golomb() + 1, bits.golomb() + 1
    fields = 2 - bits.take(1)
    bits.take(2 if fields == 2 else 1)
    step_x = 2 if chroma in (1, 2) else 1
    step_y = (2 if chroma == 1 else 1) * fields
    width, height = _crop(bits, 16 * columns, 16 * rows * fields, step_x, step_y)
    return Shape(width, height, *_h264_colours(bits), number_bits)


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed_golomb()) % 256
        last = following or last


def _h264_colours(bits: _Bits) -> tuple[ColorRange | None, ColorMatrix | None]:
    """Range and matrix in the usability information."""
    if not bits.take(1):
        return None, None
    if bits.take(1) and bits.take(8) == 255:
        bits.take(32)
    if bits.take(1):
        bits.take(1)
    if not bits.take(1):
        return None, None
    bits.take(3)
    color_range: ColorRange = "full" if bits.take(1) else "limited"
    if not bits.take(1):
        return color_range, None
    bits.take(16)
    return color_range, matrix_of(bits.take(8))


def _hevc(bits: _Bits) -> Shape:
    bits.take(16 + 4)  # NAL unit header, video parameter set
    layers = bits.take(3)
    bits.take(1 + 88 + 8)
    flags = [(bits.take(1), bits.take(1)) for _ in range(layers)]
    if layers:
        bits.take(2 * (8 - layers))
    for has_profile, has_level in flags:
        bits.take(88 * has_profile + 8 * has_level)
    bits.golomb()
    chroma = bits.golomb()
    if chroma == 3:
        bits.take(1)
    width, height = bits.golomb(), bits.golomb()
    return Shape(*_crop(bits, width, height, 2 if chroma in (1, 2) else 1, 2 if chroma == 1 else 1))
