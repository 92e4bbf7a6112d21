"""How often a line about the same thing may be said in the log, so that a breakdown does not drown what explains it."""

from syncsvc.clock import NS_PER_S

EVERY_NS = NS_PER_S


class Pace:
    """The first line after a quiet second may be said at once, what follows it when the second is over; pure.

    Nothing is lost for that: who asks keeps what was not said yet. After MediaMTX's ``counterdumper``.
    """

    def __init__(self) -> None:
        self._said_ns: int | None = None

    def allows(self, now_ns: int) -> bool:
        """Whether a line may be said now (monotonic); if so, it counts as said."""
        if self._said_ns is not None and now_ns - self._said_ns < EVERY_NS:
            return False
        self._said_ns = now_ns
        return True
