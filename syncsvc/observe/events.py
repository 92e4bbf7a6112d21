"""What a group is told and what it decides: the one value that is told, written to the observation log and replayed.

A frame that comes is an event as it is: nothing is made for it, and ``Add`` is its line in a log. The words are those
of docs/observations.md. Bounds are checked where a log is read: the service writes nothing beyond them.
"""

from typing import Annotated, Self

from msgspec import Meta, Struct, field

from syncsvc.layout import Layout
from syncsvc.model import ClockClass, Frame, FrameBatch, MissingReason, Natural, StreamState, Time

Name = Annotated[str, Meta(pattern=r"^[a-z0-9_-]{1,64}\Z")]
Cause = Annotated[str, Meta(min_length=1, max_length=64)]
Count = Annotated[int, Meta(ge=0, le=2**32)]
WindowLength = Annotated[int, Meta(ge=1_000_000, le=60_000_000_000)]
Bound = Annotated[int, Meta(ge=0, le=60_000_000_000)]
"""Nanoseconds, as far as a configuration goes."""


class GroupRules(Struct, frozen=True):
    """What a group promises; times in nanoseconds. ``window_ns`` None: no windows, but one batch per set.

    A set has at least ``min_streams`` frames.
    """

    streams: tuple[Name, ...]
    window_ns: WindowLength | None
    max_skew_ns: Bound
    max_latency_ns: Bound
    reference: Name | None = None
    min_streams: Annotated[int, Meta(ge=2, le=2**16)] = 2

    @property
    def lookahead_ns(self) -> int:
        """How far past a window's end its streams are to be heard before its sets are known.

        A reference just after the edge may want a frame before it, and its candidates reach one skew further. Where
        there is one stream there are no sets.
        """
        return 2 * self.max_skew_ns if len(self.streams) > 1 else 0


class _Event(Struct, frozen=True, tag_field="e", tag=str.lower, gc=False):
    """One event; its tag is its name."""


class Open(_Event, frozen=True):
    """A group begins: the receiver's epoch, its first window, and its first batch.

    ``first_window`` is a number of windows; where there are none, nanoseconds. ``is_patient`` (pace ``asap``): no
    deadline, and every stream holds the group back until it ended.
    """

    rules: GroupRules
    epoch: Natural
    first_window: Natural
    first_seq: Natural
    is_patient: bool


class Add(_Event, frozen=True):
    """A frame came: its line in a log."""

    stream: Name = field(name="s")
    seq: Natural
    time_ns: Time
    uncertainty_ns: Natural
    clock: ClockClass
    arrival_ns: Time
    key: bool
    layout: Layout

    @classmethod
    def of(cls, frame: Frame) -> Self:
        """What a log says of a frame: everything but its pixels."""
        return cls(
            frame.stream, frame.seq, frame.time_ns, frame.uncertainty_ns, frame.clock, frame.arrival_ns,
            frame.keyframe, frame.layout,
        )  # fmt: skip

    def frame(self) -> Frame:
        """The frame, without pixels."""
        return Frame(
            self.stream, self.seq, self.time_ns, self.uncertainty_ns, self.clock, self.arrival_ns, self.key,
            self.layout, None,
        )  # fmt: skip


class Expect(_Event, frozen=True):
    """Frames of the stream wait for a better stamp: so does the group. None will be before ``floor_ns``."""

    stream: Name = field(name="s")
    floor_ns: Time


class Drop(_Event, frozen=True):
    """Frames of the stream were captured and lost; the next batch counts them."""

    stream: Name = field(name="s")
    cause: Cause
    count: Count


class Belated(_Event, frozen=True):
    """Frames of the stream were late, and a receiver died before a batch counted them; the next one does."""

    stream: Name = field(name="s")
    count: Count


class Skip(_Event, frozen=True):
    """Frames of the stream never reached us; the next batch says so."""

    stream: Name = field(name="s")
    count: Count


class State(_Event, frozen=True):
    """The stream fell silent, went away, came back or ended."""

    stream: Name = field(name="s")
    state: StreamState


class Doubt(_Event, frozen=True):
    """A better clock of the stream was caught lying, or is believed again.

    While it is doubtful it follows the others, and leads none.
    """

    stream: Name = field(name="s")
    is_doubtful: bool = field(name="doubtful")


class Draining(_Event, frozen=True, tag="drain"):
    """The service is to stop: streams that end now are ``draining``, and the end emits up to the present."""


class Jump(_Event, frozen=True):
    """The host's clock jumped by ``jump_ns``: what is open leaves, and a new epoch begins at the new present."""

    epoch: Natural
    jump_ns: Time


class Reconfigure(_Event, frozen=True):
    """Other streams or bounds, from what is open on."""

    rules: GroupRules


class End(_Event, frozen=True):
    """Everything was read: what is open leaves, and no frame is taken any more."""


class Close(_Event, frozen=True):
    """A window closed; what its batch says, so that a replay that differs is noticed."""

    window: tuple[Time, Time]
    seq: Natural
    epoch: Natural
    missing: dict[Name, MissingReason]

    @classmethod
    def of(cls, batch: FrameBatch) -> Self:
        """What a log says of a batch."""
        return cls((batch.window_start_ns, batch.window_end_ns), batch.seq, batch.epoch, dict(batch.missing))


StreamEvent = Frame | Expect | Drop | Belated | Skip | State | Doubt
"""What a group is told by its streams."""
GroupEvent = StreamEvent | Draining | Jump | Reconfigure | End
"""All that it is told."""
AnyEvent = Open | GroupEvent | Close
Logged = Open | Add | Expect | Drop | Belated | Skip | State | Doubt | Draining | Jump | Reconfigure | End | Close
"""The same, as a log has them."""
