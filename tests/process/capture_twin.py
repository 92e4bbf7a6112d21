"""Stands for a capture in another process: ``CHANNEL_FD MODE``, everything else comes over the channel.

It fills slots with one value each, announces them, and counts no further than its ring: ``polite`` waits for leases,
``mid-frame`` stops in the middle of a slot, having said so, and waits for its SIGKILL.
"""

import socket
import sys

from syncsvc.testing import TINY, observation
from syncsvc.transport.channel import Channel, Message
from syncsvc.transport.link import LinkWriter
from syncsvc.transport.messages import EndMessage, FrameMessage
from syncsvc.transport.page import StreamPage
from syncsvc.transport.ring import RingWriter

SLOTS, SLOT_BYTES, FRAMES = 4, 200_000, 200


class Begin(Message, tag="begin", frozen=True):
    """Its page, pipe and lease socket come along."""

    _descriptors = 3


class Half(Message, tag="half", frozen=True):
    """Half of a slot is written."""


def main(channel_fd: int, mode: str) -> None:
    """Play the part."""
    channel: Channel[Begin] = Channel.of(channel_fd, Begin)
    first = channel.receive(None)
    assert first is not None
    page_fd, pipe_fd, lease_fd = first[1]
    page, link = StreamPage(page_fd), LinkWriter(pipe_fd, socket.socket(fileno=lease_fd))
    ring = RingWriter(1, SLOTS, SLOT_BYTES)
    link.hand_over(ring, TINY)
    for _ in range(FRAMES):
        slot = ring.acquire()
        while slot is None:
            link.wait_for_lease(1)
            for _, returned in link.returned():
                ring.give_back(returned)
            slot = ring.acquire()
        seq = page.take_seq()
        pixels = ring.pixels(slot)
        if mode == "mid-frame" and seq == FRAMES // 2:
            pixels[: SLOT_BYTES // 2] = 255
            channel.send(Half())
            channel.receive(None)
        pixels[:] = seq % 251
        message = FrameMessage(observation(seq, seq), 1, slot, ring.commit(slot), SLOT_BYTES)
        while not link.send(message):
            link.wait_for_room(1)
    link.send(EndMessage())


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
