"""Which system calls a capture has no use for, by their numbers: what its seccomp filter refuses."""

import errno
from typing import Final, NamedTuple

_THREAD: Final = 0x10000
"""CLONE_THREAD of <linux/sched.h>."""
_TIOCSTI: Final = 0x5412
_PR_SET_DUMPABLE: Final = 4
INTERNET: Final = (2, 10)
"""AF_INET and AF_INET6, the same on all architectures that are known here."""


class Call(NamedTuple):
    """A system call's numbers; None where an architecture has it not."""

    x86_64: int | None
    aarch64: int | None


class Refusal(NamedTuple):
    """A call that is refused: always, or by the low half of one of its arguments."""

    call: str
    error: int = errno.EPERM
    argument: int | None = None
    allowed: tuple[int, ...] = ()
    """Only these values are."""
    refused: tuple[int, ...] = ()
    """Only these values are not."""
    needed_bit: int = 0
    """Only values with it are allowed."""


NUMBERS: Final = {
    # other programs and processes
    "execve": Call(59, 221), "execveat": Call(322, 281), "fork": Call(57, None), "vfork": Call(58, None),
    "clone": Call(56, 220), "clone3": Call(435, 435), "ptrace": Call(101, 117),
    "process_vm_readv": Call(310, 270), "process_vm_writev": Call(311, 271), "process_madvise": Call(440, 440),
    "kill": Call(62, 129), "tkill": Call(200, 130), "tgkill": Call(234, 131), "rt_sigqueueinfo": Call(129, 138),
    "rt_tgsigqueueinfo": Call(297, 240), "pidfd_open": Call(434, 434), "pidfd_send_signal": Call(424, 424),
    "pidfd_getfd": Call(438, 438), "kcmp": Call(312, 272), "prlimit64": Call(302, 261), "prctl": Call(157, 167),
    # the shape of the system
    "mount": Call(165, 40), "umount2": Call(166, 39), "pivot_root": Call(155, 41), "chroot": Call(161, 51),
    "open_tree": Call(428, 428), "move_mount": Call(429, 429), "fsopen": Call(430, 430), "fsconfig": Call(431, 431),
    "fsmount": Call(432, 432), "fspick": Call(433, 433), "mount_setattr": Call(442, 442), "unshare": Call(272, 97),
    "setns": Call(308, 268), "swapon": Call(167, 224), "swapoff": Call(168, 225), "reboot": Call(169, 142),
    "sethostname": Call(170, 161), "setdomainname": Call(171, 162), "settimeofday": Call(164, 170),
    "clock_settime": Call(227, 112), "adjtimex": Call(159, 171), "clock_adjtime": Call(305, 266),
    "syslog": Call(103, 116), "acct": Call(163, 89), "quotactl": Call(179, 60), "vhangup": Call(153, 58),
    "personality": Call(135, 92), "init_module": Call(175, 105), "finit_module": Call(313, 273),
    "delete_module": Call(176, 106), "kexec_load": Call(246, 104), "kexec_file_load": Call(320, 294),
    "iopl": Call(172, None), "ioperm": Call(173, None), "modify_ldt": Call(154, None), "uselib": Call(134, None),
    # wide doors of the kernel that no decoder needs
    "bpf": Call(321, 280), "perf_event_open": Call(298, 241), "userfaultfd": Call(323, 282),
    "io_uring_setup": Call(425, 425), "io_uring_enter": Call(426, 426), "io_uring_register": Call(427, 427),
    "add_key": Call(248, 217), "request_key": Call(249, 218), "keyctl": Call(250, 219),
    "name_to_handle_at": Call(303, 264), "open_by_handle_at": Call(304, 265), "fanotify_init": Call(300, 262),
    "ioctl": Call(16, 29),
    # what is written about files
    "chmod": Call(90, None), "fchmod": Call(91, 52), "fchmodat": Call(268, 53), "fchmodat2": Call(452, 452),
    "chown": Call(92, None), "fchown": Call(93, 55), "lchown": Call(94, None), "fchownat": Call(260, 54),
    "utime": Call(132, None), "utimes": Call(235, None), "futimesat": Call(261, None), "utimensat": Call(280, 88),
    "setxattr": Call(188, 5), "lsetxattr": Call(189, 6), "fsetxattr": Call(190, 7),
    "removexattr": Call(197, 14), "lremovexattr": Call(198, 15), "fremovexattr": Call(199, 16),
    # the network
    "socket": Call(41, 198), "connect": Call(42, 203), "accept": Call(43, 202), "accept4": Call(288, 242),
    "bind": Call(49, 200), "listen": Call(50, 201),
}  # fmt: skip

_BY_ARGUMENT: Final = frozenset(
    {"clone", "clone3", "prlimit64", "prctl", "ioctl", "socket", "connect", "accept", "accept4", "bind",
     "listen"}
)  # fmt: skip
NO_SOCKETS: Final = tuple(Refusal(call) for call in ("socket", "connect", "accept", "accept4", "bind", "listen"))
"""Of who has all the connections that it needs."""
NO_SERVER: Final = tuple(Refusal(call) for call in ("accept", "accept4", "bind", "listen"))
"""Of who calls others, and is called by nobody."""
INTERNET_ONLY: Final = (Refusal("socket", argument=0, allowed=INTERNET),)
TCP_ONLY: Final = (Refusal("socket", argument=1, allowed=(1, 1 | 0o4000, 1 | 0o2000000, 1 | 0o2004000)),)
"""SOCK_STREAM, with or without SOCK_NONBLOCK and SOCK_CLOEXEC."""


ALWAYS: Final = (
    *(Refusal(call) for call in NUMBERS if call not in _BY_ARGUMENT),
    Refusal("clone", argument=0, needed_bit=_THREAD),
    Refusal("clone3", errno.ENOSYS),  # its flags cannot be seen: the C library takes clone then
    Refusal("prlimit64", argument=0, allowed=(0,)),
    Refusal("prctl", argument=0, refused=(_PR_SET_DUMPABLE,)),
    Refusal("ioctl", argument=1, refused=(_TIOCSTI,)),
)
"""What no capture may do, whatever its source."""
