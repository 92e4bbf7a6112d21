"""What is said of lost frames: every one is counted, and a stream has a line about them at most once a second."""

from collections import Counter

from syncsvc.clock import NS_PER_S

EVERY_NS = NS_PER_S


class Losses:
    """One stream's losses that were not told of yet; pure. After MediaMTX's ``counterdumper``.

    Guarantees: the numbers of all lines together are those of all losses; between two lines lies a second at least;
    the first loss after a quiet second is told at once, what follows it when the second is over.
    """

    def __init__(self) -> None:
        self._untold: Counter[str] = Counter()
        self._told_ns: int | None = None

    def add(self, cause: str, count: int) -> None:
        """Frames were captured and lost."""
        self._untold[cause] += count

    def due(self, now_ns: int) -> str:
        """What is to be said now, as ``3 frames lost: 2 ring_full, 1 decode_error``; nothing is an empty string.

        Args:
            now_ns: monotonic.
        """
        if not self._untold or (self._told_ns is not None and now_ns - self._told_ns < EVERY_NS):
            return ""
        self._told_ns = now_ns
        return self.rest()

    def rest(self) -> str:
        """What was not told of yet, however short the time since the last line is: nothing will follow."""
        if not self._untold:
            return ""
        told, self._untold = self._untold, Counter()
        total = sum(told.values())
        causes = ", ".join(f"{count} {cause}" for cause, count in told.most_common())
        return f"{total} {'frame' if total == 1 else 'frames'} lost: {causes}"
