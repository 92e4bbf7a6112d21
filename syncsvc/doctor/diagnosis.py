"""Everything about one run in one value: facts per stream, what is wrong in words, and what to write instead."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from syncsvc.clock import NS_PER_MS
from syncsvc.doctor.agreement import UNVOUCHED_MS, Agreement, agreement_of
from syncsvc.doctor.content import Comparison, suggest, suggest_offsets
from syncsvc.doctor.delivery import FrameDelivery, delivery_of
from syncsvc.doctor.findings import Finding, findings_of
from syncsvc.doctor.ntp_clock import NtpClock, ntp_clock_of
from syncsvc.doctor.observed import NONE, ObservedRun, ObservedStream
from syncsvc.doctor.proposals import GroupAdvice, advise
from syncsvc.doctor.pts_clock import PtsClock, pts_clock_of
from syncsvc.observe.status import StreamStatus

MODELLED = ("model", "arrival")
"""Classes of stamps that the constant latency is in, unless ``latency_ms`` takes it out."""


@dataclass(frozen=True, slots=True)
class StreamDiagnosis:
    """One stream; None where it cannot be told.

    ``latency_ms`` is the least time from capture to the first packet, by ``latency_basis``: ``ntp``, ``kernel``,
    ``pts``, ``content`` (by what it shows at the same time as one of those), or ``relative`` (as much later than the
    quickest one that shows the same). ``behind_ms`` is how much that is more than the quickest stream's, of those to
    be believed. ``is_untimed`` is said of a recording that began nobody knows when; ``proposed_offset_ms`` is how much
    later that was than for the first of those that show the same.
    """

    name: str
    kind: str
    clock: str
    is_doubtful: bool
    why_not: Mapping[str, str]
    uncertainty_ms: float | None
    declared_fps: float | None
    problem: str
    delivery: FrameDelivery
    pts_clock: PtsClock
    ntp: NtpClock
    configured_latency_ms: float | None
    latency_ms: float | None = None
    latency_basis: str = ""
    behind_ms: float | None = None
    is_punctual: bool = True
    is_untimed: bool = False
    proposed_offset_ms: float | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def drift(self) -> tuple[float, float, str] | None:
        """ppm, its ±, and against what: ``ntp`` where the camera's clock is believed, else ``arrivals``."""
        ntp, pts_clock = self.ntp, self.pts_clock
        if ntp.verdict == "believable" and ntp.drift_ppm is not None and ntp.drift_doubt_ppm is not None:
            return ntp.drift_ppm, ntp.drift_doubt_ppm, "ntp"
        if pts_clock.drift_ppm is not None and pts_clock.drift_doubt_ppm is not None:
            return pts_clock.drift_ppm, pts_clock.drift_doubt_ppm, "arrivals"
        return None

    @property
    def is_mjpeg(self) -> bool:
        """Whether it comes over HTTP without any pts: pictures in parts, which declare no rate either."""
        return self.kind == "http" and self.delivery.pts_missing == self.delivery.frames > 0

    @property
    def is_suspect(self) -> bool:
        """Whether its own clock seems to hide the latency."""
        return any(finding.code == "ntp_sent" for finding in self.findings)

    @property
    def proposed_latency_ms(self) -> float | None:
        """What ``latency_ms`` should be; where a better clock is in use, for the day when it fails."""
        if self.kind not in ("rtsp", "http") or self.latency_ms is None or self.is_suspect:
            return None
        if self.latency_basis == "relative" and self.latency_ms == 0:
            return None
        return max(0.1, round(self.latency_ms, 1))  # 0 is how a configuration says that it is not known


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One run; ``seconds`` is how long it was watched."""

    seconds: float
    streams: Mapping[str, StreamDiagnosis]
    groups: Mapping[str, GroupAdvice]
    content: tuple[Comparison, ...] | None
    lost_records: int
    agreement: Agreement | None = None

    @property
    def to_vouch_for(self) -> tuple[str, ...]:
        """Streams whose own clock is in use, and to be believed as all cameras agree: ``clock: rtcp`` says so."""
        names = self.agreement.cameras if self.agreement else ()
        return tuple(
            name
            for name in names
            if self.streams[name].clock == "rtcp" and (self.streams[name].uncertainty_ms or 0.0) >= UNVOUCHED_MS
        )


def diagnose(
    run: ObservedRun,
    status: Mapping[str, StreamStatus] | None = None,
    content: tuple[Comparison, ...] | None = None,
) -> Diagnosis:
    """Judge a run.

    Args:
        run: its log.
        status: what the daemon says of each stream, beside the log.
        content: what the pictures said, if they were asked.
    """
    records, said = run.streams, status or {}
    streams = _with_content({name: _stream(record, said.get(name)) for name, record in records.items()}, content or ())
    untimed = [name for name, one in streams.items() if one.is_untimed]
    for name, offset_ms in suggest_offsets(content or (), untimed).items():
        streams[name] = replace(streams[name], proposed_offset_ms=offset_ms)
    streams = {name: replace(one, findings=findings_of(one, streams, content)) for name, one in streams.items()}
    trusted = {name: one for name, one in streams.items() if not one.is_suspect}
    known_ms = {name: one.latency_ms for name, one in trusted.items() if one.latency_ms is not None}
    quickest_ms = min(known_ms.values(), default=0.0)
    for name, latency_ms in known_ms.items():
        streams[name] = replace(streams[name], behind_ms=latency_ms - quickest_ms)
    earlier_ms = {
        name: stream.proposed_latency_ms - (stream.configured_latency_ms or 0.0)
        for name, stream in streams.items()
        if stream.clock in MODELLED and stream.proposed_latency_ms is not None
    }
    earlier_ms |= {
        name: -stream.proposed_offset_ms for name, stream in streams.items() if stream.proposed_offset_ms is not None
    }
    groups = {name: advise(group, records, earlier_ms) for name, group in run.groups.items()}
    return Diagnosis(run.seconds, streams, groups, content, run.lost_records, agreement_of(streams))


def _stream(record: ObservedStream, said: StreamStatus | None) -> StreamDiagnosis:
    chosen = (record.time_ns != NONE) & (record.clock == record.clock_class)
    pts_clock = pts_clock_of(record)
    plain = StreamDiagnosis(
        record.name,
        record.kind,
        record.clock_class,
        record.is_doubtful,
        record.reasons,
        float(np.median(record.uncertainty_ns[chosen])) / NS_PER_MS if chosen.any() else None,
        said.declared_fps if said else None,
        said.problem if said else "",
        delivery_of(record, pts_clock.floor_of(record)),
        pts_clock,
        ntp_clock_of(record),
        None if record.latency_ns is None else record.latency_ns / NS_PER_MS,
        is_punctual=record.tells_time_by_arriving,
        is_untimed=record.is_untimed,
    )
    if plain.ntp.verdict == "believable":
        return replace(plain, latency_ms=plain.ntp.latency_ms, latency_basis="ntp")
    if plain.clock in ("kernel", "pts") and record.kind != "file":
        known = chosen & (record.start_ns != NONE)
        if known.any():
            latency_ns = np.min((record.start_utc_ns - record.time_ns)[known])
            return replace(plain, latency_ms=float(latency_ns) / NS_PER_MS, latency_basis=plain.clock)
    return plain


def _with_content(
    streams: Mapping[str, StreamDiagnosis], comparisons: tuple[Comparison, ...]
) -> dict[str, StreamDiagnosis]:
    """Streams without a clock to tell their latency take it from the pictures that they share with others."""
    mute = [name for name, one in streams.items() if one.clock in MODELLED and one.latency_ms is None]
    trusted = [name for name, one in streams.items() if one.clock and one.clock not in MODELLED]
    told = dict(streams)
    for name, found in suggest(comparisons, mute, trusted).items():
        basis = "relative" if found.is_relative else "content"
        told[name] = replace(told[name], latency_ms=found.latency_ms, latency_basis=basis)
    return told
