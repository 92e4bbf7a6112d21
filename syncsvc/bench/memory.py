"""What a process has of memory to itself, without the rings, whose pages count for nobody or for whoever maps them."""

from pathlib import Path

from syncsvc.errors import LinkClosed

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
