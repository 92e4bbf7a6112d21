"""A page between processes: what was written before a SIGKILL is there after it."""

import os
import signal

from syncsvc.transport.page import Position, StreamPage


def test_the_page_tells_of_a_capture_that_was_killed() -> None:
    page = StreamPage.create("a")
    ready_read, ready_write = os.pipe()
    child = os.fork()
    if child == 0:  # no Python cleanup of the test's process may run here
        mine = StreamPage(page.fd)
        for _ in range(1000):
            mine.take_seq()
        mine.at(Position.HANDOVER, 77)
        mine.media_ns = 123_456
        os.write(ready_write, b"x")
        signal.pause()
        os._exit(0)
    os.read(ready_read, 1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert (page.next_seq, page.media_ns, page.position) == (1000, 123_456, (Position.HANDOVER, 77))
    for fd in (ready_read, ready_write):
        os.close(fd)
    page.close()
