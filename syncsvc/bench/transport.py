"""What it costs to hand a 1080p frame to another process, both ends: the shared ring beside what others use."""

from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Final

from syncsvc.bench import clip, pipeline, ways
from syncsvc.bench.child_answers import answer_of
from syncsvc.bench.handover import HandoverCost
from syncsvc.bench.report import Bars, BenchReport, fixed
from syncsvc.bench.rounds import BenchRequest, Results, alternate
from syncsvc.bench.running_service import SUBSCRIBER, SUBSCRIBERS, serving
from syncsvc.layout import PixelFormat
from syncsvc.observe.figures import Figures
from syncsvc.observe.tables import Table

PACES: Final = {"flat out": 0.0, "25/s": 25.0}
FORMATS: Final[tuple[PixelFormat, ...]] = ("bgr24", "i420")
AIM_MS: Final = 0.05
"""CPU per frame for a hand-over without the copy, and for a local subscriber to hold the pixels: at most."""
_TURN_S = 120.0
_BOTH, _RECEIVER = attrgetter("cpu_ms"), attrgetter("receiver_ms")


@dataclass(frozen=True, slots=True)
class LoadedWay:
    """One way under one load."""

    pixels: PixelFormat
    pace: str
    way: str

    @property
    def label(self) -> str:
        """How rows are named."""
        return f"{self.pixels}, {self.pace}, {self.way}"

    def beside(self, way: str) -> "LoadedWay":
        """Another way under the same load."""
        return LoadedWay(self.pixels, self.pace, way)


def loaded_ways() -> list[LoadedWay]:
    """Every way that is installed, under every load that it can carry."""
    return [LoadedWay(pixels, pace, way) for pixels in FORMATS for pace in PACES for way in ways.available(pixels)]


def run(request: BenchRequest) -> BenchReport:
    """Measure every way in turn, round after round, flat out and at 25 frames a second, and subscribers of the service.

    Our ring and the plain copy are measured beside each that is meant.
    """
    every = loaded_ways()
    subscribers = {f"{SUBSCRIBER}, {kind}": kind for kind in SUBSCRIBERS}
    wanted = set(request.chosen([*(one.label for one in every), *subscribers]))
    meant = [one for one in every if one.label in wanted]
    measured = dict.fromkeys(other for one in meant for other in (one.beside(ways.COPY), one.beside(ways.RING), one))
    turns = {one.label: partial(measure, one.way, one.pixels, request.frames, PACES[one.pace]) for one in measured}
    found = alternate(turns, request.rounds, request.progress)
    served = _subscribers([kind for label, kind in subscribers.items() if label in wanted], request)
    return report(list(measured), found, served)


def measure(way: str, pixels: PixelFormat, frames: int, rate_hz: float) -> HandoverCost:
    """One turn of a way, in two processes of its own; flat out where ``rate_hz`` is 0.

    Raises:
        LinkClosed: one of them ended.
    """
    limit_s = _TURN_S + (frames / rate_hz if rate_hz else 0)
    return answer_of("handing over", "handover", (way, pixels, frames, rate_hz), HandoverCost, limit_s)


def _subscribers(kinds: list[str], request: BenchRequest) -> Results[HandoverCost]:
    """What it costs a subscriber of the service to hold the pixels of a 1080p25 recording, by how it subscribes."""
    if not kinds:
        return Results({}, {})
    with clip.recording(request.progress, 2 * clip.FPS) as path:
        turns = {kind: partial(subscriber, path, kind, request.frames / clip.FPS) for kind in kinds}
        return alternate(turns, request.rounds, request.progress)


def subscriber(path: Path, kind: str, seconds: float) -> HandoverCost:
    """One turn of a subscriber: its own CPU as the receiver's, the service's receiver process as the sender's."""
    streams = {pipeline.STREAM: {"url": f"file:{path}", "loop": True}}
    with serving(streams, kind) as served:
        usage = pipeline.usage_of(served, seconds)
    return HandoverCost(usage.cpu_ms["receiver"], usage.cpu_ms[SUBSCRIBER], Figures())


def report(measured: list[LoadedWay], found: Results[HandoverCost], served: Results[HandoverCost]) -> BenchReport:
    """The report of what was measured."""
    rows, data = [], []
    ratios: dict[str, float] = {}
    for one in (one for one in measured if one.label in found.found):
        results = found.found[one.label]
        ratio = found.ratio(one.label, one.beside(ways.RING).label, _BOTH)
        copies = found.ratio(one.label, one.beside(ways.COPY).label, _BOTH)
        middle = found.middle(one.label, _BOTH)
        latency = (middle.latency_ms.p50, middle.latency_ms.p99) if middle.latency_ms.count else (None, None)
        cpu = fixed(3, middle.sender_ms, middle.receiver_ms, middle.cpu_ms)
        rows.append((one.label, *cpu, *fixed(2, ratio, copies, *latency)))
        ratios |= _headlines(one, middle, ratio, copies)
        data.append({"contestant": one.label, "ratio": ratio, "rounds": [_plain(result) for result in results]})
    tables = [Table("CPU per 1080p frame (median round), and latency", _COLUMNS, tuple(rows))]
    if served.found:
        middles = {kind: served.middle(kind, _RECEIVER) for kind in served.found}
        tables.append(
            Table(
                "A subscriber of the service that holds the pixels (1080p25, i420)",
                ("subscriber", "its CPU ms per frame", "the service's receiver ms"),
                tuple((kind, *fixed(3, one.receiver_ms, one.sender_ms)) for kind, one in middles.items()),
            )
        )
        if "local" in middles:
            ratios[f"subscriber, local / {AIM_MS} ms (aim: 1)"] = middles["local"].receiver_ms / AIM_MS
        dearer = served.ratio("tcp", "local", _RECEIVER)
        if dearer is not None:
            ratios["subscriber, tcp / local (aim: 20)"] = dearer
        data += [
            {"contestant": f"{SUBSCRIBER}, {kind}", "rounds": [_plain(result) for result in results]}
            for kind, results in served.found.items()
        ]
    bars = {
        one.way: found.middle(one.label, _BOTH).cpu_ms
        for one in measured
        if (one.pixels, one.pace) == ("bgr24", "flat out") and one.way != ways.PACING and one.label in found.found
    }
    return BenchReport(
        tables=tuple(tables),
        ratios=ratios,
        plot=Bars(
            "Handing a 1080p bgr24 frame to another process", "CPU ms per frame, both ends, flat out", bars, True
        ),
        notes=_NOTES + found.notes() + served.notes() + _absent_peers(),
        data={"transport": data},
    )


_COLUMNS: Final = ("way", "sender ms", "receiver ms", "CPU ms", "/ ring", "/ copy", "latency p50", "p99 ms")
_NOTES: Final = (
    "copy alone: the one copy into a ring without any hand-over, which bounds what the ring can cost",
    "hand-over alone: the ring without that copy; pacing alone: waking up 25 times a second, and nothing else",
    "latency flat out includes the wait behind frames that were sent before",
)


def _headlines(one: LoadedWay, middle: HandoverCost, ratio: float | None, copies: float | None) -> dict[str, float]:
    """What is printed below the tables of one way."""
    if one.way in (ways.COPY, ways.PACING):
        return {}
    if one.way == ways.RING:
        return {} if copies is None else {f"{one.label} / copy alone (aim: 1.3)": copies}
    if one.way == ways.HAND_OVER:
        return {f"{one.label} / {AIM_MS} ms (aim: 1)": middle.cpu_ms / AIM_MS}
    return {} if ratio is None else {f"{one.label} / ring": ratio}


def _absent_peers() -> tuple[str, ...]:
    packages = sorted({package for way in ways.WAYS.values() if (package := ways.absent(way))})
    told = f"not installed, so not measured: {', '.join(packages)}; pip install 'syncsvc[bench]' brings them"
    return (told,) if packages else ()


def _plain(result: HandoverCost) -> dict[str, float]:
    return {
        "sender_ms": result.sender_ms,
        "receiver_ms": result.receiver_ms,
        "latency_p50_ms": result.latency_ms.p50,
        "latency_p99_ms": result.latency_ms.p99,
    }
