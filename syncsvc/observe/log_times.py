"""Refuses logs whose times run away: a window closes for every second of them, and a hostile log has many seconds.

A live group closes its windows all day long: two of its records are never a day apart, however quiet its streams.
Where the host's clock jumps, a new clock epoch begins, and no window closes for the time between.
"""

from dataclasses import dataclass
from typing import Final

from syncsvc.clock import NS_PER_S
from syncsvc.observe.records import (
    AnyRecord,
    GroupAdd,
    GroupDrain,
    GroupEnd,
    GroupExpect,
    GroupJump,
    GroupOpen,
    GroupReconfigure,
    GroupRecord,
    LostRecords,
    RunRecord,
    UtcRecord,
)

DAY_NS: Final = 86_400 * NS_PER_S


@dataclass(slots=True)
class _Group:
    """Where a group stands: its present, and the latest time that a frame of it reached."""

    window_ns: int | None
    now_ns: int
    clock_epoch: int
    reach_ns: int
    is_patient: bool
    is_draining: bool = False


class Course:
    """Follows the times of a log, record by record."""

    def __init__(self) -> None:
        self._groups: dict[str, _Group] = {}

    def follow(self, record: AnyRecord) -> None:
        """Take in one record.

        Raises:
            ValueError: its time is more than a day beyond what came before it.
        """
        match record:
            case RunRecord() | LostRecords():
                self._groups.clear()
            case GroupOpen():
                self._open(record)
            case UtcRecord():
                for group in self._groups.values():
                    if group.clock_epoch == record.epoch:
                        self._pass_to(group, record.utc_ns)
            case GroupRecord() if record.group in self._groups:
                self._tell(self._groups[record.group], record)

    def _open(self, record: GroupOpen) -> None:
        window_ns, first_ns = record.rules.window_ns, record.first_window * (record.rules.window_ns or 1)
        group = _Group(window_ns, first_ns, record.clock_epoch, first_ns, record.is_patient)
        self._groups[record.group] = group
        if record.is_patient:
            _refuse_beyond(first_ns, record.now_ns, "its first window")
        self._pass_to(group, record.now_ns)

    def _tell(self, group: _Group, record: GroupRecord) -> None:
        closes_all = isinstance(record, GroupEnd) or (isinstance(record, GroupJump) and group.is_draining)
        if closes_all or record.clock_epoch == group.clock_epoch:
            self._pass_to(group, record.now_ns)
        group.now_ns, group.clock_epoch = record.now_ns, record.clock_epoch
        match record:
            case GroupAdd():
                self._reach(group, record.time_ns)
            case GroupExpect():
                self._reach(group, record.floor_ns)
            case GroupDrain():
                group.is_draining = True
            case GroupJump():
                group.reach_ns = record.now_ns
            case GroupReconfigure() if record.rules.window_ns != group.window_ns:
                raise ValueError(f"the window of group {record.group} cannot change")

    def _pass_to(self, group: _Group, now_ns: int) -> None:
        if not group.is_patient:
            _refuse_beyond(now_ns, group.now_ns, "its time")
        group.now_ns = now_ns

    def _reach(self, group: _Group, time_ns: int) -> None:
        _refuse_beyond(time_ns, max(group.now_ns, group.reach_ns), "a frame's time")
        group.reach_ns = max(group.reach_ns, time_ns)


def _refuse_beyond(time_ns: int, before_ns: int, what: str) -> None:
    if time_ns - before_ns > DAY_NS:
        raise ValueError(f"{what} is {(time_ns - before_ns) / DAY_NS:.3g} days beyond what came before it")
