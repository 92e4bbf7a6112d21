"""Landlock: what of the file system a process may open, to which TCP ports it may connect, and whom it may signal."""

import ctypes
import os
import stat
import struct
from collections.abc import Iterable, Mapping
from typing import Final

_CREATE, _ADD, _RESTRICT = 444, 445, 446
"""System calls, the same on every architecture."""
_ASK_VERSION: Final = 1
_BENEATH, _PORT = 1, 2
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
TRUNCATE, IOCTL_DEV = 1 << 14, 1 << 15
_OF_FILES: Final = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
READ: Final = READ_FILE | READ_DIR
USE_DEVICE: Final = READ_FILE | WRITE_FILE | IOCTL_DEV
_CONNECT_TCP, _BIND_TCP = 1 << 1, 1 << 0
_SCOPES: Final = 0b11
"""Abstract Unix sockets, and signals, of whoever is not held to the same rules."""
_FS_BITS: Final = {1: 13, 2: 14, 3: 15, 4: 15}
"""How many kinds of access the file system has, by version; 16 from the fifth on."""
NETWORK_SINCE, SCOPES_SINCE = 4, 6

_libc = ctypes.CDLL(None, use_errno=True)


def version() -> int:
    """Of the kernel's; 0 where it has none."""
    return max(0, int(_libc.syscall(_CREATE, None, 0, _ASK_VERSION)))


def attributes(known: int, *, is_connecting: bool) -> bytes:
    """``struct landlock_ruleset_attr`` of this version: everything is handled that it can, and so refused.

    ``is_connecting``: TCP connections to anywhere are left alone.
    """
    files = (1 << _FS_BITS.get(known, 16)) - 1
    network = _BIND_TCP | _CONNECT_TCP
    if known < NETWORK_SINCE:
        return struct.pack("=Q", files)
    told = struct.pack("=QQ", files, 0 if is_connecting else network)
    return told + (struct.pack("=Q", _SCOPES) if known >= SCOPES_SINCE else b"")


def restrict(paths: Mapping[str, int], ports: Iterable[int] | None) -> int:
    """Hold the calling thread, and those that it starts from now on, to it, for good; ``no_new_privs`` must be set.

    Args:
        paths: what may be done to each file, or beneath each folder; those that are not there are left out.
        ports: to which it may connect by TCP; None is to all.

    Returns:
        the kernel's version of Landlock.

    Raises:
        OSError: the kernel has none, or refuses.
    """
    known = version()
    if not known:
        raise OSError(ctypes.get_errno(), "the kernel has no Landlock, or it is switched off")
    told = attributes(known, is_connecting=ports is None)
    rules = _checked(_libc.syscall(_CREATE, told, len(told), 0))
    files = (1 << _FS_BITS.get(known, 16)) - 1
    try:
        for path, access in paths.items():
            _allow(rules, path, access & files)
        for port in ports or () if known >= NETWORK_SINCE else ():
            _checked(_libc.syscall(_ADD, rules, _PORT, struct.pack("=QQ", _CONNECT_TCP, port), 0))
        _checked(_libc.syscall(_RESTRICT, rules, 0))
    finally:
        os.close(rules)
    return known


def _allow(rules: int, path: str, access: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            access &= _OF_FILES
        _checked(_libc.syscall(_ADD, rules, _BENEATH, struct.pack("=Qi", access, place), 0))
    finally:
        os.close(place)


def _checked(outcome: int) -> int:
    if outcome < 0:
        raise OSError(ctypes.get_errno(), f"Landlock: {os.strerror(ctypes.get_errno())}")
    return outcome
