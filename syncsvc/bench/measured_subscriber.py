"""A subscriber in a process of its own: takes every batch, holds its pixels until the next one, and may say when.

``python -m syncsvc.bench.measured_subscriber ENDPOINT MODE [REPORT [POLL_S]]``: until the service ends. With its
first batch it says ``subscriber: hears`` on stderr. REPORT is a file that gets a JSON line per batch, see ``Receipt``.
With POLL_S it looks so often instead of waiting, so that the call that has a batch to return can be timed alone.
"""

import sys
from contextlib import ExitStack, suppress
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
        stack.enter_context(suppress(SubscriptionEnded))
        batches = stack.enter_context(Subscriber(endpoint, mode=mode))
        lines = stack.enter_context(open(report, "wb", buffering=0)) if report else None
        clock, held, is_first = SYSTEM_CLOCK, [], True
        while True:
            called_ns = clock.monotonic_ns()
            batch = batches.poll() if poll_s else batches.receive()
            if batch is None:
                sleep_s(poll_s)
                continue
            returned_ns, received_ns = clock.monotonic_ns(), clock.utc_ns()
            held = [frame.pixels for some in batch.frames.values() for frame in some]
            views_ns = clock.monotonic_ns() - returned_ns
            if is_first and held:
                is_first = False
                sys.stderr.write(f"{HEARS}\n")
                sys.stderr.flush()
            if lines is not None:
                receipt = _receipt(batch, received_ns, returned_ns - called_ns, views_ns)
                lines.write(msgspec.json.encode(receipt) + b"\n")


def _receipt(batch: FrameBatch, received_ns: int, call_ns: int, views_ns: int) -> Receipt:
    frames = [(frame.stream, frame.time_ns, frame.arrival_ns) for some in batch.frames.values() for frame in some]
    window = (batch.window_start_ns, batch.window_end_ns)
    return Receipt(received_ns, call_ns, views_ns, window, batch.emitted_ns, batch.complete, frames)


if __name__ == "__main__":
    words = [*sys.argv[1:], "", ""]
    main(words[0], words[1], words[2] or None, float(words[3] or 0))
