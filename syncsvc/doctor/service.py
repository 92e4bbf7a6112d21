"""The service under examination, in a process of its own that never outlives the doctor."""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

import msgspec
from msgspec import structs

from syncsvc.doctor.observed import ObservedRun, gather
from syncsvc.doctor.own_daemon import EX_REFUSED, LIVE, OBSERVATIONS, READY, STATUS
from syncsvc.errors import ConfigError, LinkClosed, LogError
from syncsvc.lifecycle import StopToken
from syncsvc.observe.log_reader import read
from syncsvc.observe.logs import one_line, redact
from syncsvc.observe.status import ServiceStatus, StreamStatus
from syncsvc.programs import READY_S, LeashedProgram

_POLL_S = 0.05


class ExaminedService:
    """``syncsvc run`` on somebody's configuration, logging what it sees into a folder, while the ``with`` block lasts.

    Args:
        path: the configuration.
        folder: an empty one.
        wait_for: subscriptions that recordings wait for.
    """

    def __init__(self, path: Path, folder: Path, wait_for: int) -> None:
        self._arguments = ["-m", "syncsvc.doctor.own_daemon", str(path), str(folder), str(wait_for)]
        self._path, self._folder = str(path), folder
        self._program = LeashedProgram(READY)
        self.live = f"ipc://{folder / LIVE}"

    def __enter__(self) -> Self:
        self._program.start(self._arguments)
        return self

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet; it ends by itself after the last recording."""
        return self._program.is_running

    def await_ready(self, stop: StopToken) -> bool:
        """Wait until its sockets are bound; false when the token was set before.

        Raises:
            LinkClosed: it ended, or took too long; the message has its last words.
            ConfigError: it refused its configuration.
        """
        waited_s = 0.0
        while self._program.ready_words is None and waited_s < READY_S and self.is_running:
            if stop.sleep(_POLL_S):
                return False
            waited_s += _POLL_S
        if not self._program.await_ready(_POLL_S):
            if not self.is_running:
                self.finish()
            raise LinkClosed(f"the service did not start: {self._program.last_words}")
        return True

    @property
    def broke(self) -> str:
        """Its last words when it ended otherwise than asked; empty when all is well."""
        return "" if self._program.process.poll() in (None, 0) else self._program.last_words

    def finish(self) -> None:
        """Ask for the drain, wait for it, and end what does not end by itself.

        Raises:
            ConfigError: it had refused its configuration, for a reason that only running it shows.
        """
        self._program.terminate()
        if self._program.wait() == EX_REFUSED:
            raise ConfigError(self._path, self._program.last_words.removeprefix(f"{self._path}: "))

    def observed(self) -> ObservedRun:
        """What it logged."""
        try:
            return gather(record for _, record in read(self._folder / OBSERVATIONS))
        except LogError:  # stopped before there was a line
            return ObservedRun({}, {}, 0.0, 0)

    def status(self) -> Mapping[str, StreamStatus]:
        """What it said of its streams at the end; nothing when it had to be killed."""
        try:
            told = msgspec.json.decode((self._folder / STATUS).read_bytes(), type=ServiceStatus)
        except OSError:
            return {}
        return {name: structs.replace(one, problem=one_line(redact(one.problem))) for name, one in told.streams.items()}

    def __exit__(self, *_: object) -> None:
        self._program.close()
