"""What media say of their own time: bytes of SEI by hand, seconds, and dates."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncsvc.capture.stamps import MAX_UTC_NS, MediaStamp, of_date, of_seconds, of_sei
from syncsvc.testing import MS, S

AT = 1_795_266_000 * S  # 2026-11-21T13:00:00Z
AVC, HEVC = b"MISPmicrosectime", bytes.fromhex("a8687dd4d7593758a5cef0338b6545f1")
NANO = bytes.fromhex("cf848278ee23306c9265e8fef22fb8b8")
EXAMPLE = bytes.fromhex("1f 00 06 ff 0d eb ff e0 22 ff 24 00")


def sei(count: int, uuid: bytes = AVC, status: int = 0x1F) -> bytes:
    raw = count.to_bytes(8, "big")
    return uuid + bytes([status]) + b"\xff".join(raw[at : at + 2] for at in range(0, 8, 2))


def test_a_precision_time_stamp_has_an_ff_after_every_two_bytes() -> None:
    assert of_sei(AVC + EXAMPLE) == MediaStamp(0x00060DEBE0222400 * 1000, 1000)
    assert sei(0x00060DEBE0222400) == AVC + EXAMPLE


@given(st.integers(1, MAX_UTC_NS // 1000 - 1), st.sampled_from([AVC, HEVC]), st.integers(0, 255))
def test_microseconds_of_h264_and_h265(count: int, uuid: bytes, status: int) -> None:
    assert of_sei(sei(count, uuid, status)) == MediaStamp(count * 1000, 1000)


def test_nanoseconds_of_h265_and_what_follows_the_stamp() -> None:
    assert of_sei(sei(AT + 7, NANO) + b"more") == MediaStamp(AT + 7, 1)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        AVC,
        sei(AT // 1000)[:-1],
        sei(AT // 1000).replace(b"\xff", b"\x00"),
        sei(AT // 1000, bytes(16)),
        sei(0),
        sei(2**64 - 1),
        sei(MAX_UTC_NS, NANO),
        b"\xdcE\xe9\xbd\xe6\xd9H\xb7\x96,\xd8 \xd9#\xee\xefx264 - core 164",
    ],
    ids=["nothing", "uuid only", "cut", "no ff", "other uuid", "zero", "all ones", "after 2116", "x264's own"],
)
def test_other_messages_are_no_stamps(message: bytes) -> None:
    assert of_sei(message) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1795266000.250000", (AT + 250 * MS, 1000)),
        (" 1795266000.5 ", (AT + 500 * MS, 100 * MS)),
        ("1795266000", (AT, S)),
        ("12.000001", (12 * S + 1000, 1000)),
        ("1795266000.1234567891", (AT + 123_456_789, 1)),
    ],
)
def test_seconds(text: str, expected: tuple[int, int]) -> None:
    assert of_seconds(text) == expected


@pytest.mark.parametrize("text", ["", "now", "-1.5", "1e9", "1795266000.", "0.000000", "17952660000", "1 2", "1,5"])
def test_texts_that_are_no_seconds(text: str) -> None:
    assert of_seconds(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-21T13:00:00.250Z", (AT + 250 * MS, MS)),
        ("2026-11-21T13:00:00Z", (AT, S)),
        ("2026-11-21T15:00:00.1+02:00", (AT + 100 * MS, 100 * MS)),
        ("2026-11-21T15:00:00.123456+0200", (AT + 123_456_000, 1000)),
        ("2026-11-21T08:30:00.000-04:30", (AT, MS)),
        ("2026-11-21 13:00:00,5 z", (AT + 500 * MS, 100 * MS)),
        ("2026-11-21T16:00:00+03", (AT, S)),
    ],
)
def test_dates(text: str, expected: tuple[int, int]) -> None:
    assert of_date(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-21T13:00:00",
        "2026-11-21T13:00:60Z",
        "2026-13-21T13:00:00Z",
        "2026-11-21T13:00:00+99:00",
        "1969-12-31T23:59:59Z",
        "2200-01-01T00:00:00Z",
        "0001-01-01T00:00:00+10:00",
        "13:00:00Z",
    ],
)
def test_texts_that_are_no_dates(text: str) -> None:
    assert of_date(text) is None


@given(st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)))  # noqa: DTZ001  # the zone is added below
def test_dates_are_exact_to_the_microsecond(moment: datetime) -> None:
    aware = moment.replace(tzinfo=UTC)
    elapsed = aware - datetime(1970, 1, 1, tzinfo=UTC)
    exact_ns = ((elapsed.days * 86_400 + elapsed.seconds) * 1_000_000 + elapsed.microseconds) * 1000
    assert of_date(aware.isoformat(timespec="microseconds")) == MediaStamp(exact_ns, 1000)
