"""What an observation log says, line by line: typed records, so that writer and reader cannot drift apart.

The format is described in docs/observations.md. A record is one JSON object; ``t`` names its kind, and ``e`` of a
``group`` record what the group was told. Integers are exact nanoseconds. No URL and no password is in any of them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec
from msgspec import Struct, field

from syncsvc.errors import LogError
from syncsvc.layout import Layout
from syncsvc.model import ClockClass, MissingReason, StampKind

MAX_LINE_BYTES = 1 << 20
"""Longer than any record of hundreds of streams; a file without line ends is refused before it fills the memory."""
MOST_TORN = 16
"""Lines in a row that a disk that is almost full may leave unfinished."""


class Record(Struct, frozen=True, kw_only=True, tag_field="t", gc=False):
    """One line."""


class StreamSettings(Struct, frozen=True):
    """How a stream was configured; ``latency_ns``, where known, is part of its ``model`` and ``arrival`` stamps."""

    kind: str
    clock: str
    latency_ns: int | None
    stall_after_ns: int
    hold_ns: int
    edge_ns: int


class GroupSettings(Struct, frozen=True):
    """How a group was configured, in the order of ``GroupRules``; times in nanoseconds."""

    streams: tuple[str, ...]
    window_ns: int
    max_skew_ns: int
    max_latency_ns: int
    reference: str | None


class RunRecord(Record, frozen=True, kw_only=True, tag="run"):
    """A receiver began: nothing of what came before it lives on."""

    v: Literal[1]
    run_id: str
    epoch: int
    utc_ns: int
    mono_ns: int
    streams: dict[str, StreamSettings]
    groups: dict[str, GroupSettings]


class ReloadRecord(Record, frozen=True, kw_only=True, tag="reload"):
    """The configuration was read again; the groups are told one by one, in records of their own."""

    mono_ns: int
    streams: dict[str, StreamSettings]
    groups: dict[str, GroupSettings]


class UtcRecord(Record, frozen=True, kw_only=True, tag="utc"):
    """From here on, UTC is ``utc_ns + (mono - mono_ns) * (1 + rate)``; another ``epoch`` means a jump."""

    mono_ns: int
    utc_ns: int
    rate: float
    epoch: int


class SessionRecord(Record, frozen=True, kw_only=True, tag="session"):
    """A capture of the stream was attached."""

    stream: str = field(name="s")
    mono_ns: int


class ObsRecord(Record, frozen=True, kw_only=True, tag="obs"):
    """The facts of one frame, as ``model.Observation`` has them."""

    stream: str = field(name="s")
    seq: int
    arrival_mono_ns: int
    start_mono_ns: int | None
    pts_ns: int | None
    ntp_ns: int | None
    sr: tuple[int, int] | None
    stamp_ns: int | None
    kind: StampKind
    doubt_ns: int
    key: bool


class LossRecord(Record, frozen=True, kw_only=True, tag="loss"):
    """Frames of the stream were captured and lost."""

    stream: str = field(name="s")
    cause: str
    count: int
    mono_ns: int


class StampRecord(Record, frozen=True, kw_only=True, tag="stamp"):
    """The conclusion about one frame."""

    stream: str = field(name="s")
    seq: int
    time_ns: int
    uncertainty_ns: int
    clock: ClockClass
    arrival_ns: int


class ClockRecord(Record, frozen=True, kw_only=True, tag="clock"):
    """The stream's clock or standing changed; ``reasons`` says of each better rung why it does not speak."""

    stream: str = field(name="s")
    clock: str | None
    doubtful: bool
    reasons: dict[str, str]
    mono_ns: int


class SentRecord(Record, frozen=True, kw_only=True, tag="sent"):
    """A batch left, with this ``emitted_ns``, whether or not anybody was subscribed."""

    group: str = field(name="g")
    seq: int
    epoch: int
    emitted_ns: int


class LostRecords(Record, frozen=True, kw_only=True, tag="lost_records"):
    """So many records were to stand here; the disk did not take them."""

    count: int


class GroupRecord(Record, frozen=True, kw_only=True, tag="group"):
    """A group was told something at ``now_ns`` (UTC, mapped) of the clock epoch, in the order of its lock."""

    group: str = field(name="g")
    now_ns: int
    clock_epoch: int


class GroupOpen(GroupRecord, frozen=True, kw_only=True):
    """It began."""

    e: Literal["open"] = "open"
    rules: GroupSettings
    epoch: int
    first_window: int
    first_seq: int
    is_patient: bool


class GroupAdd(GroupRecord, frozen=True, kw_only=True):
    """A frame came."""

    e: Literal["add"] = "add"
    stream: str = field(name="s")
    seq: int
    time_ns: int
    uncertainty_ns: int
    clock: ClockClass
    arrival_ns: int
    key: bool
    layout: Layout


class GroupExpect(GroupRecord, frozen=True, kw_only=True):
    """Frames of the stream wait for a better stamp; none will be before ``floor_ns``."""

    e: Literal["expect"] = "expect"
    stream: str = field(name="s")
    floor_ns: int


class GroupDrop(GroupRecord, frozen=True, kw_only=True):
    """Frames of the stream were lost."""

    e: Literal["drop"] = "drop"
    stream: str = field(name="s")
    cause: str
    count: int


class GroupState(GroupRecord, frozen=True, kw_only=True):
    """The stream changed its state."""

    e: Literal["state"] = "state"
    stream: str = field(name="s")
    state: Literal["starting", "live", "stalled", "absent", "ended", "draining"]


class GroupDoubt(GroupRecord, frozen=True, kw_only=True):
    """A better clock of the stream was caught lying, or is believed again."""

    e: Literal["doubt"] = "doubt"
    stream: str = field(name="s")
    doubtful: bool


class GroupDrain(GroupRecord, frozen=True, kw_only=True):
    """The service is to stop."""

    e: Literal["drain"] = "drain"


class GroupJump(GroupRecord, frozen=True, kw_only=True):
    """The host's clock jumped by ``jump_ns``: what is open leaves (``close`` records follow), ``epoch`` begins."""

    e: Literal["jump"] = "jump"
    epoch: int
    jump_ns: int


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
    window: tuple[int, int]
    seq: int
    epoch: int
    missing: dict[str, MissingReason]


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
    return record


def read(path: Path) -> Iterator[tuple[int, AnyRecord]]:
    """The records of a log in order, each with the number of its line.

    A line that was cut off is passed over where that is no surprise: the last one (the service was killed), and those
    before a ``run`` (its receiver was) or ``lost_records`` (the disk was full).

    Raises:
        LogError: the file cannot be read, or is no observation log from here on.
    """
    torn: list[LogError] = []
    is_log = False
    try:
        for number, line in _lines(path):
            try:
                record = decode(line)
            except ValueError as error:  # msgspec's errors are ValueErrors too
                if len(torn) == MOST_TORN or not is_log:
                    raise _refusal(path, number, is_log, error) from error
                torn.append(_refusal(path, number, is_log, error))
                continue
            if torn and not isinstance(record, RunRecord | LostRecords):
                raise torn[0]
            if not is_log and not isinstance(record, RunRecord):
                raise _refusal(path, number, is_log, ValueError("its first record is not a run's"))
            torn, is_log = [], True
            yield number, record
    except OSError as error:
        raise LogError(str(path), error.strerror or str(error)) from error
    if not is_log:
        raise LogError(str(path), "is empty: no observation log")
    if len(torn) > 1:
        raise torn[0]


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(MAX_LINE_BYTES), b""), 1):
            if line != b"\n":
                yield number, line


def _refusal(path: Path, number: int, is_log: bool, error: ValueError) -> LogError:
    return LogError(str(path), f"{error}" if is_log else f"is no observation log: {error}", line=number)
