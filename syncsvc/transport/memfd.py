"""Anonymous shared memory that cannot leak: memfds, handed over as descriptors, gone with their last holder."""

import ctypes
import fcntl
import mmap
import os
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from syncsvc.clock import sleep_s
from syncsvc.errors import MemoryShortage
from syncsvc.transport.control_groups import left_bytes

_F_SEAL_FUTURE_WRITE = 0x0010
"""Of <linux/fcntl.h>; Python 3.11 has no constant for it."""
_MREMAP_MAYMOVE, _MREMAP_FIXED = 1, 2
_MADV_POPULATE_WRITE = 23
_FAILED = ctypes.c_void_p(-1).value

OnStep = Callable[[], None]

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = _libc.mremap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_libc.mremap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p]
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

RESERVE_BYTES = 128 * 2**20
"""Left to the rest of the machine when a ring is sized: libav, the receiver and the kernel live there too."""
UNCHECKED_BYTES = RESERVE_BYTES // 8
"""What is so small is taken from the reserve, without a look or a wait."""
STEP_BYTES = 64 * 2**20
"""What is got at once: some tens of milliseconds for the kernel, which fills it with zeros."""
MOST_TRIES, TRY_S = 1000, 0.01
_MEMINFO = Path("/proc/meminfo")


def available_bytes() -> int:
    """Memory that can still be had: the least of what the machine and our control groups have left."""
    available = 0
    for line in _MEMINFO.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1]) * 1024
    left = left_bytes()
    return available if left is None else max(0, min(available, left))


def create(name: str, size_bytes: int, room_bytes: int = 0, on_step: OnStep = lambda: None) -> int:
    """Make an anonymous file whose pages are all there, so that no later write can raise SIGBUS.

    Args:
        name: for whoever looks at the process.
        size_bytes: how many bytes are there.
        room_bytes: the size of the file, where it is more: the rest is there after ``allocate``.
        on_step: called again and again meanwhile: much memory takes seconds.

    Raises:
        MemoryShortage: the machine lacks the memory, or no more can be open; nothing was left behind.
    """
    try:
        fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except OSError as error:
        raise MemoryShortage(f"{size_bytes / 2**20:.0f} MiB wanted: {error.strerror}") from error
    try:
        allocate(fd, 0, size_bytes, on_step)
        if room_bytes > size_bytes:
            os.ftruncate(fd, room_bytes)
    except MemoryShortage:
        os.close(fd)
        raise
    return fd


def allocate(fd: int, offset: int, size_bytes: int, on_step: OnStep = lambda: None) -> None:
    """Get the pages of a part of a file, in steps. Who wants much waits for its turn, so that no two count on the same.

    Raises:
        MemoryShortage: the machine lacks the memory. What was got before that is found out stays for the next try:
            nothing of it where the lack was there from the beginning.
    """
    on_step()
    if size_bytes <= UNCHECKED_BYTES:
        _allocate(fd, offset, size_bytes)
        on_step()
        return
    with _turn(on_step):
        for done in range(0, size_bytes, STEP_BYTES):
            on_step()
            left, available = size_bytes - done, available_bytes()
            if left > available - RESERVE_BYTES:
                raise MemoryShortage(
                    f"{left / 2**20:.0f} MiB wanted, {available / 2**20:.0f} MiB available of which "
                    f"{RESERVE_BYTES / 2**20:.0f} MiB stay free"
                )
            _allocate(fd, offset + done, min(STEP_BYTES, left))
        on_step()


def _allocate(fd: int, offset: int, size_bytes: int) -> None:
    try:
        os.posix_fallocate(fd, offset, size_bytes)
    except OSError as error:
        raise MemoryShortage(f"{size_bytes / 2**20:.0f} MiB wanted: {error.strerror}") from error


@contextmanager
def _turn(on_step: OnStep) -> Iterator[None]:
    """Keep other processes and threads of ours from taking memory; the kernel ends it with the process.

    The lock is on a file that every process can open and none can remove. Anybody may hold it, so the wait for it ends
    some time: then the figures may be out of date, as they would be without it.
    """
    with _MEMINFO.open("rb") as figures:
        for _ in range(MOST_TRIES):
            on_step()
            try:
                fcntl.flock(figures, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                sleep_s(TRY_S)
            else:
                break
        yield


class Pages:
    """A part of a file, mapped for reading, that can be exchanged for a copy; unmapped with the last view of it.

    Unlike ``mmap.mmap`` it holds no descriptor: there may be thousands.
    """

    def __init__(self, fd: int, offset: int, size_bytes: int) -> None:
        """Map ``size_bytes`` from ``offset``, a multiple of a page; the descriptor stays the caller's.

        Raises:
            MemoryShortage: the kernel has no room in its tables.
        """
        self._place = _map(size_bytes, mmap.PROT_READ, mmap.MAP_SHARED, fd, offset)
        self._size_bytes, self._is_private = size_bytes, False
        pages = (ctypes.c_ubyte * size_bytes).from_address(self._place)
        weakref.finalize(pages, _libc.munmap, self._place, size_bytes).atexit = False
        self.buffer = memoryview(pages).cast("B").toreadonly()

    def privatize(self) -> None:
        """Exchange the shared memory for a copy of it, under all views, at once; what is exchanged already stays.

        The copy is made elsewhere, and ``mremap`` puts it in the place of the shared pages in one step under the lock
        of the address space: a thread that reads meanwhile finds the same bytes, whatever is done to the file later.

        Raises:
            MemoryShortage: there is no memory for the copy; nothing has changed.
        """
        if self._is_private:
            return
        size_bytes = self._size_bytes
        copy = _map(size_bytes, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
        ctypes.memmove(copy, self._place, size_bytes)
        _libc.mprotect(copy, size_bytes, mmap.PROT_READ)
        if _libc.mremap(copy, size_bytes, size_bytes, _MREMAP_MAYMOVE | _MREMAP_FIXED, self._place) != self._place:
            problem = os.strerror(ctypes.get_errno())
            _libc.munmap(copy, size_bytes)
            raise MemoryShortage(f"{size_bytes} bytes cannot be exchanged: {problem}")
        self._is_private = True


def _map(size_bytes: int, protection: int, kind: int, fd: int, offset: int) -> int:
    place: int = _libc.mmap(None, size_bytes, protection, kind, fd, offset)
    if place == _FAILED:
        raise MemoryShortage(f"{size_bytes / 2**20:.0f} MiB cannot be mapped: {os.strerror(ctypes.get_errno())}")
    return place


def map_whole(fd: int) -> mmap.mmap:
    """Map a file for writing, as a whole.

    Raises:
        MemoryShortage: the process has no room for it, or no more can be open.
    """
    try:
        return mmap.mmap(fd, 0)
    except OSError as error:
        size_bytes = os.fstat(fd).st_size
        raise MemoryShortage(f"{size_bytes / 2**20:.0f} MiB cannot be mapped: {error.strerror}") from error


def populate(mapping: mmap.mmap, offset: int, size_bytes: int) -> None:
    """Have the kernel map pages now, instead of at the first write to each; a hint, from Linux 5.14 on.

    Without it the first pass over a ring costs 2 ms more per 1080p frame. Other threads run meanwhile.
    """
    place = ctypes.addressof(ctypes.c_ubyte.from_buffer(mapping))
    _libc.madvise(place + offset, size_bytes, _MADV_POPULATE_WRITE)


def seal(fd: int, *, is_for_all: bool = False) -> None:
    """Fix the size, and refuse every writable mapping from now on; the ones that exist keep writing.

    ``is_for_all``: whoever gets the file may map it for writing; the size is fixed all the same.
    """
    seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL | (0 if is_for_all else _F_SEAL_FUTURE_WRITE)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
