"""One examination from the first frame to the diagnosis."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

from syncsvc.client.subscriber import Subscriber
from syncsvc.clock import NS_PER_S, SYSTEM_CLOCK
from syncsvc.doctor.diagnosis import Diagnosis, diagnose
from syncsvc.doctor.motion import MotionWatch
from syncsvc.doctor.observed import ObservedRun
from syncsvc.doctor.service import ExaminedService
from syncsvc.doctor.workplace import workplace
from syncsvc.errors import LinkClosed, SubscriptionEnded
from syncsvc.lifecycle import StopToken
from syncsvc.model import FrameBatch

_POLL_S = 0.2


def examine(
    path: Path, seconds: float, stop: StopToken, progress: Callable[[float], None], *, with_content: bool
) -> tuple[ObservedRun, Diagnosis]:
    """Run the service on a configuration, and judge what was seen.

    Args:
        path: the configuration, known to be valid.
        seconds: how long to watch, from when the service is ready; recordings may end it earlier.
        stop: ends it early; what was seen until then is judged.
        progress: told from time to time how many seconds are over.
        with_content: also look at the pictures.

    Raises:
        UsageError: TMPDIR is no place for its files.
        LinkClosed: the service did not start, or broke; the message has its last words.
        ConfigError: the service refused the configuration.
    """
    motion = MotionWatch() if with_content else None
    with workplace() as folder, ExaminedService(path, folder, 1 if motion else 0) as service:
        if service.await_ready(stop):
            with Subscriber(service.live) if motion else nullcontext() as batches:
                for pause_s in _pauses(service, seconds, stop, progress):
                    if batches is None or motion is None:
                        stop.sleep(pause_s)
                    else:
                        _look(batches, motion, pause_s, stop)
        service.finish()
        run, said = service.observed(), service.status()
        if service.broke and not stop.is_set and not any(map(len, run.streams.values())):
            raise LinkClosed(f"the service broke: {service.broke}")
    return run, diagnose(run, said, motion.compare(run) if motion else None)


def _pauses(
    service: ExaminedService, seconds: float, stop: StopToken, progress: Callable[[float], None]
) -> Iterator[float]:
    """How long to wait until one looks at the time again, until it is over."""
    begun_ns = SYSTEM_CLOCK.monotonic_ns()
    while not stop.is_set and service.is_running:
        over_s = (SYSTEM_CLOCK.monotonic_ns() - begun_ns) / NS_PER_S
        progress(min(over_s, seconds))
        if over_s >= seconds:
            return
        yield min(_POLL_S, seconds - over_s)


def _look(batches: Subscriber[FrameBatch], motion: MotionWatch, pause_s: float, stop: StopToken) -> None:
    try:
        motion.take(batches.receive(pause_s))
    except TimeoutError:
        pass
    except SubscriptionEnded:
        stop.sleep(pause_s)
