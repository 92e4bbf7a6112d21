"""What a stream's thread speaks to, and what the service tells of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from syncsvc.layout import Layout
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


@dataclass(slots=True)
class StreamStats:
    """What the service tells of a stream; written by its thread, read by anyone."""

    state: StreamState = StreamState.STARTING
    clock: str | None = None
    is_doubtful: bool = False
    captured: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    fps: float = 0.0
    last_arrival_ns: int | None = None
    last_time_ns: int | None = None
    uncertainty_ns: int | None = None
    layout: Layout | None = None
    slots: int | None = None
