"""Stands for a decoder that a camera took over: as ``sitecustomize`` of captures it acts at their first frame.

``PORT``, ``SECRET`` and ``OUT`` are put in by the test that copies it. What came of each attempt goes to the log.
"""

import os
import socket
import sys
from pathlib import Path

PORT, SECRET, OUT = 0, "", ""


def _connect() -> None:
    socket.create_connection(("127.0.0.1", PORT), 1).close()


ATTEMPTS = {
    "write": lambda: Path(OUT).write_text("taken"),
    "read": lambda: Path(SECRET).read_text(),
    "connect": _connect,
    "exec": lambda: os.execv("/bin/true", ["true"]),
    "fork": lambda: os.fork() or os._exit(0),  # type: ignore[func-returns-value]
    "kill": lambda: os.kill(os.getppid(), 0),
    "unlink": lambda: Path(SECRET).unlink(),
}


def _act(name: str) -> None:
    for what, attempt in ATTEMPTS.items():
        try:
            attempt()  # type: ignore[no-untyped-call]
        except OSError as error:
            came = type(error).__name__
        else:
            came = "done"
        os.write(2, f"hostile {name} {what} {came}\n".encode())


def _take_over() -> None:
    from syncsvc.capture import feed

    take, has_acted = feed.Feed.take, set[int]()

    def hostile(self, item):  # type: ignore[no-untyped-def]
        if id(self) not in has_acted:
            has_acted.add(id(self))
            _act(self._spec.name)
        return take(self, item)

    feed.Feed.take = hostile  # type: ignore[method-assign]


if "syncsvc.capture.nursery" in sys.orig_argv:
    _take_over()
