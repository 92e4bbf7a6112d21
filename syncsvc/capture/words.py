"""What the daemon and its captures tell each other, and what it and the nursery do.

Only the first word to a capture carries the stream's URL.
"""

from typing import ClassVar

from syncsvc.capture.spec import AnySpec, Recorded, RingPlan, Start
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


class Ready(Message, tag="ready", frozen=True):
    """A recording is open, and waits for its start."""

    recorded: Recorded


class Opened(Message, tag="opened", frozen=True):
    """A camera sends; ``fps`` is what it declares, None where it declares nothing."""

    fps: float | None


class Ended(Message, tag="ended", frozen=True):
    """The recording is over; ``problem`` is why it ends early."""

    problem: str = ""


class Unavailable(Message, tag="unavailable", frozen=True):
    """The source is not there (now), or refuses us for user or password."""

    problem: str
    is_refusal: bool = False


class Warned(Message, tag="warned", frozen=True):
    """Something goes wrong while frames come."""

    problem: str


class Confined(Message, tag="confined", frozen=True):
    """What it gave up, and what it could not for want of something, each with why."""

    held: tuple[str, ...]
    missing: tuple[str, ...]


class Unhoused(Message, tag="unhoused", frozen=True):
    """The machine lacks the memory for its pictures (now)."""

    problem: str


class Misconfigured(Message, tag="misconfigured", frozen=True):
    """The source cannot be captured as it is configured: trying again would not help."""

    problem: str


class Fit(Message, tag="fit", frozen=True):
    """The nursery has imported everything, and can fork; not so where a library started threads."""

    is_fit: bool


class Forked(Message, tag="forked", frozen=True):
    """A capture was forked."""

    pid: int


class ForkFailed(Message, tag="fork_failed", frozen=True):
    """No capture could be forked."""

    problem: str


ToCapture = Capture | Play | PlanRing | Stop
FromCapture = Confined | Ready | Opened | Ended | Unavailable | Warned | Unhoused | Misconfigured
ToNursery = Preload | Fork
FromNursery = Fit | Forked | ForkFailed
