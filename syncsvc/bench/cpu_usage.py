"""Reads the CPU time of a running daemon's processes together with the exact number of frames that it has taken."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from syncsvc.clock import NS_PER_MS, SYSTEM_CLOCK, cpu_ns_of
from syncsvc.errors import LinkClosed
from syncsvc.transport.page import StreamPage


@dataclass(frozen=True, slots=True)
class Reading:
    """One instant."""

    mono_ns: int
    frames: int
    cpu_ns: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU per frame between two readings, by process, and the rate."""

    frames: int
    cpu_ms: Mapping[str, float]
    fps: float

    @classmethod
    def between(cls, before: Reading, after: Reading) -> "Usage":
        """What happened from one reading to the other; at least one frame did."""
        frames = after.frames - before.frames
        cpu_ms = {name: (after.cpu_ns[name] - spent) / frames / NS_PER_MS for name, spent in before.cpu_ns.items()}
        return cls(frames, cpu_ms, frames * 1e9 / (after.mono_ns - before.mono_ns))


@contextmanager
def metered(pids: Mapping[str, int], stream: str) -> Iterator[Callable[[], Reading]]:
    """Hands out a function that reads some processes, and one stream's counter, now.

    What the daemon tells of itself over HTTP is a snapshot of up to half a second ago; the counter is exact. It lives
    in an anonymous page that the daemon holds open, which its owner may open too, by way of /proc.

    Args:
        pids: what to read, by name; the one named ``daemon`` must be the daemon.
        stream: whose frames are counted.

    Raises:
        LinkClosed: the daemon has no such stream.
    """
    with closing(StreamPage(_open_page(pids["daemon"], stream))) as page:
        yield lambda: Reading(
            SYSTEM_CLOCK.monotonic_ns(), page.next_seq, {name: cpu_ns_of(pid) for name, pid in pids.items()}
        )


def _open_page(pid: int, stream: str) -> int:
    for link in Path(f"/proc/{pid}/fd").iterdir():
        if os.readlink(link).removesuffix(" (deleted)") == f"/memfd:syncsvc-page-{stream}":
            return os.open(link, os.O_RDWR | os.O_CLOEXEC)
    raise LinkClosed(f"process {pid} has no stream {stream}")
