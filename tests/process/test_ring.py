"""A ring between two real processes: handed over, leased, robbed, and its writer killed in the middle of a frame."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from syncsvc.errors import LinkClosed, SlotReclaimedError
from syncsvc.transport.channel import Channel
from syncsvc.transport.link import LinkReader, open_link
from syncsvc.transport.messages import EndMessage, FrameMessage, RingMessage
from syncsvc.transport.page import StreamPage
from syncsvc.transport.ring import RingReader, RingWriter
from tests.process.capture_twin import FRAMES, SLOT_BYTES, SLOTS, Begin, Half

ROOT = Path(__file__).resolve().parents[2]


class Twin:
    """A capture's twin and our end of everything that it was given."""

    def __init__(self, mode: str) -> None:
        self.channel: Channel[Half]
        self.channel, theirs = Channel.pair(Half)
        self.page = StreamPage.create("twin")
        reader, writer, ours, lease = open_link()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.process.capture_twin", str(theirs.fileno()), mode],
            pass_fds=[theirs.fileno()],
            cwd=ROOT,
        )
        theirs.close()
        self.channel.send(Begin(), self.page.fd, writer, lease.fileno())
        os.close(writer)
        lease.close()
        self.link = LinkReader(reader, ours)
        message = self.link.receive()
        assert message == RingMessage(1, SLOTS, SLOT_BYTES)
        fd, *_ = self.link.take_ring(1)
        self.ring = RingReader(fd)
        os.close(fd)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.link.close()
        self.channel.close()
        self.page.close()


@contextmanager
def twin(mode: str) -> Iterator[Twin]:
    one = Twin(mode)
    try:
        yield one
    finally:
        one.close()


def read_on(link: LinkReader, announced: list[FrameMessage]) -> None:
    while True:
        message = link.receive()
        assert isinstance(message, FrameMessage)
        announced.append(message)


def is_whole(pixels: np.ndarray, seq: int) -> bool:
    return bool((pixels == seq % 251).all())


def test_every_frame_of_another_process_arrives_whole_through_four_slots() -> None:
    with twin("polite") as one:
        for seq in range(FRAMES):
            message = one.link.receive()
            assert isinstance(message, FrameMessage)
            assert message.observation.seq == seq
            assert is_whole(one.ring.pixels(message.slot, message.size_bytes), seq)
            one.ring.check(message.slot, message.generation)
            one.link.give_back([(1, message.slot)])
        assert one.link.receive() == EndMessage()
        assert one.process.wait(10) == 0


def test_slots_that_are_not_given_back_are_not_written_again() -> None:
    with twin("polite") as one:
        messages = [one.link.receive() for _ in range(SLOTS)]
        assert not one.link.poll(0.3), "every slot is leased: the writer waits"
        for message in messages:
            assert isinstance(message, FrameMessage)
            assert is_whole(one.ring.pixels(message.slot, message.size_bytes), message.observation.seq)
            one.ring.check(message.slot, message.generation)


def test_a_writer_killed_in_the_middle_of_a_frame_leaves_nothing_torn_and_nothing_behind() -> None:
    with twin("mid-frame") as one:
        announced: list[FrameMessage] = []
        while (word := one.channel.receive(0)) is None:
            if not one.link.poll(0.02):
                continue
            message = one.link.receive()
            assert isinstance(message, FrameMessage)
            announced.append(message)
            assert is_whole(one.ring.pixels(message.slot, message.size_bytes), message.observation.seq)
            one.link.give_back([(1, message.slot)])
        assert word[0] == Half()
        os.kill(one.process.pid, signal.SIGKILL)
        with pytest.raises(LinkClosed):
            read_on(one.link, announced)
        assert [message.observation.seq for message in announced] == list(range(FRAMES // 2))
        assert one.page.next_seq == FRAMES // 2 + 1, "the frame that died with its capture can be counted"
        torn = {slot for slot in range(SLOTS) if one.ring.pixels(slot, 1)[0] == 255}
        assert len(torn) == 1
        [last] = [message for message in announced if message.slot in torn][-1:]
        with pytest.raises(SlotReclaimedError):
            one.ring.check(last.slot, last.generation)


def test_a_child_that_was_handed_the_ring_cannot_write_it() -> None:
    ring = RingWriter(1, 1, 100)
    code = (
        "import mmap, os, sys\n"
        "fd = int(sys.argv[1])\n"
        "for act in (lambda: mmap.mmap(fd, 0), lambda: os.pwrite(fd, b'x', 0), lambda: os.ftruncate(fd, 0)):\n"
        "    try:\n"
        "        act()\n"
        "        print('done')\n"
        "    except OSError as error:\n"
        "        print(error.strerror)\n"
        "mmap.mmap(fd, 0, prot=mmap.PROT_READ)[:8]\n"
    )
    command = [sys.executable, "-c", code, str(ring.fd)]
    child = subprocess.run(command, pass_fds=[ring.fd], cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=60)
    assert child.stdout.splitlines() == ["Operation not permitted"] * 3
    assert child.returncode == 0
    ring.close()
