"""A child that dies with its parent, repeats what it was told, and waits: ``CHANNEL_FD PARENT_PID NAME``."""

import sys

from syncsvc.lifecycle import die_with_parent
from syncsvc.transport.channel import Channel, Message


class Say(Message, tag="say", frozen=True):
    """What it is told."""

    what: str


class Said(Message, tag="said", frozen=True):
    """What it answers."""

    what: str
    parent: int
    name: str


if __name__ == "__main__":
    channel_fd, parent, name = sys.argv[1:]
    die_with_parent(int(parent))
    channel: Channel[Say] = Channel.of(int(channel_fd), Say)
    word = channel.receive(None)
    assert word is not None
    channel.send(Said(word[0].what, int(parent), name))
    channel.receive(None)
