"""How right the service's times and sets are, on virtual cameras whose true times are known."""

from collections import deque
from collections.abc import Callable
from typing import Final

from syncsvc.bench.demo import verdict_object
from syncsvc.bench.report import Bars, Report, Table
from syncsvc.bench.trial import Scenario, Trial
from syncsvc.bench.verdict import OVERRUN_MS, Verdict, judge
from syncsvc.cameras import CameraSpec
from syncsvc.lifecycle import StopToken

SCENARIO: Final = Scenario(
    (
        CameraSpec("a25", fps=25, jitter_ms=20, seed=1),
        CameraSpec("b30", fps=30, phase_ms=9, latency_ms=60, jitter_ms=20, seed=2),
        CameraSpec("c29", fps=29.97, phase_ms=17, latency_ms=30, jitter_ms=20, seed=3),
        CameraSpec("d15", fps=15, phase_ms=26, latency_ms=90, jitter_ms=20, seed=4),
    )
)


def run(command: str, seconds: float, progress: Callable[[str], None]) -> Report:
    """Watch four cameras for so long, and hold everything against the true times.

    Args:
        command: to reproduce the figures with.
        seconds: how long.
        progress: is told how far it is.
    """
    with Trial(SCENARIO) as trial:
        for batch in trial.watch(seconds, StopToken()):
            progress(f"window {batch.seq + 1} of about {seconds:.0f}")
        deque(trial.finish(), maxlen=0)
        history = trial.history()
    return report(command, judge(history))


def report(command: str, verdict: Verdict) -> Report:
    """A verdict as tables."""
    cameras = Table(
        "cameras",
        ("camera", "frames", "late", "dropped", "lost", "twice", "stamp error p50", "p99", "max ms", "clocks"),
        tuple(
            (
                name, str(camera.captured), str(camera.late), str(camera.dropped), str(camera.lost), str(camera.twice),
                f"{camera.stamp_error_ms.p50:.3f}", f"{camera.stamp_error_ms.p99:.3f}",
                f"{camera.stamp_error_ms.max:.3f}", " ".join(f"{clock}:{n}" for clock, n in camera.clocks.items()),
            )
            for name, camera in verdict.cameras.items()
        ),
    )  # fmt: skip
    rows = {
        "true spread of the sets, ms": verdict.true_spread_ms,
        "true spread of the oracle's sets, ms": verdict.oracle_spread_ms,
        "batch sent after its window's end, ms": verdict.lateness_ms,
    }
    figures = Table(
        "sets and batches",
        ("", "count", "p50", "p99", "max"),
        tuple((what, str(f.count), f"{f.p50:.1f}", f"{f.p99:.1f}", f"{f.max:.1f}") for what, f in rows.items()),
    )
    limit_ms = SCENARIO.max_latency_ms
    return Report(
        name="accuracy",
        command=command,
        tables=(cameras, figures),
        ratios={},
        bars=Bars(
            "Error of the capture times", "p99, ms", {name: c.stamp_error_ms.p99 for name, c in verdict.cameras.items()}
        ),
        notes=(
            f"sets identical to the oracle's: {verdict.identical} of {verdict.compared}, {verdict.identical_pct:.2f} %",
            f"excess of the p99 true spread over the oracle's: {verdict.excess_p99_ms:.2f} ms",
            f"batches over max_latency_ms ({limit_ms:g}): {verdict.over_deadline}; over {limit_ms + OVERRUN_MS:g}:"
            f" {verdict.over_target}; complete: {verdict.complete} of {verdict.batches}",
            *(f"broken: {problem}" for problem in verdict.problems),
        ),
        data={"accuracy": verdict_object(verdict, SCENARIO)},
    )
