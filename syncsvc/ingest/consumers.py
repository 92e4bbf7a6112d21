"""What a stream's thread speaks to."""

from collections.abc import Mapping
from typing import Protocol

from syncsvc.model import Observation
from syncsvc.observe.events import StreamEvent
from syncsvc.timing.ladder import Stamp


class ObservationConsumer(Protocol):
    """Where everything goes that decides when a frame was taken; called from the streams' threads."""

    def session(self, stream: str, mono_ns: int) -> None:
        """The source was opened anew."""
        ...

    def observed(self, stream: str, seen: Observation) -> None:
        """A frame came in."""
        ...

    def lost(self, stream: str, cause: str, count: int, mono_ns: int) -> None:
        """Frames were captured and lost."""
        ...

    def stamped(self, stream: str, stamp: Stamp) -> None:
        """A frame has its time."""
        ...

    def clock(
        self, stream: str, clock: str | None, is_doubtful: bool, reasons: Mapping[str, str], mono_ns: int
    ) -> None:
        """The stream's clock or its standing changed; ``reasons`` say why better clocks do not speak."""
        ...


class FrameConsumer(Protocol):
    """A group, as its streams see it; called from the streams' threads."""

    def tell(self, event: StreamEvent) -> None:
        """A frame came with its capture time (times rise within a stream), or something else happened to a stream."""
        ...
