"""Takes long turns in a sandbox that answers the system calls of the numbers given with EPERM, as systemd's does."""

import ctypes
import errno
import struct
import sys

from syncsvc.lifecycle import LongTurns

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
_INSTRUCTION = struct.Struct("=HBBI")
"""Of the filter: code, instructions to skip where it is true and where it is not, operand."""
_LOAD_NUMBER, _IS_EQUAL, _RETURN = 0x20, 0x15, 0x06


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def confine(numbers: list[int]) -> None:
    """Refuse these system calls to this process from now on."""
    asked = [(_IS_EQUAL, len(numbers) - place, 0, number) for place, number in enumerate(numbers)]
    lines = [(_LOAD_NUMBER, 0, 0, 0), *asked, (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE)]
    program = _Program(len(lines), b"".join(_INSTRUCTION.pack(*line) for line in lines))
    libc = ctypes.CDLL(None, use_errno=True)
    for call in (
        (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0),
    ):
        if libc.prctl(*call) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    confine([int(number) for number in sys.argv[1:]])
    token = LongTurns()
    token.begin()
    token.set()
    sys.stdout.write("woken\n" if token.sleep(3600) else "alone\n")
