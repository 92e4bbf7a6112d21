"""Turns the log of a run into one table of arrays per stream, which is what everything else here computes on."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from syncsvc.clock import NS_PER_S
from syncsvc.observe.events import GroupRules, Open
from syncsvc.observe.records import (
    AnyRecord,
    ClockRecord,
    GroupRecord,
    LossRecord,
    LostRecords,
    ObsRecord,
    RunRecord,
    SessionRecord,
    StampRecord,
    StreamSettings,
    UtcRecord,
)

Ints = NDArray[np.int64]
NONE = int(np.iinfo(np.int64).min)
"""Stands for "not known" in arrays of nanoseconds."""
_GUESS_NS = NS_PER_S // 2
"""A recording's ± from here on is a guess of when it began, or whole seconds of its container."""


@dataclass(frozen=True, slots=True)
class SenderReport:
    """A sender report as it came: it rode on the frame at index ``at``."""

    at: int
    ntp: int
    rtp: int


@dataclass(frozen=True, slots=True)
class ObservedStream:
    """Everything seen of one stream; the arrays have one entry per frame, in the order of ``seq``.

    ``arrival_ns`` and ``start_ns`` are on CLOCK_MONOTONIC, ``utc_less_mono_ns`` is what makes UTC of them;
    ``pts_ns`` is the stream's own time; ``ntp_ns``, ``time_ns`` and ``uncertainty_ns`` are UTC. ``NONE`` where a fact
    is missing. ``clock`` is the class of the frame's stamp, empty without one; ``session`` counts the
    attempts to connect, ``sessions`` those that brought frames.
    """

    name: str
    kind: str
    latency_ns: int | None
    seq: Ints
    arrival_ns: Ints
    start_ns: Ints
    utc_less_mono_ns: Ints
    pts_ns: Ints
    ntp_ns: Ints
    is_key: NDArray[np.bool_]
    session: Ints
    time_ns: Ints
    uncertainty_ns: Ints
    clock: NDArray[np.str_]
    reports: tuple[SenderReport, ...]
    sessions: int
    losses: Mapping[str, int]
    is_doubtful: bool
    reasons: Mapping[str, str]
    is_asap: bool = False

    def __len__(self) -> int:
        return len(self.seq)

    @property
    def tells_time_by_arriving(self) -> bool:
        """False where frames come when somebody else pleases: read ``asap``, or many at a time, as HLS does."""
        return not self.is_asap and (len(self) < 3 or float((np.diff(self.arrival_ns) == 0).mean()) < 0.5)

    @property
    def is_untimed(self) -> bool:
        """Whether it is a recording that began nobody knows when, but for a guess."""
        chosen = self.time_ns != NONE
        return self.kind == "file" and bool(chosen.any()) and int(np.median(self.uncertainty_ns[chosen])) >= _GUESS_NS

    @property
    def start_utc_ns(self) -> Ints:
        """When each frame began to arrive, UTC; ``NONE`` where that is not known."""
        return np.where(self.start_ns == NONE, NONE, self.start_ns + self.utc_less_mono_ns)

    @property
    def clock_class(self) -> str:
        """The class that the stream came to rest on: of its last stamp; empty without any."""
        stamped = self.clock[self.time_ns != NONE]
        return str(stamped[-1]) if len(stamped) else ""


@dataclass(frozen=True, slots=True)
class ObservedRun:
    """One run, as its log tells it; ``seconds`` from its start to the last thing seen."""

    streams: Mapping[str, ObservedStream]
    groups: Mapping[str, GroupRules]
    seconds: float
    lost_records: int


@dataclass(slots=True)
class _Stream:
    """What is gathered of a stream while the log is read."""

    about: StreamSettings
    rows: dict[int, list[int]] = field(default_factory=dict)
    stamps: dict[int, tuple[int, int, str]] = field(default_factory=dict)
    reports: dict[int, tuple[int, int]] = field(default_factory=dict)
    sessions: int = 0
    losses: Counter[str] = field(default_factory=Counter)
    is_doubtful: bool = False
    reasons: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Run:
    """What is gathered of everything."""

    streams: dict[str, _Stream] = field(default_factory=dict)
    groups: dict[str, GroupRules] = field(default_factory=dict)
    utc: list[tuple[int, int, float]] = field(default_factory=list)
    moments_ns: list[int] = field(default_factory=list)
    lost_records: int = 0
    is_asap: bool = False


def gather(records: Iterable[AnyRecord]) -> ObservedRun:
    """Make tables of the records of an observation log; kinds that are of no use here are passed over."""
    run = _Run()
    for record in records:
        _take(run, record)
    run.utc.sort()
    return ObservedRun(
        {name: _table(name, stream, run) for name, stream in run.streams.items()},
        run.groups,
        (max(run.moments_ns, default=0) - min(run.moments_ns, default=0)) / NS_PER_S,
        run.lost_records,
    )


def _take(run: _Run, record: AnyRecord) -> None:
    stream = run.streams.get(getattr(record, "stream", ""))
    match record:
        case RunRecord():
            run.moments_ns.append(record.mono_ns)
            run.utc.append((record.mono_ns, record.utc_ns, 0.0))
            run.groups |= record.groups
            for name, about in record.streams.items():
                run.streams.setdefault(name, _Stream(about)).about = about
        case GroupRecord(event=Open(is_patient=is_patient)):
            run.is_asap = is_patient
        case UtcRecord():
            run.utc.append((record.mono_ns, record.utc_ns, record.rate))
        case LostRecords():
            run.lost_records += record.count
        case SessionRecord() if stream:
            stream.sessions += 1
        case ObsRecord() if stream:
            run.moments_ns.append(record.arrival_mono_ns)
            known = (record.start_mono_ns, record.pts_ns, record.ntp_ns)
            values = [NONE if value is None else value for value in known]
            stream.rows[record.seq] = [record.arrival_mono_ns, *values, record.key, stream.sessions]
            if record.sr is not None:
                stream.reports[record.seq] = record.sr
        case StampRecord() if stream:
            stream.stamps[record.seq] = record.time_ns, record.uncertainty_ns, record.clock
        case LossRecord() if stream:
            stream.losses[record.cause] += record.count
        case ClockRecord() if stream:
            stream.is_doubtful, stream.reasons = record.doubtful, record.reasons


def _utc_less_mono(segments: list[tuple[int, int, float]], mono_ns: Ints) -> Ints:
    """UTC less CLOCK_MONOTONIC at these moments, from the segments of the host's mapper in their order."""
    if not segments:
        return np.zeros_like(mono_ns)
    begun, utc = np.array([segment[:2] for segment in segments], np.int64).T
    at = np.clip(np.searchsorted(begun, mono_ns, "right") - 1, 0, None)
    rate = np.array([segment[2] for segment in segments])[at]
    offset: Ints = (utc - begun)[at] + ((mono_ns - begun[at]) * rate).astype(np.int64)
    return offset


def _table(name: str, stream: _Stream, run: _Run) -> ObservedStream:
    seqs = sorted(stream.rows)
    rows = np.array([stream.rows[seq] for seq in seqs], np.int64).reshape(-1, 6)
    if (rows[:, 1] == NONE).all():  # nothing holds its frames back: they begin when they are there
        rows[:, 1] = rows[:, 0]
    stamps = [stream.stamps.get(seq, (NONE, NONE, "")) for seq in seqs]
    places = {seq: at for at, seq in enumerate(seqs)}
    return ObservedStream(
        name=name,
        kind=stream.about.kind,
        latency_ns=stream.about.latency_ns,
        seq=np.array(seqs, np.int64),
        arrival_ns=rows[:, 0],
        start_ns=rows[:, 1],
        utc_less_mono_ns=_utc_less_mono(run.utc, rows[:, 0]),
        pts_ns=rows[:, 2],
        ntp_ns=rows[:, 3],
        is_key=rows[:, 4].astype(np.bool_),
        session=rows[:, 5],
        time_ns=np.array([stamp[0] for stamp in stamps], np.int64),
        uncertainty_ns=np.array([stamp[1] for stamp in stamps], np.int64),
        clock=np.array([stamp[2] for stamp in stamps], np.str_),
        reports=tuple(SenderReport(places[seq], *report) for seq, report in stream.reports.items()),
        sessions=len({row[5] for row in stream.rows.values()}),
        losses=dict(stream.losses),
        is_doubtful=stream.is_doubtful,
        reasons=stream.reasons,
        is_asap=run.is_asap,
    )
