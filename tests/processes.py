"""What /proc tells of a process that may end at any moment: nothing then, which is no error of the test that asks."""

from pathlib import Path


def told_of(pid: int | str, what: str) -> bytes:
    """``/proc/PID/WHAT``, or nothing where the process is gone; a zombie has no command line and no environment."""
    try:
        return Path(f"/proc/{pid}/{what}").read_bytes()
    except OSError:
        return b""


def state_of(pid: int | str) -> str:
    """The letter of the process's state ("Z" is a zombie), or nothing where it is gone."""
    return told_of(pid, "stat").decode(errors="replace").rpartition(") ")[2][:1]
