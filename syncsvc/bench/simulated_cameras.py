"""Simulated cameras as the receiver would see them, so that clocks and pairing can be held against the truth.

Pure arithmetic on a seed: hours of video, with every way in which a camera lies about its clock, cost a moment. What
libavformat does to the facts is imitated as it was measured: its parser, its NTP times, its first picture without pts.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from syncsvc.cameras.clockwork import RTP_HZ
from syncsvc.cameras.rtp import ntp_timestamp
from syncsvc.clock import NS_PER_S
from syncsvc.model import Observation
from syncsvc.timing.ntp import NTP_TO_UNIX_S

UTC_NS = 1_767_225_600 * NS_PER_S
"""2026-01-01T00:00:00Z, when a simulated camera is switched on; its CLOCK_MONOTONIC then reads ``MONO_NS``."""
MONO_NS = 1000 * NS_PER_S
LEAST_GAP_NS = 20_000
"""Even what comes in one burst takes this long from frame to frame."""
JITTER_CAP_S = 0.2

ReportMode = Literal["none", "ok", "sendtime", "zero", "uptime"]


@dataclass(frozen=True, slots=True)
class Congestion:
    """From ``at_s`` on, every picture takes ``extra_ms`` longer, for ``for_s`` seconds."""

    at_s: float
    for_s: float
    extra_ms: float


@dataclass(frozen=True, slots=True)
class Stalls:
    """Every ``every_s`` seconds nothing comes for ``for_s``, then all of it at once."""

    every_s: float
    for_s: float


@dataclass(frozen=True, slots=True)
class SimulatedCamera:
    """One camera, its clocks and its faults; every default but latency and sender reports means "no fault".

    Times are seconds since it was switched on. Its crystal drives shutter and pts; its NTP clock is another one, and
    true but for ``ntp_*``. ``shutter_jitter_ms`` bounds how far a picture is taken from its due time (uniform, ±),
    which pts "true" tell and pts "grid" do not: those count pictures at ``declared_fps``, whenever they are taken.
    """

    name: str = "cam"
    fps: float = 25.0
    phase_ms: float = 0.0
    shutter_jitter_ms: float = 0.0
    drop_pct: float = 0.0
    """Pictures that are taken and never arrive: pts go on."""
    freezes: tuple[tuple[float, float], ...] = ()
    """``(at_s, for_s)``: none is taken then."""

    drift_ppm: float = 0.0
    wander_ppm: float = 0.0
    """The crystal's rate swings by this much around ``drift_ppm``, as a sine."""
    wander_period_s: float = 600.0
    pts: Literal["true", "grid"] = "true"
    declared_fps: float | None = None
    """None: as ``fps``."""
    pts_steps: tuple[tuple[float, float], ...] = ()
    """``(at_s, ms)``: from then on, pts are that much later."""

    latency_ms: float = 30.0
    jitter_ms: float = 0.0
    """Mean of an exponential delay on top, at most 200 ms; order is kept, as on any one path."""
    burst_s: float = 0.0
    """What is sent in the first seconds comes in one burst after them."""
    stalls: Stalls | None = None
    congestion: tuple[Congestion, ...] = ()
    reconnect_at_s: tuple[float, ...] = ()
    """The session ends, and after ``reconnect_gap_s`` another begins whose pts start anew."""
    reconnect_gap_s: float = 0.5
    parser_delay: bool = True
    """As with H.264: a frame comes out of libavformat when the next one begins to arrive."""

    sr: ReportMode = "ok"
    sr_first_s: float = 0.0
    """0: the first report goes out right before the first picture of a session."""
    sr_interval_s: float = 5.0
    ntp_offset_ms: float = 0.0
    ntp_drift_ppm: float = 0.0
    ntp_steps: tuple[tuple[float, float], ...] = ()
    """``(at_s, ms)``: from then on, the camera's NTP clock reads that much later."""
    seed: int = 1

    def crystal_s(self, true_s: float) -> float:
        """Seconds since it was switched on, as its crystal counts them."""
        turn = 2 * math.pi / self.wander_period_s
        wandered = self.wander_ppm / turn * (1 - math.cos(turn * true_s))
        return true_s + (self.drift_ppm * true_s + wandered) * 1e-6

    def ntp_s(self, true_s: float) -> float:
        """What its NTP clock gains on UTC by then, plus the time itself."""
        gained = self.ntp_offset_ms * 1e-3 + _stepped(self.ntp_steps, true_s)
        return true_s + gained + self.ntp_drift_ppm * 1e-6 * true_s


@dataclass(frozen=True, slots=True)
class Sighting:
    """What the receiver saw of one picture, and the truth: ``taken_ns`` is when it was taken, UTC.

    ``picture`` counts the pictures that the camera took, ``session`` the connections to it, from 0 on.
    """

    seen: Observation
    taken_ns: int
    picture: int
    session: int


@dataclass(slots=True)
class _Picture:
    index: int
    taken_s: float
    media_s: float
    """What the camera's RTP clock says of it."""
    release_s: float
    reports: list["_SenderReport"] = field(default_factory=list)
    """Those that were sent right before it."""


@dataclass(frozen=True, slots=True)
class _SenderReport:
    ntp_s: float
    """Of the camera's clock, in seconds since it was switched on in UTC; may mean the year 1900."""
    media_s: float
    raw: tuple[int, int]

    def utc_ns(self, media_s: float) -> int:
        """A picture's time as libavformat reckons it: at the nominal rate, in whole microseconds."""
        passed_s = (_ticks(media_s) - _ticks(self.media_s)) / RTP_HZ
        return (UTC_NS + _ns(self.ntp_s + passed_s)) // 1000 * 1000


def observe(camera: SimulatedCamera, seconds: float) -> list[Sighting]:
    """What the receiver sees of the camera's first ``seconds``, in the order of arrival.

    The observations' ``seq`` counts what arrived, over all sessions; ``start_mono_ns`` is None where it is unknown, at
    the first picture of a session behind a parser.
    """
    path = _Path(camera)
    sessions: list[list[_Picture]] = [[] for _ in range(len(camera.reconnect_at_s) + 1)]
    for picture in _taken(camera, seconds, path):
        number = sum(picture.taken_s >= at_s for at_s in camera.reconnect_at_s)
        begin_s = camera.reconnect_at_s[number - 1] + camera.reconnect_gap_s if number else 0.0
        end_s = camera.reconnect_at_s[number] if number < len(camera.reconnect_at_s) else math.inf
        if picture.taken_s >= begin_s and picture.release_s < end_s:
            sessions[number].append(picture)
    sightings: list[Sighting] = []
    for number, pictures in enumerate(sessions):
        _report(camera, pictures)
        for seen, picture in _seen(camera, pictures, len(sightings)):
            sightings.append(Sighting(seen, UTC_NS + _ns(picture.taken_s), picture.index, number))
    return sightings


def _ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)


def _ticks(media_s: float) -> int:
    return round(media_s * RTP_HZ)


def _stepped(steps: tuple[tuple[float, float], ...], true_s: float) -> float:
    return sum(step_ms for at_s, step_ms in steps if true_s >= at_s) * 1e-3


class _Path:
    """When what is sent arrives."""

    def __init__(self, camera: SimulatedCamera) -> None:
        self._camera = camera
        self._random = random.Random(f"{camera.seed} path")
        self._last_s = 0.0

    def release_s(self, taken_s: float) -> float:
        """When the next picture arrives."""
        camera = self._camera
        extra_ms = sum(c.extra_ms for c in camera.congestion if c.at_s <= taken_s < c.at_s + c.for_s)
        due_s = taken_s + (camera.latency_ms + extra_ms) * 1e-3
        if camera.jitter_ms:
            due_s += min(self._random.expovariate(1e3 / camera.jitter_ms), JITTER_CAP_S)
        if camera.stalls is not None:
            number, into_s = divmod(due_s, camera.stalls.every_s)
            due_s += max(0.0, camera.stalls.for_s - into_s) if number else 0.0
        self._last_s = max(due_s, camera.burst_s, self._last_s + LEAST_GAP_NS / NS_PER_S)
        return self._last_s


def _taken(camera: SimulatedCamera, seconds: float, path: _Path) -> Iterator[_Picture]:
    """The pictures that are taken and sent, in order."""
    shutter = random.Random(f"{camera.seed} shutter")
    declared_fps = camera.declared_fps or camera.fps
    index = 0
    while True:
        due_s = camera.phase_ms * 1e-3 + index / camera.fps  # by the crystal
        taken_s = 2 * due_s - camera.crystal_s(due_s)
        taken_s += due_s - camera.crystal_s(taken_s)
        taken_s += shutter.uniform(-1, 1) * camera.shutter_jitter_ms * 1e-3
        if taken_s >= seconds:
            return
        media_s = camera.crystal_s(taken_s) if camera.pts == "true" else index / declared_fps
        is_frozen = any(at_s <= taken_s < at_s + for_s for at_s, for_s in camera.freezes)
        if shutter.random() * 100 >= camera.drop_pct and not is_frozen:
            release_s = path.release_s(taken_s)
            yield _Picture(index, taken_s, media_s + _stepped(camera.pts_steps, taken_s), release_s)
        index += 1


def _report(camera: SimulatedCamera, pictures: list[_Picture]) -> None:
    """Put the sender reports of a session before the pictures that they come with."""
    if camera.sr == "none" or not pictures:
        return
    due_s = pictures[0].release_s + camera.sr_first_s
    for before, picture in zip([pictures[0], *pictures], pictures, strict=False):
        if picture.release_s >= due_s:
            picture.reports.append(_report_at(camera, picture.release_s, before))
            due_s = picture.release_s + camera.sr_interval_s


def _report_at(camera: SimulatedCamera, now_s: float, before: _Picture) -> _SenderReport:
    if camera.pts == "true":
        media_s = camera.crystal_s(now_s) + _stepped(camera.pts_steps, now_s)
    else:  # it counts on from the last picture
        media_s = before.media_s + now_s - before.taken_s
    if camera.sr == "sendtime":  # NTP is of now, RTP of the picture that leaves now
        media_s -= camera.latency_ms * 1e-3
    ntp_s, raw_ns = camera.ntp_s(now_s), UTC_NS + _ns(camera.ntp_s(now_s))
    if camera.sr in ("zero", "uptime"):
        raw_ns = -NTP_TO_UNIX_S * NS_PER_S + (_ns(now_s) if camera.sr == "uptime" else 0)
        ntp_s = (raw_ns - UTC_NS) / NS_PER_S
    rtp = (random.Random(f"{camera.seed} rtp").getrandbits(32) + round(media_s * RTP_HZ)) & 0xFFFFFFFF
    return _SenderReport(ntp_s, media_s, (ntp_timestamp(raw_ns), rtp))


def _seen(camera: SimulatedCamera, pictures: list[_Picture], seq: int) -> Iterator[tuple[Observation, _Picture]]:
    """What libavformat shows of a session; behind a parser the last picture never comes out."""
    report: _SenderReport | None = None
    for number, picture in enumerate(pictures):
        after = pictures[number + 1] if number + 1 < len(pictures) else None
        told = picture.reports[-1].raw if picture.reports else None
        report = picture.reports[-1] if picture.reports else report
        ntp_ns = report.utc_ns(picture.media_s) if report else None
        if camera.parser_delay:
            if after is None:
                return
            if report is None and after.reports:  # the first report rides on the packet before its own, with its time
                told, ntp_ns = after.reports[-1].raw, after.reports[-1].utc_ns(after.media_s)
        start_s = picture.release_s if number or not camera.parser_delay else None
        arrival_s = after.release_s if after is not None and camera.parser_delay else picture.release_s
        ticks = _ticks(picture.media_s) - _ticks(pictures[0].media_s)
        yield (
            Observation(
                seq + number,
                MONO_NS + _ns(arrival_s),
                pts_ns=ticks * NS_PER_S // RTP_HZ if number else None,
                is_key=number == 0,
                sender_report=told,
                ntp_ns=ntp_ns,
                start_mono_ns=None if start_s is None else MONO_NS + _ns(start_s),
            ),
            picture,
        )
