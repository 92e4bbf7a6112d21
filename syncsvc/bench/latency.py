"""How long from the last frame that a batch waited for until a subscriber has the batch in hand.

Recordings at their own pace make this exact: a frame is decoded before its time and handed over when its time comes or,
where decoding fell behind, when it is decoded: that is its ``arrival_ns``. So the clock starts at the latest arrival
among the frames that the batch waited for: of each stream the first one that its window needs to be closed. From there
on everything counts until ``receive`` returns: waking up, the copy into the ring, both pipes, pairing, publishing, and
the subscriber's own work. Both ends read clocks of the same host.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from syncsvc.bench import clip
from syncsvc.bench.measured_subscriber import Receipt
from syncsvc.bench.report import Bars, BenchReport, fixed
from syncsvc.bench.rounds import BenchRequest, Results, alternate
from syncsvc.bench.running_service import SUBSCRIBERS, serving
from syncsvc.clock import NS_PER_MS, NS_PER_S, sleep_s
from syncsvc.errors import LinkClosed
from syncsvc.observe.figures import Figures, median
from syncsvc.observe.tables import Table

STREAMS: Final = 8
MAX_SKEW_MS: Final = 40
WINDOWS: Final[Mapping[str, int | None]] = {"windows of 1000 ms": 1000, "window_ms: null": None}
AIMS_MS: Final = (2.0, 10.0)
"""Median and 99th percentile with a local subscriber."""
_WARM_UP_S = 12.0


@dataclass(frozen=True, slots=True)
class Delays:
    """One kind of subscriber and window in one round, in milliseconds."""

    needed_ms: Figures
    """From the last frame that a batch waited for."""
    emitted_ms: Figures
    """From ``emitted_ns``, which is read just before the batch is sent."""
    views_ms: Figures
    """What it takes then to have an array of each frame's pixels."""


def run(request: BenchRequest) -> BenchReport:
    """Measure every subscriber with every window, round after round."""
    every = {f"{kind}, {window}": (kind, window) for window in WINDOWS for kind in SUBSCRIBERS}
    meant = request.chosen(every)
    with clip.recording(request.progress) as path:
        write_times(path)
        turns = {label: partial(measure, path, *every[label], request.seconds) for label in meant}
        return report(alternate(turns, request.rounds, request.progress))


def write_times(path: Path, streams: int = STREAMS, frames: int = clip.FRAMES) -> None:
    """Say beside a recording when its frames are due in each stream: spread over the period, as cameras run free."""
    rows = [
        f"cam{stream},{frame},{(frame + stream / streams) / clip.FPS:.6f}\n"
        for stream in range(streams)
        for frame in range(frames)
    ]
    path.with_suffix(".csv").write_text("stream,frame,time_s\n" + "".join(rows), encoding="utf-8")


def measure(path: Path, kind: str, window: str, seconds: float, streams: int = STREAMS) -> Delays:
    """One turn, with the recording and its times.

    Raises:
        LinkClosed: the service refuses the configuration, the subscriber gets nothing, or no batch is complete.
    """
    times = str(path.with_suffix(".csv"))
    stream: dict[str, Any] = {"url": f"file:{path}", "timestamps": times, "clock": "pts", "loop": True}
    names = [f"cam{number}" for number in range(streams)]
    group = {"streams": names, "window_ms": WINDOWS[window], "max_skew_ms": MAX_SKEW_MS}
    with serving(dict.fromkeys(names, stream), kind, {"all": group}, is_watched=True) as served:
        sleep_s(_WARM_UP_S + seconds)
        receipts = served.receipts()
    first_ns = receipts[0].received_ns + round(_WARM_UP_S * NS_PER_S)
    # A window is over when nothing can join its sets any more; a set, when every stream was heard up to its reference.
    margin_ns = 2 * MAX_SKEW_MS * NS_PER_MS if WINDOWS[window] else -1
    found = delays_of(receipts, first_ns, margin_ns)
    if not found.needed_ms.count:
        raise LinkClosed(f"no batch was complete: the machine does not keep up with {streams} streams")
    return found


def delays_of(receipts: Sequence[Receipt], first_ns: int, margin_ns: int) -> Delays:
    """The figures of what a subscriber saw.

    Args:
        receipts: of every batch from the start, so that it is known which frames came.
        first_ns: batches that were in hand before are the warm-up (UTC).
        margin_ns: how far past a window's end each stream must be heard before the batch leaves.
    """
    arrivals = arrivals_of(receipts)
    needed, emitted, views = [], [], []
    for batch in receipts:
        last_ns = last_needed_ns(arrivals, batch.window[1] + margin_ns)
        if not batch.is_complete or batch.received_ns < first_ns or last_ns is None:
            continue
        if batch.emitted_ns >= last_ns:  # else it left at its deadline, and waited for nobody
            needed.append((batch.received_ns - last_ns) / NS_PER_MS)
            emitted.append((batch.received_ns - batch.emitted_ns) / NS_PER_MS)
            views.append(batch.views_ns / NS_PER_MS)
    return Delays(Figures.of(needed), Figures.of(emitted), Figures.of(views))


Arrivals = Mapping[str, Sequence[tuple[int, int]]]


def arrivals_of(receipts: Sequence[Receipt]) -> Arrivals:
    """Capture time and arrival of every frame of each stream, by capture time."""
    found: dict[str, list[tuple[int, int]]] = {}
    for batch in receipts:
        for stream, time_ns, arrival_ns in batch.frames:
            found.setdefault(stream, []).append((time_ns, arrival_ns))
    return {stream: sorted(some) for stream, some in found.items()}


def last_needed_ns(arrivals: Arrivals, time_ns: int) -> int | None:
    """When every stream had been heard up to a capture time; None where one was not until the end."""
    latest = 0
    for some in arrivals.values():
        place = bisect_left(some, (time_ns, 0))
        if place == len(some):
            return None
        latest = max(latest, some[place][1])
    return latest


def report(results: Results[Delays]) -> BenchReport:
    """The report of what was measured."""
    rows, ratios, data = [], {}, {}
    for label, turns in results.found.items():
        needed = [turn.needed_ms for turn in turns]
        middle = results.middle(label, lambda turn: turn.needed_ms.p50)
        p50, p99 = (median([figures.p50 for figures in needed]), median([figures.p99 for figures in needed]))
        worst, sent = max(figures.max for figures in needed), (middle.emitted_ms.p50, middle.emitted_ms.p99)
        batches = str(sum(figures.count for figures in needed))
        rows.append((label, batches, *fixed(2, p50, p99, worst, *sent, middle.views_ms.p50)))
        if label.startswith("local"):
            ratios[f"{label}: p50 / {AIMS_MS[0]:g} ms (aim: 1)"] = p50 / AIMS_MS[0]
            ratios[f"{label}: p99 / {AIMS_MS[1]:g} ms (aim: 1)"] = p99 / AIMS_MS[1]
        data[label] = [{"batches": f.count, "p50_ms": f.p50, "p99_ms": f.p99, "max_ms": f.max} for f in needed]
    title = "From the last frame that a batch waits for to the batch in hand"
    columns = ("subscriber", "batches", "p50 ms", "p99 ms", "max ms", "sent: p50", "p99 ms", "views: p50")
    bars = {row[0]: float(row[2]) for row in rows}
    return BenchReport(
        tables=(Table(title, columns, tuple(rows)),),
        ratios=ratios,
        plot=Bars(title, "ms, median", bars),
        notes=(
            f"{STREAMS} streams of 1080p25, i420, whose frames are due {1000 / clip.FPS / STREAMS:g} ms apart;"
            " median of the rounds, the worst of all; batches that somebody is missing in, or that left at their"
            " deadline, are left out",
            "sent: from emitted_ns, which is read just before the batch is sent; views: what it takes then to have an"
            " array of the pixels of every frame",
            *results.notes(),
        ),
        data={"latency": data},
    )
