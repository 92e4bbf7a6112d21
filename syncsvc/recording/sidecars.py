"""What lies beside the pictures of a recording: times, sets and headers, line by line as they were flushed.

A recorder that is killed leaves at most one line that is cut off, at the end of each file; it is left out.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

from syncsvc.capture.sidecar import frame_and_time
from syncsvc.errors import ConfigError, RecordingBroken, WireError
from syncsvc.model import Gap
from syncsvc.recording.contents import SetLine, StoredBatch, TimeLine
from syncsvc.wire import decode_line

TIMES, SETS, BATCHES = "times.csv", "sets.csv", "batches.jsonl"
SET_COLUMNS = ("set", "window_start_ns", "spread_ns")


def read_times(path: Path) -> Iterator[TimeLine]:
    """The frames of ``times.csv``, in its order.

    Raises:
        RecordingBroken: it cannot be read, or a line is not what it should be.
    """
    for line, row in _rows(path, ("stream", "frame", "time_s", "seq", "uncertainty_ns", "clock", "arrival_ns")):
        try:
            frame, time_ns = frame_and_time(row, str(path), line)
            yield TimeLine(row["stream"], frame, time_ns, int(row["seq"]), int(row["uncertainty_ns"]), row["clock"],
                           int(row["arrival_ns"]), line)  # fmt: skip
        except ConfigError as error:
            raise RecordingBroken(str(path), error.problem, line=line) from error
        except ValueError as error:
            raise RecordingBroken(str(path), f"a number is wanted: {error}", line=line) from error


def read_sets(path: Path) -> Iterator[SetLine]:
    """The sets of ``sets.csv``, in its order; errors as for ``read_times``."""
    for line, row in _rows(path, SET_COLUMNS):
        try:
            number, start_ns, spread_ns = (int(row[name]) for name in SET_COLUMNS)
            frames = {name: int(value) for name, value in row.items() if name not in SET_COLUMNS and value}
        except ValueError as error:
            raise RecordingBroken(str(path), f"a number is wanted: {error}", line=line) from error
        yield SetLine(number, start_ns, spread_ns, frames, line)


def read_batches(path: Path) -> Iterator[StoredBatch | Gap]:
    """The headers and the gaps of ``batches.jsonl``, in its order; errors as for ``read_times``."""
    for number, line in enumerate(whole_lines(path), 1):
        try:
            yield batch_or_gap(line)
        except ValueError as error:
            raise RecordingBroken(str(path), str(error), line=number) from error


def batch_or_gap(line: bytes) -> StoredBatch | Gap:
    """What a line of JSON says, a header or a gap.

    Raises:
        ValueError: neither.
    """
    try:
        if b'"v"' in line:
            return StoredBatch(*decode_line(line))
        told = json.loads(line)
        return Gap(**told.get("gap", told))
    except (WireError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"neither a header nor a gap: {error}") from error


def whole_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, without one at the end that was cut off.

    Raises:
        RecordingBroken: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            yield from (line for line in file if line.endswith(b"\n"))
    except OSError as error:
        raise RecordingBroken(str(path), f"cannot be read: {error.strerror}") from error


def is_cut_off(path: Path) -> bool:
    """Whether a file ends within a line."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 1))
        return size > 0 and file.read(1) != b"\n"


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a CSV with their line numbers."""
    rows = csv.DictReader((line.decode("utf-8", "replace") for line in whole_lines(path)), restval="")
    if rows.fieldnames is None or not set(columns) <= set(rows.fieldnames):
        raise RecordingBroken(str(path), f"the columns {','.join(columns)} are wanted", line=1)
    for row in rows:
        yield rows.line_num, row
