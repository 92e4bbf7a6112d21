"""Lines go to pipes, terminals, sockets and files, and nobody waits for a reader that is not there."""

import fcntl
import logging
import os
import socket
import tty
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TextIO

import pytest

from syncsvc.observe.line_writer import LineWriter
from syncsvc.observe.log_limit import LimitedHandler
from syncsvc.testing import ManualClock, S

PIPE, SOCKET, TERMINAL = "pipe", "socket", "terminal"


class Wire:
    """What a log is written to, and its other end."""

    def __init__(self, kind: str) -> None:
        if kind == SOCKET:
            ours, theirs = (one.detach() for one in socket.socketpair())
        elif kind == TERMINAL:
            ours, theirs = os.openpty()
            tty.setraw(theirs)
        else:
            ours, theirs = os.pipe()
        self.reader, self.stream = ours, os.fdopen(theirs, "w")
        os.set_blocking(ours, False)

    def read(self) -> str:
        """Everything that was written."""
        data = b""
        try:
            while part := os.read(self.reader, 1 << 20):
                data += part
        except BlockingIOError:
            pass
        return data.decode()

    def hang_up(self) -> None:
        os.close(self.reader)
        self.reader = -1

    def close(self) -> None:
        self.stream.close()
        if self.reader >= 0:
            os.close(self.reader)


@pytest.fixture(params=[PIPE, SOCKET, TERMINAL])
def wire(request: pytest.FixtureRequest) -> Iterator[Wire]:
    made = Wire(request.param)
    yield made
    made.close()


def line(number: int) -> str:
    return f"{number:06d} " + "x" * 92 + "\n"


def fill(writer: LineWriter) -> int:
    """Write until nobody takes any more; how many lines were taken."""
    return next(number for number in range(1_000_000) if not writer.write(line(number)))


def test_lines_that_nobody_takes_are_refused_at_once_and_whole_ones_come_when_somebody_reads_again(wire: Wire) -> None:
    writer = LineWriter(wire.stream)
    taken = fill(writer)
    assert [writer.write(line(number)) for number in range(3)] == [False] * 3
    written = wire.read()
    assert writer.write("again\n")
    lines = (written + wire.read()).splitlines(keepends=True)
    assert lines == [*map(line, range(taken)), "again\n"]
    writer.close()


def test_the_descriptor_that_others_have_too_is_left_as_it_was(wire: Wire) -> None:
    before = fcntl.fcntl(wire.stream.fileno(), fcntl.F_GETFL)
    writer = LineWriter(wire.stream)
    writer.write("one\n")
    assert fcntl.fcntl(wire.stream.fileno(), fcntl.F_GETFL) == before
    writer.close()
    os.write(wire.stream.fileno(), b"two\n")
    assert wire.read() == "one\ntwo\n"


def test_a_reader_that_is_gone_is_no_error(wire: Wire) -> None:
    writer = LineWriter(wire.stream)
    wire.hang_up()
    assert writer.write("to nobody\n")
    writer.close()


@pytest.mark.parametrize("kind", [PIPE, SOCKET])
def test_a_line_that_is_longer_than_what_is_taken_at_once_is_written_whole_before_the_next(kind: str) -> None:
    wire = Wire(kind)
    with closing(LineWriter(wire.stream)) as writer:
        taken, long = fill(writer), "a" * 9000 + "\n"
        written = os.read(wire.reader, 6000).decode()
        is_begun = writer.write(long)
        written += wire.read()
        assert writer.write("next\n")
        written += wire.read()
    assert written == "".join(map(line, range(taken))) + long * is_begun + "next\n"
    wire.close()


def test_files_and_streams_without_one_are_written_to_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("before\n")
    with path.open("a") as stream:
        writer = LineWriter(stream)
        assert writer.write("ä\n")
        writer.close()
        assert not stream.closed
    assert path.read_text() == "before\nä\n"
    closed: TextIO = path.open()
    closed.close()
    assert LineWriter(closed).write("nowhere\n")


def test_lines_that_nobody_read_are_told_by_their_number() -> None:
    wire, clock = Wire(PIPE), ManualClock()
    handler = LimitedHandler(wire.stream, clock)
    with closing(LineWriter(wire.stream)) as writer:
        fill(writer)
    for number in range(3):
        clock.advance(S)
        handler.handle(logging.LogRecord("x", logging.INFO, "", 1, "unread %d", (number,), None))
    handler.say("unread too")
    wire.read()
    handler.handle(logging.LogRecord("x", logging.INFO, "", 1, "read", (), None))
    assert wire.read().splitlines() == ["4 lines are missing here: nobody read this log", "read"]
    handler.close()
    wire.close()
