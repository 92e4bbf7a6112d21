"""Capture times in coded pictures: put in by a recorder, so that they survive every remuxing, and taken out again.

Source: MISB ST 0604, "Timestamps for Class 1/Class 2 Motion Imagery"; ITU-T H.264 and H.265, annex D.
"""

from syncsvc.layout import Layout
from syncsvc.nal import CODECS, START, first_slice_at
from syncsvc.recording.contents import Filmed, StoredPicture, TimeLine

_CODE = START[1:]
_USER_DATA_UNREGISTERED = 5
_OUR_UUID = bytes.fromhex("6d1c1b7e5f6a4c2d9b8e73796e637376")
_OUR_MESSAGE = bytes((_USER_DATA_UNREGISTERED, 27)) + _OUR_UUID
_LOCKED = b"\x1f"
"""The status byte of a precision time stamp: the clock is locked, and did not jump."""
_OUR_UNIT = {
    "h264": _CODE + b"\x06" + bytes((_USER_DATA_UNREGISTERED, 28)) + b"MISPmicrosectime",
    "hevc": _CODE + bytes((0x4E, 1, _USER_DATA_UNREGISTERED, 28)) + bytes.fromhex("a8687dd4d7593758a5cef0338b6545f1"),
}
"""How the unit begins that ``with_time`` puts in."""


def with_time(data: bytes, codec: str, time_ns: int) -> bytes:
    """A coded picture that says when it was taken: a SEI unit of ours before its first slice, all else as it was.

    Its first message is a precision time stamp after MISB ST 0604, in microseconds, which others read; its second one,
    whose UUID is ours, has the nanoseconds, and is what ``without_time`` knows the unit by. Where there is no slice,
    nothing is put in.

    Args:
        data: Annex B of H.264 or H.265.
        codec: which of them.
        time_ns: UTC, not before 1970.
    """
    data = without_time(data, codec)
    at = first_slice_at(data, codec)
    if at < 0:
        return data
    return b"".join((data[:at], START, _time_unit(codec, time_ns), memoryview(data)[at:]))


def without_time(data: bytes, codec: str) -> bytes:
    """The same picture without the unit that ``with_time`` put there; others' messages are left alone."""
    mark = data.find(_OUR_UUID, 0, max(0, first_slice_at(data, codec)))
    begin = data.rfind(_OUR_UNIT[codec], 0, max(0, mark))
    if begin < 0:
        return data
    begin -= 1 if data[begin - 1 : begin] == b"\0" else 0
    end = data.find(_CODE, mark)
    return data[:begin] + data[end - 1 if data[end - 1] == 0 else end :]


def our_time(data: bytes, codec: str) -> int | None:
    """When a picture was taken, UTC nanoseconds, by the unit that ``with_time`` put there; None where there is none."""
    mark = data.find(_OUR_UUID, 0, max(0, first_slice_at(data, codec)))
    told = data[mark + 16 : mark + 27]
    return int.from_bytes(b"".join(told[at : at + 2] for at in range(0, 11, 3)), "big") if mark >= 0 else None


def stored_picture(film: Filmed, layout: Layout, line: TimeLine) -> StoredPicture:
    """A picture of a file as the frame that it is, by its line; without the time that the recorder put there."""
    codec, data = layout.codec.name if layout.codec else "", film.data
    if codec in CODECS:
        data = without_time(data, codec)
    return StoredPicture(line.stream, film.frame, line.seq, line.time_ns, film.is_key, layout, data, film.is_ours)


def _time_unit(codec: str, time_ns: int) -> bytes:
    """The SEI unit without its start code."""
    return b"".join((
        _OUR_UNIT[codec][3:], _LOCKED, _spread(time_ns // 1000), _OUR_MESSAGE, _spread(time_ns), b"\x80",
    ))  # fmt: skip


def _spread(number: int) -> bytes:
    """A number in eight bytes, every two of them apart, so that they never look like a start code."""
    data = number.to_bytes(8, "big")
    return b"%b\xff%b\xff%b\xff%b" % (data[:2], data[2:4], data[4:6], data[6:])
