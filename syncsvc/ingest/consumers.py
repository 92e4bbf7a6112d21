"""What a stream's thread speaks to."""

from collections.abc import Mapping
from typing import Protocol

from syncsvc.model import Frame, Observation, StreamState
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

    def add(self, frame: Frame) -> None:
        """A frame with its capture time; times rise within a stream."""
        ...

    def expect(self, stream: str, floor_ns: int) -> None:
        """The stream is heard, its frames wait for a better stamp; none will be before ``floor_ns``."""
        ...

    def drop(self, stream: str, cause: str, count: int) -> None:
        """Frames were captured and lost."""
        ...

    def set_state(self, stream: str, state: StreamState) -> None:
        """The stream fell silent, went away, came back or ended."""
        ...

    def doubt(self, stream: str, is_doubtful: bool) -> None:
        """The stream was caught lying about its times, or is in good standing again."""
        ...
