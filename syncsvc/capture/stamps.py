"""What media say of their own capture time: SEI of H.264 and H.265, a header's seconds, a date; read, never believed.

Each reader gives UTC nanoseconds and the ± that the notation itself states, or None: whether it is true is for the
stream's clock to judge. MISP time is read as Unix time, as cameras write it. ONVIF's stamp in an RTP header extension
does not come through libavformat, and SMPTE 12M time codes have no date.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from syncsvc.clock import NS_PER_S

MAX_UTC_NS = 2**62
"""The year 2116. Later stamps are garbage, and 64 bits hold their differences."""

_UNIT_NS = {
    b"MISPmicrosectime": 1000,  # H.264
    bytes.fromhex("a8687dd4d7593758a5cef0338b6545f1"): 1000,  # H.265
    bytes.fromhex("cf848278ee23306c9265e8fef22fb8b8"): 1,  # H.265, the nano precision time stamp
}
_MISP_BYTES = 28
_SECONDS = re.compile(r"([0-9]{1,10})(?:\.([0-9]{1,18}))?")
_DATE = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:[.,]([0-9]{1,18}))?"
    r" ?([Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class MediaStamp(NamedTuple):
    """A capture time in UTC nanoseconds, and how exactly it was written: ± ``doubt_ns``."""

    utc_ns: int
    doubt_ns: int


def of_sei(message: bytes) -> MediaStamp | None:
    """Read a user data unregistered SEI message: 16 bytes of UUID, then what its owner put there.

    A precision time stamp is a status byte, then eight bytes of time with an 0xFF after every two, which keep start
    codes out.

    Source: MISB ST 0604, "Timestamps for Class 1/Class 2 Motion Imagery".
    """
    unit_ns = _UNIT_NS.get(message[:16])
    if unit_ns is None or len(message) < _MISP_BYTES or message[19:28:3] != b"\xff\xff\xff":
        return None
    count = message[17:19] + message[20:22] + message[23:25] + message[26:28]
    return _plausible(int.from_bytes(count, "big") * unit_ns, unit_ns)


def first_of(messages: Iterable[bytes]) -> MediaStamp | None:
    """The first precision time stamp among SEI messages; encoders put messages of their own beside it."""
    return next((stamp for message in messages if (stamp := of_sei(message)) is not None), None)


def of_seconds(text: str) -> MediaStamp | None:
    """Read Unix seconds, ``1700000000.123456``: the form of ``X-Timestamp`` in mjpg-streamer and the ESP32 camera."""
    match = _SECONDS.fullmatch(text.strip())
    if match is None:
        return None
    fraction_ns, doubt_ns = fraction_of_second(match[2])
    return _plausible(int(match[1]) * NS_PER_S + fraction_ns, doubt_ns)


def of_date(text: str) -> MediaStamp | None:
    """Read a date with a time and a zone, as ISO 8601 writes it; without a zone nobody knows when that was."""
    match = _DATE.fullmatch(text.strip())
    if match is None:
        return None
    day, time, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{time}{zone.upper()}") - _EPOCH
    except (ValueError, OverflowError):
        return None
    fraction_ns, doubt_ns = fraction_of_second(fraction)
    return _plausible((moment.days * 86_400 + moment.seconds) * NS_PER_S + fraction_ns, doubt_ns)


def fraction_of_second(digits: str | None) -> tuple[int, int]:
    """Nanoseconds of a decimal fraction, and one of its last digit."""
    digits = (digits or "")[:9]
    return int(digits.ljust(9, "0")), 10 ** (9 - len(digits))


def _plausible(utc_ns: int, doubt_ns: int) -> MediaStamp | None:
    return MediaStamp(utc_ns, doubt_ns) if 0 < utc_ns < MAX_UTC_NS else None
