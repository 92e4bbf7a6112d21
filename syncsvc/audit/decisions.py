"""Makes the decisions of an observation log again: as they were, bit for bit, or as other settings would have had them.

Both ways the log's events are told to the ``GroupDecider`` that decides in the service too: there is no second set of
rules, and no second kind of event. As they were, each window closes when the log says so, and must close the same;
otherwise, windows close by themselves at the recorded times.
"""

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from msgspec import structs

from syncsvc.align.deadline import deadline_of
from syncsvc.align.decider import Now
from syncsvc.align.deciders import RULE, Decider, decider_for
from syncsvc.errors import LogError
from syncsvc.model import Frame, FrameBatch
from syncsvc.observe.events import AnyEvent, Close, End, Expect, GroupRules, Jump, Open, Reconfigure
from syncsvc.observe.log_reader import read
from syncsvc.observe.records import (
    AnyRecord,
    GroupRecord,
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
        self._headers = defaultdict[str, Headers](lambda: Headers(run_id))
        self._groups: dict[str, Decider] = {}
        self._made = defaultdict[str, deque[FrameBatch]](deque)
        """By group: batches of a jump or an end whose ``close`` is still to come."""
        self._closed: dict[tuple[str, int, int], tuple[FrameBatch, int | None]] = {}

    def feed(self, number: int, record: AnyRecord) -> Emission | None:
        """Take in one line of the log; the batch that left with it, if one did.

        Raises:
            LogError: what the log says cannot have come of what it says before, or came of another rule of pairing.
        """
        if isinstance(record, RunRecord):
            if record.pairing != RULE:
                theirs = f"the rule {record.pairing!r}" if record.pairing else "the rule of an older version"
                problem = f"its sets were formed by {theirs}; this version forms them by {RULE!r}, and would get others"
                raise LogError(self._file, problem, line=number)
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
            case GroupRecord(event=Open() as opening):
                self._groups[record.group] = decider_for(record.group, opening, record.clock_epoch)
                self._made.pop(record.group, None)
            case GroupRecord():
                self._repeat(record)
            case SentRecord():
                closed = self._closed.pop((record.group, record.epoch, record.seq), None)
                if closed is None:
                    raise ValueError(f"group {record.group}: batch {record.seq} was sent, and never made")
                batch, latency_ns = closed
                headers = self._headers[record.group]
                return emission(headers, batch, latency_ns, record.emitted_ns, record.late_ns, record.since_ns)
        return None

    def _repeat(self, record: GroupRecord) -> None:
        decider, now = self._groups.get(record.group), Now(record.now_ns, record.clock_epoch)
        if decider is None:
            raise ValueError(f"group {record.group} never began")
        event = record.event
        if isinstance(event, Close):
            self._close(decider, record, event, now)
        elif not isinstance(event, Open):
            self._made[record.group].extend(decider.handle(event, now).batches)

    def _close(self, decider: Decider, record: GroupRecord, close: Close, now: Now) -> None:
        is_patient, made = decider.deadline_ns is None, self._made[record.group]
        batch = made.popleft() if made else decider.close_due(now)
        if batch is None:
            raise ValueError(f"group {record.group}: nothing is due, yet batch {close.seq} was made")
        if (found := Close.of(batch)) != close:
            raise ValueError(f"group {record.group}: batch {close.seq} was another one: {found}")
        latency_ns = None if is_patient else record.now_ns - batch.window_end_ns
        self._closed[record.group, close.epoch, close.seq] = batch, latency_ns


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be otherwise than it was; None leaves a setting as recorded. ``latency_ns`` is by stream."""

    max_skew_ns: int | None = None
    max_latency_ns: int | None = None
    reference: str | None = None
    latency_ns: Mapping[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self != Changes()

    def rules(self, recorded: GroupRules) -> GroupRules:
        """A group's rules with the changes; a reference that is not in the group changes nothing."""
        return GroupRules(
            recorded.streams,
            recorded.window_ns,
            recorded.max_skew_ns if self.max_skew_ns is None else self.max_skew_ns,
            recorded.max_latency_ns if self.max_latency_ns is None else self.max_latency_ns,
            self.reference if self.reference in recorded.streams else recorded.reference,
            recorded.min_streams,
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
        self._headers = defaultdict[str, Headers](lambda: Headers(run_id))
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
            case GroupRecord(event=Open() as opening):
                changed = structs.replace(opening, rules=self._changes.rules(opening.rules))
                self._groups[record.group] = decider_for(record.group, changed, record.clock_epoch)
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

    def _tell(self, decider: Decider, record: GroupRecord) -> Iterator[Emission]:
        now = Now(record.now_ns, record.clock_epoch)
        yield from self._pass_to(decider, now)
        event = self._changed(record.group, record.event)
        if not isinstance(event, Open | Close):
            jump_ns = event.jump_ns if isinstance(event, Jump) else 0
            for batch in decider.handle(event, now).batches:
                yield self._emit(decider, batch, now.utc_ns, jump_ns)
        if isinstance(event, End):
            del self._groups[record.group]
            return
        while (due := decider.close_due(now)) is not None:
            yield self._emit(decider, due, now.utc_ns)

    def _emit(self, decider: Decider, batch: FrameBatch, closed_ns: int, jump_ns: int = 0) -> Emission:
        if decider.deadline_ns is None:
            return emission(self._headers[batch.group], batch, None, closed_ns, 0)
        late_ns = max(0, closed_ns - jump_ns - deadline_of(batch, decider.rules))
        return emission(self._headers[batch.group], batch, closed_ns - batch.window_end_ns, closed_ns, late_ns)

    def _changed(self, group: str, event: AnyEvent) -> AnyEvent:
        """The event as the changes would have made it."""
        latency_ns = self._changes.latency_ns
        match event:
            case Reconfigure(rules):
                return Reconfigure(self._changes.rules(rules))
            case Jump():
                self._last_ns = {key: last for key, last in self._last_ns.items() if key[0] != group}
            case Expect(stream, floor_ns) if stream in latency_ns:
                return Expect(stream, floor_ns - max(0, self._shift_ns(stream)))
            case Frame(stream=stream) if stream in latency_ns:
                shift_ns = self._shift_ns(stream) if event.clock in ("model", "arrival") else 0
                moved_ns = event.time_ns - shift_ns
                time_ns = self._last_ns[group, stream] = max(
                    moved_ns, self._last_ns.get((group, stream), moved_ns - 1) + 1
                )
                return structs.replace(event, time_ns=time_ns)
        return event

    def _shift_ns(self, stream: str) -> int:
        settings = self._streams.get(stream)
        return self._changes.latency_ns[stream] - ((settings and settings.latency_ns) or 0)


def survey(path: Path) -> tuple[set[str], dict[str, list[GroupRules]]]:
    """The streams of a log, and its groups with all settings that they had.

    Raises:
        LogError: the file is no observation log.
    """
    streams: set[str] = set()
    groups: defaultdict[str, list[GroupRules]] = defaultdict(list)
    for _, record in read(path):
        if isinstance(record, RunRecord | ReloadRecord):
            streams |= record.streams.keys()
            for name, rules in record.groups.items():
                groups[name].append(rules)
    return streams, groups


def emission(
    headers: Headers,
    batch: FrameBatch,
    latency_ns: int | None,
    emitted_ns: int,
    late_ns: int,
    since_ns: int | None = None,
) -> Emission:
    """The batch as it leaves; in the order in which they leave."""
    headers.learn(batch)
    header = headers.encode(batch, emitted_ns, late_ns=late_ns, since_ns=since_ns)
    return Emission(replace(batch, emitted_ns=emitted_ns, late_ns=late_ns), header, latency_ns)
