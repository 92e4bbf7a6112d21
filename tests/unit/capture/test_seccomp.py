"""The rules of the sandbox, whatever kernel is here: filters by their byte code on both machines, and what is read."""

import errno
import struct
from itertools import product
from pathlib import Path

import pytest

from syncsvc.capture.sandbox.confine import SYSTEM, http_ports
from syncsvc.capture.sandbox.landlock import attributes
from syncsvc.capture.sandbox.seccomp import ALLOW, ERRNO, KILL, program
from syncsvc.capture.sandbox.system_calls import ALWAYS, INTERNET_ONLY, NO_SERVER, NO_SOCKETS, NUMBERS, TCP_ONLY

MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
REFUSED = ERRNO | errno.EPERM
EVERYTHING = (*ALWAYS, *INTERNET_ONLY, *NO_SERVER, *TCP_ONLY)
STREAM, DATAGRAM = 1, 2


def answer(code: bytes, arch: int, number: int, *arguments: int) -> int:
    """What the kernel would: an interpreter of the five operations that the filters are made of."""
    told = struct.pack("=IIQ6Q", number, arch, 0, *arguments, *[0] * (6 - len(arguments)))
    lines = list(struct.iter_unpack("=HBBI", code))
    at = accumulator = 0
    while True:
        operation, where_true, where_false, operand = lines[at]
        at += 1
        match operation:
            case 0x20:
                accumulator = struct.unpack_from("=I", told, operand)[0]
            case 0x15:
                at += where_true if accumulator == operand else where_false
            case 0x35:
                at += where_true if accumulator >= operand else where_false
            case 0x45:
                at += where_true if accumulator & operand else where_false
            case 0x06:
                return int(operand)
            case _:
                raise AssertionError(hex(operation))


@pytest.mark.parametrize("machine", MACHINES)
def test_every_call_of_the_table_is_refused_and_those_of_a_decoder_are_not(machine: str) -> None:
    code, arch = program(ALWAYS, machine), MACHINES[machine]
    conditional = {refusal.call for refusal in ALWAYS if refusal.argument is not None}
    for refusal in ALWAYS:
        number = getattr(NUMBERS[refusal.call], machine)
        if number is not None and refusal.call not in conditional:
            assert answer(code, arch, number) == ERRNO | refusal.error
    read, mmap, futex, memfd = {"x86_64": (0, 9, 202, 319), "aarch64": (63, 222, 98, 279)}[machine]
    assert [answer(code, arch, number) for number in (read, mmap, futex, memfd)] == [ALLOW] * 4


@pytest.mark.parametrize("machine", MACHINES)
def test_threads_are_made_and_processes_are_not(machine: str) -> None:
    code, arch = program(ALWAYS, machine), MACHINES[machine]
    clone, prctl, limits, ioctl = (getattr(NUMBERS[call], machine) for call in ("clone", "prctl", "prlimit64", "ioctl"))
    assert answer(code, arch, clone, 0x3D0F00) == ALLOW  # as pthread_create has it
    assert answer(code, arch, clone, 0x1200011) == REFUSED  # as fork has it
    assert answer(code, arch, NUMBERS["clone3"].x86_64 or 0) == ERRNO | errno.ENOSYS
    assert [answer(code, arch, prctl, option) for option in (15, 4)] == [ALLOW, REFUSED]
    assert [answer(code, arch, limits, pid) for pid in (0, 1)] == [ALLOW, REFUSED]
    assert [answer(code, arch, ioctl, 0, request) for request in (0x541B, 0x5412)] == [ALLOW, REFUSED]


@pytest.mark.parametrize("machine", MACHINES)
def test_sockets_are_of_the_internet_and_of_tcp_or_none(machine: str) -> None:
    arch = MACHINES[machine]
    socket, connect, listen = (getattr(NUMBERS[call], machine) for call in ("socket", "connect", "listen"))
    families, kinds = {"inet": 2, "inet6": 10, "unix": 1, "netlink": 16, "packet": 17}, (STREAM | 0x80000, DATAGRAM)
    for (name, family), kind in product(families.items(), kinds):
        is_internet = name.startswith("inet")
        told = answer(program((*ALWAYS, *INTERNET_ONLY), machine), arch, socket, family, kind)
        assert told == (ALLOW if is_internet else REFUSED)
        told = answer(program(EVERYTHING, machine), arch, socket, family, kind)
        assert told == (ALLOW if is_internet and kind != DATAGRAM else REFUSED)
    assert [answer(program(EVERYTHING, machine), arch, one) for one in (connect, listen)] == [ALLOW, REFUSED]
    assert [answer(program(NO_SOCKETS, machine), arch, one, 2, 1) for one in (socket, connect, listen)] == [REFUSED] * 3


@pytest.mark.parametrize("machine", MACHINES)
def test_who_calls_in_the_manner_of_another_machine_is_ended(machine: str) -> None:
    code, execve = program(EVERYTHING, machine), getattr(NUMBERS["execve"], machine)
    assert answer(code, 0x40000003, 11) == KILL  # i386
    if machine == "x86_64":
        assert answer(code, MACHINES[machine], 0x40000000 | execve) == KILL  # x32
    with pytest.raises(KeyError):
        program(EVERYTHING, "riscv64")


@pytest.mark.parametrize(
    ("version", "is_connecting", "expected"),
    [
        (1, False, (0x1FFF,)),
        (2, False, (0x3FFF,)),
        (3, False, (0x7FFF,)),
        (4, False, (0x7FFF, 3)),
        (5, False, (0xFFFF, 3)),
        (6, False, (0xFFFF, 3, 3)),
        (7, True, (0xFFFF, 0, 3)),
    ],
)
def test_landlock_is_asked_for_all_that_its_version_knows(
    version: int, is_connecting: bool, expected: tuple[int, ...]
) -> None:
    told = attributes(version, is_connecting=is_connecting)
    assert struct.unpack(f"={len(told) // 8}Q", told) == expected


@pytest.mark.parametrize(
    "secret", ["/etc/ssl/private/a.key", "/etc/pki/tls/private/a.key", "/etc/shadow", "/var/lib/keys/a"]
)
def test_nothing_that_captures_read_of_the_system_holds_secrets(secret: str) -> None:
    assert not [path for path in SYSTEM if Path(secret).is_relative_to(path)]


def test_an_http_camera_is_reached_at_its_own_port_and_a_playlist_anywhere() -> None:
    assert set(http_ports("http://camera:8081/video.mjpg") or ()) == {53, 80, 443, 8081}
    assert set(http_ports("https://camera/snap.jpg") or ()) == {53, 80, 443}
    assert http_ports("http://camera:8081/LIVE.M3U8?x=1") is None
