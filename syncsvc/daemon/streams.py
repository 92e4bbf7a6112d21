"""Who is served: the streams of the configuration, and those that it lost, until their captures have ended."""

from collections.abc import Mapping
from random import Random

from syncsvc.clock import Clock
from syncsvc.config.models import Config, Stream
from syncsvc.daemon.capture_child import Private, SupervisedStream
from syncsvc.daemon.pages import Pages
from syncsvc.daemon.planning import capture_spec
from syncsvc.observe.status import IngestStatus, StreamStatus


class Roster:
    """The daemon's streams, across all that its configuration has been."""

    def __init__(self, pages: Pages, clock: Clock, random: Random) -> None:
        self.streams: dict[str, SupervisedStream] = {}
        """Those of the configuration, by name."""
        self.leaving: list[SupervisedStream] = []
        self._pages, self._clock, self._random = pages, clock, random
        self._sources: Mapping[str, Stream] = {}

    @property
    def everyone(self) -> tuple[SupervisedStream, ...]:
        """Also those that leave."""
        return (*self.streams.values(), *self.leaving)

    @property
    def due(self) -> list[SupervisedStream]:
        """Those whose next capture is to be started now: one page, one writer, so not beside one that still leaves."""
        leaving = {stream.spec.name for stream in self.leaving}
        return [stream for stream in self.streams.values() if stream.is_due and stream.spec.name not in leaving]

    def configure(self, config: Config) -> None:
        """Be what the configuration says; streams that did not change go on untouched."""
        before, self._sources = self._sources, config.streams
        private = Private(config.secrets, config.variables)
        for name in [name for name in self.streams if name not in config.streams]:
            stream = self.streams.pop(name)
            stream.stop()
            if stream.child is not None:
                self.leaving.append(stream)
        for name, source in config.streams.items():
            spec = capture_spec(name, source, config)
            if name in self.streams:
                self.streams[name].respecify(spec, private, is_other=source != before.get(name))
            else:
                page = self._pages.of_stream(name)
                self.streams[name] = SupervisedStream(spec, page, private, self._clock, self._random)

    def status(self, told: Mapping[str, IngestStatus]) -> dict[str, StreamStatus]:
        """What is known of each stream of the configuration, with what the receiver told; from any thread."""
        return {name: one.status(told.get(name, IngestStatus())) for name, one in tuple(self.streams.items())}
