"""Ctrl-C and SIGTERM as a wish that a command may fulfil in its own time, with what it has so far."""

import contextlib
import signal
from collections.abc import Iterator

from syncsvc.lifecycle import StopToken


@contextlib.contextmanager
def stop_on_signals() -> Iterator[StopToken]:
    """A token that SIGINT and SIGTERM set, while the ``with`` block lasts."""
    stop = StopToken()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: stop.set()) for number in numbers]
    try:
        yield stop
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
