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
    shared_names: frozenset[str]

    @classmethod
    def now(cls) -> "Holdings":
        """Look."""
        tasks = Path("/proc/self/task").glob("*/children")
        children = frozenset(int(pid) for task in tasks for pid in _read(task).split())
        threads = frozenset(thread for thread in threading.enumerate() if not thread.daemon)
        shm = Path("/dev/shm")
        names = frozenset(path.name for path in shm.iterdir()) if shm.is_dir() else frozenset()
        return cls(children, _descriptors(), threads, names)


def leaks_since(before: Holdings) -> list[str]:
    """What is held now and was not then, one line each; what only garbage holds does not count."""
    lines = _difference(before, Holdings.now())
    if lines:
        gc.collect()
        lines = _difference(before, Holdings.now())
    return lines


def _difference(before: Holdings, now: Holdings) -> list[str]:
    lines = [f"child process {pid}" for pid in sorted(now.children - before.children)]
    lines += [
        f"descriptor {fd} ({target})"
        for fd, target in sorted(now.descriptors.items())
        if before.descriptors.get(fd) != target
    ]
    lines += [f"thread {thread.name}" for thread in now.threads - before.threads]
    names = sorted(now.shared_names - before.shared_names)
    lines += [f"/dev/shm/{name}" for name in names if not _is_in_use(name)]
    return lines


def _is_in_use(name: str) -> bool:
    """Whether another process that lives maps this shared memory: then it is that one's, and nobody's leftover.

    Semaphores of ``multiprocessing`` come and go faster than one can look: beside other workers they are not judged.
    """
    if name.startswith("sem.mp-") and "PYTEST_XDIST_WORKER" in os.environ:
        return True
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
