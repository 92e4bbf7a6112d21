"""A camera's NTP clock as its sender reports tell it: where it runs, how fast, how steadily, and what it hides.

libavformat reckons each frame's NTP time from the last report at the nominal rate, so between two reports the
difference to pts stays the same: one level per report, and the levels show rate and steps.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

import numpy as np

from syncsvc.clock import NS_PER_MS, NS_PER_S
from syncsvc.doctor.observed import NONE, Ints, ObservedStream
from syncsvc.timing.ntp import NTP_TO_UNIX_S, STEP_NS, fault_of, unix_ns

REPORTS_NEED_S = 10.0
RATE_NEEDS_NS = 4 * NS_PER_S
ON_FRAME_NS = 2 * NS_PER_MS
_LEVEL_NS = 5_000
"""Rounding to microseconds makes a level wander by one or two."""
_FEW_YEARS_S = 300_000_000

Verdict = Literal["none", "silent", "zero", "uptime", "ahead", "behind", "steps", "believable"]
_VERDICTS: Final[Mapping[str, Verdict]] = {"ahead of": "ahead", "behind": "behind", "": "believable"}
"""In the report's words, what the service itself makes of such a clock."""


@dataclass(frozen=True, slots=True)
class NtpClock:
    """What was found; ``latency_ms`` is the least time from exposure to the first packet, by the camera's clock.

    ``drift_ppm`` is the rate of pts against the NTP clock. ``on_frame_share`` is the part of the reports whose RTP time
    is that of a picture: they may have been stamped when the picture was sent.
    """

    verdict: Verdict = "none"
    reports: int = 0
    offset_s: float | None = None
    latency_ms: float | None = None
    drift_ppm: float | None = None
    drift_doubt_ppm: float | None = None
    steps_ms: tuple[float, ...] = ()
    scatter_ms: float | None = None
    on_frame_share: float = 0.0


@dataclass(frozen=True, slots=True)
class _Level:
    """Frames reckoned from one report: the first one's pts, NTP time less pts, and their indices."""

    pts_ns: int
    base_ns: int
    at: Ints


def ntp_clock_of(record: ObservedStream) -> NtpClock:
    """Judge the sender reports of a record; ``silent`` says that an RTSP stream brought none."""
    reports = len({(report.ntp, report.rtp) for report in record.reports})
    usable = np.flatnonzero((record.ntp_ns != NONE) & (record.pts_ns != NONE) & (record.start_ns != NONE))
    lie = _lie_about_the_year(record)
    if lie is not None:
        return NtpClock(lie, reports)
    levels = _levels(record, usable)
    if not levels:
        return NtpClock("silent" if record.kind == "rtsp" else "none", reports)
    steps_ms = tuple(
        round((after.base_ns - before.base_ns) / NS_PER_MS, 3)
        for before, after in pairwise(levels)
        if abs(after.base_ns - before.base_ns) > STEP_NS and _same_session(record, before, after)
    )
    rate, doubt, scatter_ns = _rate(record, levels) if not steps_ms else (None, None, None)
    floor_ns = _floor_ns(record, levels, rate or 0.0)
    fault, floor_ms = fault_of(floor_ns), floor_ns / NS_PER_MS
    return NtpClock(
        "steps" if steps_ms else _VERDICTS[fault],
        reports,
        offset_s=-floor_ms / 1000 if fault else None,
        latency_ms=None if fault or steps_ms else floor_ms,
        drift_ppm=None if rate is None else -rate * 1e6,
        drift_doubt_ppm=None if doubt is None else doubt * 1e6,
        steps_ms=steps_ms,
        scatter_ms=None if scatter_ns is None else scatter_ns / NS_PER_MS,
        on_frame_share=_on_frame_share(record),
    )


def _lie_about_the_year(record: ObservedStream) -> Verdict | None:
    """Reports that count from zero, from when the camera was switched on, or not at all."""
    seconds = [report.ntp >> 32 for report in record.reports]
    if not seconds:
        return None
    last = seconds[-1]
    if last == 0:
        return "zero"
    return "uptime" if last < _FEW_YEARS_S or 0 <= last - NTP_TO_UNIX_S < _FEW_YEARS_S else None


def _levels(record: ObservedStream, usable: Ints) -> list[_Level]:
    """Runs of frames with one difference between NTP time and pts; what only one frame says is not believed."""
    if not len(usable):
        return []
    base = record.ntp_ns[usable] - record.pts_ns[usable]
    is_reported = np.isin(usable, [report.at for report in record.reports])[1:]
    is_other = (np.abs(np.diff(base)) > _LEVEL_NS) | (np.diff(record.session[usable]) != 0)
    cuts = np.flatnonzero(is_other | is_reported) + 1
    runs = [run for run in np.split(np.arange(len(usable)), cuts) if len(run) > 1]
    return [_Level(int(record.pts_ns[usable[run[0]]]), int(np.median(base[run])), usable[run]) for run in runs]


def _same_session(record: ObservedStream, before: _Level, after: _Level) -> bool:
    return bool(record.session[before.at[0]] == record.session[after.at[0]])


def _rate(record: ObservedStream, levels: list[_Level]) -> tuple[float | None, float | None, float | None]:
    """Rate of the NTP clock against pts, less one; its ±; and how far the levels lie from that line (nanoseconds)."""
    session = record.session[levels[-1].at[0]]
    some = [level for level in levels if record.session[level.at[0]] == session]
    pts = np.array([level.pts_ns - some[0].pts_ns for level in some], np.float64)
    base = np.array([level.base_ns - some[0].base_ns for level in some], np.float64)
    if pts[-1] < RATE_NEEDS_NS:
        return None, None, None
    rate, level = np.polyfit(pts, base, 1)
    scatter_ns = float(np.abs(base - rate * pts - level).max())
    return float(rate), 2 * max(scatter_ns, 12_000.0) / float(pts[-1]), scatter_ns


def _floor_ns(record: ObservedStream, levels: list[_Level], rate: float) -> int:
    """Least (start of arrival - NTP time), the time taken by each level's own report and the rate since."""
    floors = [
        record.start_utc_ns[level.at]
        - (record.pts_ns[level.at] + level.base_ns + (rate * (record.pts_ns[level.at] - level.pts_ns)).astype(np.int64))
        for level in levels
    ]
    return int(min(floor.min() for floor in floors))


def _on_frame_share(record: ObservedStream) -> float:
    """The part of the reports whose RTP time is a picture's: then their NTP times lie whole intervals apart."""
    steps = np.diff(record.pts_ns[record.pts_ns != NONE])
    period_ns = max(1, int(np.median(steps))) if len(steps) else NS_PER_S
    near = [
        abs(int(record.ntp_ns[report.at]) - unix_ns(report.ntp)) % period_ns
        for report in record.reports
        if record.ntp_ns[report.at] != NONE
    ]
    hits = [min(off, period_ns - off) <= ON_FRAME_NS for off in near]
    return sum(hits) / len(hits) if hits else 0.0
