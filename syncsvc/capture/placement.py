"""Where a recording's frames stand by their times, also where these jump, run backwards or stand still; pure.

A splice puts the frame a period after the one before it. Whatever is set right is told, once of each kind.
"""

from bisect import bisect_left, insort
from typing import NamedTuple

from syncsvc.clock import NS_PER_S

LEAST_JUMP_NS = 10 * NS_PER_S
"""As far apart two frames of MPEG-TS and its like may be: they are cut out and put together, and begin anew anywhere.

Source: ``dts_delta_threshold`` of ffmpeg.
"""
LONGEST_PAUSE_NS = 3600 * NS_PER_S
"""The same for files that have one timeline: cameras that sleep between two pictures, but for no longer than this."""
_STEP_BACK_NS = NS_PER_S
_STANDING = 3
"""Frames in a row that are put between their neighbours before their times count as begun anew."""

JUMPS = "its times jump by {} s at {:.3f} s: what follows is played on from there, without the gap"
STANDS = "its times stand still or run backwards at {:.3f} s: such frames are put between their neighbours, in doubt"


class FilmPlace(NamedTuple):
    """Nanoseconds after the recording's begin, ± ``doubt_ns`` for times that were set right; ``why`` is for people."""

    at_ns: int
    doubt_ns: int = 0
    why: str = ""


class Placement:
    """Places of one pass. Guarantees: they rise; times that rise by no more than ``most_ns`` are taken as they are."""

    def __init__(self, period_ns: int, most_ns: int) -> None:
        self._period_ns, self._most_ns = period_ns, most_ns
        self._last_ns: int | None = None
        self._offset_ns = self._offset_before_ns = 0
        self._standing = 0
        self._told: set[str] = set()

    def place(self, time_ns: int) -> FilmPlace:
        """Where the next frame stands, in the order of showing, by its time after the begin."""
        last_ns, at_ns = self._last_ns, time_ns + self._offset_ns
        if last_ns is None or 0 < at_ns - last_ns <= self._most_ns:
            self._standing = 0
            return self._take(FilmPlace(at_ns))
        before_ns = time_ns + self._offset_before_ns
        if 0 < before_ns - last_ns <= LEAST_JUMP_NS:  # one frame, or a few, had another time
            self._offset_ns, self._offset_before_ns = self._offset_before_ns, self._offset_ns
            return self._take(FilmPlace(before_ns))
        step_ns = at_ns - last_ns
        if -_STEP_BACK_NS < step_ns <= 0 and self._standing < _STANDING:
            self._standing += 1
            why = self._tell(STANDS, last_ns / NS_PER_S)
            return self._take(FilmPlace(last_ns + max(1, self._period_ns >> self._standing), self._period_ns, why))
        self._standing = 0
        self._offset_before_ns, self._offset_ns = self._offset_ns, last_ns + self._period_ns - time_ns
        why = self._tell(JUMPS, f"{step_ns / NS_PER_S:,.0f}", last_ns / NS_PER_S)
        return self._take(FilmPlace(last_ns + self._period_ns, 0, why))

    def _take(self, place: FilmPlace) -> FilmPlace:
        self._last_ns = place.at_ns
        return place

    def _tell(self, what: str, *numbers: object) -> str:
        if what in self._told:
            return ""
        self._told.add(what)
        return what.format(*numbers)


class PresentationTimes:
    """Times for frames whose container has one per packet, in the order of decoding: sorted, they are those of showing.

    AVI is such; taken as they are, a B-frame would have the time of another. A packet that brought no picture leaves a
    time behind, which goes with the next key frame.
    """

    def __init__(self) -> None:
        self._waiting: list[int] = []
        self._of_packet: dict[int, int] = {}

    def feed(self, pts: int | None, dts: int | None) -> None:
        """A packet with a picture was given to the decoder."""
        ticks = pts if dts is None else dts  # where libavformat makes a pts up, it does so from the other
        if ticks is None:
            return
        insort(self._waiting, ticks)
        if pts is not None:
            self._of_packet[pts] = ticks

    def next(self, pts: int | None, *, is_key: bool) -> int | None:
        """The time of the next picture that is shown; ``pts`` is what its packet had."""
        own = self._of_packet.pop(pts, None) if pts is not None else None
        if is_key and own is not None:
            del self._waiting[: bisect_left(self._waiting, own)]
            self._of_packet = {other: ticks for other, ticks in self._of_packet.items() if ticks > own}
        return self._waiting.pop(0) if self._waiting else pts
