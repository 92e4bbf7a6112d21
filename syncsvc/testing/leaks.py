"""What a test may not leave behind: a child, a descriptor, a thread that holds the process, a name in /dev/shm."""

import gc
import os
import threading
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a process holds at one moment."""

    children: frozenset[int]
    descriptors: dict[int, str]
    threads: frozenset[threading.Thread]
    shared_names: frozenset[str] | None

    @classmethod
    def now(cls, *, names: bool = True) -> "Holdings":
        """Look; without ``names`` not into /dev/shm, which is everybody's on this machine."""
        tasks = Path("/proc/self/task").glob("*/children")
        children = frozenset(int(pid) for task in tasks for pid in _read(task).split())
        threads = frozenset(thread for thread in threading.enumerate() if not thread.daemon)
        return cls(children, _descriptors(), threads, shared_names() if names else None)


def leaks_since(before: Holdings) -> list[str]:
    """What is held now and was not then, one line each; what only garbage holds does not count."""
    names = before.shared_names is not None
    lines = _difference(before, Holdings.now(names=names))
    if lines:
        gc.collect()
        lines = _difference(before, Holdings.now(names=names))
    return lines


def shared_names() -> frozenset[str]:
    """The names in /dev/shm."""
    shm = Path("/dev/shm")
    return frozenset(path.name for path in shm.iterdir()) if shm.is_dir() else frozenset()


def names_left_since(before: frozenset[str]) -> list[str]:
    """The names in /dev/shm that were not there and that no process that lives maps, one line each."""
    return [f"/dev/shm/{name}" for name in sorted(shared_names() - before) if not _is_in_use(name)]


def _difference(before: Holdings, now: Holdings) -> list[str]:
    lines = [f"child process {pid}" for pid in sorted(now.children - before.children)]
    lines += [
        f"descriptor {fd} ({target})"
        for fd, target in sorted(now.descriptors.items())
        if before.descriptors.get(fd) != target
    ]
    lines += [f"thread {thread.name}" for thread in now.threads - before.threads]
    return lines if before.shared_names is None else lines + names_left_since(before.shared_names)


def _is_in_use(name: str) -> bool:
    """Whether another process that lives maps this shared memory: then it is that one's, and nobody's leftover."""
    others = (path for path in Path("/proc").glob("[0-9]*/maps") if path.parent.name != str(os.getpid()))
    return any(f"/dev/shm/{name}" in _read(path) for path in others)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # the thread or the process ended meanwhile, or is another user's
        return ""


def _descriptors() -> dict[int, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:  # the descriptor of this very listing
            continue
    return found
