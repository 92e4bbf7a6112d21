"""What one capture gives up, and when: nearly all before a byte of its camera is read, the rest once that plays.

| given up | before the source is opened | once it is open |
| --- | --- | --- |
| `no_new_privs`, core dumps, being dumped or traced, descriptors and memory without end | all | |
| files but our programs, what names are looked up in, and the recording; signals to others | all | |
| other programs, processes, mounts, keys, clocks: system calls that no capture needs | all | |
| sockets | recordings, devices, generated streams: all; HTTP: servers; UDP where the URL has an address | RTSP: all |
| TCP to other ports than the camera's, 53, 80 and 443 | HTTP, unless the URL names a playlist | |
| root | where nothing needs it, else its capabilities | |
"""

import os
import re
import resource
import stat
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache, partial
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from syncsvc.capture.sandbox import landlock, seccomp
from syncsvc.capture.sandbox.selftest import escapes
from syncsvc.capture.sandbox.system_calls import (
    ALWAYS,
    INTERNET_ONLY,
    NO_SERVER,
    NO_SOCKETS,
    TCP_ONLY,
    Refusal,
)
from syncsvc.capture.spec import AnySpec, FileSpec, HttpSpec, RtspSpec, V4l2Spec
from syncsvc.lifecycle import die_with_parent, gain_no_privileges, hide_memory, keep_capabilities

NOBODY: Final = 65534
MOST_FILES: Final = 256
BASE_BYTES: Final = 256 << 20
"""For packets, libraries, stacks and Python, beside pictures."""
MOST_PICTURES, BYTES_PER_PIXEL = 24, 4
"""Seventeen references that H.264 may keep, and those under way; 4:2:0 in ten bits takes three bytes."""
_CAP_KILL, _CAP_DAC_READ_SEARCH = 1 << 5, 1 << 2
SYSTEM: Final = (
    "/usr", "/lib", "/lib64", "/nix/store", "/gnu/store", "/etc/ld.so.cache", "/etc/ssl/openssl.cnf", "/etc/ssl/certs",
    "/etc/pki/tls/openssl.cnf", "/etc/pki/tls/certs", "/etc/localtime", "/sys/fs/cgroup",
    "/sys/devices/system/cpu", "/proc/self", "/proc/meminfo", "/proc/cpuinfo", "/proc/stat", "/dev/urandom",
    "/dev/null",
)  # fmt: skip
_NAMES: Final = (
    "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf", "/etc/services",
    "/etc/protocols", "/run/systemd/resolve/stub-resolv.conf", "/run/systemd/resolve/resolv.conf",
)  # fmt: skip
_WEB_PORTS: Final = (53, 80, 443)


class Confinement:
    """One capture's rights: ``held`` to which rules, and what the machine lacks for the others."""

    def __init__(self, spec: AnySpec, parent: int) -> None:
        """Give up nothing yet; ``parent`` is whose end ends us."""
        self._spec, self._parent = spec, parent
        self.held: list[str] = []
        self.missing: list[str] = []
        self._has_seccomp = False

    def before_opening(self) -> None:
        """From the only thread: whoever is started later has no more rights."""
        self._give_up("no_new_privs", gain_no_privileges)
        self._give_up("rlimits", self._limit)
        self._give_up("no_dump", hide_memory)
        if os.getuid() == 0:
            if self._can_leave_root():
                self._give_up("uid", self._become_nobody)
            else:
                self._give_up("capabilities", partial(keep_capabilities, _CAP_DAC_READ_SEARCH))
        self._give_up("landlock", self._lock_files)
        refusals = (*ALWAYS, *_network_refusals(self._spec))
        self._has_seccomp = self._give_up("seccomp", partial(seccomp.refuse, refusals))
        if self._has_seccomp and not isinstance(self._spec, RtspSpec | HttpSpec):
            self.held.append("no_sockets")
        self._prove()

    def once_open(self) -> None:
        """From the same thread; the others, too, have no more rights from now on."""
        if isinstance(self._spec, RtspSpec) and self._has_seccomp:
            self._give_up("no_sockets", partial(seccomp.refuse, NO_SOCKETS))
            self._prove()

    def _give_up(self, what: str, how: Callable[[], str | None]) -> bool:
        try:
            detail = how()
        except (OSError, ValueError) as error:
            self.missing.append(f"{what} ({getattr(error, 'strerror', None) or error})")
            return False
        self.held.append(f"{what} {detail}" if detail else what)
        return True

    def _prove(self) -> None:
        self.missing += [f"{what} (tried, and it went through)" for what in escapes(self.held, self._parent)]

    def _limit(self) -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for kind, most in ((resource.RLIMIT_NOFILE, MOST_FILES), (resource.RLIMIT_DATA, memory_bytes(self._spec))):
            hard = resource.getrlimit(kind)[1]
            value = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(kind, (value, value))

    def _lock_files(self) -> str:
        spec = self._spec
        paths = dict.fromkeys((*SYSTEM, *_NAMES, *_our_programs()), landlock.READ)
        ports: Iterable[int] | None = ()
        if isinstance(spec, FileSpec):
            paths |= dict.fromkeys(recording_folders(spec), landlock.READ)
        elif isinstance(spec, V4l2Spec):
            paths[spec.device] = landlock.USE_DEVICE
        elif isinstance(spec, RtspSpec):
            ports = None  # libav reaches the camera through a port of ours
        elif isinstance(spec, HttpSpec):
            ports = http_ports(spec.url)
        known = landlock.restrict(paths, ports)
        if ports and known >= landlock.NETWORK_SINCE:
            self.held.append("connect")
        elif ports:
            self.missing.append(f"connect (Landlock {known} knows no ports)")
        return str(known)

    def _can_leave_root(self) -> bool:
        """Whether the daemon could still end us, and nobody reads what we need to run and to play."""
        effective = re.search(r"^CapEff:\s*(\w+)", Path("/proc/self/status").read_text(), re.MULTILINE)
        if effective is None or not int(effective[1], 16) & _CAP_KILL:
            return False
        if isinstance(self._spec, V4l2Spec) and not _may_use(self._spec.device):
            return False
        needed: list[str] = []
        if isinstance(self._spec, FileSpec):
            needed = [self._spec.path, *recording_folders(self._spec), *filter(None, [self._spec.timestamps])]
        return _are_programs_readable() and all(everybody_reads(path) for path in needed)

    def _become_nobody(self) -> str:
        device = self._spec.device if isinstance(self._spec, V4l2Spec) else None
        os.setgroups([os.stat(device).st_gid] if device else [])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        die_with_parent(self._parent)  # the kernel forgets it with the user
        return str(NOBODY)


def prepare() -> None:
    """Reckon once, before captures are forked, what is the same for all of them."""
    _are_programs_readable()
    for refusals in (INTERNET_ONLY, (*INTERNET_ONLY, *NO_SERVER), (*INTERNET_ONLY, *NO_SERVER, *TCP_ONLY), NO_SOCKETS):
        with suppress(KeyError):  # another machine, as will be said
            seccomp.program((*ALWAYS, *refusals), os.uname().machine)


def _may_use(device: str) -> bool:
    """Whether its group may, which is ours then; of one that is not there, nobody."""
    with suppress(OSError):
        return os.stat(device).st_mode & 0o060 == 0o060
    return False


def _network_refusals(spec: AnySpec) -> tuple[Refusal, ...]:
    if isinstance(spec, RtspSpec):
        return INTERNET_ONLY
    if isinstance(spec, HttpSpec):
        return (*INTERNET_ONLY, *NO_SERVER, *(TCP_ONLY if _has_address(spec.url) else ()))
    return NO_SOCKETS


def memory_bytes(spec: AnySpec) -> int:
    """What a capture may have of its own, by what is configured; its ring is shared, and counted elsewhere."""
    return BASE_BYTES + _data_bytes() + MOST_PICTURES * BYTES_PER_PIXEL * spec.max_pixels


def _data_bytes() -> int:
    """What it had when it was forked."""
    return int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()


def http_ports(url: str) -> tuple[int, ...] | None:
    """Where a camera that speaks HTTP may send us: a playlist may name pictures anywhere, which None stands for."""
    parts = urlsplit(url)
    if parts.path.lower().endswith((".m3u8", ".m3u")):
        return None
    return tuple({*_WEB_PORTS, parts.port or 80})


def _has_address(url: str) -> bool:
    """Whether nothing needs to be asked for where it is."""
    with suppress(ValueError):
        return bool(ip_address(urlsplit(url).hostname or ""))
    return False


def recording_folders(spec: FileSpec) -> list[str]:
    """Where a recording, its pictures and its times lie, also where links lead; replaced ones included."""
    path = Path(spec.path)
    folder = path if path.is_dir() else path.parent
    found = {folder, path.resolve().parent}
    if spec.timestamps is not None:
        found |= {Path(spec.timestamps).parent, Path(spec.timestamps).resolve().parent}
    if path.is_dir() or "%" in path.name:
        with suppress(OSError), os.scandir(folder) as entries:
            found |= {Path(entry.path).resolve().parent for entry in entries if entry.is_symlink()}
    return [str(one) for one in sorted(found)]


def everybody_reads(path: str) -> bool:
    """Whether whoever comes may: it, and every folder on the way to it. Of what is not there, there is none to read."""
    found = Path(path).resolve()
    try:
        if not found.stat().st_mode & stat.S_IROTH:
            return False
        return all(folder.stat().st_mode & stat.S_IXOTH for folder in found.parents)
    except FileNotFoundError:
        return all(folder.stat().st_mode & stat.S_IXOTH for folder in found.parents if folder.exists())


@cache
def _are_programs_readable() -> bool:
    return all(map(everybody_reads, _our_programs()))


@cache
def _our_programs() -> list[str]:
    """Where Python's modules and ours are read from: not the folder that we run in, which may hold a configuration."""
    package = Path(__file__).parents[2]
    sites = {Path(module.__file__).parents[1] for name in ("av", "cv2", "numpy", "pycurl", "msgspec")
             if (module := sys.modules.get(name)) is not None and module.__file__}  # fmt: skip
    return [sys.prefix, sys.base_prefix, str(package), *(str(site) for site in sites)]
