"""What it costs to hand a 1080p frame to another process, both ends: the shared ring beside the first ideas."""

import multiprocessing
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Final

import numpy as np

from syncsvc.bench import ways
from syncsvc.bench.figures import Figures, median
from syncsvc.bench.report import Bars, Report, Table
from syncsvc.clock import NS_PER_MS, NS_PER_S, SYSTEM_CLOCK, cpu_ns, sleep_s
from syncsvc.errors import LinkClosed
from syncsvc.layout import Layout, PixelFormat
from syncsvc.lifecycle import die_with_parent

WIDTH, HEIGHT = 1920, 1080
PACE_HZ: Final = 25.0
_WARM_UP = 16  # twice the ring's slots: every page was touched once
_SOURCES = 4
_ANSWER_S = 60.0

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
        for pixels in ("bgr24", "i420"):
            for pace, rate_hz in (("flat out", None), ("25/s", PACE_HZ)):
                for way in ways.WAYS:
                    progress(f"round {number + 1} of {rounds}: {pixels}, {pace}, {way}")
                    result = measure(way, pixels, frames, rate_hz)
                    found.setdefault((pixels, pace, way), []).append(result)
    return _report(command, found)


def measure(way: str, pixels: PixelFormat, frames: int, rate_hz: float | None) -> Handover:
    """Send ``frames`` frames to a process of their own; flat out without a rate."""
    layout = Layout(pixels, WIDTH, HEIGHT)
    context = multiprocessing.get_context("spawn")
    ends = ways.open_way(way, layout, context)
    answer, tell = context.Pipe(duplex=False)
    child = context.Process(target=_receive, args=(os.getpid(), way, ends.remote, frames, tell), daemon=True)
    child.start()
    try:
        tell.close()
        _answer_of(answer)  # it is up
        sender_ns = _send(ends.send, layout, frames, rate_hz)
        receiver_ns, latencies_ns = _answer_of(answer)
    finally:
        child.kill()
        child.join()
        child.close()
        answer.close()
        ends.close()
    latency = Figures.of([value / NS_PER_MS for value in latencies_ns])
    return Handover(sender_ns / frames / NS_PER_MS, receiver_ns / frames / NS_PER_MS, latency)


def _answer_of(answer: Connection) -> Any:
    if not answer.poll(_ANSWER_S):
        raise LinkClosed("the receiving process does not answer")
    try:
        return answer.recv()
    except EOFError as error:
        raise LinkClosed("the receiving process is gone") from error


def _send(send: ways.Send, layout: Layout, frames: int, rate_hz: float | None) -> int:
    """CPU time of this process for ``frames`` frames."""
    noise = np.random.default_rng(1)
    sources = [noise.integers(0, 256, layout.size_bytes, np.uint8) for _ in range(_SOURCES)]
    started_ns, begun_ns = SYSTEM_CLOCK.monotonic_ns(), cpu_ns()
    for number in range(frames + _WARM_UP):
        if number == _WARM_UP:
            begun_ns = cpu_ns()
        if rate_hz is not None:
            due_ns = started_ns + round(number / rate_hz * NS_PER_S)
            sleep_s((due_ns - SYSTEM_CLOCK.monotonic_ns()) / NS_PER_S)
        source = sources[number % _SOURCES]
        source[:8].view(np.int64)[0] = SYSTEM_CLOCK.monotonic_ns()
        send(source)
    return cpu_ns() - begun_ns


def _receive(parent: int, way: str, remote: Any, frames: int, tell: Connection) -> None:
    """The other process: CPU time for ``frames`` frames, and the latency of each."""
    die_with_parent(parent)
    receive = ways.receiver_of(way, remote)
    tell.send("up")
    latencies: list[int] = []
    begun_ns = cpu_ns()
    for number in range(frames + _WARM_UP):
        if number == _WARM_UP:
            begun_ns = cpu_ns()
            latencies.clear()
        stamp_ns = receive()
        latencies.append(SYSTEM_CLOCK.monotonic_ns() - stamp_ns)
    tell.send((cpu_ns() - begun_ns, latencies))


def _report(command: str, found: dict[tuple[str, str, str], list[Handover]]) -> Report:
    rows, ratios, data = [], {}, []
    for (pixels, pace, way), results in found.items():
        ring = found[pixels, pace, ways.RING]
        ratio = median([result.cpu_ms / other.cpu_ms for result, other in zip(results, ring, strict=True)])
        if way != ways.RING:
            ratios[f"{pixels}, {pace}: {way} / ring"] = ratio
        middle = _middle(results)
        rows.append(
            (
                f"{pixels}, {pace}, {way}", f"{middle.sender_ms:.3f}", f"{middle.receiver_ms:.3f}",
                f"{middle.cpu_ms:.3f}", f"{ratio:.2f}",
                f"{middle.latency_ms.p50:.2f}", f"{middle.latency_ms.p99:.2f}",
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
        bars=Bars("Handing a 1080p bgr24 frame to another process, 25/s", "CPU ms per frame, both ends", bars),
        notes=("latency flat out includes the wait behind frames that were sent before",),
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
