"""Processes that want memory at the same moment: each sees what those before it took."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIMIT_MIB = 2

Start = Callable[[], subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a process that takes a MiB of a machine which all of them share."""
    machine, offsets = os.memfd_create("machine"), iter(range(100))

    def one() -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.process.memory_taker", str(LIMIT_MIB), str(machine)]
        taker = subprocess.Popen(
            [*command, str(next(offsets))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            pass_fds=[machine],
        )
        running.enter_context(taker)
        running.callback(taker.kill)
        return taker

    with ExitStack() as running:
        yield one
    os.close(machine)


def says(taker: subprocess.Popen[str]) -> str:
    assert taker.stdout is not None
    return taker.stdout.readline().strip()


def go_on(taker: subprocess.Popen[str]) -> None:
    assert taker.stdin is not None
    taker.stdin.write("\n")
    taker.stdin.flush()


def test_no_two_count_on_the_same_memory(start: Start) -> None:
    first = start()
    assert [says(first), says(first)] == ["asks", "looks"]
    others = [start() for _ in range(LIMIT_MIB)]
    for other in others:
        assert says(other) == "asks"
        go_on(other)
    go_on(first)
    assert says(first) == "has"
    assert [says(other) for other in others] == ["looks"] * LIMIT_MIB
    assert sorted(says(other) for other in others) == ["has", "lacks"]


def test_who_is_killed_lets_the_next_one_in(start: Start) -> None:
    first = start()
    assert [says(first), says(first)] == ["asks", "looks"]
    with open("/proc/meminfo") as figures, pytest.raises(BlockingIOError):
        fcntl.flock(figures, fcntl.LOCK_EX | fcntl.LOCK_NB)
    second = start()
    assert says(second) == "asks"
    first.kill()
    assert says(second) == "looks"
    go_on(second)
    assert says(second) == "has"
