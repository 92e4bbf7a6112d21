"""Memory as benchmarks see it: what a process has to itself without the rings, and what the machine has yet to find."""

import mmap
from pathlib import Path

from syncsvc.errors import LinkClosed
from syncsvc.transport.memfd import available_bytes

OURS = "/memfd:syncsvc-"


def private_bytes(smaps: str) -> int:
    """Private memory (``Private_Clean`` and ``Private_Dirty``) in a text as of ``/proc/PID/smaps``, rings left out."""
    total_kib, is_ours = 0, False
    for line in smaps.splitlines():
        key, _, value = line.partition(":")
        if "-" in key.partition(" ")[0]:  # the first line of a mapping: its addresses come first, its name last
            is_ours = OURS in line
        elif key in ("Private_Clean", "Private_Dirty") and not is_ours:
            total_kib += int(value.split()[0])
    return total_kib * 1024


def private_bytes_of(pid: int) -> int:
    """The same of a process.

    Raises:
        LinkClosed: there is no such process (any more).
    """
    try:
        return private_bytes(Path(f"/proc/{pid}/smaps").read_text(encoding="utf-8", errors="replace"))
    except OSError as error:
        raise LinkClosed(f"process {pid} is gone") from error


def touch(size_bytes: int) -> None:
    """Use so much memory and let it go, at most half of what is left.

    A hypervisor finds memory when a machine first touches it, at 10 ms for a 1080p picture where we measured: now, and
    not while something else is measured.
    """
    with mmap.mmap(-1, max(mmap.PAGESIZE, min(size_bytes, available_bytes() // 2))) as memory:
        for place in range(0, len(memory), mmap.PAGESIZE):
            memory[place] = 1
