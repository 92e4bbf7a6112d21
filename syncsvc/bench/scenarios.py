"""The cameras on which the rules are compared: honest ones, ones without NTP, and one kind of liar after the other."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from syncsvc.bench.simulated_cameras import Congestion, SimulatedCamera
from syncsvc.bench.simulated_service import Setup

LIAR: Final = "b30"
DAY_MS: Final = 86_400_000.0
SECONDS: Final = 60.0
_FOUR: Final = (
    ("a25", 25.0, 0.0, 0.0, 40.0),
    (LIAR, 30.0, 9.0, 60.0, -60.0),
    ("c29", 29.97, 17.0, 30.0, 90.0),
    ("d15", 15.0, 26.0, 90.0, -100.0),
)
"""Name, fps, phase and latency in milliseconds, drift of the crystal in ppm."""


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the comparison. With a ``liar``, only the other cameras are judged.

    With a ``guest``, what it costs the other cameras is measured too.
    """

    name: str
    about: str
    setup: Setup
    liar: str | None = None
    guest: str | None = None

    @property
    def honest(self) -> tuple[str, ...]:
        """The cameras to judge, where that is not all of them."""
        if self.liar is None:
            return ()
        return tuple(camera.name for camera in self.setup.cameras if camera.name != self.liar)


def four(**changes: Any) -> tuple[SimulatedCamera, ...]:
    """25, 30, 29.97 and 15 fps; latencies 0 to 90 ms, 20 ms jitter, 1 % drops, crystals of up to 100 ppm."""
    return tuple(
        SimulatedCamera(
            name, fps, phase, latency_ms=latency, jitter_ms=20.0, drop_pct=1.0, drift_ppm=drift, seed=seed, **changes
        )
        for seed, (name, fps, phase, latency, drift) in enumerate(_FOUR, start=1)
    )


def alike(count: int, seed: int = 1) -> tuple[SimulatedCamera, ...]:
    """So many cameras of 25 fps, of any phase; latencies of 20 to 120 ms, 20 ms jitter, 1 % drops, +-100 ppm."""
    draw = random.Random(f"{seed} of {count}")
    return tuple(
        SimulatedCamera(
            f"cam{place}",
            phase_ms=draw.uniform(0, 40),
            latency_ms=draw.uniform(20, 120),
            jitter_ms=20.0,
            drop_pct=1.0,
            drift_ppm=draw.uniform(-100, 100),
            seed=1000 * seed + place,
        )
        for place in range(count)
    )


def latencies(cameras: tuple[SimulatedCamera, ...]) -> dict[str, float]:
    """What somebody who measured the cameras would configure."""
    return {camera.name: camera.latency_ms for camera in cameras}


def lying(name: str = LIAR, seconds: float = SECONDS, **lies: Any) -> Setup:
    """The four cameras, one of which does not tell the truth."""
    cameras = (replace(camera, **lies) if camera.name == name else camera for camera in four())
    return Setup(tuple(cameras), seconds)


def without_reports(seconds: float, **changes: Any) -> Setup:
    """The four cameras without sender reports, their latencies known."""
    cameras = four(sr="none", **changes)
    return Setup(cameras, seconds, latencies(cameras))


def half_an_hour() -> Setup:
    """Thirty minutes without sender reports, crystals at +-100 ppm, and a host whose clock is set twice by an hour."""
    drifts = (100.0, -100.0, 100.0, -100.0)
    cameras = tuple(replace(camera, drift_ppm=ppm) for camera, ppm in zip(four(sr="none"), drifts, strict=True))
    return Setup(cameras, 1800.0, latencies(cameras), host_steps=((600.0, 3600.0), (1200.0, -3600.0)))


def congested() -> Setup:
    """Without sender reports, and from 40 s on one camera's network is slower by 100 ms, for 100 s."""
    setup = without_reports(170.0)
    slow = (Congestion(40.0, 100.0, 100.0),)
    return replace(setup, cameras=tuple(replace(c, congestion=slow) if c.name == LIAR else c for c in setup.cameras))


LIES: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "off-10s": ("its clock is 10 s ahead", {"ntp_offset_ms": 10_000.0}),
    "off-day": ("its clock is a day behind", {"ntp_offset_ms": -DAY_MS}),
    "uptime": ("its NTP counts from boot", {"sr": "uptime"}),
    "zero": ("its NTP is zero", {"sr": "zero"}),
    "sendtime": ("its reports are stamped when they are sent", {"sr": "sendtime"}),
    "steps": (
        "its clock steps by -450 to 300 ms",
        {"ntp_steps": ((16.0, 300.0), (25.0, -450.0), (34.0, 150.0), (43.0, 120.0), (52.0, -120.0))},
    ),
    "grid": (
        "its stamps are a grid of 30 fps, its pictures come at 29.5",
        {"pts": "grid", "fps": 29.5, "declared_fps": 30.0},
    ),
    "rate": ("declares 25 fps, delivers 21", {"pts": "grid", "fps": 21.0, "declared_fps": 25.0}),
    "shutter": ("its stamps are a grid, its shutter is not", {"pts": "grid", "shutter_jitter_ms": 12.0}),
}
"""What a camera may say that is not so, by the name of the case."""


GUESTS: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "flaky": ("loses nine of ten", {"drop_pct": 90.0}),
    "thinned": ("loses three of ten", {"drop_pct": 30.0}),
    "frozen": (
        "freezes for a second, four times",
        {"freezes": tuple((at_s, 1.0) for at_s in (15.3, 25.5, 35.7, 45.9))},
    ),
    "slow": ("gives 2 fps", {"fps": 2.0, "drop_pct": 0.0}),
}
"""What one of four cameras may be like, by the name of the case."""


def beside(**changes: Any) -> tuple[SimulatedCamera, ...]:
    """Four cameras of 25 fps, of which the first is not as the others."""
    guest, *others = alike(4)
    return replace(guest, **changes), *others


def cases() -> dict[str, Case]:
    """Every case by its name, in the order of the table."""
    honest = (
        Case("four", "four cameras, RTCP", Setup(four(), SECONDS)),
        Case("four-latency", "no RTCP, latencies configured", without_reports(SECONDS)),
        Case("four-unknown", "no RTCP, latencies unknown", replace(without_reports(SECONDS), latency_ms={})),
        Case("two-alike", "2 x 25 fps, RTCP", Setup(alike(2), SECONDS)),
        Case("four-alike", "4 x 25 fps, RTCP", Setup(alike(4), SECONDS)),
        Case("eight-alike", "8 x 25 fps, RTCP", Setup(alike(8), SECONDS)),
        Case("congestion", "no RTCP, one camera +100 ms for 100 s", congested()),
        Case("half-hour", "no RTCP, 30 min, +-100 ppm, host steps 1 h", half_an_hour()),
    )
    liars = (Case(name, f"RTCP, {LIAR}: {about}", lying(**lies), LIAR) for name, (about, lies) in LIES.items())
    guests = (
        Case(name, f"4 x 25 fps, one of which {about}", Setup(beside(**changes), SECONDS), guest="cam0")
        for name, (about, changes) in GUESTS.items()
    )
    return {case.name: case for case in (*honest, *guests, *liars)}
