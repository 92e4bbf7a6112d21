"""The picture of an examination: how long frames waited on their way, and how the shutters stand to each other."""

from pathlib import Path
from typing import Any

import numpy as np

from syncsvc.clock import NS_PER_MS, NS_PER_S
from syncsvc.doctor.diagnosis import Diagnosis
from syncsvc.doctor.observed import ObservedRun
from syncsvc.doctor.proposals import settled_times
from syncsvc.observe.plotting import figure_in

_BINS = 60


def save_plot(run: ObservedRun, diagnosis: Diagnosis, path: Path) -> None:
    """Draw one row per stream, and the phases below, into an image file.

    Raises:
        UsageError: matplotlib is not installed, or the file cannot be written.
    """
    names = [name for name, record in run.streams.items() if len(record)]
    rows = len(names) + 1
    with figure_in(path, (11, 1.8 * rows + 0.6)) as figure:
        grid = figure.add_gridspec(rows, 4)
        for row, name in enumerate(names):
            _draw_waiting(figure, grid[row, :3], grid[row, 3], run, diagnosis, name)
        _draw_phases(figure.add_subplot(grid[rows - 1, :]), run)
        figure.suptitle(f"what frames waited on their way, beyond the least; {diagnosis.seconds:.0f} s")


def _draw_waiting(figure: Any, left: Any, right: Any, run: ObservedRun, diagnosis: Diagnosis, name: str) -> None:
    over_time, spread = figure.add_subplot(left), figure.add_subplot(right)
    record, stream = run.streams[name], diagnosis.streams[name]
    over_time.set_ylabel(f"{name}\n{stream.clock}\nms")
    for stretch in stream.pts_clock.stretches:
        begun_ns = record.start_ns[stretch.at]
        waited_ms = (begun_ns - stretch.line.of(record.pts_ns[stretch.at])) / NS_PER_MS
        over_time.plot((begun_ns - record.arrival_ns[0]) / NS_PER_S, waited_ms, ".", markersize=2)
        spread.hist(waited_ms, bins=_BINS)
    if stream.pts_clock.stretches and stream.drift is not None:
        over_time.set_title(f"drift {stream.drift[0]:+.1f} ppm", loc="right", fontsize=8)


def _draw_phases(axes: Any, run: ObservedRun) -> None:
    times = {name: np.array(settled_times(record), np.int64) for name, record in run.streams.items()}
    times = {name: some for name, some in times.items() if len(some) > 2}
    axes.set_xlabel("s")
    axes.set_ylabel("ms to the next\nreference frame")
    if len(times) < 2:
        return
    reference = max(times, key=lambda name: float(np.median(np.diff(times[name]))))
    grid = times[reference]
    for name, some in times.items():
        if name == reference:
            continue
        some = some[(some >= grid[0]) & (some <= grid[-1])]
        place = np.clip(np.searchsorted(grid, some), 1, len(grid) - 1)
        before, after = some - grid[place - 1], some - grid[place]
        nearest = np.where(np.abs(before) < np.abs(after), before, after)
        axes.plot((some - grid[0]) / NS_PER_S, nearest / NS_PER_MS, ".", markersize=2, label=name)
    axes.set_title(f"phases against {reference}", loc="right", fontsize=8)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
