"""What the whole service costs per frame beside bare decoding of the same file, in the same run."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from syncsvc.bench import clip
from syncsvc.bench.bare import Decoded
from syncsvc.bench.child_answers import answer_of
from syncsvc.bench.cpu_usage import Usage, metered
from syncsvc.bench.report import Bars, BenchReport, fixed
from syncsvc.bench.rounds import BenchRequest, Results, alternate
from syncsvc.bench.running_service import NOBODY, START_S, SUBSCRIBER, SUBSCRIBERS, RunningService, serving, wait_until
from syncsvc.clock import NS_PER_MS, NS_PER_S, sleep_s
from syncsvc.observe.figures import median
from syncsvc.observe.tables import Table

STREAM, CAPTURE = "clip", "capture clip"
PARTS: Final = ("daemon", "receiver", "nursery", CAPTURE)
"""The processes that count; the subscriber's CPU is its own."""
PACES: Final = ("asap", "realtime")
BARE: Final = "bare decoding"
AIMS: Final = {"i420": 1.10, "bgr24": 1.10, "encoded": 0.10}
"""At most, with a local subscriber, times bare decoding (``bgr24``: times bare decoding and conversion)."""
CODED_AIM_MS: Final = 0.05
"""CPU per frame that coded pictures beside the decoded ones cost, at most."""
_BARE_SKIP = 25
_TOTAL = attrgetter("total_ms")
_WARM_UP_FRAMES = 400
"""Every page of the ring, of the longer one that a local subscriber gets, of buffers and decoder was touched."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of the service, or of bare decoding where nobody is named; payloads are ``pixels``.

    ``coded``: the recording's own coded pictures are handed on beside them.
    """

    pace: str
    pixels: str
    subscriber: str = ""
    coded: bool = False

    @property
    def label(self) -> str:
        """How rows are named."""
        if self.subscriber:
            return f"{self.pace}, {self.pixels}{' and coded' if self.coded else ''}, {self.subscriber}"
        return f"{self.pace}, {BARE}{' and conversion' if self.pixels == 'bgr24' else ''}"

    @property
    def base(self) -> "Load":
        """The bare decoding that it is compared to."""
        return Load(self.pace, "bgr24" if self.pixels == "bgr24" else "i420")


@dataclass(frozen=True, slots=True)
class LoadCost:
    """One load in one round: CPU per frame, in total and by process."""

    total_ms: float
    parts_ms: Mapping[str, float]
    fps: float


def loads() -> list[Load]:
    """Every load of the service: all subscribers with i420, the leanest ones with the other payloads.

    What coded pictures cost beside the decoded ones is what the captures do for them, whoever takes them.
    """
    subscribers = {"i420": (NOBODY, *SUBSCRIBERS), "bgr24": ("local",), "jpeg": ("local",), "encoded": ("ipc", "local")}
    return [
        Load(pace, pixels, subscriber, coded)
        for pace in PACES
        for pixels, some in subscribers.items()
        for subscriber in some
        for coded in ((False, True) if (pixels, subscriber) == ("i420", NOBODY) else (False,))
    ]


def run(request: BenchRequest) -> BenchReport:
    """Alternate bare decoding and the service under its loads, at full speed and at 25 fps."""
    wanted = set(request.chosen(load.label for load in loads()))
    meant = [load for load in loads() if load.label in wanted]
    bases = dict.fromkeys(load.base for load in meant)
    with clip.recording(request.progress) as path:
        turns = {load.label: partial(measure, path, load, request.seconds) for load in (*bases, *meant)}
        results = alternate(turns, request.rounds, request.progress)
        return report(meant, results, path.stat().st_size)


def measure(path: Path, load: Load, seconds: float) -> LoadCost:
    """One turn, measured for so long.

    Raises:
        LinkClosed: a process of it ended, did not get going, or refused what was asked.
    """
    return _service(path, load, seconds) if load.subscriber else _bare(path, load, seconds)


def _bare(path: Path, load: Load, seconds: float) -> LoadCost:
    rate = clip.FPS if load.pace == "realtime" else 0
    frames = max(1, round(seconds * (rate or 4 * clip.FPS)))
    words = (path, rate, _BARE_SKIP, frames, load.pixels)
    found = answer_of("bare decoding", "bare", words, Decoded, START_S + 10 * seconds)
    return LoadCost(found.cpu_ns / NS_PER_MS / found.frames, {}, found.frames * NS_PER_S / found.took_ns)


def _service(path: Path, load: Load, seconds: float) -> LoadCost:
    stream: dict[str, Any] = {"url": f"file:{path}", "pace": load.pace, "loop": True, "pixels": load.pixels}
    stream |= {"coded": True} if load.coded else {}
    with serving({STREAM: stream}, load.subscriber) as served:
        usage = usage_of(served, seconds)
    return LoadCost(sum(usage.cpu_ms[part] for part in PARTS), usage.cpu_ms, usage.fps)


def usage_of(served: RunningService, seconds: float) -> Usage:
    """CPU per frame of all processes over so long, after the warm-up; the stream is the one named ``STREAM``."""
    wait_until(lambda: CAPTURE in served.daemon.pids(), "the capture of the recording")
    with metered(served.pids(), STREAM) as read:
        wait_until(lambda: read().frames >= _WARM_UP_FRAMES, "the first frames of the recording")
        before = read()
        sleep_s(seconds)
        return Usage.between(before, read())


def report(meant: list[Load], results: Results[LoadCost], size_bytes: int) -> BenchReport:
    """The report of what was measured."""
    rows, ratios, bars, data = [], {}, {}, []
    for load in (*dict.fromkeys(load.base for load in meant), *meant):
        if load.label not in results.found:
            continue
        turns = results.found[load.label]
        each = results.ratios(load.label, load.base.label, _TOTAL)
        parts = {part: median([turn.parts_ms[part] for turn in turns]) for part in turns[0].parts_ms}
        total_ms = median([turn.total_ms for turn in turns])
        ratio = median(each) if each else None
        if load.subscriber and ratio is not None:
            aim = f" (aim: {AIMS[load.pixels]:.2f})" if load.subscriber == "local" and load.pixels in AIMS else ""
            ratios[f"{load.label} / {load.base.label}{aim}"] = ratio
        bars[load.label] = total_ms
        fps, shown = fixed(1, median([turn.fps for turn in turns])), (parts.get(part) for part in (*PARTS, SUBSCRIBER))
        span = "..".join(fixed(3, min(each), max(each))) if each else ""
        rows.append((load.label, *fps, *fixed(3, total_ms, *shown, ratio), span))
        rounds = [{"cpu_ms": turn.total_ms, "fps": turn.fps, **turn.parts_ms} for turn in turns]
        data.append({"load": load.label, "cpu_ms": total_ms, "ratio": ratio, "rounds": rounds})
    colder = results.ratio(Load("realtime", "i420").label, Load("asap", "i420").label, _TOTAL)
    if colder is not None:
        ratios["pacing alone: bare at 25 fps / bare at full speed"] = colder
    ratios |= _beside(results)
    columns = ("load", "fps", "CPU ms", "daemon", "receiver", "nursery", "capture", "(subscriber)", "/ bare", "rounds")
    mbit = size_bytes * 8 / 1e6 / (clip.FRAMES / clip.FPS)
    return BenchReport(
        tables=(Table("CPU per 1080p frame (median of the rounds)", columns, tuple(rows)),),
        ratios=ratios,
        plot=Bars("The whole service and bare decoding", "CPU ms per 1080p frame", bars),
        notes=(
            f"recording: {clip.FRAMES} frames, {mbit:.1f} Mbit/s; the subscriber's own CPU is not counted",
            "bgr24 is compared to bare decoding and conversion, the others to bare decoding",
            *results.notes(),
        ),
        data={"pipeline": data},
    )


def _beside(results: Results[LoadCost]) -> dict[str, float]:
    """What coded pictures beside the decoded ones cost: times the same without them, and in milliseconds of the aim."""
    ratios = {}
    for pace in PACES:
        alone, both = Load(pace, "i420", NOBODY), Load(pace, "i420", NOBODY, coded=True)
        ratio = results.ratio(both.label, alone.label, _TOTAL)
        if ratio is not None:
            pairs = zip(results.found[both.label], results.found[alone.label], strict=False)
            more_ms = median([one.total_ms - other.total_ms for one, other in pairs])
            ratios[f"{both.label} / {alone.label}"] = ratio
            ratios[f"{both.label}, beside that / {CODED_AIM_MS} ms (aim: 1)"] = more_ms / CODED_AIM_MS
    return ratios
