"""H.264 in RTP packets, sender reports and session descriptions, byte for byte and without a socket.

Source: RFC 6184 (H.264 payloads), RFC 3550 (RTP, RTCP), RFC 4566 (SDP).
"""

import base64
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from syncsvc.clock import NS_PER_S
from syncsvc.timing.ntp import NTP_TO_UNIX_S

PAYLOAD_TYPE = 96
MAX_PAYLOAD = 1400  # fits an Ethernet frame with every header, and a VPN's too
TRACK = "trackID=0"

_FU_A, _IDR = 28, 5
_CNAME, _SENDER_REPORT, _SOURCE_DESCRIPTION = 1, 200, 202


def split_nal_units(stream: bytes) -> list[bytes]:
    """The NAL units of an Annex B byte stream, without start codes."""
    units = []
    start = stream.find(b"\0\0\1")
    while start >= 0:
        end = stream.find(b"\0\0\1", start + 3)
        unit = stream[start + 3 : end if end >= 0 else len(stream)]
        unit = unit.rstrip(b"\0")  # a longer start code, or trailing_zero_8bits; a unit itself never ends in zero
        if unit:
            units.append(unit)
        start = end
    return units


def is_key_picture(units: Sequence[bytes]) -> bool:
    """Whether decoding can start with this access unit."""
    return any(unit[0] & 31 == _IDR for unit in units)


def packetise(units: Sequence[bytes], max_payload: int = MAX_PAYLOAD) -> list[bytes]:
    """RTP payloads of one access unit: single NAL units, and FU-A for what is too long. The last takes the marker."""
    payloads = []
    for unit in units:
        if len(unit) <= max_payload:
            payloads.append(unit)
            continue
        indicator, kind = unit[0] & 0xE0 | _FU_A, unit[0] & 31
        step = max_payload - 2
        for position in range(1, len(unit), step):
            first = 0x80 if position == 1 else 0
            last = 0x40 if position + step >= len(unit) else 0
            payloads.append(bytes((indicator, first | last | kind)) + unit[position : position + step])
    return payloads


def ntp_timestamp(unix_ns: int) -> int:
    """64 bits of NTP time: seconds since 1900, and their binary fraction."""
    return (unix_ns * (1 << 32) // NS_PER_S + (NTP_TO_UNIX_S << 32)) & 0xFFFFFFFFFFFFFFFF


@dataclass(slots=True)
class RtpSender:
    """The state of one RTP stream to one receiver."""

    ssrc: int
    next_seq: int
    packets: int = 0
    octets: int = 0

    def packets_of(self, payloads: Sequence[bytes], timestamp: int) -> list[bytes]:
        """The RTP packets of one picture, marker on the last one."""
        last = len(payloads) - 1
        packets = []
        for index, payload in enumerate(payloads):
            kind = PAYLOAD_TYPE | (0x80 if index == last else 0)
            packets.append(struct.pack("!BBHII", 0x80, kind, self.next_seq, timestamp, self.ssrc) + payload)
            self.next_seq = (self.next_seq + 1) & 0xFFFF
            self.octets += len(payload)
        self.packets += len(packets)
        return packets

    def sender_report(self, ntp: int, timestamp: int, cname: str) -> bytes:
        """A compound packet: SR with these two readings of one instant, and SDES with the name."""
        packets, octets = self.packets & 0xFFFFFFFF, self.octets & 0xFFFFFFFF
        report = struct.pack("!BBHIQIII", 0x80, _SENDER_REPORT, 6, self.ssrc, ntp, timestamp, packets, octets)
        name = cname.encode()[:255]
        chunk = struct.pack("!IBB", self.ssrc, _CNAME, len(name)) + name
        chunk += bytes(4 - len(chunk) % 4)  # the list of items ends with at least one zero
        return report + struct.pack("!BBH", 0x81, _SOURCE_DESCRIPTION, len(chunk) // 4) + chunk


def session_description(name: str, host: str, fps: float, sets: tuple[bytes, bytes], session_id: int) -> str:
    """The SDP of one H.264 camera."""
    sprop = ",".join(base64.b64encode(unit).decode() for unit in sets)
    family = "IP6" if ":" in host else "IP4"
    anywhere = "::" if ":" in host else "0.0.0.0"
    lines = (
        "v=0",
        f"o=- {session_id} 1 IN {family} {host}",
        f"s={name}",
        f"c=IN {family} {anywhere}",
        "t=0 0",
        "a=tool:syncsvc cameras",
        "a=control:*",
        "a=range:npt=now-",
        f"m=video 0 RTP/AVP {PAYLOAD_TYPE}",
        f"a=rtpmap:{PAYLOAD_TYPE} H264/90000",
        f"a=framerate:{fps:g}",
        f"a=fmtp:{PAYLOAD_TYPE} packetization-mode=1;profile-level-id={sets[0][1:4].hex().upper()};"
        f"sprop-parameter-sets={sprop}",
        f"a=control:{TRACK}",
    )
    return "\r\n".join(lines) + "\r\n"
