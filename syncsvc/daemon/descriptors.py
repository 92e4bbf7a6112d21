"""How many descriptors the processes of a service need, reckoned before anything starts: who runs out loses streams.

A limit that was made for shells (1,024 on most systems) is raised as far as the host allows; what is still too little
is refused in words. What is left beyond the streams' share is for subscribers.
"""

import resource
from pathlib import Path
from typing import Final

from syncsvc.config.models import Config
from syncsvc.errors import ConfigError

BASE: Final = 64
"""Of every process: its logs, sockets, libraries, the requests of the HTTP server."""
DAEMON_PER_STREAM: Final = 4
"""Its page and the map of it, a channel to its capture and the process itself."""
RECEIVER_PER_STREAM: Final = 5
"""Its pipe, its lease socket, two rings while one takes the other's place, and one to spare."""
PER_GROUP: Final = 2
"""Its page and the map of it, in both."""
LEAST_GUESTS: Final = 16
MOST_GUESTS: Final = 1024
"""Connections to one of the receiver's sockets; ``live``, ``control`` and that of this host have their share each."""
_SOCKETS: Final = 3


def raise_limit() -> int:
    """Let this process, and those that it starts, open as many files as the host allows; the number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def streams_share(config: Config) -> int:
    """Descriptors that the process with the most of them needs, before anybody subscribes."""
    per_stream = max(DAEMON_PER_STREAM, RECEIVER_PER_STREAM)
    return BASE + per_stream * len(config.streams) + PER_GROUP * len(config.groups)


def guests(config: Config, limit: int) -> int:
    """How many connections each of the receiver's sockets may have, so that there is always room for captures."""
    return max(LEAST_GUESTS, min(MOST_GUESTS, (limit - streams_share(config)) // _SOCKETS))


def refuse_too_many(path: Path, config: Config, limit: int) -> None:
    """Refuse what cannot be served with so many descriptors.

    Raises:
        ConfigError: it cannot; the message has the arithmetic.
    """
    needed = streams_share(config) + _SOCKETS * LEAST_GUESTS
    if needed > limit:
        raise ConfigError(
            str(path),
            f"found {len(config.streams)} streams, for which a process needs {needed} open files, and it may have "
            f"{limit} (RLIMIT_NOFILE); raise that limit (`ulimit -Hn`, LimitNOFILE= in systemd), or take fewer streams",
            key="streams",
        )
