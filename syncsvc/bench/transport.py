"""What it costs to hand a 1080p frame to another process, both ends: the shared ring beside the first ideas."""

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from syncsvc.bench import handover, ways
from syncsvc.bench.figures import Figures, median
from syncsvc.bench.report import Bars, Report, Table
from syncsvc.bench.runner import leashed
from syncsvc.clock import NS_PER_MS
from syncsvc.errors import LinkClosed
from syncsvc.layout import PixelFormat

PACE_HZ: Final = 25.0
FORMATS: Final[tuple[PixelFormat, ...]] = ("bgr24", "i420")
_TURN_S = 120.0

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Handover:
    """One way in one round: CPU of both ends per frame, and the time from before ``send`` to the frame in hand."""

    sender_ms: float
    receiver_ms: float
    latency_ms: Figures

    @property
    def cpu_ms(self) -> float:
        """Both ends."""
        return self.sender_ms + self.receiver_ms


def run(command: str, rounds: int, frames: int, progress: Progress) -> Report:
    """Measure every way in turn, round after round, flat out and at 25 frames a second, in bgr24 and i420.

    Args:
        command: to reproduce the figures with.
        rounds: how often each way has its turn.
        frames: per way and round.
        progress: is told what is measured now.
    """
    found: dict[tuple[str, str, str], list[Handover]] = {}
    for number in range(rounds):
        for pixels in FORMATS:
            for pace, rate_hz in (("flat out", 0.0), ("25/s", PACE_HZ)):
                for way in (*ways.WAYS, ways.COPY):
                    progress(f"round {number + 1} of {rounds}: {pixels}, {pace}, {way}")
                    result = measure(way, pixels, frames, rate_hz)
                    found.setdefault((pixels, pace, way), []).append(result)
    return _report(command, found)


def measure(way: str, pixels: PixelFormat, frames: int, rate_hz: float) -> Handover:
    """One turn of a way, in two processes of its own; flat out where ``rate_hz`` is 0.

    Raises:
        LinkClosed: one of them ended.
    """
    arguments = ["-m", "syncsvc.bench.handover", way, pixels, str(frames), str(rate_hz)]
    with leashed(arguments, stdout=subprocess.PIPE) as process:
        output, _ = process.communicate(timeout=_TURN_S + (frames / rate_hz if rate_hz else 0))
    if process.returncode != 0:
        raise LinkClosed(f"handing over ended with {process.returncode}")
    found = msgspec.json.decode(output, type=handover.Outcome)
    latency = Figures.of([value / NS_PER_MS for value in found.latencies_ns])
    return Handover(found.sender_ns / frames / NS_PER_MS, found.receiver_ns / frames / NS_PER_MS, latency)


def _report(command: str, found: dict[tuple[str, str, str], list[Handover]]) -> Report:
    rows, ratios, data = [], {}, []
    for (pixels, pace, way), results in found.items():
        ring = found[pixels, pace, ways.RING]
        ratio = median([result.cpu_ms / other.cpu_ms for result, other in zip(results, ring, strict=True)])
        if way not in (ways.RING, ways.COPY):
            ratios[f"{pixels}, {pace}: {way} / ring"] = ratio
        middle = _middle(results)
        latency = (f"{middle.latency_ms.p50:.2f}", f"{middle.latency_ms.p99:.2f}")
        rows.append(
            (
                f"{pixels}, {pace}, {way}", f"{middle.sender_ms:.3f}", f"{middle.receiver_ms:.3f}",
                f"{middle.cpu_ms:.3f}", f"{ratio:.2f}",
                *(latency if middle.latency_ms.count else ("", "")),
            )
        )  # fmt: skip
        data.append(
            {"pixels": pixels, "pace": pace, "way": way, "ratio": ratio, "rounds": [_plain(r) for r in results]}
        )
    columns = ("way", "sender ms", "receiver ms", "CPU ms", "/ ring", "latency p50", "p99 ms")
    bars = {way: _middle(found["bgr24", "25/s", way]).cpu_ms for way in ways.WAYS}
    return Report(
        name="transport",
        command=command,
        tables=(Table("CPU per 1080p frame (median round), and latency", columns, tuple(rows)),),
        ratios=ratios,
        plot=Bars("Handing a 1080p bgr24 frame to another process, 25/s", "CPU ms per frame, both ends", bars),
        notes=(
            "latency flat out includes the wait behind frames that were sent before",
            "copy alone: the one copy into a ring without any hand-over, which bounds what the ring can cost",
        ),
        data={"transport": data},
    )


def _middle(results: Sequence[Handover]) -> Handover:
    return sorted(results, key=lambda result: result.cpu_ms)[(len(results) - 1) // 2]


def _plain(result: Handover) -> dict[str, float]:
    return {
        "sender_ms": result.sender_ms,
        "receiver_ms": result.receiver_ms,
        "latency_p50_ms": result.latency_ms.p50,
        "latency_p99_ms": result.latency_ms.p99,
    }
