"""What one client gets of one camera: RTP from a key picture on, sender reports, and an end when it cannot keep up."""

import random

import msgspec

from syncsvc.cameras import rtp
from syncsvc.cameras.camera import Camera, EncodedPicture
from syncsvc.cameras.clockwork import Moment
from syncsvc.cameras.rtp_carriers import Carrier
from syncsvc.clock import NS_PER_MS, NS_PER_S
from syncsvc.timing.ntp import NTP_TO_UNIX_S

CNAME = "syncsvc"


class SessionStats(msgspec.Struct):
    """What one session was sent; with no loss, ``frames`` runs from ``first_counter`` to ``last_counter``."""

    client: str
    transport: str
    playing: bool = False
    frames: int = 0
    first_counter: int | None = None
    last_counter: int | None = None
    packets: int = 0
    octets: int = 0
    packets_lost: int = 0
    reports_sent: int = 0
    reports_received: int = 0


class MediaSession:
    """One client's view of one camera, between SETUP and TEARDOWN."""

    def __init__(self, camera: Camera, carrier: Carrier, client: str, seed: str) -> None:
        drawn = random.Random(seed)
        self.camera, self.carrier = camera, carrier
        self.sender = rtp.RtpSender(drawn.getrandbits(32), drawn.getrandbits(16))
        self.id = f"{drawn.getrandbits(64):016x}"
        self.account = SessionStats(client, carrier.transport)
        self._random = drawn
        self._played_ns = 0
        self._awaits_key = True
        self._report_due_ns = 0

    def play(self, now_ns: int) -> None:
        """Begin with the next key picture taken from now on, and see to it that there is one."""
        spec = self.camera.spec
        self.account.playing, self._awaits_key, self._played_ns = True, True, now_ns
        self._report_due_ns = 0 if spec.sr_immediate else now_ns + round(spec.sr_first_s * NS_PER_S)
        self.camera.request_key()

    def pause(self) -> None:
        """Send nothing until ``play``."""
        self.account.playing = False

    def ends(self, now_ns: int) -> str:
        """Why it is over; empty while it is not."""
        close_after_s = self.camera.spec.close_after_s
        if self.account.playing and close_after_s and now_ns - self._played_ns > close_after_s * NS_PER_S:
            return "camera"
        return "slow" if self.carrier.is_overdue(now_ns) else ""

    def send(self, picture: EncodedPicture, now: Moment) -> bool:
        """Send a picture if the client is to have it, and a sender report before it if one is due; whether it went."""
        account = self.account
        if not account.playing:
            return False
        if self._awaits_key:
            if not picture.is_key or picture.moment.mono_ns < self._played_ns:
                return False
            self._awaits_key = False
        self.report(now)
        spec = self.camera.spec
        packets = self.sender.packets_of(picture.payloads, picture.timestamp)
        if spec.loss_pct and self.carrier.transport == "udp":
            kept = [packet for packet in packets if self._random.random() * 100 >= spec.loss_pct]
            account.packets_lost += len(packets) - len(kept)
            packets = kept
        account.packets_lost += self.carrier.send_rtp(packets)
        account.frames += 1
        account.first_counter = picture.counter if account.first_counter is None else account.first_counter
        account.last_counter = picture.counter
        return True

    def report(self, now: Moment) -> None:
        """Send the sender report that is due, if one is: NTP and RTP time of this instant, as the camera has them."""
        spec, clock = self.camera.spec, self.camera.clock
        if not spec.sr or not self.account.playing or self._awaits_key or now.mono_ns < self._report_due_ns:
            return
        self._report_due_ns = now.mono_ns + round(spec.sr_interval_s * NS_PER_S)
        ntp, timestamp = rtp.ntp_timestamp(clock.wall_ns(now)), clock.rtp(now.mono_ns)
        if spec.sr_mode == "zero":
            ntp = 0
        elif spec.sr_mode == "uptime":
            ntp = rtp.ntp_timestamp(clock.uptime_ns(now.mono_ns) - NTP_TO_UNIX_S * NS_PER_S)
        elif spec.sr_mode == "sendtime":
            timestamp = clock.rtp(now.mono_ns - round(spec.latency_ms * NS_PER_MS))
        self.carrier.send_rtcp(self.sender.sender_report(ntp, timestamp, CNAME))
        self.account.reports_sent += 1

    def stats(self) -> SessionStats:
        """What it was sent so far."""
        return msgspec.structs.replace(self.account, packets=self.sender.packets, octets=self.sender.octets)
