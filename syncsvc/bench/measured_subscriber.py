"""A subscriber in a process of its own: takes every batch, holds its pixels until the next one, and may say when.

``python -m syncsvc.bench.measured_subscriber ENDPOINT MODE [REPORT [POLL_S]]``: until the service ends. With its
first batch it says ``subscriber: hears`` on stderr. REPORT is a file that gets a JSON line per batch, see ``Receipt``.
With POLL_S it looks so often instead of waiting, so that the call that has a batch to return can be timed alone.
"""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import msgspec

from syncsvc.client.subscriber import Subscriber
from syncsvc.clock import SYSTEM_CLOCK, sleep_s
from syncsvc.errors import SubscriptionEnded
from syncsvc.model import FrameBatch

HEARS = "subscriber: hears"


class Receipt(msgspec.Struct, frozen=True, array_like=True):
    """One batch: when the call returned it (UTC), how long that and then views of all pixels took, what is in it."""

    received_ns: int
    call_ns: int
    views_ns: int
    window: tuple[int, int]
    emitted_ns: int
    is_complete: bool
    frames: list[tuple[str, int, int]]
    """Stream, capture time and arrival of each."""


def main(endpoint: str, mode: Any, report: str | None, poll_s: float) -> None:
    """Receive until the end."""
    with ExitStack() as stack:
        batches = stack.enter_context(Subscriber(endpoint, mode=mode))
        lines = stack.enter_context(open(report, "wb", buffering=0)) if report else None
        clock, held, is_first = SYSTEM_CLOCK, [], True
        for batch, call_ns in _taken(batches, poll_s):
            received_ns, begun_ns = clock.utc_ns(), clock.monotonic_ns()
            held = [frame.pixels for some in batch.frames.values() for frame in some]
            views_ns = clock.monotonic_ns() - begun_ns
            if is_first and held:
                is_first = False
                sys.stderr.write(f"{HEARS}\n")
                sys.stderr.flush()
            if lines is not None:
                lines.write(msgspec.json.encode(_receipt(batch, received_ns, call_ns, views_ns)) + b"\n")


def _taken(batches: "Subscriber[FrameBatch]", poll_s: float) -> Iterator[tuple[FrameBatch, int]]:
    """Each batch, and how long the call took that returned it."""
    clock = SYSTEM_CLOCK
    try:
        while True:
            begun_ns = clock.monotonic_ns()
            batch = batches.poll() if poll_s else batches.receive()
            if batch is None:
                sleep_s(poll_s)
            else:
                yield batch, clock.monotonic_ns() - begun_ns
    except SubscriptionEnded:
        return


def _receipt(batch: FrameBatch, received_ns: int, call_ns: int, views_ns: int) -> Receipt:
    frames = [(frame.stream, frame.time_ns, frame.arrival_ns) for some in batch.frames.values() for frame in some]
    window = (batch.window_start_ns, batch.window_end_ns)
    return Receipt(received_ns, call_ns, views_ns, window, batch.emitted_ns, batch.complete, frames)


if __name__ == "__main__":
    words = [*sys.argv[1:], "", ""]
    main(words[0], words[1], words[2] or None, float(words[3] or 0))
