"""How a command that takes batches until it has enough goes on and ends, with looks at the clock in between."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

import click

from syncsvc.cli.numbers import FiniteRange
from syncsvc.clock import NS_PER_S, SYSTEM_CLOCK
from syncsvc.errors import SubscriptionEnded
from syncsvc.lifecycle import StopToken

LOOK_S = 0.2

Result = TypeVar("Result")
Taken = TypeVar("Taken")


@dataclass(frozen=True, slots=True)
class Enough:
    """After how many batches, seconds, or seconds without a batch a command ends; None: never."""

    count: int | None = None
    seconds: float | None = None
    timeout_s: float | None = None

    def is_past(self, begun_ns: int) -> bool:
        """Whether a command that began then (monotonic) has had its seconds."""
        return self.seconds is not None and SYSTEM_CLOCK.monotonic_ns() - begun_ns >= self.seconds * NS_PER_S


def ends(command: Callable[..., Result]) -> Callable[..., Result]:
    """Give a command ``--count``, ``--seconds`` and ``--timeout``; it is called with what they say as ``enough``."""

    @click.option("--count", metavar="N", type=click.IntRange(min=1), help="Stop after N batches.")
    @click.option("--seconds", metavar="N", type=FiniteRange(min=0, min_open=True), help="Stop after N seconds.")
    @click.option(
        "--timeout",
        "timeout_s",
        metavar="SECONDS",
        type=FiniteRange(min=0, min_open=True),
        help="Stop with exit code 1 when no batch comes for this long.",
    )
    @wraps(command)
    def with_ends(
        *arguments: Any, count: int | None, seconds: float | None, timeout_s: float | None, **named: Any
    ) -> Result:
        return command(*arguments, enough=Enough(count, seconds, timeout_s), **named)

    return with_ends


def follow(
    take: Callable[[float], Taken], enough: Enough, first_s: float | None, stop: StopToken
) -> Iterator[Taken | None]:
    """Batches until it is enough, the service has ended, or the end is asked for; None for each look in vain.

    Args:
        take: gives the next one, or raises TimeoutError after so many seconds, as ``Subscriber.receive`` does.
        enough: when to end.
        first_s: how long the first batch may take; None for ever.
        stop: asks for the end.

    Raises:
        TimeoutError: no batch came for too long.
    """
    begun_ns = heard_ns = SYSTEM_CLOCK.monotonic_ns()
    left, patience_s = enough.count or math.inf, first_s
    while left > 0 and not stop.is_set:
        if enough.is_past(begun_ns):
            return
        try:
            batch = take(LOOK_S)
        except TimeoutError:
            if patience_s is not None and SYSTEM_CLOCK.monotonic_ns() - heard_ns >= patience_s * NS_PER_S:
                raise TimeoutError(f"no batch within {enough.timeout_s:g} s") from None
            yield None
            continue
        except SubscriptionEnded:
            return
        yield batch
        del batch  # its frames are the service's, and are not held until the next one comes
        left, heard_ns, patience_s = left - 1, SYSTEM_CLOCK.monotonic_ns(), enough.timeout_s
