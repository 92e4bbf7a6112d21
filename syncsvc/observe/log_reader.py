"""Reads an observation log from its file: what was cut off is passed over, what cannot be is refused with its line."""

from collections.abc import Iterator
from pathlib import Path

from syncsvc.errors import LogError
from syncsvc.observe.log_times import Course
from syncsvc.observe.records import MAX_LINE_BYTES, AnyRecord, LostRecords, RunRecord, decode

MOST_TORN = 16
"""Lines in a row that a disk that is almost full may leave unfinished."""


def read(path: Path) -> Iterator[tuple[int, AnyRecord]]:
    """The records of a log in order, each with the number of its line.

    A line that was cut off is passed over where that is no surprise: the last one (the service was killed), and those
    before a ``run`` (its receiver was) or ``lost_records`` (the disk was full).

    Raises:
        LogError: the file cannot be read, is no observation log from here on, or its times run away.
    """
    torn: list[LogError] = []
    is_log, course = False, Course()
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
            try:
                course.follow(record)
            except ValueError as error:
                raise _refusal(path, number, True, error) from error
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
