"""Two 1080p cameras by the two programs of a much-read article, and by the service: how regular, and how long to get.

A benchmark of its own and not a row of ``transport``: it measures a whole program's cadence in seconds, not the CPU of
one hand-over.
"""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Final

import msgspec

from syncsvc.bench import clip
from syncsvc.bench.article_programs import TimedGet
from syncsvc.bench.report import Bars, BenchReport, fixed
from syncsvc.bench.rounds import BenchRequest, alternate
from syncsvc.bench.running_service import SUBSCRIBERS, serving
from syncsvc.clock import NS_PER_MS, NS_PER_S, sleep_s
from syncsvc.errors import LinkClosed
from syncsvc.observe.figures import Figures, median
from syncsvc.observe.tables import Table
from syncsvc.programs import leashed

PROGRAMS: Final = {"queue of 25-frame lists": "queue", "pipe per frame": "pipe"}
OURS: Final = {f"syncsvc, {kind}": kind for kind in SUBSCRIBERS}
_LOOK_S = 0.001
_END_S = 20.0
_FIRST_SKIPPED = 2
"""Deliveries: programs and service start up."""


@dataclass(frozen=True, slots=True)
class Cadence:
    """Seconds between deliveries of both cameras' frames, and milliseconds until they were got."""

    interval_s: Figures
    least_interval_s: float
    get_ms: Figures
    """The calls that return the frames of both cameras, without the wait for one to be there where that is known."""


def run(request: BenchRequest) -> BenchReport:
    """Run each once; the article's queues may fill memory meanwhile, some 200 MB a second."""
    meant = request.chosen([*PROGRAMS, *OURS])
    with clip.recording(request.progress) as path:
        turns = {label: partial(measure, path, label, request.seconds) for label in meant}
        results = alternate(turns, 1, request.progress)
    return report({label: found for label, (found,) in results.found.items()}, results.notes())


def measure(path: Path, label: str, seconds: float) -> Cadence:
    """One of them.

    Raises:
        LinkClosed: it did not deliver twice after its start.
    """
    return _program(path, PROGRAMS[label], seconds) if label in PROGRAMS else _service(path, OURS[label], seconds)


@contextmanager
def program(path: Path, which: str) -> Iterator["subprocess.Popen[bytes]"]:
    """One of the article's programs while the block lasts; its standard output has a ``TimedGet`` per line."""
    words = ["-m", "syncsvc.bench.article_programs", which, str(path)]
    with leashed(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(_END_S)


def _program(path: Path, which: str, seconds: float) -> Cadence:
    with program(path, which) as process:
        sleep_s(seconds)
        process.terminate()
        output, _ = process.communicate(timeout=_END_S)
    found = [msgspec.json.decode(line, type=TimedGet) for line in output.split(b"\n")[:-1]]
    return cadence([one.at_ns for one in found], [one.first_ns + one.second_ns for one in found])


def _service(path: Path, kind: str, seconds: float) -> Cadence:
    stream = {"url": f"file:{path}", "loop": True, "pixels": "bgr24"}  # what OpenCV gives the others
    with serving({"left": stream, "right": stream}, kind, is_watched=True, poll_s=_LOOK_S) as served:
        sleep_s(seconds)
        receipts = served.receipts()
    return cadence([one.received_ns for one in receipts], [one.call_ns + one.views_ns for one in receipts])


def cadence(at_ns: Sequence[int], got_ns: Sequence[int]) -> Cadence:
    """The figures of deliveries, without the first ones.

    Raises:
        LinkClosed: there are not two of them.
    """
    at_ns, got_ns = at_ns[_FIRST_SKIPPED:], got_ns[_FIRST_SKIPPED:]
    intervals = [(later - earlier) / NS_PER_S for earlier, later in pairwise(at_ns)]
    if not intervals:
        raise LinkClosed(f"only {len(at_ns) + _FIRST_SKIPPED} deliveries came")
    return Cadence(Figures.of(intervals), min(intervals), Figures.of([got / NS_PER_MS for got in got_ns]))


def report(found: Mapping[str, Cadence], notes: Sequence[str]) -> BenchReport:
    """The report of what was measured."""
    rows = [
        (
            label,
            str(one.interval_s.count),
            *fixed(3, one.interval_s.p50),
            "..".join(fixed(3, one.least_interval_s, one.interval_s.max)),
            *fixed(3, one.get_ms.p50, one.get_ms.max),
        )
        for label, one in found.items()
    ]
    ours = [one for label, one in found.items() if label in OURS]
    ratios = {
        f"get: {label} / syncsvc": one.get_ms.p50 / median([other.get_ms.p50 for other in ours])
        for label, one in found.items()
        if label in PROGRAMS and ours
    }
    data = {
        label: {
            "interval_s": msgspec.to_builtins(one.interval_s) | {"min": one.least_interval_s},
            "get_ms": msgspec.to_builtins(one.get_ms),
        }
        for label, one in found.items()
    }
    columns = ("program", "intervals", "interval s", "least..most", "get ms", "most")
    bars = {label: one.get_ms.p50 for label, one in found.items()}
    return BenchReport(
        tables=(Table("Two 1080p25 cameras, a second of both at a time", columns, tuple(rows)),),
        ratios=ratios,
        plot=Bars("Getting a second of two 1080p cameras", "ms", bars, True),
        notes=(
            "the pictures are bgr24 arrays in every row; aim: 1.000 s +- 20 ms, less than 1 ms to get",
            "get: both calls that return the frames. The queue program's first call also waits for the list to be full,"
            " as in the article; the service's is the call that had a batch to return, and the views of all its pixels",
            *notes,
        ),
        data={"article": data},
    )
