"""What one capture process is told, and what it answers; the daemon reads no other file of ``capture``.

``CaptureSpec`` is the only message that carries the stream's URL.
"""

from math import ceil
from typing import Any

import msgspec

from syncsvc.clock import NS_PER_S

OPEN_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 3.0
"""How long a network camera may keep its capture waiting; the watchdog allows for both."""
EX_UNAVAILABLE = 75
EX_CONFIG = 78
"""Exit codes of a capture: its source is not there (now); it is refused."""


class RingPlan(msgspec.Struct, frozen=True):
    """How long a frame may have to wait for its batch: window, latency budget, two skews and a quarter second.

    ``longest_ns`` is what that may become while the capture runs, once subscribers on this host keep frames longer, and
    ``least_ns`` what it is without them (0: they add nothing).
    """

    span_ns: int
    longest_ns: int = 0
    least_ns: int = 0

    @property
    def least(self) -> "RingPlan":
        """The same without what subscribers on this host add."""
        return RingPlan(self.least_ns or self.span_ns, self.longest_ns)

    def slots(self, fps: float) -> int:
        """Slots that a stream of this rate needs, and four to work with."""
        return _slots(fps, self.span_ns)

    def most_slots(self, fps: float) -> int:
        """Slots that it may come to need."""
        return _slots(fps, max(self.span_ns, self.longest_ns))


def _slots(fps: float, span_ns: int) -> int:
    return ceil(fps * span_ns / NS_PER_S) + 4


class CaptureSpec(msgspec.Struct, frozen=True):
    """One stream, as its capture needs it; ``options`` belong to the kind."""

    name: str
    kind: str
    url: str
    pixels: str
    size: tuple[int, int] | None
    ring: RingPlan
    options: dict[str, Any]
    quality: int = 85
    """Of JPEGs."""

    @property
    def is_patient(self) -> bool:
        """Whether a full ring pauses the reader (recordings played ``asap``) instead of costing a frame."""
        return bool(self.options.get("pace") == "asap")


class Recorded(msgspec.Struct, frozen=True):
    """What a recording says of when it was made; all in nanoseconds.

    ``origin_ns`` is the recorded time of its first frame, where a sidecar has one. ``created_ns`` is the container's
    creation time (UTC), ± ``doubt_ns``, and ``length_ns`` how long it plays.
    """

    origin_ns: int | None = None
    created_ns: int | None = None
    doubt_ns: int = 0
    length_ns: int = 0


class Start(msgspec.Struct, frozen=True):
    """When a recording begins: ``origin_ns`` of its recorded times is ``utc_ns``, at ``mono_ns`` of this host.

    ``doubt_ns`` is how exactly that places it beside the others of its group.
    """

    utc_ns: int
    mono_ns: int
    origin_ns: int
    doubt_ns: int = 0
