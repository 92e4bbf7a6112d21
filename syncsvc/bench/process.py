"""Filters over 1080p pictures: one after the other, by ``multiprocessing`` as a much-read article has it, by FramePool.

Every way has its turn in each round, in a process of its own, whose children are looked at for their memory.
"""

import os
import subprocess
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from syncsvc.bench.pool_ways import WayCost
from syncsvc.bench.report import Bars, BenchReport, fixed
from syncsvc.bench.rounds import BenchRequest, Results, alternate
from syncsvc.clock import sleep_s
from syncsvc.errors import LinkClosed
from syncsvc.observe.tables import Table
from syncsvc.programs import leashed

WAYS: Final[Mapping[str, tuple[str, str]]] = {
    "sequential": ("alone", "map"),
    "Pool.map": ("theirs", "map"),
    "Pool.starmap": ("theirs", "starmap"),
    "Pool.apply_async": ("theirs", "apply_async"),
    "Pool.map, partial": ("theirs", "partial"),
    "Pool.map, a filter each": ("theirs", "filters"),
    "Pool.starmap, multiprocessing.Array in chunks": ("theirs", "chunks"),
    "FramePool.map": ("ours", "map"),
    "FramePool.starmap": ("ours", "starmap"),
    "FramePool.apply_async": ("ours", "apply_async"),
    "FramePool.map, partial": ("ours", "partial"),
    "FramePool.starmap, a filter each": ("ours", "filters"),
    "FramePool.bands": ("ours", "chunks"),
    "FramePool.map, pictures in shared memory": ("ours", "lent"),
    "Pool.map, nothing done": ("theirs", "nothing"),
    "FramePool.map, nothing done": ("ours", "nothing"),
    "FramePool.map, nothing done, pictures in shared memory": ("ours", "nothing-lent"),
}
_ALONE, _HANDED, _OURS = "sequential", "Pool.map, nothing done", "FramePool.map, nothing done"
_LENT = f"{_OURS}, pictures in shared memory"
_LOOK_S: Final = 0.05
_LIMIT_S: Final = 600.0


class WayTurn(msgspec.Struct, frozen=True):
    """One turn, and the most memory that all its processes had together at any look."""

    cost: WayCost
    peak_bytes: int


def run(request: BenchRequest) -> BenchReport:
    """Measure; ``frames`` is how many pictures a turn has."""
    workers = len(os.sched_getaffinity(0))
    meant = request.chosen(WAYS)
    turns = {label: partial(turn, *WAYS[label], request.frames, workers) for label in meant}
    return report(alternate(turns, request.rounds, request.progress), request.frames, workers)


def turn(kind: str, way: str, pictures: int, workers: int) -> WayTurn:
    """One way's turn, in a process of its own.

    Raises:
        LinkClosed: it ended with an error; the message has its last words.
    """
    words = ["-m", "syncsvc.bench.pool_ways", kind, way, str(pictures), str(workers)]
    peak_bytes, left_s = 0, _LIMIT_S
    with leashed(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while process.poll() is None and left_s > 0:
            peak_bytes = max(peak_bytes, sum(map(_proportional_bytes, _tree(process.pid))))
            sleep_s(_LOOK_S)
            left_s -= _LOOK_S
        process.kill()
        output, errors = process.communicate()
    if process.returncode != 0:
        last = errors.decode(errors="replace").rstrip().rpartition("\n")[2]
        raise LinkClosed(f"{kind} {way} ended with {process.returncode}: {last}")
    return WayTurn(msgspec.json.decode(output.rstrip().rpartition(b"\n")[2], type=WayCost), peak_bytes)


def _tree(pid: int) -> Iterator[int]:
    """A process and all its descendants."""
    yield pid
    try:
        lists = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:  # it has ended
        return
    for child in " ".join(lists).split():
        yield from _tree(int(child))


def _proportional_bytes(pid: int) -> int:
    """Its memory; what it shares with others counts in parts, so that the sum of all counts everything once."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def report(results: Results[WayTurn], pictures: int, workers: int) -> BenchReport:
    """The report of what was measured."""
    found = {label: results.middle(label, lambda one: one.cost.wall_ms) for label in results.found}
    rows = tuple(
        (
            label,
            *fixed(2, one.cost.wall_ms, one.cost.cpu_ms),
            *fixed(0, one.peak_bytes / 2**20),
            *fixed(2, one.cost.start_s),
        )
        for label, one in found.items()
    )
    data = {label: msgspec.to_builtins(one) for label, one in found.items()}
    columns = ("way", "ms a picture", "CPU ms", "peak MiB", "start s")
    return BenchReport(
        tables=(Table(f"{pictures} 1080p pictures, {workers} workers", columns, rows),),
        ratios=_ratios(results, workers),
        plot=Bars("A 1080p picture through a filter", "ms", {label: one.cost.wall_ms for label, one in found.items()}),
        notes=(
            "ms, CPU: per picture that was made, of all processes together, after their start; one thread in each",
            "peak: of all processes together, shared memory once; all pictures and all results are held in every row",
            "aims: hand-over <= 0.1 of the CPU of Pool.map; all workers within 10 % of the ideal",
            "ideal: one after the other, by the number of workers; to be had where nothing else runs",
            *results.notes(),
        ),
        data={"process": data},
    )


def _ratios(results: Results[WayTurn], workers: int) -> dict[str, float]:
    found: dict[str, float] = {}
    for label in (_OURS, _LENT):
        ratio = results.ratio(label, _HANDED, lambda one: one.cost.cpu_ms)
        if ratio is not None:
            found[f"CPU: {label} / {_HANDED} (aim: 0.1)"] = ratio
    for label in ("FramePool.map", "FramePool.map, pictures in shared memory", "Pool.map"):
        ratio = results.ratio(label, _ALONE, lambda one: one.cost.wall_ms)
        if ratio is not None:
            found[f"time: {label} / ideal of {workers} workers (aim: 1.1)"] = ratio * workers
    for label in ("FramePool.map", "Pool.map"):
        ratio = results.ratio(label, _ALONE, lambda one: one.cost.cpu_ms)
        if ratio is not None:
            found[f"CPU: {label} / {_ALONE} (aim: 1.1)"] = ratio
    return found
