"""Makes the decisions of an observation log again: as they were, bit for bit, or as other settings would have had them.

Both ways the log's events are told to a ``GroupDecider``, which decides in the service too: there is no second set of
rules. As they were, each window closes when the log says so, and must close the same; otherwise, windows close by
themselves at the recorded times.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import msgspec

from syncsvc.align.batches import GroupRules
from syncsvc.align.decider import Now, Opening
from syncsvc.align.deciders import Decider, decider_for
from syncsvc.errors import LogError
from syncsvc.model import Frame, FrameBatch, StreamState
from syncsvc.observe.log_reader import read
from syncsvc.observe.records import (
    AnyRecord,
    GroupAdd,
    GroupClose,
    GroupDoubt,
    GroupDrain,
    GroupDrop,
    GroupEnd,
    GroupEvent,
    GroupExpect,
    GroupJump,
    GroupOpen,
    GroupReconfigure,
    GroupRecord,
    GroupSettings,
    GroupState,
    LostRecords,
    ReloadRecord,
    RunRecord,
    SentRecord,
    StreamSettings,
    UtcRecord,
)
from syncsvc.publish.headers import Headers


class Emission(NamedTuple):
    """A batch that left: ``header`` as on the wire, and how long after the window's end it closed.

    ``latency_ns`` is None where nothing had a deadline (pace ``asap``).
    """

    batch: FrameBatch
    header: bytes
    latency_ns: int | None


class _NoPixels:
    """Stands for the payload of a frame: a log has none."""

    def release(self) -> None:
        """There is nothing to give back."""


_NO_PIXELS = _NoPixels()


@dataclass(slots=True)
class _Group:
    decider: Decider
    made: deque[FrameBatch] = field(default_factory=deque)
    """Batches of a jump or an end whose ``close`` is still to come."""


class Replay:
    """The decisions of a log, as they were."""

    def __init__(self, file: str) -> None:
        """Replay the log called ``file`` in messages."""
        self._file = file
        self.losses: list[str] = []
        """What the log lacks, one line each: from there to the next start of a receiver nothing is replayed."""
        self.is_whole = True
        """False from where records are missing to the next start of a receiver."""
        self._begin("")

    def _begin(self, run_id: str) -> None:
        self._headers = Headers(run_id)
        self._groups: dict[str, _Group] = {}
        self._closed: dict[tuple[str, int, int], tuple[FrameBatch, int | None]] = {}

    def feed(self, number: int, record: AnyRecord) -> Emission | None:
        """Take in one line of the log; the batch that left with it, if one did.

        Raises:
            LogError: what the log says cannot have come of what it says before.
        """
        if isinstance(record, RunRecord):
            self.is_whole = True
            self._begin(record.run_id)
        elif isinstance(record, LostRecords):
            self.is_whole = False
            self.losses.append(f"{self._file}:{number}: {record.count} records are missing here: the disk was too slow")
        elif self.is_whole:
            try:
                return self._follow(record)
            except ValueError as error:
                raise LogError(self._file, f"does not replay: {error}", line=number) from error
        return None

    def _follow(self, record: AnyRecord) -> Emission | None:
        match record:
            case GroupOpen():
                self._groups[record.group] = _Group(opened(record, record.rules))
            case GroupRecord():
                group = self._groups.get(record.group)
                if group is None:
                    raise ValueError(f"group {record.group} never began")
                if isinstance(record, GroupClose):
                    self._close(group, record)
                else:
                    group.made.extend(tell(group.decider, record))
            case SentRecord():
                closed = self._closed.pop((record.group, record.epoch, record.seq), None)
                if closed is None:
                    raise ValueError(f"group {record.group}: batch {record.seq} was sent, and never made")
                return emission(self._headers, closed[0], record.emitted_ns, closed[1])
        return None

    def _close(self, group: _Group, record: GroupClose) -> None:
        is_patient = group.decider.deadline_ns is None
        now = Now(record.now_ns, record.clock_epoch)
        batch = group.made.popleft() if group.made else group.decider.close_due(now)
        if batch is None:
            raise ValueError(f"group {record.group}: nothing is due, yet batch {record.seq} was made")
        found = (batch.window_start_ns, batch.window_end_ns), batch.seq, batch.epoch, dict(batch.missing)
        if found != (record.window, record.seq, record.epoch, record.missing):
            raise ValueError(f"group {record.group}: batch {record.seq} was another one: {found}")
        latency_ns = None if is_patient else record.now_ns - batch.window_end_ns
        self._closed[record.group, record.epoch, record.seq] = batch, latency_ns


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be otherwise than it was; None leaves a setting as recorded. ``latency_ns`` is by stream."""

    max_skew_ns: int | None = None
    max_latency_ns: int | None = None
    reference: str | None = None
    latency_ns: Mapping[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self != Changes()

    def settings(self, recorded: GroupSettings) -> GroupSettings:
        """A group's settings with the changes; a reference that is not in the group changes nothing."""
        return GroupSettings(
            recorded.streams,
            recorded.window_ns,
            recorded.max_skew_ns if self.max_skew_ns is None else self.max_skew_ns,
            recorded.max_latency_ns if self.max_latency_ns is None else self.max_latency_ns,
            self.reference if self.reference in recorded.streams else recorded.reference,
        )


class WhatIf:
    """The decisions that a log's frames would have led to under other settings.

    Frames keep their recorded stamps and come when they came; those stamped by ``model`` or ``arrival`` move by what
    their stream's latency is changed by. A window closes with the event that makes it due, or at its deadline.
    """

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._streams: dict[str, StreamSettings] = {}
        self._begin("")

    def _begin(self, run_id: str) -> None:
        self._headers = Headers(run_id)
        self._groups: dict[str, Decider] = {}
        self._last_ns: dict[tuple[str, str], int] = {}

    def feed(self, record: AnyRecord) -> list[Emission]:
        """Take in one record; the batches that leave with it or before it."""
        match record:
            case RunRecord():
                self._begin(record.run_id)
                self._streams = record.streams
            case ReloadRecord():
                self._streams = record.streams
            case GroupOpen():
                self._groups[record.group] = opened(record, self._changes.settings(record.rules))
            case UtcRecord():
                now = Now(record.utc_ns, record.epoch)
                return [one for decider in self._groups.values() for one in self._pass_to(decider, now)]
            case GroupRecord() if record.group in self._groups:
                return list(self._tell(self._groups[record.group], record))
        return []

    def _pass_to(self, decider: Decider, now: Now) -> Iterator[Emission]:
        """The windows whose deadlines lie before now leave at these."""
        while (deadline_ns := decider.deadline_ns) is not None and deadline_ns < now.utc_ns:
            batch = decider.close_due(Now(deadline_ns, now.clock_epoch))
            if batch is None:  # the host's clock jumped
                return
            yield self._emit(decider, batch, deadline_ns)

    def _tell(self, decider: Decider, record: GroupEvent) -> Iterator[Emission]:
        now = Now(record.now_ns, record.clock_epoch)
        yield from self._pass_to(decider, now)
        for batch in tell(decider, self._changed(record)):
            yield self._emit(decider, batch, now.utc_ns)
        if isinstance(record, GroupEnd):
            del self._groups[record.group]
            return
        while (due := decider.close_due(now)) is not None:
            yield self._emit(decider, due, now.utc_ns)

    def _emit(self, decider: Decider, batch: FrameBatch, closed_ns: int) -> Emission:
        latency_ns = None if decider.deadline_ns is None else closed_ns - batch.window_end_ns
        return emission(self._headers, batch, closed_ns, latency_ns)

    def _changed(self, record: GroupEvent) -> GroupEvent:
        """The record as the changes would have made it."""
        if isinstance(record, GroupReconfigure):
            return msgspec.structs.replace(record, rules=self._changes.settings(record.rules))
        if isinstance(record, GroupJump):
            self._last_ns = {key: last for key, last in self._last_ns.items() if key[0] != record.group}
        elif isinstance(record, GroupExpect) and record.stream in self._changes.latency_ns:
            return msgspec.structs.replace(record, floor_ns=record.floor_ns - max(0, self._shift_ns(record.stream)))
        elif isinstance(record, GroupAdd) and record.stream in self._changes.latency_ns:
            key = record.group, record.stream
            shift_ns = self._shift_ns(record.stream) if record.clock in ("model", "arrival") else 0
            time_ns = max(record.time_ns - shift_ns, self._last_ns.get(key, record.time_ns - shift_ns - 1) + 1)
            self._last_ns[key] = time_ns
            return msgspec.structs.replace(record, time_ns=time_ns)
        return record

    def _shift_ns(self, stream: str) -> int:
        settings = self._streams.get(stream)
        return self._changes.latency_ns[stream] - ((settings and settings.latency_ns) or 0)


def survey(path: Path) -> tuple[set[str], dict[str, list[GroupSettings]]]:
    """The streams of a log, and its groups with all settings that they had.

    Raises:
        LogError: the file is no observation log.
    """
    streams: set[str] = set()
    groups: defaultdict[str, list[GroupSettings]] = defaultdict(list)
    for _, record in read(path):
        if isinstance(record, RunRecord | ReloadRecord):
            streams |= record.streams.keys()
            for name, settings in record.groups.items():
                groups[name].append(settings)
    return streams, groups


def opened(record: GroupOpen, settings: GroupSettings) -> Decider:
    """What decides in a group that begins."""
    opening = Opening(record.epoch, record.first_window, record.first_seq, record.clock_epoch, record.is_patient)
    return decider_for(_rules(record.group, settings), opening)


def tell(decider: Decider, record: GroupEvent) -> Iterable[FrameBatch]:
    """Tell a group what the log says that it was told; returns the batches that a jump or the end makes."""
    now = Now(record.now_ns, record.clock_epoch)
    match record:
        case GroupAdd():
            decider.add(_frame(record), now)
        case GroupExpect():
            decider.expect(record.stream, record.floor_ns, now)
        case GroupDrop():
            decider.drop(record.stream, record.cause, record.count)
        case GroupState():
            decider.set_state(record.stream, StreamState(record.state))
        case GroupDoubt():
            decider.doubt(record.stream, record.doubtful)
        case GroupDrain():
            decider.drain()
        case GroupReconfigure():
            decider.reconfigure(_rules(record.group, record.rules))
        case GroupJump():
            return decider.jump(record.epoch, record.jump_ns, now)[0]
        case GroupEnd():
            return decider.end(now)
    return ()


def emission(headers: Headers, batch: FrameBatch, emitted_ns: int, latency_ns: int | None) -> Emission:
    """The batch as it leaves; in the order in which they leave."""
    headers.learn(batch)
    return Emission(replace(batch, emitted_ns=emitted_ns), headers.encode(batch, emitted_ns), latency_ns)


def _rules(name: str, settings: GroupSettings) -> GroupRules:
    return GroupRules(
        name,
        settings.streams,
        settings.window_ns or 0,
        settings.max_skew_ns,
        settings.max_latency_ns,
        settings.reference,
    )


def _frame(record: GroupAdd) -> Frame:
    return Frame(
        record.stream, record.seq, record.time_ns, record.uncertainty_ns, record.clock, record.arrival_ns, record.key,
        record.layout, _NO_PIXELS,
    )  # fmt: skip
