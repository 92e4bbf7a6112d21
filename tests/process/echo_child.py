"""A child that dies with its parent, repeats what it was told, and waits: ``CHANNEL_FD PARENT_PID NAME``."""

import sys

from syncsvc.lifecycle import die_with_parent
from syncsvc.transport.channel import Channel

if __name__ == "__main__":
    channel_fd, parent, name = sys.argv[1:]
    die_with_parent(int(parent))
    channel = Channel.of(int(channel_fd))
    word = channel.receive(None)
    assert word is not None
    channel.send({"said": word[0]["say"], "parent": int(parent), "name": name})
    channel.receive(None)
