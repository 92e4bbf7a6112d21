"""One stream of a group without windows: its frames that wait for a batch, and the pace at which it takes pictures."""

from bisect import bisect_left, bisect_right
from itertools import pairwise
from statistics import median_low

from syncsvc.model import Frame

INTERVALS = 8
"""The pace is the median of so many: one lost frame among them changes nothing."""
SURE = (7, 8)
"""A frame cannot come before this part of the least of as many intervals has passed; only a stream that changes its
rate belies that, and its first frames may be late."""


class StreamQueue:
    """A queue of frames, bounded by the ring; pure, its group's lock guards it.

    Guarantees: a frame is handed out once; what it says of the past depends on capture times, not on arrival.
    """

    def __init__(self) -> None:
        self._frames: list[Frame] = []
        self._times: list[int] = []
        """Of the last frames, whether or not they still wait."""
        self._paces: list[int | None] = []
        """The pace as of each of these: found when the frame comes, not when a set waits for it."""
        self._quiet_until: list[int] = []
        """As of each of these, before when no other can come."""
        self._since_ns: int | None = None

    def put(self, frame: Frame) -> None:
        """Queue a frame."""
        self._frames.append(frame)
        self.note(frame.time_ns)

    def note(self, time_ns: int) -> None:
        """A frame was taken then, whether or not it is queued: the stream's pace."""
        self._times.append(time_ns)
        gaps = [after - before for before, after in pairwise(self._times[-INTERVALS - 1 :])]
        self._paces.append(median_low(gaps) if gaps else None)
        quiet_ns = min(gaps) * SURE[0] // SURE[1] if len(gaps) == INTERVALS else 0
        self._quiet_until.append(max(time_ns + quiet_ns, self._quiet_until[-1] if self._quiet_until else time_ns))
        if self._since_ns is None:
            self._since_ns = time_ns

    def pause(self) -> None:
        """The stream fell silent, went away or ended: its pace is known again when it has been back for a while."""
        self._since_ns = None

    @property
    def first_ns(self) -> int | None:
        """The oldest waiting frame's time."""
        return self._frames[0].time_ns if self._frames else None

    @property
    def last_ns(self) -> int | None:
        """The newest waiting frame's time."""
        return self._frames[-1].time_ns if self._frames else None

    def waiting_from(self, time_ns: int) -> int | None:
        """Time of the first waiting frame at or after ``time_ns``."""
        for frame in self._frames:  # a generator takes twice as long, and every batch asks every stream
            if frame.time_ns >= time_ns:
                return frame.time_ns
        return None

    def reached(self, time_ns: int) -> int | None:
        """Time of the first frame at or after ``time_ns``, whether or not it still waits; None before it has come."""
        place = bisect_left(self._times, time_ns)
        return self._times[place] if place < len(self._times) else None

    def known(self, time_ns: int, reach_ns: int) -> int | None:
        """Time of the first frame after which no other one lies both before ``time_ns`` and in reach of it.

        That is the first from ``time_ns`` on or, at a pace that is slow and sure, one before it after which none can
        come until ``time_ns + reach_ns``; None before it has come.
        """
        place = min(bisect_left(self._times, time_ns), bisect_right(self._quiet_until, time_ns + reach_ns))
        return self._times[place] if place < len(self._times) else None

    def is_quiet(self, until_ns: int) -> bool:
        """Whether, at a pace that is sure, no frame is to come before ``until_ns`` any more."""
        return bool(self._quiet_until) and self._quiet_until[-1] > until_ns

    def between(self, first_ns: int, last_ns: int) -> list[Frame]:
        """The waiting frames of ``[first_ns, last_ns]``; they stay."""
        return [frame for frame in self._frames if first_ns <= frame.time_ns <= last_ns]

    def discard(self) -> list[Frame]:
        """Hand out everything that waits (the stream left the group)."""
        left, self._frames = self._frames, []
        return left

    def take(self, end_ns: int, chosen: Frame | None) -> list[Frame]:
        """Hand out for good what was captured before ``end_ns``, and the chosen frame, in order."""
        taken = [frame for frame in self._frames if frame.time_ns < end_ns or frame is chosen]
        self._frames = [frame for frame in self._frames if frame.time_ns >= end_ns and frame is not chosen]
        return taken

    def count(self, start_ns: int, end_ns: int) -> int:
        """Frames captured in ``[start_ns, end_ns)``, handed out or not."""
        return bisect_left(self._times, end_ns) - bisect_left(self._times, start_ns)

    def is_steady(self, start_ns: int) -> bool:
        """Whether it has been there without a break since ``start_ns``."""
        return self._since_ns is not None and self._since_ns <= start_ns

    def interval_ns(self, until_ns: int) -> int | None:
        """Median time from a frame to the next, of the last ones up to ``until_ns``; None before there were two."""
        end = bisect_right(self._times, until_ns)
        return self._paces[end - 1] if end else None

    def forget(self, start_ns: int, end_ns: int) -> None:
        """Nobody asks any more how many frames there were before ``start_ns``, nor for the pace before ``end_ns``."""
        needed = bisect_left(self._times, end_ns) - INTERVALS - 1
        gone = max(0, min(bisect_left(self._times, start_ns), needed))
        del self._times[:gone], self._paces[:gone], self._quiet_until[:gone]
