"""How far each stream was heard, and so how far the group was: the time before which frames are complete.

A stream's watermark is the capture time of its last frame, because capture times rise with ``seq``. A group's is the
minimum over its live streams; one that is silent, absent or over does not hold the others back. (Watermarks and
idleness after Akidau et al., "The Dataflow Model", PVLDB 8(12), 2015.)
"""

from syncsvc.model import StreamState


class StreamWatermark:
    """One stream's; ``time_ns`` is None until something is known of its times, ``first_ns`` was its first frame's."""

    __slots__ = ("first_ns", "state", "time_ns")

    def __init__(self) -> None:
        self.state = StreamState.STARTING
        self.time_ns: int | None = None
        self.first_ns: int | None = None

    def heard(self, time_ns: int, *, is_frame: bool = True) -> None:
        """Every later frame will be after ``time_ns``. A smaller value than before is ignored; the stream is live."""
        if is_frame and self.first_ns is None:
            self.first_ns = time_ns
        if self.time_ns is None or time_ns > self.time_ns:
            self.time_ns = time_ns
        if self.state is not StreamState.DRAINING:
            self.state = StreamState.LIVE

    @property
    def is_live(self) -> bool:
        """Whether its frames come."""
        return self.state in (StreamState.LIVE, StreamState.DRAINING)

    def is_awaited(self, *, patient: bool) -> bool:
        """Whether it holds its group back until it is heard; ``patient`` as for ``group_passed``."""
        return self.is_live or (patient and self.state is not StreamState.ENDED)

    def forget(self) -> None:
        """Nothing is known of its times any more (the host's clock jumped)."""
        self.time_ns = self.first_ns = None

    def passed(self, time_ns: int) -> bool:
        """Whether the stream was heard up to ``time_ns``; one that ended was heard for ever."""
        return self.state is StreamState.ENDED or (self.time_ns is not None and self.time_ns >= time_ns)


def group_passed(streams: list[StreamWatermark], time_ns: int, *, patient: bool) -> bool:
    """Whether every stream that counts was heard up to ``time_ns``, and at least one counts.

    Args:
        streams: the group's.
        time_ns: UTC nanoseconds.
        patient: also streams that are not live yet, or not at the moment, hold the group back (pace ``asap``).
    """
    if patient:
        return all(stream.passed(time_ns) for stream in streams)
    live = [stream for stream in streams if stream.is_live]
    return bool(live) and all(stream.passed(time_ns) for stream in live)
