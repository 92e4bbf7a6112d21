"""A table of refusals as the byte code of a seccomp filter, and its way into the kernel: no library is needed."""

import ctypes
import os
import struct
from collections.abc import Iterator
from functools import cache
from typing import Final

from syncsvc.capture.sandbox.system_calls import NUMBERS, Refusal

_AUDIT_ARCH: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_SECCOMP: Final = {"x86_64": 317, "aarch64": 277}
_X32_BIT: Final = 0x40000000
"""Set in the numbers of x86-64's other calling convention."""
_LOAD, _EQUAL, _AT_LEAST, _HAS_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
"""BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_JMP|JGE|K, BPF_JMP|JSET|K, BPF_RET|K of <linux/bpf_common.h>."""
_NUMBER_AT, _ARCH_AT, _ARGUMENTS_AT = 0, 4, 16
"""In ``struct seccomp_data``; an argument has eight bytes, and the low half comes first."""
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_LOAD_NUMBER: Final = (_LOAD, 0, 0, _NUMBER_AT)
_INSTRUCTION: Final = struct.Struct("=HBBI")
_SET_MODE_FILTER, _ALL_THREADS = 1, 1

_libc = ctypes.CDLL(None, use_errno=True)
Instruction = tuple[int, int, int, int]
"""Operation, how far to jump where it holds and where not, and its operand."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


@cache
def program(refusals: tuple[Refusal, ...], machine: str) -> bytes:
    """The filter that refuses these calls and no others, for ``x86_64`` or ``aarch64``.

    Raises:
        KeyError: another machine.
    """
    code: list[Instruction] = [
        (_LOAD, 0, 0, _ARCH_AT),
        (_EQUAL, 1, 0, _AUDIT_ARCH[machine]),
        (_RETURN, 0, 0, KILL),
        _LOAD_NUMBER,
    ]
    if machine == "x86_64":
        code += [(_AT_LEAST, 0, 1, _X32_BIT), (_RETURN, 0, 0, KILL)]
    for refusal in refusals:
        number = getattr(NUMBERS[refusal.call], machine)
        if number is not None:
            body = list(_decision(refusal))
            code += [(_EQUAL, 0, len(body), number), *body]
    code.append((_RETURN, 0, 0, ALLOW))
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in code)


def _decision(refusal: Refusal) -> Iterator[Instruction]:
    """What is answered once the call is known to be that one; what is allowed goes on to the other refusals."""
    refuse = (_RETURN, 0, 0, ERRNO | refusal.error)
    if refusal.argument is None:
        yield refuse
        return
    yield (_LOAD, 0, 0, _ARGUMENTS_AT + 8 * refusal.argument)
    for value in refusal.refused:
        yield from ((_EQUAL, 0, 1, value), refuse)
    tests = [(_EQUAL, value) for value in refusal.allowed]
    tests += [(_HAS_BIT, refusal.needed_bit)] if refusal.needed_bit else []
    for left, (how, value) in zip(range(len(tests), 0, -1), tests, strict=True):
        yield (how, left, 0, value)
    if tests:
        yield refuse
    yield _LOAD_NUMBER


def refuse(refusals: tuple[Refusal, ...]) -> None:
    """Hold all threads of this process to it, for good; ``no_new_privs`` must be set.

    Raises:
        OSError: the kernel has no seccomp, or an older filter forbids another.
    """
    machine = os.uname().machine
    if machine not in _SECCOMP:
        raise OSError(0, f"no table of system calls for {machine}")
    code = program(refusals, machine)
    buffer = ctypes.create_string_buffer(code, len(code))
    made = _Program(len(code) // _INSTRUCTION.size, ctypes.addressof(buffer))
    outcome = _libc.syscall(_SECCOMP[machine], _SET_MODE_FILTER, _ALL_THREADS, ctypes.byref(made))
    if outcome:
        raise OSError(ctypes.get_errno() if outcome < 0 else 0, "seccomp: a filter is refused")
