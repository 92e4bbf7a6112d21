"""What the demo shows, as text and as plain values, apart from any terminal."""

from dataclasses import asdict
from typing import Any, Final

from syncsvc.clock import NS_PER_MS, time_of_day
from syncsvc.demo.history import SeenBatch
from syncsvc.demo.trial import Scenario
from syncsvc.demo.verdict import Verdict
from syncsvc.observe.figures import Figures

COLUMNS: Final = ("window (UTC)", "batch", "sets", "complete", "spread p50/max", "age")
LEGEND: Final = (
    "complete: every camera was heard up to the window's end; spread: from the first to the last frame of a set",
    "age: from the window's end until the batch was in hand; the oracle: knows the true times, and pairs by them",
)
_SHOWN_PROBLEMS = 3


def cells(batch: SeenBatch) -> tuple[str, ...]:
    """One batch as the texts under ``COLUMNS``; its age is from the end of its window until it was in our hands.

    A window that the end cut short ended when its batch left.
    """
    spread_ms = Figures.of([found.spread_ns / NS_PER_MS for found in batch.sets])
    missing = " ".join(f"{name}:{why}" for name, why in batch.missing.items())
    return (
        time_of_day(batch.window_start_ns),
        f"#{batch.seq}",
        str(len(batch.sets)),
        f"no, {missing}" if missing else "yes",
        f"{spread_ms.p50:.1f} / {spread_ms.max:.1f} ms" if batch.sets else "-",
        f"{max(0, batch.received_ns - min(batch.window_end_ns, batch.emitted_ns)) / NS_PER_MS:.0f} ms",
    )


def header() -> str:
    """What stands over the lines of a log."""
    return "  ".join((*COLUMNS, "frames by camera"))


def line(batch: SeenBatch) -> str:
    """One batch as a line of a log."""
    window, number, sets, complete, spread, age = cells(batch)
    frames = " ".join(f"{name}:{len(some)}" for name, some in batch.frames.items())
    return f"{window}  {number}  {sets} sets  complete {complete}  spread {spread}  age {age}  {frames}"


def verdict_line(verdict: Verdict, scenario: Scenario) -> str:
    """The verdict in one line."""
    cameras = verdict.cameras
    errors = ", ".join(f"{name} {camera.stamp_error_ms.p99:.2f}" for name, camera in cameras.items())
    words = [
        f"{verdict.batches} batches, {verdict.sets} sets",
        f"stamp error p99 {errors} ms",
        f"true spread p50 {verdict.true_spread_ms.p50:.1f} max {verdict.true_spread_ms.max:.1f} ms"
        f" (allowed {scenario.max_skew_ms:g})",
        f"{verdict.identical_pct:.1f} % of {verdict.compared} sets as the oracle's",
        f"{sum(camera.lost for camera in cameras.values())} frames lost"
        f" and {sum(camera.twice for camera in cameras.values())} twice"
        f" of {sum(camera.captured for camera in cameras.values())}",
        f"latest batch left {verdict.lateness_ms.max:.0f} ms after its window,"
        f" {verdict.over_deadline} over {scenario.max_latency_ms:g} ms",
    ]
    text = "; ".join(words)
    if verdict.is_kept:
        return f"contract kept: {text}"
    reasons = "; ".join(verdict.problems[:_SHOWN_PROBLEMS])
    more = len(verdict.problems) - _SHOWN_PROBLEMS
    return f"CONTRACT BROKEN: {reasons}{f' (and {more} more)' if more > 0 else ''}: {text}"


def verdict_object(verdict: Verdict, scenario: Scenario) -> dict[str, Any]:
    """The verdict as plain values, for JSON."""
    return {
        "kept": verdict.is_kept,
        **asdict(verdict),
        "identical_pct": verdict.identical_pct,
        "excess_p99_ms": verdict.excess_p99_ms,
        "max_skew_ms": scenario.max_skew_ms,
        "max_latency_ms": scenario.max_latency_ms,
    }
