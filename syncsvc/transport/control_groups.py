"""What the control groups that we are in leave us of the machine's memory, of version 2 and of version 1."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

_SELF: Final = Path("/proc/self/cgroup")
_ROOT: Final = Path("/sys/fs/cgroup")


class _Files(NamedTuple):
    limit: str
    used: str
    reclaimable: str
    """In ``memory.stat``: pages of files that the kernel lets go of before anybody is refused."""


_V1: Final = _Files("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_V2: Final = _Files("memory.max", "memory.current", "inactive_file")


def left_bytes(own: Path = _SELF, root: Path = _ROOT) -> int | None:
    """The least that any of them leaves, from our own up to the topmost; None where none has a limit.

    Args:
        own: says which they are.
        root: where they are mounted.
    """
    found = []
    for folder, files in _groups(own, root):
        with suppress(OSError, ValueError):  # it is not mounted here, or has no limit ("max")
            limit, used = int((folder / files.limit).read_text()), int((folder / files.used).read_text())
            found.append(limit - used + _stat(folder).get(files.reclaimable, 0))
    return min(found, default=None)


def _groups(own: Path, root: Path) -> Iterator[tuple[Path, _Files]]:
    try:
        lines = own.read_text().splitlines()
    except OSError:  # a kernel without them
        lines = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        mounts = [root / "memory"] if "memory" in controllers.split(",") else []
        mounts, files = (mounts, _V1) if controllers else ([root, root / "unified"], _V2)
        inside = PurePosixPath(path.lstrip("/"))
        for mount in mounts:  # in a container it may be our own group, whatever that is called outside
            for part in (inside, *inside.parents):
                yield mount / part, files


def _stat(folder: Path) -> Mapping[str, int]:
    lines = (folder / "memory.stat").read_text().splitlines()
    return {name: int(value) for name, value in (line.split() for line in lines)}
