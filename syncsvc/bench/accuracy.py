"""How right the service's times and sets are, beside the rules that others use, where the true times are known.

Twice: on simulated cameras, among them every kind that lies about its clock, and live, over RTSP on loopback.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from syncsvc.bench.report import BenchReport, Grid, fixed
from syncsvc.bench.rounds import BenchRequest
from syncsvc.bench.scenarios import Case, cases
from syncsvc.bench.score import Score
from syncsvc.bench.tournament import NAMES, OURS, WARM_UP_S, TournamentResult, contest, contest_live
from syncsvc.cameras import CameraSpec
from syncsvc.demo.screen import verdict_object
from syncsvc.demo.trial import Scenario, Trial
from syncsvc.demo.verdict import OVERRUN_MS, WARM_UP_WINDOWS, Verdict, judge
from syncsvc.errors import UsageError
from syncsvc.lifecycle import StopToken
from syncsvc.observe.tables import Table

_ABSENT: Final = "-"
_NOTES: Final = (
    "rules: stamps + how sets are formed; position: n-th frame of each second; nearest: to each frame of the slowest",
    "camera; ROS: message_filters' ApproximateTime; savant: windows of savant-rs; oracle: the best sets there can be",
)


@dataclass(frozen=True, slots=True)
class LiveCase:
    """One run on virtual cameras over RTSP."""

    about: str
    scenario: Scenario
    warm_up_windows: int


def _cameras(*, has_reports: bool) -> tuple[CameraSpec, ...]:
    return (
        CameraSpec("a25", fps=25, jitter_ms=20, drop_pct=1, sr=has_reports, seed=1),
        CameraSpec("b30", fps=30, phase_ms=9, latency_ms=60, jitter_ms=20, drop_pct=1, sr=has_reports, seed=2),
        CameraSpec("c29", fps=29.97, phase_ms=17, latency_ms=30, jitter_ms=20, sr=has_reports, seed=3),
        CameraSpec("d15", fps=15, phase_ms=26, latency_ms=90, jitter_ms=20, sr=has_reports, seed=4),
    )


LIVE: Final[Mapping[str, LiveCase]] = {
    "rtcp": LiveCase("four cameras, RTCP", Scenario(_cameras(has_reports=True)), WARM_UP_WINDOWS),
    "latency": LiveCase(
        "no RTCP, latencies configured",
        Scenario(
            _cameras(has_reports=False),
            latency_ms={spec.name: spec.latency_ms for spec in _cameras(has_reports=False)},
        ),
        round(WARM_UP_S),
    ),
}


def run(request: BenchRequest) -> BenchReport:
    """Compare the rules; ``only`` is ``simulated`` or ``live`` here, None is both.

    Raises:
        UsageError: there is no such half, or no such case in it.
    """
    wanted = _wanted(request)
    simulated: dict[str, tuple[Case, TournamentResult]] = {}
    live: dict[str, tuple[LiveCase, Verdict, TournamentResult]] = {}
    for number, (key, case) in enumerate(wanted.items(), start=1):
        request.progress(f"simulated {number} of {len(wanted)}: {case.about}")
        simulated[key] = case, contest(case)
    if request.only != "simulated" and request.case is None:
        for key, live_case in LIVE.items():
            live[key] = live_case, *_watch(live_case, request)
    return report(simulated, live)


def _wanted(request: BenchRequest) -> Mapping[str, Case]:
    known = cases()
    if request.only not in (None, "simulated", "live"):
        raise UsageError(f"--only {request.only} is not known to accuracy; halves are simulated, live")
    if request.case is None:
        return {} if request.only == "live" else known
    if request.case not in known:
        raise UsageError(f"--case {request.case} is not known; cases are {', '.join(known)}")
    if request.only == "live":
        raise UsageError("--case is of the simulated half; --only live leaves that out")
    return {request.case: known[request.case]}


def _watch(case: LiveCase, request: BenchRequest) -> tuple[Verdict, TournamentResult]:
    with Trial(case.scenario) as trial:
        for batch in trial.watch(request.seconds, StopToken()):
            request.progress(f"live, {case.about}: window {batch.seq + 1} of about {request.seconds:.0f}")
        deque(trial.finish(), maxlen=0)
        history = trial.history()
    warm_up = min(case.warm_up_windows, max(WARM_UP_WINDOWS, len(history.batches) // 2))
    return judge(history, warm_up), contest_live(history, warm_up)


def report(
    simulated: Mapping[str, tuple[Case, TournamentResult]],
    live: Mapping[str, tuple[LiveCase, Verdict, TournamentResult]],
) -> BenchReport:
    """What was found as tables: a line per case, a column per rule."""
    scores = {key: outcome.scores for key, (_, outcome) in simulated.items()}
    scores |= {f"live-{key}": outcome.scores for key, (_, _, outcome) in live.items()}
    abouts = {key: case.about for key, (case, _) in simulated.items()}
    abouts |= {f"live-{key}": f"live, {case.about}" for key, (case, _, _) in live.items()}
    tables = [_matrix(title, scores, cell) for title, cell in _FIGURES.items()]
    with_guests = {key: some for key, some in scores.items() if OURS in some and some[OURS].kept_pct is not None}
    tables += [_matrix(title, with_guests, cell) for title, cell in _COSTS.items() if with_guests]
    tables += [_clocks(scores), _cases(abouts)]
    for key, (_, verdict, _) in live.items():
        tables += _live_tables(key, verdict)
    return BenchReport(
        tables=tuple(tables),
        ratios={},
        plot=Grid(
            "Sets identical to the oracle's, %",
            tuple(name.replace("+", " +\n") for name in NAMES[:-1]),
            {
                abouts[key]: tuple(some[rule].identical_pct if rule in some else None for rule in NAMES[:-1])
                for key, some in scores.items()
            },
        ),
        notes=(*_NOTES, *(note for key, (_, verdict, _) in live.items() for note in _live_notes(key, verdict))),
        data={
            "simulated": {key: _as_object(some) for key, some in scores.items() if key in simulated},
            "live": {
                key: {**verdict_object(verdict, case.scenario), "rules": _as_object(outcome.scores)}
                for key, (case, verdict, outcome) in live.items()
            },
        },
    )


def _as_object(scores: Mapping[str, Score]) -> dict[str, Any]:
    return {rule: asdict(score) for rule, score in scores.items()}


_FIGURES: Final[Mapping[str, Callable[[Score], str]]] = {
    "sets identical to the oracle's, %": lambda score: f"{score.identical_pct:.2f}",
    "true spread at p99, over the oracle's, ms": lambda score: f"{score.excess_p99_ms:.1f}" if score.sets else _ABSENT,
    "frames in no set, %": lambda score: f"{score.unused_pct:.1f}",
    "from a set's last frame to the set, p50 / p99 ms": lambda score: (
        f"{score.latency_ms.p50:.0f} / {score.latency_ms.p99:.0f}" if score.sets else _ABSENT
    ),
}


_COSTS: Final[Mapping[str, Callable[[Score], str]]] = {
    "sets of the other three cameras, of those that they form alone, %": lambda score: _percent(score.kept_pct),
    "the same ones, %": lambda score: _percent(score.same_pct),
}


def _percent(share: float | None) -> str:
    return _ABSENT if share is None else f"{share:.2f}"


def _matrix(title: str, scores: Mapping[str, Mapping[str, Score]], cell: Callable[[Score], str]) -> Table:
    rows = ((key, *(cell(some[rule]) if rule in some else _ABSENT for rule in NAMES)) for key, some in scores.items())
    return Table(title, ("case", *NAMES), tuple(rows))


_STAMPS: Final = (("arrival", "arrival+position"), ("NTP", "NTP+ROS"), ("ours", OURS))


def _cases(abouts: Mapping[str, str]) -> Table:
    width = max(map(len, abouts), default=0)
    return Table("cases", ("case, cameras",), tuple((f"{key:{width}}  {about}",) for key, about in abouts.items()))


def _clocks(scores: Mapping[str, Mapping[str, Score]]) -> Table:
    """The stamps that the rules go by: their error, and how far the cameras' medians are apart."""
    rows = []
    for key, some in scores.items():
        cells: list[str] = []
        for _, rule in _STAMPS:
            if rule in some:
                error_ms = some[rule].error_ms
                cells += (" / ".join(fixed(3, error_ms.p50, error_ms.p99)), *fixed(3, some[rule].medians_ms))
            else:
                cells += (_ABSENT, _ABSENT)
        covered = some[OURS].covered_pct if OURS in some else None
        rows.append((key, *cells, _ABSENT if covered is None else f"{covered:.1f}"))
    columns = [text for name, _ in _STAMPS for text in (f"{name} p50 / p99", "medians")]
    return Table(
        "error of the stamps and how far the cameras' medians are apart, ms; true times within our ±, %",
        ("case", *columns, "within ±"),
        tuple(rows),
    )


def _live_tables(key: str, verdict: Verdict) -> tuple[Table, Table]:
    columns = ("camera", "frames", "late", "dropped", "lost", "twice", "stamp error p50", "p99", "max ms", "clocks")
    cameras = []
    for name, one in verdict.cameras.items():
        counts = map(str, (one.captured, one.late, one.dropped, one.lost, one.twice))
        errors_ms = fixed(3, one.stamp_error_ms.p50, one.stamp_error_ms.p99, one.stamp_error_ms.max)
        cameras.append((name, *counts, *errors_ms, " ".join(f"{clock}:{n}" for clock, n in one.clocks.items())))
    rows = {
        "true spread of the sets, ms": verdict.true_spread_ms,
        "true spread of the oracle's sets, ms": verdict.oracle_spread_ms,
        "batch sent after its window's end, ms": verdict.lateness_ms,
    }
    figures = Table(
        f"live-{key}: sets and batches",
        ("", "count", "p50", "p99", "max"),
        tuple((what, str(f.count), *fixed(1, f.p50, f.p99, f.max)) for what, f in rows.items()),
    )
    return Table(f"live-{key}: cameras", columns, tuple(cameras)), figures


def _live_notes(key: str, verdict: Verdict) -> tuple[str, ...]:
    limit_ms = LIVE[key].scenario.max_latency_ms
    return (
        f"live-{key}: sets identical to the oracle's: {verdict.identical} of {verdict.compared},"
        f" {verdict.identical_pct:.2f} %; excess of the p99 true spread: {verdict.excess_p99_ms:.2f} ms",
        f"live-{key}: batches over max_latency_ms ({limit_ms:g}): {verdict.over_deadline};"
        f" over {limit_ms + OVERRUN_MS:g}: {verdict.over_target}; complete: {verdict.complete} of {verdict.batches}",
        *(f"live-{key}: broken: {problem}" for problem in verdict.problems),
    )
