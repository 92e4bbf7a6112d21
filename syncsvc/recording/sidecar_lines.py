"""What a recorder writes beside the pictures: the lines of ``times.csv``, ``sets.csv`` and ``batches.jsonl``."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from syncsvc.clock import NS_PER_S
from syncsvc.model import Frame, Gap

TIMES_HEAD: Final = b"stream,frame,time_s,seq,uncertainty_ns,clock,arrival_ns\n"
HELD: Final = "held"
"""The clock of a picture that is there again, because its stream had none for a set (``--fill hold``)."""


def time_line(frame: Frame, number: int) -> bytes:
    """A frame's line in ``times.csv``; ``number`` counts in its stream's file."""
    facts = frame.stream, number, seconds(frame.time_ns), frame.seq, frame.uncertainty_ns, frame.clock, frame.arrival_ns
    return (",".join(map(str, facts)) + "\n").encode()


def held_line(frame: Frame, number: int, time_ns: int) -> bytes:
    """The line of a picture that is there again, at the time of the set that it fills."""
    facts = frame.stream, number, seconds(time_ns), frame.seq, frame.uncertainty_ns, HELD, frame.arrival_ns
    return (",".join(map(str, facts)) + "\n").encode()


def sets_head(streams: Iterable[str]) -> bytes:
    """The first line of ``sets.csv``."""
    return (",".join(("set", "window_start_ns", "spread_ns", *streams)) + "\n").encode()


def set_line(number: int, window_start_ns: int, spread_ns: int, frames: Sequence[int | None]) -> bytes:
    """A set's line: the number of each stream's frame in its file, or nothing."""
    places = ("" if one is None else one for one in frames)
    return (",".join(map(str, (number, window_start_ns, spread_ns, *places))) + "\n").encode()


def header_line(header: Mapping[str, Any]) -> bytes:
    """A batch's header as a line of JSON, as ``tail --json`` prints it: a codec's parameters are base64."""
    return msgspec.json.encode(header) + b"\n"


def gap_line(gap: Gap) -> bytes:
    """What never came, as a line of JSON."""
    return msgspec.json.encode({"gap": gap}) + b"\n"


def seconds(time_ns: int) -> str:
    """UTC nanoseconds as seconds with nine decimals."""
    sign, time_ns = ("-", -time_ns) if time_ns < 0 else ("", time_ns)
    return f"{sign}{time_ns // NS_PER_S}.{time_ns % NS_PER_S:09d}"
