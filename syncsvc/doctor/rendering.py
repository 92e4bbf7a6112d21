"""The diagnosis for eyes and for programs: tables that fit a terminal, a snippet to paste, and one JSON object."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final, TypeVar

from syncsvc.doctor.agreement import UNVOUCHED_MS
from syncsvc.doctor.content import NEEDS_S, Comparison
from syncsvc.doctor.delivery import FrameDelivery, Jitter
from syncsvc.doctor.diagnosis import Diagnosis, StreamDiagnosis
from syncsvc.doctor.ntp_clock import REPORTS_NEED_S
from syncsvc.doctor.proposals import SKEW_NEEDS_S, GroupAdvice, rounded_up_ms
from syncsvc.doctor.pts_clock import DRIFT_NEEDS_S
from syncsvc.observe.tables import Table
from syncsvc.observe.tables import show as show_all

NEEDED_S: Final = {
    "fps": 3.0,
    "ntp": REPORTS_NEED_S,
    "drift_ppm": DRIFT_NEEDS_S,
    "max_skew_ms": SKEW_NEEDS_S,
    "max_latency_ms": SKEW_NEEDS_S,
    "content": NEEDS_S,
}
"""How many seconds each finding needs, at least; a session's first sender reports may come late."""
_PIPE_WIDTH: Final = 120

LEGEND: Final = (
    "  latency: from capture to the first packet; behind: by how much that is more than the quickest stream's",
    "  waiting: beyond the least way; spread: from the first to the last frame of a set",
    "  complete: sets of all streams with the file's max_skew_ms; then: with the proposed one",
    "  any phase: suffices however the shutters stand to each other",
    "",
)

T = TypeVar("T")
Columns = Mapping[str, Callable[[T], str]]
"""By their titles, what each shows of a row."""


_CLOCKS: Final[Columns[StreamDiagnosis]] = {
    "stream": lambda one: one.name,
    "clock": lambda one: (one.clock or "-") + (" ?" if one.is_doubtful else ""),
    "± ms": lambda one: _number(one.uncertainty_ms, 1),
    "latency ms": lambda one: "-" if one.latency_ms is None else f"{one.latency_ms:.1f} ({one.latency_basis})",
    "behind ms": lambda one: _number(one.behind_ms, 1),
    "drift ppm": lambda one: "{:+.1f} ± {:.1f} ({})".format(*one.drift) if one.drift else "-",
    "waiting p50/p99 ms": lambda one: _jitter(one.pts_clock.delay),
}
_FRAMES: Final[Columns[StreamDiagnosis]] = {
    "stream": lambda one: one.name,
    "frames": lambda one: str(one.delivery.frames),
    "fps": lambda one: _number(one.delivery.fps, 2),
    "declared": lambda one: _number(one.declared_fps, 2),
    "jitter p50/p99 ms": lambda one: _jitter(one.delivery.interval),
    "parser ms": lambda one: _number(one.delivery.parser_ms, 1),
    "key every": lambda one: _key_distance(one.delivery),
    "pauses": lambda one: str(one.delivery.pauses.count),
    "lost": lambda one: str(sum(one.delivery.losses.values())),
}
_GROUPS: Final[Columns[tuple[str, GroupAdvice]]] = {
    "group": lambda item: item[0],
    "spread p50/p99 ms": lambda item: _pair(item[1].spread_p50_ms, item[1].spread_p99_ms),
    "complete": lambda item: _percent(item[1].complete_share),
    "max_skew_ms": lambda item: _number(item[1].max_skew_ms, 0),
    "then": lambda item: _percent(item[1].proposed_share),
    "any phase ms": lambda item: _number(item[1].any_phase_ms, 0),
    "max_latency_ms": lambda item: _number(item[1].max_latency_ms, 0),
}
_CONTENT: Final[Columns[Comparison]] = {
    "same motion in": lambda one: f"{one.second}, after {one.first}",
    "later by ms": lambda one: _number(one.lag_ms, 1),
    "halves ms": lambda one: "{:.1f}, {:.1f}".format(*one.halves_ms) if one.halves_ms else "-",
    "correlation": lambda one: "-" if one.lag_ms is None else f"{one.peak:.2f}",
    "x next": lambda one: "-" if one.lag_ms is None else f"{min(one.ratio, 99.9):.1f}",
    "suggested": lambda one: "yes" if one.is_accepted else "no",
}


def show(diagnosis: Diagnosis) -> None:
    """Print it."""
    show_all((*_tables(diagnosis), *LEGEND, *_remarks(diagnosis), "", *snippet(diagnosis)), _PIPE_WIDTH)


def _tables(diagnosis: Diagnosis) -> Iterator[Table]:
    streams = diagnosis.streams.values()
    yield _table(f"clocks, {diagnosis.seconds:.0f} s", _CLOCKS, streams)
    yield _table("frames", _FRAMES, streams)
    yield _table("groups, and what would suit them", _GROUPS, diagnosis.groups.items())
    if diagnosis.content:
        yield _table("content", _CONTENT, diagnosis.content)


def _table(title: str, columns: Columns[T], rows: Iterable[T]) -> Table:
    return Table(title, tuple(columns), tuple(tuple(cell(row) for cell in columns.values()) for row in rows))


def _remarks(diagnosis: Diagnosis) -> Iterator[str]:
    """What is wrong, and what could not be told, one line each."""
    width = max(map(len, (*diagnosis.streams, *diagnosis.groups)), default=0)
    for stream in diagnosis.streams.values():
        if stream.why_not:
            why_not = ", ".join(f"not {rung} ({reason})" for rung, reason in stream.why_not.items())
            yield f"  {stream.name:{width}}  {stream.clock or 'no clock'}, {why_not}"
        for finding in stream.findings:
            yield f"  {stream.name:{width}}  {finding.text}"
        if stream.clock == "rtcp" and (stream.uncertainty_ms or 0.0) >= UNVOUCHED_MS:
            yield f"  {stream.name:{width}}  {_measured(stream)}"
    for name, advice in diagnosis.groups.items():
        if advice.why_not:
            yield f"  {name:{width}}  no max_skew_ms: {advice.why_not}"
    for one in diagnosis.content or ():
        if not one.is_accepted:
            yield f"  {one.first}, {one.second}: nothing suggested: {one.why_not}"
    short = [what for what, needed_s in NEEDED_S.items() if diagnosis.seconds < needed_s]
    if diagnosis.content is None and "content" in short:
        short.remove("content")
    if short:
        needs = ", ".join(f"{what} needs {NEEDED_S[what]:.0f} s" for what in short)
        yield f"  watched for {diagnosis.seconds:.0f} s: {needs}"
    if diagnosis.lost_records:
        yield f"  {diagnosis.lost_records} records of the log were lost: the disk is too slow"


def snippet(diagnosis: Diagnosis) -> Iterator[str]:
    """What to paste into the configuration."""
    proposed = {name: keys for name in diagnosis.streams if (keys := dict(_keys(diagnosis, name)))}
    advised = {name: a for name, a in diagnosis.groups.items() if a.max_skew_ms is not None}
    if not proposed and not advised:
        yield "# nothing to propose"
        return
    if proposed:
        yield "streams:"
    for name, keys in proposed.items():
        yield f"  {name}:"
        yield from (f"    {key}: {value}" for key, value in keys.items())
    if advised:
        yield "groups:"
    for name, advice in advised.items():
        yield f"  {name}:"
        yield f"    max_skew_ms: {advice.max_skew_ms:g}  # {_too_short(diagnosis, 'max_skew_ms')}{_phases(advice)}"
        if advice.max_latency_ms is not None:
            guess = _too_short(diagnosis, "max_latency_ms").removesuffix("; ")
            yield f"    max_latency_ms: {advice.max_latency_ms:g}{'  # ' * bool(guess)}{guess}"


def _keys(diagnosis: Diagnosis, name: str) -> Iterator[tuple[str, str]]:
    """What is proposed for one stream, each with its reason."""
    stream = diagnosis.streams[name]
    if name in diagnosis.to_vouch_for:
        yield "clock", f"rtcp  # {diagnosis.agreement}"
    if stream.proposed_latency_ms is not None:
        yield "latency_ms", f"{stream.proposed_latency_ms:g}  # {_reason(stream)}"
    if stream.proposed_offset_ms is not None:
        yield "offset_ms", f"{stream.proposed_offset_ms:.1f}  # from what the pictures show"


def _measured(stream: StreamDiagnosis) -> str:
    """What is known of a camera's own clock, and what nobody can know one way."""
    ntp = stream.ntp
    if ntp.latency_ms is None:
        return f"± {stream.uncertainty_ms:.0f} ms until its sender reports are seen for longer"
    steady = "" if ntp.scatter_ms is None else f", steady to {ntp.scatter_ms:.2f} ms"
    return (
        f"measured: packets come {ntp.latency_ms:.1f} ms after its clock's times{steady}, {ntp.reports} reports; "
        f"unknowable one way, hence ± {stream.uncertainty_ms:.0f} ms: how much is latency, and how much a wrong clock"
    )


def _too_short(diagnosis: Diagnosis, what: str) -> str:
    """That a line is a guess, where less was watched than it needs."""
    needed_s = NEEDED_S[what]
    return f"a guess from {diagnosis.seconds:.1f} s, it needs {needed_s:g}; " if diagnosis.seconds < needed_s else ""


def _phases(advice: GroupAdvice) -> str:
    always_ms = rounded_up_ms(advice.any_phase_ms or 0.0)
    if advice.max_skew_ms is not None and advice.max_skew_ms >= always_ms:
        return "suffices however the shutters stand to each other"
    return f"as the shutters stand now; after a camera's restart up to {always_ms:g}"


def _reason(stream: StreamDiagnosis) -> str:
    if stream.latency_basis in ("content", "relative"):
        return f"from what the pictures show{', against the quickest' * (stream.latency_basis == 'relative')}"
    return "measured against its own clock; counts when that clock fails"


def as_object(diagnosis: Diagnosis) -> dict[str, Any]:
    """Plain values for JSON; the keys are those of docs/doctor.md."""
    content = diagnosis.content
    return {
        "seconds": diagnosis.seconds,
        "needs_s": NEEDED_S,
        "streams": {name: _stream_object(stream, diagnosis.to_vouch_for) for name, stream in diagnosis.streams.items()},
        "groups": {name: asdict(advice) for name, advice in diagnosis.groups.items()},
        "content": None if content is None else [{**asdict(one), "accepted": one.is_accepted} for one in content],
        "agreement": None if diagnosis.agreement is None else asdict(diagnosis.agreement),
        "lost_records": diagnosis.lost_records,
        "snippet": "\n".join(snippet(diagnosis)) + "\n",
    }


def _stream_object(stream: StreamDiagnosis, vouched: Collection[str]) -> Mapping[str, Any]:
    drift = stream.drift or (None, None, None)
    pts_clock = stream.pts_clock
    return {
        "kind": stream.kind,
        "clock": stream.clock or None,
        "doubtful": stream.is_doubtful,
        "why_not": dict(stream.why_not),
        "uncertainty_ms": stream.uncertainty_ms,
        "declared_fps": stream.declared_fps,
        "problem": stream.problem,
        **asdict(stream.delivery),
        "drift_ppm": drift[0],
        "drift_doubt_ppm": drift[1],
        "drift_against": drift[2],
        "waiting": None if pts_clock.delay is None else asdict(pts_clock.delay),
        "pts_steps_ms": list(pts_clock.steps_ms),
        "ntp": asdict(stream.ntp),
        "latency_ms": stream.latency_ms,
        "latency_basis": stream.latency_basis or None,
        "behind_ms": stream.behind_ms,
        "proposed_latency_ms": stream.proposed_latency_ms,
        "proposed_offset_ms": stream.proposed_offset_ms,
        "proposed_clock": "rtcp" if stream.name in vouched else None,
        "findings": [asdict(finding) for finding in stream.findings],
    }


def _key_distance(delivery: FrameDelivery) -> str:
    if delivery.key_every_frames == 1:
        return "each"
    return "-" if delivery.key_every_s is None else f"{delivery.key_every_s:.1f} s"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _pair(p50: float | None, p99: float | None) -> str:
    return "-" if p50 is None or p99 is None else f"{p50:.1f}/{p99:.1f}"


def _jitter(jitter: Jitter | None) -> str:
    return _pair(jitter.p50_ms, jitter.p99_ms) if jitter else "-"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"
