"""Tries to break out, with calls that do nothing where they go through: what is held must hold.

Each of them ends otherwise where it is refused than where it is carried out, so that no probe needs to do harm.
"""

import ctypes
import errno
import os
import resource
import socket
from collections.abc import Callable, Collection, Iterator
from typing import Final

from syncsvc.capture.sandbox.system_calls import NUMBERS

_libc: Final = ctypes.CDLL(None, use_errno=True)
_REFUSED: Final = (errno.EPERM, errno.EACCES)
_NOWHERE: Final = -1
_CLONE_CONTRADICTION: Final = 0x10000000 | 0x200
"""CLONE_NEWUSER and CLONE_FS, which no kernel does together."""
_PR_GET_DUMPABLE: Final = 3


def escapes(held: Collection[str], parent: int) -> list[str]:
    """What goes through although a rule that is held forbids it; empty where the sandbox is tight."""
    layers = {one.split()[0] for one in held}
    return [what for layer, what, is_refused in _probes(parent) if layer in layers and not is_refused()]


def _probes(parent: int) -> Iterator[tuple[str, str, Callable[[], bool]]]:
    """The layer that forbids it, what is tried, and whether it was refused."""
    yield "landlock", "opening a file for writing", lambda: _cannot_open(__file__, os.O_WRONLY)
    yield "landlock", "making a file", lambda: _cannot_open("/tmp", os.O_TMPFILE | os.O_RDWR)
    yield "landlock", "reading a file of the system", lambda: _cannot_open("/etc/passwd", os.O_RDONLY)
    yield "seccomp", "starting another program", lambda: _is_refused("execve", 0, 0, 0)
    yield "seccomp", "starting another process", lambda: _is_refused("clone", _CLONE_CONTRADICTION, 0, 0, 0, 0)
    yield "seccomp", "tracing a process", lambda: _is_refused("ptrace", 0xFFFF, 0, 0, 0)
    yield "seccomp", "reading another's memory", lambda: _is_refused("process_vm_readv", parent, 0, 0, 0, 0, 0)
    yield "seccomp", "taking another's descriptor", lambda: _is_refused("pidfd_getfd", _NOWHERE, 0, 0)
    yield "seccomp", "signalling the daemon", lambda: _is_refused("kill", parent, 0)
    yield "seccomp", "leaving its namespaces", lambda: _is_refused("unshare", 0)
    yield "seccomp", "mounting", lambda: _is_refused("mount", 0, 0, 0, 0, 0)
    yield "seccomp", "loading code into the kernel", lambda: _is_refused("bpf", _NOWHERE, 0, 0)
    yield "seccomp", "speaking to the kernel's network", lambda: _is_refused("socket", socket.AF_NETLINK, 3, 0)
    yield "seccomp", "speaking to programs on this host", lambda: _is_refused("socket", socket.AF_UNIX, 1, 0)
    yield "uid", "becoming root again", lambda: _is_errno(_libc.setuid(0), _REFUSED)
    yield "capabilities", "having more of everything again", _cannot_raise
    yield "no_sockets", "calling anywhere", lambda: _is_refused("socket", socket.AF_INET, 1, 0)
    yield "connect", "calling another port", _cannot_connect
    yield "no_dump", "reading its memory", lambda: _libc.prctl(_PR_GET_DUMPABLE) == 0
    yield "rlimits", "leaving a core", lambda: resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)


def _cannot_open(path: str, how: int) -> bool:
    try:
        os.close(os.open(path, how | os.O_CLOEXEC, 0o600))
    except OSError:
        return True
    return False


def _cannot_connect() -> bool:
    """Port 1 of this host is what no camera is at."""
    with socket.socket() as one:
        one.settimeout(0)
        return one.connect_ex(("127.0.0.1", 1)) in _REFUSED


def _cannot_raise() -> bool:
    """Root may have more files open than it was left; so many, nobody takes at once."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard + 1))
    except (OSError, ValueError):
        return True
    return False


def _is_refused(call: str, *arguments: int) -> bool:
    number = getattr(NUMBERS[call], os.uname().machine)
    return _is_errno(_libc.syscall(number, *arguments), _REFUSED)


def _is_errno(outcome: int, allowed: Collection[int]) -> bool:
    return outcome < 0 and ctypes.get_errno() in allowed
