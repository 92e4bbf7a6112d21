"""One stream's frames in one group, bucketed by window of capture time, until the aligner takes them."""

from collections import Counter

from syncsvc.model import Frame


class WindowBuckets:
    """A bounded-by-the-ring queue of frames, in capture order; pure, its group's lock guards it.

    Windows are ``[k*window_ns, (k+1)*window_ns)``. Guarantees: a frame is handed out once; a frame whose window is
    closed is refused; the order of ``put`` is the order of capture, because times rise within a stream.
    """

    def __init__(self, window_ns: int, closed_before_ns: int) -> None:
        """Start with every window that ends at or before ``closed_before_ns`` closed."""
        self._window_ns, self.closed_before_ns = window_ns, closed_before_ns
        self._frames: list[Frame] = []
        self._count: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self._frames)

    def put(self, frame: Frame) -> bool:
        """Queue a frame; false when its window is closed, so that it is late."""
        if frame.time_ns < self.closed_before_ns:
            return False
        self._frames.append(frame)
        self._count[frame.time_ns // self._window_ns] += 1
        return True

    def count(self, window: int) -> int:
        """Frames whose capture time lies in the window, handed out or not."""
        return self._count[window]

    def before(self, time_ns: int) -> list[Frame]:
        """The frames not handed out yet that were captured before ``time_ns``, in order; they stay queued."""
        return [frame for frame in self._frames if frame.time_ns < time_ns]

    def take(self, seqs: set[int]) -> None:
        """Hand the frames with these numbers out for good."""
        self._frames = [frame for frame in self._frames if frame.seq not in seqs]

    def close_before(self, time_ns: int) -> list[Frame]:
        """Close every window that ends at or before ``time_ns``; returns the frames left in them, in order."""
        left = self.before(time_ns)
        self._frames = self._frames[len(left) :]
        self.closed_before_ns = max(self.closed_before_ns, time_ns)
        for window in [window for window in self._count if (window + 1) * self._window_ns <= time_ns]:
            del self._count[window]
        return left

    def discard(self) -> list[Frame]:
        """Hand out everything that is queued, closed or not (the stream left the group)."""
        left, self._frames = self._frames, []
        return left
