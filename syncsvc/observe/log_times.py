"""Refuses logs whose times run away: a window closes for every second of them, and a hostile log has many seconds.

A live group closes its windows all day long: two of its records are never a day apart, however quiet its streams.
Where the host's clock jumps, a new clock epoch begins, and no window closes for the time between.
"""

from dataclasses import dataclass
from typing import Final

from syncsvc.clock import NS_PER_S
from syncsvc.model import Frame
from syncsvc.observe.events import Draining, End, Expect, Jump, Open, Reconfigure
from syncsvc.observe.records import AnyRecord, GroupRecord, LostRecords, RunRecord, UtcRecord

DAY_NS: Final = 86_400 * NS_PER_S


@dataclass(slots=True)
class _Extent:
    """How far a group has come: its present, and the latest time that a frame of it reached."""

    window_ns: int | None
    now_ns: int
    clock_epoch: int
    reach_ns: int
    is_patient: bool
    is_draining: bool = False


class Course:
    """Follows the times of a log, record by record."""

    def __init__(self) -> None:
        self._groups: dict[str, _Extent] = {}

    def follow(self, record: AnyRecord) -> None:
        """Take in one record.

        Raises:
            ValueError: its time is more than a day beyond what came before it.
        """
        match record:
            case RunRecord() | LostRecords():
                self._groups.clear()
            case UtcRecord():
                for group in self._groups.values():
                    if group.clock_epoch == record.epoch:
                        self._pass_to(group, record.utc_ns)
            case GroupRecord(event=Open() as opening):
                self._open(record, opening)
            case GroupRecord() if record.group in self._groups:
                self._tell(self._groups[record.group], record)

    def _open(self, record: GroupRecord, opening: Open) -> None:
        window_ns, first_ns = opening.rules.window_ns, opening.first_window * (opening.rules.window_ns or 1)
        group = _Extent(window_ns, first_ns, record.clock_epoch, first_ns, opening.is_patient)
        self._groups[record.group] = group
        if opening.is_patient:
            _refuse_beyond(first_ns, record.now_ns, "its first window")
        self._pass_to(group, record.now_ns)

    def _tell(self, group: _Extent, record: GroupRecord) -> None:
        event = record.event
        closes_all = isinstance(event, End) or (isinstance(event, Jump) and group.is_draining)
        if closes_all or record.clock_epoch == group.clock_epoch:
            self._pass_to(group, record.now_ns)
        group.now_ns, group.clock_epoch = record.now_ns, record.clock_epoch
        match event:
            case Frame():
                self._reach(group, event.time_ns)
            case Expect():
                self._reach(group, event.floor_ns)
            case Draining():
                group.is_draining = True
            case Jump():
                group.reach_ns = record.now_ns
            case Reconfigure(rules) if rules.window_ns != group.window_ns:
                raise ValueError(f"the window of group {record.group} cannot change")

    def _pass_to(self, group: _Extent, now_ns: int) -> None:
        if not group.is_patient:
            _refuse_beyond(now_ns, group.now_ns, "its time")
        group.now_ns = now_ns

    def _reach(self, group: _Extent, time_ns: int) -> None:
        _refuse_beyond(time_ns, max(group.now_ns, group.reach_ns), "a frame's time")
        group.reach_ns = max(group.reach_ns, time_ns)


def _refuse_beyond(time_ns: int, before_ns: int, what: str) -> None:
    if time_ns - before_ns > DAY_NS:
        raise ValueError(f"{what} is {(time_ns - before_ns) / DAY_NS:.3g} days beyond what came before it")
