"""Who is served: the streams of the configuration, and those that it lost, until their captures have ended."""

from collections.abc import Callable, Mapping

from syncsvc.config.models import Config, Stream
from syncsvc.daemon.capture_child import SupervisedCapture
from syncsvc.daemon.pages import KeptPages
from syncsvc.daemon.planning import capture_spec
from syncsvc.daemon.supervisor import Supervisor
from syncsvc.observe.status import IngestStatus, StreamStatus


class Streams:
    """The daemon's streams, across all that its configuration has been."""

    def __init__(self, pages: KeptPages, supervisor: Supervisor, on_end: Callable[[SupervisedCapture], None]) -> None:
        self.by_name: dict[str, SupervisedCapture] = {}
        """Those of the configuration."""
        self.leaving: list[SupervisedCapture] = []
        self._pages, self._supervisor, self._on_end = pages, supervisor, on_end
        self._sources: Mapping[str, Stream] = {}

    @property
    def everyone(self) -> tuple[SupervisedCapture, ...]:
        """Also those that leave."""
        return (*self.by_name.values(), *self.leaving)

    @property
    def due(self) -> list[SupervisedCapture]:
        """Those whose next capture is to be started now: one page, one writer, so not beside one that still leaves."""
        leaving = {stream.name for stream in self.leaving}
        return [stream for stream in self.by_name.values() if stream.is_due and stream.name not in leaving]

    def configure(self, config: Config) -> None:
        """Be what the configuration says; streams that did not change go on untouched."""
        before, self._sources = self._sources, config.streams
        for name in [name for name in self.by_name if name not in config.streams]:
            stream = self.by_name.pop(name)
            stream.stop()
            if stream.child is not None:
                self.leaving.append(stream)
        for name, source in config.streams.items():
            spec = capture_spec(name, source, config)
            if name in self.by_name:
                self.by_name[name].respecify(spec, config.secrets, is_other=source != before.get(name))
            else:
                page = self._pages.of_stream(name)
                self.by_name[name] = SupervisedCapture(spec, page, config.secrets, self._supervisor, self._on_end)

    def status(self, told: Mapping[str, IngestStatus]) -> dict[str, StreamStatus]:
        """What is known of each stream of the configuration, with what the receiver told; from any thread."""
        return {name: one.status(told.get(name, IngestStatus())) for name, one in tuple(self.by_name.items())}
