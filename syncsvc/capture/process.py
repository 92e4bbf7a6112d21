"""The capture process of one stream: its loop, its pulse, its end.

Forked by the nursery (``nursery``) or, where that is unfit, started as ``python -m syncsvc.capture.process CHANNEL_FD
PARENT_PID NAME``; everything else, the URL included, comes over the channel. Exit codes: 0 ended or stopped, 75 the
source is not there (now), 78 refused.
"""

import logging
import os
import socket
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from syncsvc.capture.feed import Feed
from syncsvc.capture.ring_rate import RingRate
from syncsvc.capture.sandbox.confine import Confinement
from syncsvc.capture.size_limit import checked
from syncsvc.capture.source import Pulse, Source
from syncsvc.capture.spec import EX_CONFIG, EX_UNAVAILABLE, AnySpec, FileSpec, Start, SyntheticSpec, V4l2Spec
from syncsvc.capture.words import (
    Capture,
    Confined,
    Ended,
    FromCapture,
    Misconfigured,
    Opened,
    PlanRing,
    Play,
    Ready,
    Stop,
    ToCapture,
    Unavailable,
    Unhoused,
    Warned,
)
from syncsvc.clock import SYSTEM_CLOCK, Clock
from syncsvc.errors import (
    AccessRefused,
    ConfigError,
    DescriptorsLost,
    LinkClosed,
    MemoryShortage,
    RecordingBroken,
    SourceEnded,
    SourceUnavailable,
    TransportError,
)
from syncsvc.lifecycle import LongTurns, StopToken, begin, die_with_parent, leave_signals_to_parent, name_process
from syncsvc.observe import logs
from syncsvc.transport.channel import Channel
from syncsvc.transport.link import LinkWriter
from syncsvc.transport.page import Position, StreamPage

if TYPE_CHECKING:
    from syncsvc.capture.file import FileSource

BEAT_S = 0.5

log = logging.getLogger(__name__)


class CaptureProcess:
    """One run of a source, from opening it to its end."""

    def __init__(
        self,
        channel: Channel[ToCapture],
        spec: AnySpec,
        page: StreamPage,
        link: LinkWriter,
        confinement: Confinement | None = None,
    ) -> None:
        self._channel, self._spec, self._page, self._link = channel, spec, page, link
        self._confinement = confinement
        self._clock = SYSTEM_CLOCK
        self._stop = LongTurns()
        self._start: Start | None = None
        self._started = threading.Event()
        self._warned: set[str] = set()
        self._feed = Feed(spec, link, page, self._clock, self._stop)

    def run(self) -> int:
        """Capture until the end; the return value is the exit code."""
        self._pulse(Position.STARTING)
        feed = self._feed
        source: Source | None = None
        try:
            self._give_up(Confinement.before_opening)
            begin(threading.Thread(target=self._listen, name="channel", daemon=True))
            self._stop.begin()
            source = open_source(self._spec, self._clock, self._pulse, self._stop, self._page)
            self._give_up(Confinement.once_open)
            self._await_start(source)
            feed.rings.rate = RingRate(source.fps, is_known=self._spec.has_known_rate)
            for found in source.shots():
                if self._stop.is_set:
                    break
                shot = checked(found, self._spec)
                feed.take(shot)
                if shot.why:
                    self._warn(shot.why)
            feed.end(is_over=False)
        except SourceEnded:
            feed.end(is_over=True)
            self._send(Ended())
        except RecordingBroken as error:
            feed.end(is_over=True)
            self._send(Ended(logs.redact(str(error))))
        except SourceUnavailable as error:
            feed.end(is_over=False)
            self._send(Unavailable(logs.redact(error.problem), isinstance(error, AccessRefused)))
            return EX_UNAVAILABLE
        except (MemoryShortage, MemoryError) as error:
            feed.end(is_over=False)
            self._send(Unhoused(logs.redact(str(error) or "there is no memory for its pictures")))
            return EX_UNAVAILABLE
        except BlockingIOError as error:  # for a thread
            feed.end(is_over=False)
            self._send(Unhoused(str(error.strerror)))
            return EX_UNAVAILABLE
        except (ConfigError, ImportError) as error:
            self._send(Misconfigured(logs.redact(str(error))))
            return EX_CONFIG
        except LinkClosed:
            return EX_UNAVAILABLE  # the receiver died: the daemon starts both of us again
        finally:
            if source is not None:
                source.close()
        return 0

    def _give_up(self, step: Callable[[Confinement], None]) -> None:
        """Give up rights, and say which.

        Raises:
            ConfigError: some cannot be, and must.
        """
        if self._confinement is None:
            return
        step(self._confinement)
        held, missing = tuple(self._confinement.held), tuple(self._confinement.missing)
        if missing and self._spec.sandbox == "required":
            raise ConfigError(
                self._spec.name,
                f"the machine lacks what the sandbox needs: {', '.join(missing)}; "
                "allowed: another kernel, or `security: {sandbox: auto}`",
            )
        self._send(Confined(held, missing))

    def _pulse(self, position: Position) -> None:
        self._page.at(position, self._clock.monotonic_ns())

    def _send(self, message: FromCapture) -> None:
        try:
            self._channel.send(message)
        except TransportError as error:
            log.debug("nobody listens: %s", error)

    def _warn(self, problem: str) -> None:
        """Tell of what goes wrong while frames come; once."""
        if problem not in self._warned:
            self._warned.add(problem)
            self._send(Warned(logs.redact(problem)))

    def _await_start(self, source: Source) -> None:
        """Recordings begin together: say that we are ready, and wait for the word."""
        if not isinstance(self._spec, FileSpec):
            self._send(Opened(source.declared_fps))
            return
        recording = cast("FileSource", source)
        self._send(Ready(recording.recorded))
        self._pulse(Position.WAITING)
        self._started.wait()
        if self._start is not None:
            recording.start = self._start
        else:
            raise SourceUnavailable(self._spec.name, "was stopped before its start")

    def _listen(self) -> None:
        """Beat, and hear the daemon; without a daemon there is nothing to do here."""
        while True:
            self._page.beat_mono_ns = self._clock.monotonic_ns()
            try:
                word = self._channel.receive(BEAT_S)
            except TransportError as error:
                if not isinstance(error, LinkClosed):
                    log.error("gives up: %s", error)
                os._exit(1)
            if word is not None:
                self._handle(word[0])

    def _handle(self, message: ToCapture) -> None:
        match message:
            case Play(start):
                self._start = start
                self._started.set()
            case PlanRing(ring):
                self._feed.rings.replan(ring)
            case Stop():
                self._stop.set()
                self._started.set()
            case Capture():
                log.error("is told twice what to capture")


def open_source(spec: AnySpec, clock: Clock, pulse: Pulse, stop: StopToken, page: StreamPage) -> Source:
    """Open a source; imports what its kind needs and no more.

    Raises:
        SourceUnavailable: it is not there (now).
        ConfigError: trying again would not help.
    """
    match spec:
        case FileSpec():
            from syncsvc.capture.file import FileSource

            return FileSource(spec, clock, pulse, stop, page)
        case SyntheticSpec():
            from syncsvc.capture.synthetic import SyntheticSource

            return SyntheticSource(spec, clock, pulse, stop)
        case V4l2Spec():
            from syncsvc.capture.v4l2 import V4l2Source

            return V4l2Source(spec, clock, pulse)
        case _:
            from syncsvc.capture.network import NetworkSource

            return NetworkSource(spec, clock, pulse, stop)


def serve(channel: Channel[ToCapture], parent: int) -> int:
    """Wait for the daemon's first word, then capture; the exit code. From now on the process dies with its parent.

    Only the first word says that the daemon is our parent; until it comes, the end of the channel is the daemon's.
    """
    try:
        first, (page_fd, pipe_fd, lease_fd) = channel.wait_for(Capture)
    except LinkClosed:
        return EX_UNAVAILABLE
    except DescriptorsLost as lost:
        channel.send(Unavailable(str(lost)))
        return EX_UNAVAILABLE
    die_with_parent(parent)
    spec = first.spec
    logs.configure_child(f"capture {spec.name}", first.secrets)
    name_process(spec.name)
    confinement = None if spec.sandbox == "off" else Confinement(spec, parent)
    link = LinkWriter(pipe_fd, socket.socket(fileno=lease_fd))
    return CaptureProcess(channel, spec, StreamPage(page_fd), link, confinement).run()


def main(arguments: list[str]) -> int:
    """Take over from the daemon: ``CHANNEL_FD PARENT_PID NAME``."""
    leave_signals_to_parent()
    return serve(Channel.of(int(arguments[0]), ToCapture), int(arguments[1]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
