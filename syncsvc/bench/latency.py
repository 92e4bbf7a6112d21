"""How long from the last frame that a batch waited for until a subscriber has the batch in hand.

Recordings at their own pace make this exact: a frame is decoded before its time and handed over when its time comes or,
where decoding fell behind, when it is decoded: that is its ``arrival_ns``. So the clock starts at the latest arrival
among the frames that the batch waited for: of each stream the first one that its window needs to be closed. From there
on everything counts until ``receive`` returns: waking up, the copy into the ring, both pipes, pairing, publishing, and
the subscriber's own work. Both ends read clocks of the same host.
"""

import tempfile
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from syncsvc.bench import clip
from syncsvc.bench.reader import Seen
from syncsvc.bench.report import Bars, Report, Table
from syncsvc.bench.rounds import Progress, Results, alternate, chosen
from syncsvc.bench.served import SUBSCRIBERS, serving
from syncsvc.clock import NS_PER_MS, NS_PER_S, sleep_s
from syncsvc.errors import LinkClosed
from syncsvc.observe.figures import Figures, median

STREAMS: Final = 8
MAX_SKEW_MS: Final = 40
WINDOWS: Final[Mapping[str, int | None]] = {"windows of 1000 ms": 1000, "window_ms: null": None}
AIMS_MS: Final = (2.0, 10.0)
"""Median and 99th percentile with a local subscriber."""
_CLIP_FRAMES = 10 * clip.FPS
_WARM_UP_S = 12.0


@dataclass(frozen=True, slots=True)
class Turn:
    """One kind of subscriber and window in one round, in milliseconds."""

    needed_ms: Figures
    """From the last frame that a batch waited for."""
    emitted_ms: Figures
    """From ``emitted_ns``, which is read just before the batch is sent."""
    views_ms: Figures
    """What it takes then to have an array of each frame's pixels."""


def run(command: str, rounds: int, seconds: float, progress: Progress, only: str | None = None) -> Report:
    """Measure every subscriber with every window, round after round.

    Args:
        command: to reproduce the figures with.
        rounds: how often each has its turn.
        seconds: how long each turn is, after its warm-up.
        progress: is told what is done now.
        only: words of the rows that are meant; None means all.
    """
    every = {f"{kind}, {window}": (kind, window) for window in WINDOWS for kind in SUBSCRIBERS}
    meant = chosen(every, only)
    with tempfile.TemporaryDirectory(prefix="syncsvc-bench-") as folder:
        progress("making a recording")
        write_recordings(Path(folder))
        turns = {label: partial(measure, Path(folder), *every[label], seconds) for label in meant}
        return report(command, alternate(turns, rounds, progress))


def write_recordings(folder: Path, streams: int = STREAMS, frames: int = _CLIP_FRAMES) -> None:
    """The clip, and when its frames are due in each stream: cameras run free, so they are spread over the period."""
    clip.make(folder / "clip.mp4", frames)
    rows = [
        f"cam{stream},{frame},{(frame + stream / streams) / clip.FPS:.6f}\n"
        for stream in range(streams)
        for frame in range(frames)
    ]
    (folder / "times.csv").write_text("stream,frame,time_s\n" + "".join(rows), encoding="utf-8")


def measure(folder: Path, kind: str, window: str, seconds: float, streams: int = STREAMS) -> Turn:
    """One turn.

    Raises:
        LinkClosed: the service refuses the configuration, the subscriber gets nothing, or no batch is complete.
    """
    stream: dict[str, Any] = {
        "url": f"file:{folder}/clip.mp4",
        "timestamps": f"{folder}/times.csv",
        "clock": "pts",
        "loop": True,
    }
    names = [f"cam{number}" for number in range(streams)]
    group = {"streams": names, "window_ms": WINDOWS[window], "max_skew_ms": MAX_SKEW_MS}
    with serving(dict.fromkeys(names, stream), kind, {"all": group}, is_watched=True) as served:
        sleep_s(_WARM_UP_S + seconds)
        seen = served.seen()
    first_ns = seen[0].received_ns + round(_WARM_UP_S * NS_PER_S)
    # A window is over when nothing can join its sets any more; a set, when every stream was heard up to its reference.
    margin_ns = 2 * MAX_SKEW_MS * NS_PER_MS if WINDOWS[window] else -1
    found = turn_of(seen, first_ns, margin_ns)
    if not found.needed_ms.count:
        raise LinkClosed(f"no batch was complete: the machine does not keep up with {streams} streams")
    return found


def turn_of(seen: Sequence[Seen], first_ns: int, margin_ns: int) -> Turn:
    """The figures of what a subscriber saw.

    Args:
        seen: every batch from the start, so that it is known which frames came.
        first_ns: batches that were in hand before are the warm-up (UTC).
        margin_ns: how far past a window's end each stream must be heard before the batch leaves.
    """
    arrivals = arrivals_of(seen)
    needed, emitted, views = [], [], []
    for batch in seen:
        last_ns = last_needed_ns(arrivals, batch.window[1] + margin_ns)
        if batch.is_complete and batch.received_ns >= first_ns and last_ns is not None:
            needed.append((batch.received_ns - last_ns) / NS_PER_MS)
            emitted.append((batch.received_ns - batch.emitted_ns) / NS_PER_MS)
            views.append(batch.views_ns / NS_PER_MS)
    return Turn(Figures.of(needed), Figures.of(emitted), Figures.of(views))


Arrivals = Mapping[str, Sequence[tuple[int, int]]]


def arrivals_of(seen: Sequence[Seen]) -> Arrivals:
    """Capture time and arrival of every frame of each stream, by capture time."""
    found: dict[str, list[tuple[int, int]]] = {}
    for batch in seen:
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


def _p50(turn: Turn) -> float:
    return turn.needed_ms.p50


def report(command: str, results: Results[Turn]) -> Report:
    """The report of what was measured."""
    rows, ratios, data = [], {}, {}
    for label, turns in results.found.items():
        needed = [turn.needed_ms for turn in turns]
        middle = results.middle(label, _p50)
        p50, p99 = (median([figures.p50 for figures in needed]), median([figures.p99 for figures in needed]))
        rows.append(
            (
                label, str(sum(figures.count for figures in needed)), f"{p50:.2f}", f"{p99:.2f}",
                f"{max(figures.max for figures in needed):.2f}",
                f"{middle.emitted_ms.p50:.2f}", f"{middle.emitted_ms.p99:.2f}", f"{middle.views_ms.p50:.2f}",
            )
        )  # fmt: skip
        if label.startswith("local"):
            ratios[f"{label}: p50 / {AIMS_MS[0]:g} ms (aim: 1)"] = p50 / AIMS_MS[0]
            ratios[f"{label}: p99 / {AIMS_MS[1]:g} ms (aim: 1)"] = p99 / AIMS_MS[1]
        data[label] = [{"batches": f.count, "p50_ms": f.p50, "p99_ms": f.p99, "max_ms": f.max} for f in needed]
    columns = ("subscriber", "batches", "p50 ms", "p99 ms", "max ms", "sent: p50", "p99 ms", "views: p50")
    bars = {row[0]: float(row[2]) for row in rows}
    return Report(
        name="latency",
        command=command,
        tables=(Table("From the last frame that a batch waits for to the batch in hand", columns, tuple(rows)),),
        ratios=ratios,
        plot=Bars("From the last frame that a batch waits for to the batch in hand", "ms, median", bars),
        notes=(
            f"{STREAMS} streams of 1080p25, i420, whose frames are due {1000 / clip.FPS / STREAMS:g} ms apart;"
            " median of the rounds, the worst of all; batches that somebody is missing in are left out",
            "sent: from emitted_ns, which is read just before the batch is sent; views: what it takes then to have an"
            " array of the pixels of every frame",
            *results.notes(),
        ),
        data={"latency": data},
    )
