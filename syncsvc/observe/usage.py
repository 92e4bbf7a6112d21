"""What processes take of the machine, as the kernel counts it."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class ProcessUsage(Struct, frozen=True):
    """Of one process: user and system time since its start, and memory that it has, shared with others or not."""

    cpu_s: float
    resident_bytes: int


def usage_of(pids: Mapping[str, int | None]) -> dict[str, ProcessUsage]:
    """Of those that run, by their names."""
    found = {}
    for name, pid in pids.items():
        with suppress(OSError):  # it has ended
            found[name] = _usage(Path(f"/proc/{pid}/stat").read_text())
    return found


def _usage(stat: str) -> ProcessUsage:
    words = stat.rpartition(")")[2].split()  # from the third on: a process may be called anything
    return ProcessUsage((int(words[11]) + int(words[12])) / _TICKS_PER_S, int(words[21]) * _PAGE_BYTES)
