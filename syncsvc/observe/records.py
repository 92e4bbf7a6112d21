"""What an observation log says, line by line: typed records, so that writer and reader cannot drift apart.

The format is described in docs/observations.md. A record is one JSON object; ``t`` names its kind, and ``e`` of a
``group`` record its event (``observe.events``), whose keys stand beside its own. Integers are exact nanoseconds. No URL
and no password is in any of them.
"""

from collections.abc import Callable
from typing import Literal, get_args

import msgspec
from msgspec import Struct, field

from syncsvc.model import ClockClass, Frame, Int64, Natural, Observation, StampKind, Time
from syncsvc.observe.events import Add, AnyEvent, Cause, Count, GroupRules, Logged, Name

MAX_LINE_BYTES = 1 << 20
"""Longer than any record of hundreds of streams; a file without line ends is refused before it fills the memory."""


class Record(Struct, frozen=True, kw_only=True, tag_field="t", gc=False):
    """One line."""


class StreamSettings(Struct, frozen=True):
    """How a stream was configured; ``latency_ns``, where known, is part of its ``model`` and ``arrival`` stamps."""

    kind: str
    clock: str
    latency_ns: Natural | None
    stall_after_ns: Natural
    hold_ns: Natural
    edge_ns: Natural


class RunRecord(Record, frozen=True, kw_only=True, tag="run"):
    """A receiver began: nothing of what came before it lives on."""

    v: Literal[1]
    run_id: str
    epoch: Natural
    utc_ns: Time
    mono_ns: Time
    streams: dict[Name, StreamSettings]
    groups: dict[Name, GroupRules]
    pairing: str = ""
    """By which rule its sets are formed; empty before rules had names."""


class ReloadRecord(Record, frozen=True, kw_only=True, tag="reload"):
    """The configuration was read again; the groups are told one by one, in records of their own."""

    mono_ns: Time
    streams: dict[Name, StreamSettings]
    groups: dict[Name, GroupRules]


class UtcRecord(Record, frozen=True, kw_only=True, tag="utc"):
    """From here on, UTC is ``utc_ns + (mono - mono_ns) * (1 + rate)``; another ``epoch`` means a jump."""

    mono_ns: Time
    utc_ns: Time
    rate: float
    epoch: Natural


class SessionRecord(Record, frozen=True, kw_only=True, tag="session"):
    """A capture of the stream was attached."""

    stream: Name = field(name="s")
    mono_ns: Time


class ObsRecord(Record, frozen=True, kw_only=True, tag="obs"):
    """The facts of one frame, as ``model.Observation`` has them."""

    stream: Name = field(name="s")
    seq: Natural
    arrival_mono_ns: Time
    start_mono_ns: Time | None
    pts_ns: Int64 | None
    ntp_ns: Int64 | None
    sr: tuple[int, int] | None
    stamp_ns: Int64 | None
    kind: StampKind
    doubt_ns: Natural
    key: bool
    utc_less_mono_ns: Int64 | None = None

    @classmethod
    def of(cls, stream: str, seen: Observation) -> "ObsRecord":
        """What was seen of a frame of the stream."""
        return cls(
            stream=stream,
            seq=seen.seq,
            arrival_mono_ns=seen.arrival_mono_ns,
            start_mono_ns=seen.start_mono_ns,
            pts_ns=seen.pts_ns,
            ntp_ns=seen.ntp_ns,
            sr=seen.sender_report,
            stamp_ns=seen.stamp_ns,
            kind=seen.stamp_kind,
            doubt_ns=seen.doubt_ns,
            key=seen.is_key,
            utc_less_mono_ns=seen.utc_less_mono_ns,
        )


class LossRecord(Record, frozen=True, kw_only=True, tag="loss"):
    """Frames of the stream were captured and lost."""

    stream: Name = field(name="s")
    cause: Cause
    count: Count
    mono_ns: Time


class StampRecord(Record, frozen=True, kw_only=True, tag="stamp"):
    """The conclusion about one frame."""

    stream: Name = field(name="s")
    seq: Natural
    time_ns: Time
    uncertainty_ns: Natural
    clock: ClockClass
    arrival_ns: Time

    @classmethod
    def of(cls, frame: Frame) -> "StampRecord":
        """What was concluded of a frame."""
        return cls(
            stream=frame.stream, seq=frame.seq, time_ns=frame.time_ns, uncertainty_ns=frame.uncertainty_ns,
            clock=frame.clock, arrival_ns=frame.arrival_ns,
        )  # fmt: skip


class ClockRecord(Record, frozen=True, kw_only=True, tag="clock"):
    """The stream's clock or standing changed; ``reasons`` says of each better rung why it does not speak."""

    stream: Name = field(name="s")
    clock: str | None
    doubtful: bool
    reasons: dict[str, str]
    mono_ns: Time


class SentRecord(Record, frozen=True, kw_only=True, tag="sent"):
    """A batch left, with this ``emitted_ns``, ``late_ns`` and ``since_ns``, whether or not anybody was subscribed."""

    group: Name = field(name="g")
    seq: Natural
    epoch: Natural
    emitted_ns: Time
    late_ns: Natural = 0
    since_ns: Time | None = None


class LostRecords(Record, frozen=True, kw_only=True, tag="lost_records"):
    """So many records were to stand here; the disk did not take them."""

    count: Count


class _GroupHead(Record, frozen=True, kw_only=True, tag="group"):
    """What every line about a group begins with."""

    group: Name = field(name="g")
    now_ns: Time
    clock_epoch: Natural


class GroupRecord(_GroupHead, frozen=True, kw_only=True, tag="group"):
    """A group was told something, or decided, at ``now_ns`` (UTC, mapped) of the clock epoch, in its lock's order."""

    event: AnyEvent


_OtherRecord = (
    RunRecord | ReloadRecord | UtcRecord | SessionRecord | ObsRecord | LossRecord | StampRecord | ClockRecord
    | SentRecord | LostRecords
)  # fmt: skip
AnyRecord = _OtherRecord | GroupRecord
_Line = _OtherRecord | _GroupHead
Note = Callable[[AnyRecord], None]
"""Takes what is to be in the log, from any thread."""


class _Kind(Struct):
    t: str
    e: str = ""


_encode = msgspec.json.Encoder().encode
_lines: msgspec.json.Decoder[_Line] = msgspec.json.Decoder(_Line)
_events: msgspec.json.Decoder[Logged] = msgspec.json.Decoder(Logged)
_kinds = msgspec.json.Decoder(_Kind)
_KINDS = {(str(kind.__struct_config__.tag), "") for kind in get_args(_Line)} - {("group", "")}
_KINDS |= {("group", str(event.__struct_config__.tag)) for event in get_args(Logged)}


def encode(record: AnyRecord) -> bytes:
    """A record as a line of a log, without its end."""
    if not isinstance(record, GroupRecord):
        return _encode(record)
    head = _GroupHead(group=record.group, now_ns=record.now_ns, clock_epoch=record.clock_epoch)
    event = Add.of(record.event) if isinstance(record.event, Frame) else record.event
    return _encode(head)[:-1] + b"," + _encode(event)[1:]


def decode(line: bytes) -> AnyRecord:
    """One line of a log.

    Raises:
        ValueError: it is no record; the text says why.
    """
    try:
        record = _lines.decode(line)
        return _of_group(record, _events.decode(line)) if isinstance(record, _GroupHead) else record
    except msgspec.ValidationError:
        kind = _kinds.decode(line)
        if (kind.t, kind.e) in _KINDS:
            raise
    raise ValueError(f"a record of kind {f'{kind.t} {kind.e}'.strip()!r:.40} is not known to this version")


def _of_group(head: _GroupHead, logged: Logged) -> GroupRecord:
    event: AnyEvent = logged.frame() if isinstance(logged, Add) else logged
    return GroupRecord(group=head.group, now_ns=head.now_ns, clock_epoch=head.clock_epoch, event=event)
