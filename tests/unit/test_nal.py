"""What H.264 and H.265 say beside the picture, against libav's own reading of what real encoders made."""

from fractions import Fraction
from typing import Any, cast

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace

from syncsvc import nal
from syncsvc.capture import stamps
from syncsvc.decoded import matrix_of, packet_of, range_of

ENCODERS = {"h264": "libx264", "hevc": "libx265"}
SIZES = [(64, 64), (66, 50), (320, 180), (1918, 1078), (176, 144)]


def coded(codec: str, width: int, height: int, pix_fmt: str = "yuv420p", **options: str) -> bytes:
    """One key frame as an encoder makes it, with start codes."""
    context = cast(Any, av.CodecContext.create(ENCODERS[codec], "w"))
    context.width, context.height, context.pix_fmt, context.time_base = width, height, pix_fmt, Fraction(1, 25)
    context.options = {"preset": "ultrafast", "x265-params": "log-level=none", **options}
    frame = av.VideoFrame.from_ndarray(np.full((height, width), 90, np.uint8), "gray").reformat(format=pix_fmt)
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode()])


@pytest.mark.parametrize("codec", ENCODERS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p"])
def test_the_size_is_that_of_the_pictures(codec: str, size: tuple[int, int], pix_fmt: str) -> None:
    sets = nal.parameter_sets(coded(codec, *size, pix_fmt), codec)
    assert tuple(sets) == nal.PARAMETER_SETS[codec]
    shape = nal.shape_of(sets, codec)
    assert shape is not None
    assert shape[:2] == size


def test_fields_and_scaling_lists_do_not_mislead() -> None:
    listed = {"preset": "slow", "x264-params": "cqm=jvt"}
    for options in ({"x264-params": "interlaced=1"}, listed, {"profile": "baseline"}):
        shape = nal.shape_of(nal.parameter_sets(coded("h264", 720, 572, **options), "h264"), "h264")
        assert shape is not None
        assert shape[:2] == (720, 572), options


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ("", (None, None)),
        ("fullrange=on", ("full", None)),
        ("colormatrix=bt709", ("limited", "bt709")),
        ("colormatrix=smpte170m:fullrange=on:sar=300/7:overscan=show", ("full", "bt601")),
        ("colormatrix=bt2020nc", ("limited", "bt2020")),
    ],
)
def test_range_and_matrix_of_h264_are_read(params: str, expected: tuple[str | None, str | None]) -> None:
    shape = nal.shape_of(nal.parameter_sets(coded("h264", 64, 64, **{"x264-params": params}), "h264"), "h264")
    assert shape is not None
    assert (shape.range, shape.matrix) == expected


@pytest.mark.parametrize("codec", ENCODERS)
def test_damaged_parameter_sets_tell_nothing_or_something_possible(codec: str) -> None:
    sets = nal.parameter_sets(coded(codec, 320, 180), codec)
    kind = next(kind for kind in sets if kind in (7, 33))
    rng = np.random.default_rng(1)
    for length in range(len(sets[kind])):
        nal.shape_of({kind: sets[kind][:length]}, codec)
    for _ in range(300):
        noise = sets[kind][:7] + rng.bytes(40)
        shape = nal.shape_of({kind: noise}, codec)
        assert shape is None or 0 < shape.width < 65_536 > shape.height > 0
    assert nal.shape_of({}, codec) is None


def test_units_end_where_the_first_slice_begins() -> None:
    data = b"\0\0\0\1\x09\xf0" + b"\0\0\1\x67sps\0" + b"\0\0\0\1\x68pps" + b"\0\0\1\x65slice\0\0\1\x67hidden"
    assert list(nal.head_units(data, "h264")) == [(9, b"\x09\xf0"), (7, b"\x67sps"), (8, b"\x68pps")]
    for nothing in (b"", b"\0\0\1", b"\0\0\0\1", b"no start code"):
        assert list(nal.head_units(nothing, "h264")) == []


def test_several_sets_of_a_kind_stay_together() -> None:
    data = b"\0\0\1\x67one\0\0\1\x67two\0\0\1\x68pps\0\0\1\x65"
    assert nal.parameter_sets(data, "h264") == {7: b"\0\0\0\1\x67one\0\0\0\1\x67two", 8: b"\0\0\0\1\x68pps"}


def unit(header: bytes, *messages: tuple[int, bytes]) -> bytes:
    """A unit of messages as the standards write them, start codes kept out."""
    body = b""
    for kind, payload in messages:
        body += b"\xff" * (kind // 255) + bytes([kind % 255])
        body += b"\xff" * (len(payload) // 255) + bytes([len(payload) % 255]) + payload
    coded = bytearray()
    for byte in body + b"\x80":
        if coded[-2:] == b"\0\0" and byte <= 3:
            coded.append(3)
        coded.append(byte)
    return b"\0\0\0\1" + header + bytes(coded)


@pytest.mark.parametrize(
    ("codec", "header", "slice_header"), [("h264", b"\x06", b"\x65"), ("hevc", b"\x4e\x01", b"\x26\x01")]
)
def test_user_data_comes_out_as_it_went_in(codec: str, header: bytes, slice_header: bytes) -> None:
    long, zeros = bytes(range(16)) + bytes(range(256)) * 3, bytes(600)
    data = unit(header, (1, b"\0\0"), (5, long), (300, b"other"), (5, zeros)) + unit(header, (5, b"third" * 4))
    data += b"\0\0\1" + slice_header + unit(header, (5, b"behind the slice" * 2))
    assert list(nal.user_data(data, codec)) == [long, zeros, b"third" * 4]


def test_a_stamp_is_read_as_from_a_decoders_side_data() -> None:
    raw = (1_795_266_000_123_456).to_bytes(8, "big")
    message = b"MISPmicrosectime\x1f" + b"\xff".join(raw[at : at + 2] for at in range(0, 8, 2))
    (found,) = nal.user_data(unit(b"\x06", (5, message)), "h264")
    assert stamps.of_sei(found) == stamps.MediaStamp(1_795_266_000_123_456_000, 1000)


def test_messages_that_claim_more_than_there_is_are_harmless() -> None:
    for body in (b"\x06\x05\xff", b"\x06\x05\xff\xff\x10abc", b"\x06\xff\xff\xff", b"\x06", b"\x06\x05\x20short"):
        list(nal.user_data(b"\0\0\1" + body, "h264"))


def test_the_numbers_of_range_and_matrix_mean_what_they_mean_to_the_decoder() -> None:
    data = coded("h264", 64, 64, **{"x264-params": "colormatrix=bt709:fullrange=on"})
    context = cast(Any, av.CodecContext.create("h264", "r"))
    (frame,) = [*context.decode(packet_of(av.Packet, data)), *context.decode(None)]
    assert (frame.color_range, frame.colorspace) == (ColorRange.JPEG, Colorspace.ITU709)
    assert (range_of(frame), matrix_of(int(frame.colorspace))) == ("full", "bt709")


def slice_of(codec: str, count: int | None) -> bytes:
    """A picture that is no key picture by itself, with a recovery point where there is a ``count``."""
    if codec == "h264":
        message = b"" if count is None else sei(b"\x06", golomb(count) + "1" + "00")
        return message + b"\0\0\1\x41\x9a\0\0"
    message = b"" if count is None else sei(b"\x4e\x01", golomb(2 * count - 1 if count > 0 else -2 * count) + "10")
    return message + b"\0\0\1\x02\x01\xd0\0"


def golomb(number: int) -> str:
    code = f"{number + 1:b}"
    return "0" * (len(code) - 1) + code


def sei(header: bytes, bits: str) -> bytes:
    bits += "1"
    payload = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    return b"\0\0\1" + header + bytes([6, len(payload)]) + payload + b"\x80"


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize(("count", "expected"), [(None, 0), (0, 0), (1, 1), (18, 18), (249, 249)])
def test_a_recovery_point_says_how_many_frames_it_takes(codec: str, count: int | None, expected: int) -> None:
    assert nal.recovery_frames(slice_of(codec, count), codec) == expected


def test_a_key_picture_is_whole_at_once_whatever_stands_beside_it() -> None:
    idr = coded("h264", 64, 64)
    assert nal.recovery_frames(idr, "h264") == 0
    assert nal.recovery_frames(sei(b"\x06", golomb(18) + "100") + idr, "h264") == 0
    assert nal.recovery_frames(b"", "h264") == nal.recovery_frames(idr, "mjpeg") == 0


def test_a_recovery_point_that_is_cut_off_says_nothing() -> None:
    assert nal.recovery_frames(b"\0\0\1\x06\x06\x01\x00\x80\0\0\1\x41", "h264") == 0


def test_units_get_their_lengths_whatever_start_codes_they_have_and_zeros_between_them_go() -> None:
    data = b"\0\0\0\1\x67ab\0\0\1\x68\0\0\3c\0\0\0\0\1\x65rest\0\0\1\x41second\0"
    units = [b"\x67ab", b"\x68\0\0\3c", b"\x65rest", b"\x41second"]
    assert b"".join(nal.with_lengths(data)) == b"".join(len(one).to_bytes(4, "big") + one for one in units)
    assert nal.with_lengths(b"nothing") == nal.with_lengths(b"\0\0\1") == []
