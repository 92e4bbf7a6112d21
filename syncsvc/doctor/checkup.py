"""One examination from the first frame to the diagnosis."""

from collections.abc import Callable
from pathlib import Path

from syncsvc.client.subscriber import Subscriber
from syncsvc.clock import NS_PER_S, SYSTEM_CLOCK
from syncsvc.doctor.diagnosis import Diagnosis, diagnose
from syncsvc.doctor.motion import Eye
from syncsvc.doctor.recording import Recording
from syncsvc.doctor.service import ExaminedService
from syncsvc.doctor.workplace import workplace
from syncsvc.errors import LinkClosed, SubscriptionEnded
from syncsvc.lifecycle import StopToken
from syncsvc.model import FrameBatch

_POLL_S = 0.2


def examine(
    path: Path, seconds: float, stop: StopToken, progress: Callable[[float], None], *, with_content: bool
) -> tuple[Recording, Diagnosis]:
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
    eye = Eye() if with_content else None
    with (
        workplace() as folder,
        ExaminedService(path, folder, 1 if eye else 0) as service,
    ):
        if service.await_ready(stop):
            _watch(service, seconds, stop, progress, eye)
        service.finish()
        recording, said = service.recording(), service.hearsay()
        if service.broke and not stop.is_set and not any(map(len, recording.streams.values())):
            raise LinkClosed(f"the service broke: {service.broke}")
    content = None if eye is None else eye.compare(recording)
    return recording, diagnose(recording, said, content)


def _watch(
    service: ExaminedService, seconds: float, stop: StopToken, progress: Callable[[float], None], eye: Eye | None
) -> None:
    if eye is None:
        _wait(service, seconds, stop, progress, lambda pause_s: stop.sleep(pause_s))
        return
    with Subscriber(service.live) as batches:
        _wait(service, seconds, stop, progress, lambda pause_s: _look(batches, eye, pause_s, stop))


def _wait(
    service: ExaminedService,
    seconds: float,
    stop: StopToken,
    progress: Callable[[float], None],
    spend: Callable[[float], object],
) -> None:
    begun_ns = SYSTEM_CLOCK.monotonic_ns()
    while not stop.is_set and service.is_running:
        over_s = (SYSTEM_CLOCK.monotonic_ns() - begun_ns) / NS_PER_S
        progress(min(over_s, seconds))
        if over_s >= seconds:
            return
        spend(min(_POLL_S, seconds - over_s))


def _look(batches: Subscriber[FrameBatch], eye: Eye, pause_s: float, stop: StopToken) -> None:
    try:
        eye.take(batches.receive(pause_s))
    except TimeoutError:
        pass
    except SubscriptionEnded:
        stop.sleep(pause_s)
