"""How a command that takes batches until it has enough goes on and ends, with looks at the clock in between."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from syncsvc.client.subscriber import Subscriber
from syncsvc.clock import NS_PER_S, SYSTEM_CLOCK
from syncsvc.errors import SubscriptionEnded
from syncsvc.lifecycle import StopToken
from syncsvc.model import FrameBatch

LOOK_S = 0.2


@dataclass(frozen=True, slots=True)
class Enough:
    """After how many batches, seconds, or seconds without a batch a command ends; None: never."""

    count: int | None = None
    seconds: float | None = None
    timeout_s: float | None = None


def follow(
    batches: Subscriber[FrameBatch], enough: Enough, first_s: float | None, stop: StopToken
) -> Iterator[FrameBatch | None]:
    """Batches until it is enough, the service has ended, or the end is asked for; None for each look in vain.

    Args:
        batches: the subscriber.
        enough: when to end.
        first_s: how long the first batch may take; None for ever.
        stop: asks for the end.

    Raises:
        TimeoutError: no batch came for too long.
    """
    begun_ns = heard_ns = SYSTEM_CLOCK.monotonic_ns()
    left, patience_s = enough.count or math.inf, first_s
    while left > 0 and not stop.is_set:
        now_ns = SYSTEM_CLOCK.monotonic_ns()
        if enough.seconds is not None and now_ns - begun_ns >= enough.seconds * NS_PER_S:
            return
        try:
            batch = batches.receive(LOOK_S)
        except TimeoutError:
            if patience_s is not None and now_ns - heard_ns >= patience_s * NS_PER_S:
                raise TimeoutError(f"no batch within {enough.timeout_s:g} s") from None
            yield None
            continue
        except SubscriptionEnded:
            return
        yield batch
        del batch  # its frames are the service's, and are not held until the next one comes
        left, heard_ns, patience_s = left - 1, SYSTEM_CLOCK.monotonic_ns(), enough.timeout_s
