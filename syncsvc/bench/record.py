"""What recording costs per 1080p frame: `syncsvc record` beside PyAV's bare remuxing, and decoding and encoding."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from syncsvc.bench import clip
from syncsvc.bench.child_answers import answer_of
from syncsvc.bench.remuxing import Remuxed
from syncsvc.bench.report import Bars, BenchReport, fixed
from syncsvc.bench.rounds import BenchRequest, Results, alternate
from syncsvc.bench.running_service import NOBODY, START_S, serving, wait_until
from syncsvc.clock import NS_PER_MS, cpu_ns_of, sleep_s
from syncsvc.observe.figures import median
from syncsvc.observe.tables import Table
from syncsvc.programs import leashed

STREAMS: Final = 4
BARE, ENCODING = "PyAV: bare remux", "PyAV: decode and encode"
COPIED, BESIDE = "syncsvc record: encoded", "syncsvc record: coded beside pixels"
AIM_MS: Final = 0.05
_PAYLOADS: Final[dict[str, dict[str, Any]]] = {COPIED: {"pixels": "encoded"}, BESIDE: {"coded": True}}
_HOW: Final = {BARE: "remux", ENCODING: "encode"}
_WARM_UP: Final = 2 * STREAMS * clip.FPS
"""Lines of ``times.csv`` before it is measured: every stream has its file."""
_QUIET_S: Final = 0.3
"""A batch comes once a second: when no line came for so long, those of the last one are all written."""


@dataclass(frozen=True, slots=True)
class RecordingCost:
    """CPU of one way in one round, per frame."""

    frames: int
    cpu_ms: float


def run(request: BenchRequest) -> BenchReport:
    """Let each way have its turn, in rounds.

    Raises:
        UsageError: ``only`` names no row.
    """
    chosen = request.chosen([*_HOW, *_PAYLOADS])
    meant = dict.fromkeys([BARE, *chosen])
    with clip.recording(request.progress) as path:
        turns: dict[str, Callable[[], RecordingCost]] = {
            label: partial(compared, path, _HOW[label], request.seconds)
            if label in _HOW
            else partial(recorded, path, _PAYLOADS[label], request.seconds)
            for label in meant
        }
        return report(alternate(turns, request.rounds, request.progress))


def compared(path: Path, how: str, seconds: float) -> RecordingCost:
    """PyAV in a process of its own, which gets as many pictures a second as a recorder does; coding, of one stream."""
    rate = clip.FPS if how == "encode" else STREAMS * clip.FPS
    words = (path, how, round(rate * seconds), rate)
    found = answer_of(how, "remuxing", words, Remuxed, START_S + 10 * seconds)
    return RecordingCost(found.frames, found.cpu_ns / NS_PER_MS / found.frames)


def recorded(path: Path, payload: dict[str, Any], seconds: float) -> RecordingCost:
    """``syncsvc record`` of a service that plays the recording as several cameras; its whole process counts.

    Raises:
        LinkClosed: nothing was recorded in time.
    """
    stream = {"url": f"file:{path}", "loop": True, **payload}
    streams = {f"camera-{number}": stream for number in range(STREAMS)}
    with (
        serving(streams, NOBODY) as served,
        tempfile.TemporaryDirectory(prefix="syncsvc-bench-") as folder,
        leashed(["-m", "syncsvc", "record", served.daemon.live, folder]) as process,
    ):
        times = Path(folder, "times.csv")
        wait_until(lambda: _lines(times) >= _WARM_UP, "the first pictures")
        before, before_ns = _settled(times), cpu_ns_of(process.pid)
        sleep_s(seconds)
        after, after_ns = _settled(times), cpu_ns_of(process.pid)
    frames = max(1, after - before)
    return RecordingCost(frames, (after_ns - before_ns) / NS_PER_MS / frames)


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _settled(path: Path) -> int:
    """How many lines there are, once no more come for a moment."""
    seen, found = -1, _lines(path)
    while found != seen:
        sleep_s(_QUIET_S)
        seen, found = found, _lines(path)
    return found


def report(results: Results[RecordingCost]) -> BenchReport:
    """The report of what was measured."""
    cost_ms = {label: median([turn.cpu_ms for turn in turns]) for label, turns in results.found.items()}
    rows = []
    for label, turns in results.found.items():
        each = results.ratios(label, BARE, lambda one: one.cpu_ms)
        span = "..".join(fixed(2, min(each), max(each))) if each else ""
        ratio = median(each) if each else None
        rows.append((label, str(sum(one.frames for one in turns)), *fixed(4, cost_ms[label]), *fixed(2, ratio), span))
    ratios = {}
    for label in _PAYLOADS:
        more = results.ratio(label, BARE, lambda one: one.cpu_ms)
        less = results.ratio(ENCODING, label, lambda one: one.cpu_ms)
        if more is not None:
            ratios[f"{label} / {BARE}"] = more
            ratios[f"{label} / {AIM_MS} ms (aim: <= 1)"] = cost_ms[label] / AIM_MS
        if less is not None:
            ratios[f"{ENCODING} / {label}"] = less
    columns = ("way", "frames", "CPU ms", f"/ {BARE}", "rounds")
    return BenchReport(
        tables=(Table("CPU per 1080p frame (median of the rounds)", columns, tuple(rows)),),
        ratios=ratios,
        plot=Bars("Recording a 1080p frame", "CPU ms", cost_ms, True),
        notes=(
            f"syncsvc record: {STREAMS} cameras of {clip.FPS} a second in one process, from the service's messages to"
            " pictures, times, sets and headers on the disk, once a second",
            "PyAV: from a file to a file, a second's pictures at a time, and nothing beside them",
            *results.notes(),
        ),
        data={"record": msgspec.to_builtins(results.found)},
    )
