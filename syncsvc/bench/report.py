"""What every benchmark hands out, tables and ratios: printed with machine and command, as JSON, or drawn."""

import math
import os
import platform
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from syncsvc import __version__
from syncsvc.observe.plotting import figure_in
from syncsvc.observe.tables import Table
from syncsvc.observe.tables import show as show_all

_PIPE_WIDTH = 160
_LIBRARIES = ("av", "numpy", "pyzmq", "opencv-python", "msgspec")


@dataclass(frozen=True, slots=True)
class Bars:
    """What ``--plot`` draws: one bar per label."""

    title: str
    unit: str
    values: dict[str, float]
    is_log: bool = False
    """A logarithmic axis, where the longest bar would hide the others."""


@dataclass(frozen=True, slots=True)
class Grid:
    """What ``--plot`` draws of a comparison: a cell per row and column, from 0 (bad) to ``most``; None has no cell."""

    title: str
    columns: tuple[str, ...]
    rows: dict[str, tuple[float | None, ...]]
    most: float = 100.0


@dataclass(frozen=True, slots=True)
class BenchReport:
    """One benchmark's result. It never judges: ``ratios`` are what was measured side by side in this run."""

    tables: tuple[Table, ...]
    ratios: dict[str, float]
    plot: Bars | Grid
    notes: tuple[str, ...] = ()
    data: dict[str, Any] = field(default_factory=dict)


def fixed(digits: int, *values: float | None) -> tuple[str, ...]:
    """Numbers as cells of a table, with so many digits after the point; None is an empty cell."""
    return tuple("" if value is None else f"{value:.{digits}f}" for value in values)


def machine() -> dict[str, str]:
    """The machine and the versions that the figures depend on."""
    about = {
        "cpu": _cpu_model(),
        "cores": str(len(os.sched_getaffinity(0))),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "syncsvc": __version__,
    }
    for library in _LIBRARIES:
        try:
            about[library] = version(library)
        except PackageNotFoundError:
            about[library] = "not installed"
    return about


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not everywhere is there a /proc
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def as_object(report: BenchReport, name: str, command: str) -> dict[str, Any]:
    """The report of a benchmark as plain values, for JSON."""
    return {
        "benchmark": name,
        "command": command,
        "machine": machine(),
        "ratios": report.ratios,
        "notes": list(report.notes),
        **report.data,
    }


def as_markdown(report: BenchReport, command: str) -> str:
    """The report as a section of a results page; where ratios have aims only those, the tables have the others."""
    aimed = {name: ratio for name, ratio in report.ratios.items() if "(aim: " in name}
    lines = ["```sh", command, "```", ""]
    for table in report.tables:
        rows = [table.columns, ("---",) * len(table.columns), *table.rows]
        lines += [f"{table.title}:", "", *(f"| {' | '.join(row)} |" for row in rows), ""]
    facts = [*(f"{name}: {ratio:.2f} x" for name, ratio in (aimed or report.ratios).items()), *report.notes]
    return "\n".join([*lines, *(f"- {fact}" for fact in facts)])


def show(report: BenchReport, command: str) -> None:
    """Print the report."""
    heads = (f"machine: {', '.join(f'{key} {value}' for key, value in machine().items())}", f"command: {command}")
    ratios = (f"{name}: {ratio:.2f} x" for name, ratio in report.ratios.items())
    show_all((*heads, *report.tables, *ratios, *report.notes), _PIPE_WIDTH)


def save_plot(report: BenchReport, path: Path) -> None:
    """Draw the report's plot into an image file.

    Raises:
        UsageError: matplotlib is not installed, or the file cannot be written.
    """
    plot = report.plot
    size = (9.0, 1.2 + 0.45 * len(plot.values)) if isinstance(plot, Bars) else (10.0, 1.6 + 0.36 * len(plot.rows))
    with figure_in(path, size) as figure:
        axes = figure.add_subplot()
        axes.set_title(plot.title)
        if isinstance(plot, Bars):
            _draw_bars(axes, plot)
        else:
            _draw_grid(axes, plot)


def _draw_bars(axes: Any, bars: Bars) -> None:
    drawn = axes.barh(list(bars.values), list(bars.values.values()))
    axes.bar_label(drawn, fmt="%.3g", padding=3)
    axes.invert_yaxis()
    axes.set_xlabel(bars.unit)
    if bars.is_log:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")  # not 10 with an exponent
        axes.xaxis.set_minor_formatter("")
    axes.margins(x=0.15)


def _draw_grid(axes: Any, grid: Grid) -> None:
    values = [[math.nan if value is None else value for value in row] for row in grid.rows.values()]
    axes.imshow(values, cmap="RdYlBu", vmin=0, vmax=grid.most, aspect="auto", alpha=0.8)
    for line, row in enumerate(grid.rows.values()):
        for column, value in enumerate(row):
            is_dark = value is not None and not 0.15 * grid.most < value < 0.85 * grid.most  # both ends of the colours
            text = "-" if value is None else f"{value:.1f}"
            axes.text(column, line, text, ha="center", va="center", color="white" if is_dark else "black")
    axes.set_xticks(range(len(grid.columns)), grid.columns)
    axes.set_yticks(range(len(grid.rows)), list(grid.rows))
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
