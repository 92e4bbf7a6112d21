"""One client's session without a network: where it begins, what its sender reports say, what it loses."""

import struct
from collections.abc import Sequence
from typing import Any, cast

import pytest

from syncsvc.cameras import rtp
from syncsvc.cameras.camera import Camera, EncodedPicture
from syncsvc.cameras.clockwork import CameraClock, Moment
from syncsvc.cameras.session import MediaSession
from syncsvc.cameras.settings import CameraSpec

S, MS = 1_000_000_000, 1_000_000
UTC = 1_700_000_000 * S
BOOT = 5_000 * S


class StillCamera:
    """What a session sees of a camera."""

    def __init__(self, spec: CameraSpec) -> None:
        self.spec, self.clock, self.keys_asked = spec, CameraClock(spec, BOOT, 0), 0

    def request_key(self) -> None:
        self.keys_asked += 1


class Wire:
    """Keeps what was sent, in order."""

    def __init__(self, transport: str = "tcp") -> None:
        self.transport, self.sent, self.overdue = transport, [], False

    def send_rtp(self, packets: Sequence[bytes]) -> int:
        self.sent += [("rtp", packet) for packet in packets]
        return 0

    def send_rtcp(self, packet: bytes) -> None:
        self.sent.append(("rtcp", packet))

    def is_overdue(self, now_ns: int) -> bool:
        return self.overdue

    def close(self) -> None:
        pass

    sent: list[tuple[str, bytes]]

    @property
    def reports(self) -> list[tuple[int, int]]:
        return [struct.unpack("!QI", packet[8:20]) for kind, packet in self.sent if kind == "rtcp"]


def at(ms: float) -> Moment:
    return Moment(UTC + round(ms * MS), BOOT + round(ms * MS))


def open_session(transport: str = "tcp", **keys: Any) -> tuple[MediaSession, Wire, StillCamera]:
    camera, wire = StillCamera(CameraSpec("north", **keys)), Wire(transport)
    return MediaSession(cast(Camera, camera), wire, "client", "seed"), wire, camera


def show(session: MediaSession, ms: float, *, key: bool = False, latency_ms: float = 0, packets: int = 1) -> bool:
    counter, moment = round(ms / 40), at(ms)
    payloads = (b"\x41picture",) * packets
    picture = EncodedPicture(counter, moment, session.camera.clock.rtp(moment.mono_ns), payloads, key)
    return session.send(picture, at(ms + latency_ms))


def test_a_session_begins_with_a_key_picture_taken_after_play() -> None:
    session, wire, camera = open_session()
    assert not show(session, 0, key=True), "not before PLAY"
    session.play(at(100).mono_ns)
    assert camera.keys_asked == 1
    assert not show(session, 80, key=True), "a key picture from before PLAY is older than RTP-Info said"
    assert not show(session, 120)
    assert wire.sent == []
    assert show(session, 160, key=True)
    assert show(session, 200)
    assert [kind for kind, _ in wire.sent] == ["rtcp", "rtp", "rtp"], "the sender report is first"
    stats = session.stats()
    assert (stats.frames, stats.first_counter, stats.last_counter) == (2, 4, 5)


def test_a_paused_session_begins_again_with_a_key_picture() -> None:
    session, _wire, camera = open_session()
    session.play(at(0).mono_ns)
    assert show(session, 0, key=True)
    session.pause()
    assert not show(session, 40, key=True)
    session.play(at(60).mono_ns)
    assert camera.keys_asked == 2
    assert not show(session, 80)
    assert show(session, 120, key=True)


def reports_of(duration_ms: int = 10_000, **keys: Any) -> list[tuple[int, int]]:
    session, wire, _camera = open_session(**keys)
    session.play(at(0).mono_ns)
    for ms in range(0, duration_ms, 40):
        show(session, ms, key=ms == 0)
    return wire.reports


def test_a_report_pairs_one_instant_on_both_clocks() -> None:
    assert reports_of(40) == [(rtp.ntp_timestamp(UTC), 0)]
    ntp, timestamp = reports_of(5100, clock_offset_ms=120, drift_ppm=1000)[1]
    assert ntp == rtp.ntp_timestamp(UTC + 5000 * MS + 120 * MS + 5 * MS)
    assert timestamp == 450_450


def test_reports_come_at_their_interval() -> None:
    times = [timestamp / 90 for _, timestamp in reports_of(sr_interval_s=2)]
    assert times == [0, 2000, 4000, 6000, 8000]


def test_the_first_report_may_be_late() -> None:
    times = [timestamp / 90 for _, timestamp in reports_of(sr_immediate=False, sr_first_s=1.6, sr_interval_s=4)]
    assert times == [1600, 5600, 9600]


def test_no_reports_when_they_are_off() -> None:
    assert reports_of(sr=False) == []


def test_a_report_of_zero_keeps_its_rtp_time() -> None:
    assert reports_of(5100, sr_mode="zero") == [(0, 0), (0, 450_000)]


def test_a_report_of_uptime_counts_from_the_start() -> None:
    assert [ntp / 2**32 for ntp, _ in reports_of(5100, sr_mode="uptime")] == [0, 5]


def test_a_report_of_the_send_time_is_wrong_by_the_latency() -> None:
    ntp, timestamp = reports_of(5100, sr_mode="sendtime", latency_ms=80)[1]
    assert ntp == rtp.ntp_timestamp(UTC + 5000 * MS)
    assert timestamp == 4_920 * 90


def test_loss_is_for_datagrams_only_and_is_counted() -> None:
    sent = {}
    for transport in ("tcp", "udp"):
        session, wire, _camera = open_session(transport, loss_pct=20)
        session.play(at(0).mono_ns)
        for ms in range(0, 4000, 40):
            show(session, ms, key=ms == 0, packets=20)
        sent[transport] = [struct.unpack("!H", packet[2:4])[0] for kind, packet in wire.sent if kind == "rtp"]
        assert session.stats().packets_lost == 2000 - len(sent[transport])
    assert len(sent["tcp"]) == 2000
    assert 1500 < len(sent["udp"]) < 1700
    gaps = sum((b - a) % 65536 - 1 for a, b in zip(sent["udp"], sent["udp"][1:], strict=False))
    assert gaps > 200, "a lost packet leaves a hole in the sequence numbers"


def test_what_ends_a_session() -> None:
    session, wire, _camera = open_session(close_after_s=2)
    assert session.ends(at(9999).mono_ns) == "", "not before PLAY"
    session.play(at(0).mono_ns)
    assert session.ends(at(1999).mono_ns) == ""
    assert session.ends(at(2001).mono_ns) == "camera"
    wire.overdue = True
    assert session.ends(at(1999).mono_ns) == "slow"


@pytest.mark.parametrize("seed", ["a", "b"])
def test_sessions_differ_and_repeat(seed: str) -> None:
    camera = cast(Camera, StillCamera(CameraSpec()))
    one, same = (MediaSession(camera, Wire(), "client", seed) for _ in range(2))
    other = MediaSession(camera, Wire(), "client", "other")
    assert (one.id, one.sender) == (same.id, same.sender)
    assert one.id != other.id
    assert one.sender.ssrc != other.sender.ssrc
