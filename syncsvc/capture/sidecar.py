"""Sidecars: the capture times of a recording's frames as somebody wrote them down, in a CSV."""

import csv
import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from syncsvc.capture.stamps import fraction_of_second
from syncsvc.clock import NS_PER_S
from syncsvc.errors import ConfigError

_FRAME = re.compile(r"[0-9]{1,7}")
_SECONDS = re.compile(r"([+-]?)([0-9]{1,10})(?:\.([0-9]*))?")


def read_sidecar(path: Path, stream: str) -> list[int | None]:
    """Recorded capture times of a stream's frames, in nanoseconds, by index in the file; None where a line is missing.

    Raises:
        ConfigError: the CSV lacks the columns, has a line that is no number, or times that do not rise.
    """
    times: dict[int, int] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            rows.fieldnames = [name.strip() for name in rows.fieldnames or ()]
            if not {"stream", "frame", "time_s"} <= set(rows.fieldnames):
                raise ConfigError(str(path), "the columns stream,frame,time_s are wanted", line=1)
            for row in rows:
                if row["stream"] == stream:
                    frame, time_ns = frame_and_time(row, str(path), rows.line_num)
                    if times.setdefault(frame, time_ns) != time_ns:
                        raise ConfigError(str(path), f"frame {frame} has two times", line=rows.line_num)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(str(path), f"cannot be read: {error}") from error
    if not times:
        raise ConfigError(str(path), f"lines for stream {stream!r} are wanted")
    for (_, earlier), (frame, later) in pairwise(sorted(times.items())):
        if later <= earlier:
            raise ConfigError(str(path), f"times of stream {stream!r} must rise; that of frame {frame} does not")
    return [times.get(index) for index in range(max(times) + 1)]


def frame_and_time(row: Mapping[str, str | None], file: str, line: int) -> tuple[int, int]:
    """Number and capture time, in nanoseconds, of one line's frame.

    Raises:
        ConfigError: they are none.
    """
    frame, time = (row["frame"] or "").strip(), (row["time_s"] or "").strip()
    if not _FRAME.fullmatch(frame):
        raise ConfigError(file, f"found frame {frame!r}; allowed: 0 to 9999999", line=line)
    match = _SECONDS.fullmatch(time)
    if match is None:
        raise ConfigError(file, f"found time_s {time!r}; allowed: seconds as in 48033.001573450", line=line)
    sign, whole, fraction = match.groups()
    nanoseconds = int(whole) * NS_PER_S + fraction_of_second(fraction)[0]
    return int(frame), -nanoseconds if sign == "-" else nanoseconds
