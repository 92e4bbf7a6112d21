"""What an observation log says, line by line: typed records, so that writer and reader cannot drift apart.

The format is described in docs/observations.md. A record is one JSON object; ``t`` names its kind, and ``e`` of a
``group`` record what the group was told. Integers are exact nanoseconds. No URL and no password is in any of them.
"""

from typing import Annotated, Any, Final, Literal, get_args

import msgspec
from msgspec import Meta, Struct, field

from syncsvc.layout import Layout
from syncsvc.model import ClockClass, MissingReason, Observation, StampKind

MAX_LINE_BYTES = 1 << 20
"""Longer than any record of hundreds of streams; a file without line ends is refused before it fills the memory."""
_MOST: Final = 2**62 - 1
"""So that the sum and the difference of two still fit the 64 bits of a batch's header."""
Name = Annotated[str, Meta(pattern=r"^[a-z0-9_-]{1,64}\Z")]
Time = Annotated[int, Meta(ge=-_MOST, le=_MOST)]
"""Nanoseconds of a clock, or between two of them."""
Fact = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""Nanoseconds that a camera said, and it may say anything."""
Natural = Annotated[int, Meta(ge=0, le=_MOST)]
Cause = Annotated[str, Meta(min_length=1, max_length=64)]
Count = Annotated[int, Meta(ge=0, le=2**32)]
WindowLength = Annotated[int, Meta(ge=1_000_000, le=60_000_000_000)]
Bound = Annotated[int, Meta(ge=0, le=60_000_000_000)]
"""Nanoseconds, as far as a configuration goes."""
MOST_SIDE: Final = 65_535


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


class GroupSettings(Struct, frozen=True):
    """How a group was configured, in the order of ``GroupRules``; times in nanoseconds, None for no windows."""

    streams: tuple[Name, ...]
    window_ns: WindowLength | None
    max_skew_ns: Bound
    max_latency_ns: Bound
    reference: Name | None


class RunRecord(Record, frozen=True, kw_only=True, tag="run"):
    """A receiver began: nothing of what came before it lives on."""

    v: Literal[1]
    run_id: str
    epoch: Natural
    utc_ns: Time
    mono_ns: Time
    streams: dict[Name, StreamSettings]
    groups: dict[Name, GroupSettings]


class ReloadRecord(Record, frozen=True, kw_only=True, tag="reload"):
    """The configuration was read again; the groups are told one by one, in records of their own."""

    mono_ns: Time
    streams: dict[Name, StreamSettings]
    groups: dict[Name, GroupSettings]


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
    pts_ns: Fact | None
    ntp_ns: Fact | None
    sr: tuple[int, int] | None
    stamp_ns: Fact | None
    kind: StampKind
    doubt_ns: Natural
    key: bool

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


class ClockRecord(Record, frozen=True, kw_only=True, tag="clock"):
    """The stream's clock or standing changed; ``reasons`` says of each better rung why it does not speak."""

    stream: Name = field(name="s")
    clock: str | None
    doubtful: bool
    reasons: dict[str, str]
    mono_ns: Time


class SentRecord(Record, frozen=True, kw_only=True, tag="sent"):
    """A batch left, with this ``emitted_ns``, whether or not anybody was subscribed."""

    group: Name = field(name="g")
    seq: Natural
    epoch: Natural
    emitted_ns: Time


class LostRecords(Record, frozen=True, kw_only=True, tag="lost_records"):
    """So many records were to stand here; the disk did not take them."""

    count: Count


class GroupRecord(Record, frozen=True, kw_only=True, tag="group"):
    """A group was told something at ``now_ns`` (UTC, mapped) of the clock epoch, in the order of its lock."""

    group: Name = field(name="g")
    now_ns: Time
    clock_epoch: Natural


class GroupOpen(GroupRecord, frozen=True, kw_only=True):
    """It began."""

    e: Literal["open"] = "open"
    rules: GroupSettings
    epoch: Natural
    first_window: Natural
    first_seq: Natural
    is_patient: bool


class GroupAdd(GroupRecord, frozen=True, kw_only=True):
    """A frame came."""

    e: Literal["add"] = "add"
    stream: Name = field(name="s")
    seq: Natural
    time_ns: Time
    uncertainty_ns: Natural
    clock: ClockClass
    arrival_ns: Time
    key: bool
    layout: Layout


class GroupExpect(GroupRecord, frozen=True, kw_only=True):
    """Frames of the stream wait for a better stamp; none will be before ``floor_ns``."""

    e: Literal["expect"] = "expect"
    stream: Name = field(name="s")
    floor_ns: Time


class GroupDrop(GroupRecord, frozen=True, kw_only=True):
    """Frames of the stream were lost."""

    e: Literal["drop"] = "drop"
    stream: Name = field(name="s")
    cause: Cause
    count: Count


class GroupState(GroupRecord, frozen=True, kw_only=True):
    """The stream changed its state."""

    e: Literal["state"] = "state"
    stream: Name = field(name="s")
    state: Literal["starting", "live", "stalled", "absent", "ended", "draining"]


class GroupDoubt(GroupRecord, frozen=True, kw_only=True):
    """A better clock of the stream was caught lying, or is believed again."""

    e: Literal["doubt"] = "doubt"
    stream: Name = field(name="s")
    doubtful: bool


class GroupDrain(GroupRecord, frozen=True, kw_only=True):
    """The service is to stop."""

    e: Literal["drain"] = "drain"


class GroupJump(GroupRecord, frozen=True, kw_only=True):
    """The host's clock jumped by ``jump_ns``: what is open leaves (``close`` records follow), ``epoch`` begins."""

    e: Literal["jump"] = "jump"
    epoch: Natural
    jump_ns: Time


class GroupReconfigure(GroupRecord, frozen=True, kw_only=True):
    """Other streams or bounds."""

    e: Literal["reconfigure"] = "reconfigure"
    rules: GroupSettings


class GroupEnd(GroupRecord, frozen=True, kw_only=True):
    """Everything was read: what is open leaves (``close`` records follow)."""

    e: Literal["end"] = "end"


class GroupClose(GroupRecord, frozen=True, kw_only=True):
    """A window closed; what the batch must say, so that a replay that differs is noticed."""

    e: Literal["close"] = "close"
    window: tuple[Time, Time]
    seq: Natural
    epoch: Natural
    missing: dict[Name, MissingReason]


GroupEvent = (
    GroupOpen | GroupAdd | GroupExpect | GroupDrop | GroupState | GroupDoubt | GroupDrain | GroupJump | GroupReconfigure
    | GroupEnd | GroupClose
)  # fmt: skip
AnyRecord = (
    RunRecord | ReloadRecord | UtcRecord | SessionRecord | ObsRecord | LossRecord | StampRecord | ClockRecord
    | SentRecord | LostRecords | GroupEvent
)  # fmt: skip


class _Kind(Struct):
    t: str
    e: str = ""


def _kind_of(record: type[Struct]) -> tuple[str, str]:
    event = next((one.default for one in msgspec.structs.fields(record) if one.name == "e"), "")
    return str(record.__struct_config__.tag), event


_kinds = msgspec.json.Decoder(_Kind)
_decoders: dict[tuple[str, str], msgspec.json.Decoder[Any]] = {
    _kind_of(record): msgspec.json.Decoder(record) for record in get_args(AnyRecord)
}


def decode(line: bytes) -> AnyRecord:
    """One line of a log.

    Raises:
        ValueError: it is no record; the text says why.
    """
    kind = _kinds.decode(line)
    decoder = _decoders.get((kind.t, kind.e))
    if decoder is None:
        raise ValueError(f"a record of kind {f'{kind.t} {kind.e}'.strip()!r:.40} is not known to this version")
    record: AnyRecord = decoder.decode(line)
    if isinstance(record, GroupAdd) and not _is_shown(record.layout):
        raise ValueError(f"a picture has 1 to {MOST_SIDE} pixels a side")
    return record


def _is_shown(layout: Layout) -> bool:
    return 0 < layout.width <= MOST_SIDE and 0 < layout.height <= MOST_SIDE
