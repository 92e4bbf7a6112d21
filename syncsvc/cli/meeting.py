"""How a command that subscribes meets its service: whoever is there instead is said at once, and waits are visible."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import click

from syncsvc.client.attached import READY_S
from syncsvc.client.outlook import NOBODY_YET
from syncsvc.clock import NS_PER_S, SYSTEM_CLOCK
from syncsvc.errors import NoAnswer
from syncsvc.observe.logs import said


class _Said(logging.Handler):
    """What the client logs is what the command has to say."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(said(record.getMessage(), record.levelname.lower()), err=True)


@contextmanager
def telling() -> Iterator[None]:
    """Say on stderr what clients and sinks log."""
    logs, handler = [logging.getLogger(name) for name in ("syncsvc.client", "syncsvc.sinks")], _Said(logging.INFO)
    levels = [log.level for log in logs]
    for log in logs:
        log.addHandler(handler)
        log.setLevel(logging.INFO)
    try:
        yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)
            log.removeHandler(handler)


class Waits(Protocol):
    """A subscriber, as far as it is met."""

    def wait_ready(self, timeout_s: float = READY_S) -> None:
        """See ``Subscriber.wait_ready``."""
        ...


def meet(batches: Waits, timeout_s: float | None) -> float | None:
    """Wait for the service for two seconds; where it may still come, say so, and let the command wait on.

    Args:
        batches: the subscriber.
        timeout_s: how long the command waits for a batch; None for ever.

    Returns:
        What is left of that.

    Raises:
        NoAnswer: something else is there.
        UsageError: the service has no such group, or not the mode.
        TimeoutError: the command waits no longer than that.
    """
    start_ns = SYSTEM_CLOCK.monotonic_ns()
    try:
        batches.wait_ready(READY_S if timeout_s is None else min(timeout_s, READY_S))
    except NoAnswer as error:
        if not error.may_come:
            raise
        if timeout_s is not None and timeout_s <= READY_S:
            why = "" if error.problem == NOBODY_YET else f": {error.problem}"
            raise TimeoutError(f"no batch within {timeout_s} s{why}") from error
        click.echo(said(f"{error}; waiting for it", "warning"), err=True)
    spent_s = (SYSTEM_CLOCK.monotonic_ns() - start_ns) / NS_PER_S
    return None if timeout_s is None else max(0.0, timeout_s - spent_s)
