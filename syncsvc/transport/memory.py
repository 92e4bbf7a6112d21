"""Anonymous shared memory that cannot leak: memfds, handed over as descriptors, gone with their last holder."""

import fcntl
import mmap
import os
from pathlib import Path

from syncsvc.errors import MemoryShortage

# <linux/fcntl.h>; Python 3.11 has no constant for FUTURE_WRITE.
_F_ADD_SEALS = 1033
_F_SEAL_SEAL = 0x0001
_F_SEAL_SHRINK = 0x0002
_F_SEAL_GROW = 0x0004
_F_SEAL_FUTURE_WRITE = 0x0010

RESERVE_BYTES = 128 * 2**20
"""Left to the rest of the machine when a ring is sized: libav, the receiver and the kernel live there too."""


def available_bytes() -> int:
    """Memory that can still be had: the smaller of what the machine and our control group have left."""
    available = 0
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1]) * 1024
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text().strip()
        if limit != "max":
            available = min(available, int(limit) - int((group / "memory.current").read_text()))
    except OSError:
        pass  # no control group of version 2 here: the machine's figure stands
    return available


def create(name: str, size_bytes: int) -> int:
    """Make an anonymous file whose pages are all there, so that no later write can raise SIGBUS.

    Raises:
        MemoryShortage: the machine lacks the memory; nothing was left behind.
    """
    available = available_bytes()
    if size_bytes > available - RESERVE_BYTES and size_bytes > RESERVE_BYTES // 8:
        raise MemoryShortage(
            f"{size_bytes / 2**20:.0f} MiB wanted, {available / 2**20:.0f} MiB available of which "
            f"{RESERVE_BYTES / 2**20:.0f} MiB stay free"
        )
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.posix_fallocate(fd, 0, size_bytes)
    except OSError as error:
        os.close(fd)
        raise MemoryShortage(f"{size_bytes / 2**20:.0f} MiB wanted: {error.strerror}") from error
    return fd


def map_writable(fd: int) -> mmap.mmap:
    """Map the whole file for reading and writing."""
    return mmap.mmap(fd, os.fstat(fd).st_size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)


def map_readonly(fd: int) -> mmap.mmap:
    """Map the whole file for reading."""
    return mmap.mmap(fd, os.fstat(fd).st_size, mmap.MAP_SHARED, mmap.PROT_READ)


def seal(fd: int) -> None:
    """Fix the size, and refuse every writable mapping from now on; the ones that exist keep writing."""
    fcntl.fcntl(fd, _F_ADD_SEALS, _F_SEAL_SHRINK | _F_SEAL_GROW | _F_SEAL_FUTURE_WRITE | _F_SEAL_SEAL)
