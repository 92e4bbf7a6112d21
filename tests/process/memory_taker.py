"""Takes a MiB of a machine that has so many, in a process of its own: ``LIMIT_MIB MACHINE_FD OFFSET_MIB``.

The machine is a file, so that its memory is what really was allocated. Says ``asks``, ``looks`` once it sees what is
there, waits for a line, and says ``has`` or ``lacks``.
"""

import os
import sys

from syncsvc.errors import MemoryShortage
from syncsvc.transport import memfd as memory

LIMIT, MACHINE, OFFSET = (int(argument) for argument in sys.argv[1:])
MIB = 2**20


def say(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


def available_bytes() -> int:
    available = LIMIT * MIB - 512 * os.fstat(MACHINE).st_blocks
    say("looks")
    sys.stdin.readline()
    return available


memory.available_bytes = available_bytes
memory.UNCHECKED_BYTES = memory.RESERVE_BYTES = 0
memory.MOST_TRIES = sys.maxsize
say("asks")
try:
    memory.allocate(MACHINE, OFFSET * MIB, MIB)
    say("has")
except MemoryShortage:
    say("lacks")
