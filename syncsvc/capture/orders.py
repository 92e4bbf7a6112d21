"""What the daemon tells a capture and the nursery."""

from typing import ClassVar

from syncsvc.capture.spec import AnySpec, RingPlan, Start
from syncsvc.transport.channel import Message


class Capture(Message, tag="capture", frozen=True):
    """The first word: the stream, and what its log must not show. Its page, pipe and lease socket come along."""

    _descriptors: ClassVar[int] = 3
    spec: AnySpec
    secrets: tuple[str, ...]


class Play(Message, tag="play", frozen=True):
    """A recording begins then."""

    start: Start


class PlanRing(Message, tag="plan_ring", frozen=True):
    """Frames will have to wait for another span."""

    ring: RingPlan


class Stop(Message, tag="stop", frozen=True):
    """It is to end."""


class Preload(Message, tag="preload", frozen=True):
    """The nursery's first word: import what sources of these kinds need."""

    kinds: tuple[str, ...]


class Fork(Message, tag="fork", frozen=True):
    """Fork a capture; its end of a channel to us comes along."""

    _descriptors: ClassVar[int] = 1


ToCapture = Capture | Play | PlanRing | Stop
ToNursery = Preload | Fork
