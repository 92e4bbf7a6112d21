"""What a stream's thread speaks to."""

from typing import Protocol

from syncsvc.observe.events import StreamEvent


class FrameConsumer(Protocol):
    """A group, as its streams see it; called from the streams' threads."""

    def tell(self, event: StreamEvent) -> None:
        """A frame came with its capture time (times rise within a stream), or something else happened to a stream."""
        ...
