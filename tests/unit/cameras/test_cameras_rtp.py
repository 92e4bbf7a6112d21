"""RTP packets, sender reports and session descriptions against the layouts of their RFCs."""

import base64
import struct
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncsvc.cameras import rtp

SPS, PPS, IDR = bytes.fromhex("6742c01ed9"), bytes.fromhex("68cb83cb20ff"), b"\x65" + bytes(range(1, 200)) * 30


def depacketise(payloads: Sequence[bytes]) -> list[bytes]:
    """RFC 6184 read backwards: single NAL units and FU-A."""
    units: list[bytes] = []
    open_unit: bytearray | None = None
    for payload in payloads:
        if payload[0] & 31 != 28:
            assert open_unit is None
            units.append(payload)
            continue
        start, end, kind = payload[1] & 0x80, payload[1] & 0x40, payload[1] & 31
        assert not payload[1] & 0x20, "the reserved bit is zero"
        assert not (start and end), "one fragment alone would be a single NAL unit"
        if start:
            assert open_unit is None
            open_unit = bytearray([payload[0] & 0xE0 | kind])
        assert open_unit is not None
        open_unit += payload[2:]
        if end:
            units.append(bytes(open_unit))
            open_unit = None
    assert open_unit is None
    return units


nal_units = st.binary(min_size=1, max_size=6000).map(lambda body: bytes([0x60 | 5]) + body)


@given(st.lists(nal_units, min_size=1, max_size=5), st.integers(3, 1500))
def test_what_is_packetised_comes_back(units: list[bytes], max_payload: int) -> None:
    payloads = rtp.packetise(units, max_payload)
    assert depacketise(payloads) == units
    assert max(map(len, payloads)) <= max_payload


@pytest.mark.parametrize("length", [1399, 1400, 1401, 1402, 2797, 2798, 2799])
def test_the_edges_of_a_packet(length: int) -> None:
    unit = b"\x65" + b"\x11" * (length - 1)
    payloads = rtp.packetise([unit])
    assert depacketise(payloads) == [unit]
    assert (len(payloads) == 1) == (length <= 1400)


def test_an_annex_b_stream_is_cut_at_both_kinds_of_start_code() -> None:
    stream = b"\0\0\0\1" + SPS + b"\0\0\0\1" + PPS + b"\0\0\1" + IDR
    assert rtp.split_nal_units(stream) == [SPS, PPS, IDR]
    assert rtp.split_nal_units(b"no start code") == []
    assert rtp.is_key_picture([SPS, PPS, IDR])
    assert not rtp.is_key_picture([b"\x41\x9a"])


def test_rtp_headers() -> None:
    sender = rtp.RtpSender(ssrc=0xDEADBEEF, next_seq=0xFFFE)
    packets = sender.packets_of([b"a", b"bb", b"ccc"], 0xFFFFFFFF)
    headers = [struct.unpack("!BBHII", packet[:12]) for packet in packets]
    assert [version for version, *_ in headers] == [0x80] * 3
    assert [kind for _, kind, *_ in headers] == [96, 96, 96 | 128], "the marker is on the picture's last packet only"
    assert [seq for _, _, seq, *_ in headers] == [0xFFFE, 0xFFFF, 0], "16 bits, wrapping"
    assert {rest for _, _, _, *rest in map(tuple, headers) for rest in [tuple(rest)]} == {(0xFFFFFFFF, 0xDEADBEEF)}
    assert [packet[12:] for packet in packets] == [b"a", b"bb", b"ccc"]
    assert (sender.packets, sender.octets, sender.next_seq) == (3, 6, 1)


@pytest.mark.parametrize("cname", ["", "a", "ab", "abc", "abcd", "syncsvc"])
def test_a_sender_report_is_laid_out_as_rfc_3550_says(cname: str) -> None:
    sender = rtp.RtpSender(ssrc=0x01020304, next_seq=0, packets=2**32 + 7, octets=900)
    compound = sender.sender_report(0x0123456789ABCDEF, 0xA0B0C0D0, cname)
    assert len(compound) % 4 == 0
    assert compound[:2] == b"\x80\xc8"
    assert struct.unpack("!H", compound[2:4]) == (6,), "length in words, less one"
    assert struct.unpack("!IQIII", compound[4:28]) == (0x01020304, 0x0123456789ABCDEF, 0xA0B0C0D0, 7, 900)
    sdes = compound[28:]
    assert sdes[:2] == b"\x81\xca"
    assert (struct.unpack("!H", sdes[2:4])[0] + 1) * 4 == len(sdes)
    assert sdes[4:8] == b"\1\2\3\4"
    assert sdes[8:10] == bytes([1, len(cname)])
    assert sdes[10 : 10 + len(cname)].decode() == cname
    padding = sdes[10 + len(cname) :]
    assert 1 <= len(padding) <= 4
    assert not any(padding)


def test_ntp_counts_from_1900_in_binary_fractions() -> None:
    assert rtp.ntp_timestamp(0) == 2_208_988_800 << 32
    assert rtp.ntp_timestamp(500_000_000) & 0xFFFFFFFF == 1 << 31
    assert rtp.ntp_timestamp(-2_208_988_800 * 10**9) == 0
    assert rtp.ntp_timestamp(1_700_000_000 * 10**9) >> 32 == 1_700_000_000 + 2_208_988_800


def test_the_description_says_what_a_decoder_needs() -> None:
    sdp = rtp.session_description("north", "127.0.0.1", 29.97, (SPS, PPS), 42)
    assert sdp.endswith("\r\n")
    lines = sdp.split("\r\n")
    assert lines[0] == "v=0"
    assert "o=- 42 1 IN IP4 127.0.0.1" in lines
    assert "m=video 0 RTP/AVP 96" in lines
    assert "a=rtpmap:96 H264/90000" in lines
    assert "a=framerate:29.97" in lines
    assert lines[-2] == "a=control:trackID=0", "the track's control follows its m= line"
    (fmtp,) = (line for line in lines if line.startswith("a=fmtp:96 "))
    options = dict(option.split("=", 1) for option in fmtp.removeprefix("a=fmtp:96 ").split(";"))
    assert options["packetization-mode"] == "1"
    assert options["profile-level-id"] == "42C01E"
    assert [base64.b64decode(part) for part in options["sprop-parameter-sets"].split(",")] == [SPS, PPS]


def test_ipv6_is_named_as_such() -> None:
    sdp = rtp.session_description("north", "::1", 25, (SPS, PPS), 1)
    assert "o=- 1 1 IN IP6 ::1" in sdp
    assert "c=IN IP6 ::" in sdp
