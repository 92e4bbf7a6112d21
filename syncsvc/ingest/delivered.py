"""What a stream delivers, in frames a second over the last seconds; pure.

Counted by when frames were taken, not by when they came: HLS brings a segment's at once, and a busy machine a queue's.
"""

from collections import deque

from syncsvc.clock import NS_PER_S

WINDOW_NS = 5 * NS_PER_S
MOST_FRAMES = 4096
PAUSE_NS = NS_PER_S
"""Between two frames' arrivals: what is longer is remembered, as it may be usual."""
REMEMBERED_NS = 60 * NS_PER_S
KEPT_PAUSES = 16


class DeliveredRate:
    """One stream's rate.

    Guarantees: what comes steadily has its own rate, in whatever bursts; what no longer comes has none, after five
    seconds or twice the longest pause that was usual.
    """

    def __init__(self) -> None:
        self._times: deque[int] = deque(maxlen=MOST_FRAMES)
        self._pauses: deque[tuple[int, int]] = deque(maxlen=KEPT_PAUSES)
        self._arrival_ns: int | None = None

    def add(self, time_ns: int, arrival_ns: int) -> None:
        """A frame came, both in UTC."""
        if self._times and time_ns <= self._times[-1]:  # the host's clock was set back
            self._times.clear()
        self._times.append(time_ns)
        while len(self._times) > 2 and self._times[1] < time_ns - WINDOW_NS:
            self._times.popleft()
        pause_ns = arrival_ns - (self._arrival_ns or arrival_ns)
        if pause_ns > PAUSE_NS:
            self._pauses.append((arrival_ns, pause_ns))
        self._arrival_ns = arrival_ns

    def fps(self, now_ns: int) -> float:
        """Now, in UTC."""
        if self._arrival_ns is None or now_ns - self._arrival_ns > self._patience_ns(now_ns):
            return 0.0
        times = list(self._times)  # another thread may add to it meanwhile
        return (len(times) - 1) * NS_PER_S / (times[-1] - times[0]) if len(times) > 1 else 0.0

    def _patience_ns(self, now_ns: int) -> int:
        usual = [pause for at_ns, pause in list(self._pauses) if now_ns - at_ns <= REMEMBERED_NS + 2 * pause]
        return max(WINDOW_NS, 2 * max(usual, default=0))
