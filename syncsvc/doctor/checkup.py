"""One examination, from the first frame to the diagnosis, of a service in a process that never outlives the doctor."""

from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path

import msgspec

from syncsvc.client.subscriber import Subscriber
from syncsvc.clock import NS_PER_S, SYSTEM_CLOCK
from syncsvc.doctor.diagnosis import Diagnosis, diagnose
from syncsvc.doctor.motion import MotionWatch
from syncsvc.doctor.observed import ObservedRun, gather
from syncsvc.doctor.own_daemon import EX_REFUSED, LIVE, OBSERVATIONS, READY, STATUS
from syncsvc.doctor.workplace import workplace
from syncsvc.errors import ConfigError, LinkClosed, LogError, SubscriptionEnded
from syncsvc.lifecycle import StopToken
from syncsvc.model import FrameBatch
from syncsvc.observe.log_reader import read
from syncsvc.observe.logs import one_line, redact
from syncsvc.observe.status import ServiceStatus, StreamStatus
from syncsvc.programs import READY_S, LeashedProgram

_POLL_S, _READY_POLL_S = 0.2, 0.05


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
    arguments = ["-m", "syncsvc.doctor.own_daemon", str(path)]
    with (
        workplace() as folder,
        closing(LeashedProgram(READY).start([*arguments, str(folder), str(int(with_content))])) as service,
    ):
        if _is_ready(service, path, stop):
            if motion is None:
                _watch(service, seconds, stop, progress, stop.sleep)
            else:
                with Subscriber(f"ipc://{folder / LIVE}") as batches:
                    _watch(service, seconds, stop, progress, partial(_look, batches, motion, stop))
        code = _finish(service, path)
        run, said = _observed(folder), _status(folder)
        if code != 0 and not stop.is_set and not any(map(len, run.streams.values())):
            raise LinkClosed(f"the service broke: {service.last_words}")
    return run, diagnose(run, said, motion.compare(run) if motion else None)


def _is_ready(service: LeashedProgram, path: Path, stop: StopToken) -> bool:
    """Wait until its sockets are bound; false when the token was set before."""
    waited_s = 0.0
    while service.ready_words is None and waited_s < READY_S and service.is_running:
        if stop.sleep(_READY_POLL_S):
            return False
        waited_s += _READY_POLL_S
    if not service.await_ready(_READY_POLL_S):
        if not service.is_running:
            _finish(service, path)
        raise LinkClosed(f"the service did not start: {service.last_words}")
    return True


def _finish(service: LeashedProgram, path: Path) -> int:
    """Ask for the drain, wait for it, and end what does not end by itself; the exit code.

    Raises:
        ConfigError: it had refused its configuration, for a reason that only running it shows.
    """
    service.terminate()
    code = service.wait()
    if code == EX_REFUSED:
        raise ConfigError(str(path), service.last_words.removeprefix(f"{path}: "))
    return code


def _observed(folder: Path) -> ObservedRun:
    try:
        return gather(record for _, record in read(folder / OBSERVATIONS))
    except LogError:  # stopped before there was a line
        return ObservedRun({}, {}, 0.0, 0)


def _status(folder: Path) -> Mapping[str, StreamStatus]:
    """What it said of its streams at the end; nothing when it had to be killed."""
    try:
        told = msgspec.json.decode((folder / STATUS).read_bytes(), type=ServiceStatus)
    except OSError:
        return {}
    return {
        name: msgspec.structs.replace(one, problem=one_line(redact(one.problem))) for name, one in told.streams.items()
    }


def _watch(
    service: LeashedProgram,
    seconds: float,
    stop: StopToken,
    progress: Callable[[float], None],
    pause: Callable[[float], object],
) -> None:
    """Wait in short pauses until the time is over, or the service is."""
    begun_ns = SYSTEM_CLOCK.monotonic_ns()
    while not stop.is_set and service.is_running:
        over_s = (SYSTEM_CLOCK.monotonic_ns() - begun_ns) / NS_PER_S
        progress(min(over_s, seconds))
        if over_s >= seconds:
            return
        pause(min(_POLL_S, seconds - over_s))


def _look(batches: Subscriber[FrameBatch], motion: MotionWatch, stop: StopToken, pause_s: float) -> None:
    try:
        motion.take(batches.receive(pause_s))
    except TimeoutError:
        pass
    except SubscriptionEnded:
        stop.sleep(pause_s)
