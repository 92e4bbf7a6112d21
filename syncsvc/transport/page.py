"""What must outlive a SIGKILL: one small shared page per stream and per group, owned by the daemon.

The frame counter lives here, and a number is taken from it *before* a slot is filled: so when a capture dies, the
frames that it took and never announced can be counted, and numbers go on where they stopped. The page also carries the
capture's pulse (where its loop stands, and since when). Each word has one writer; a word is an aligned 64-bit store.
"""

import ctypes
import os
from enum import IntEnum
from typing import ClassVar, Self

from syncsvc.transport import memfd as memory

_WORDS = 512


class Position(IntEnum):
    """Where a capture's loop stands."""

    STARTING = 0
    OPENING = 1
    DEMUX = 2
    DECODE = 3
    HANDOVER = 4
    WAITING = 5
    """For its turn: the start of the recordings, the due time of a frame, a free slot of a paused reader."""


class SharedWords:
    """Signed 64-bit words in a memfd, mapped by every process that was handed the descriptor."""

    WORDS: ClassVar[int] = _WORDS
    """How many there are."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.words = (ctypes.c_int64 * self.WORDS).from_buffer(memory.map_whole(fd))

    @classmethod
    def create(cls, name: str) -> Self:
        """Make a new page, all zero.

        Raises:
            MemoryShortage: there is no memory for it, or no more can be open.
        """
        return cls(memory.create(f"syncsvc-page-{name}", 8 * cls.WORDS))

    def close(self) -> None:
        """Let go of the descriptor."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class _Word:
    """A word of a page as an attribute of it."""

    def __init__(self, place: int) -> None:
        self._place = place

    def __get__(self, page: SharedWords, _: type[SharedWords]) -> int:
        return page.words[self._place]

    def __set__(self, page: SharedWords, value: int) -> None:
        page.words[self._place] = value


class StreamPage(SharedWords):
    """One stream's counter, media position and pulse; written by its capture."""

    next_seq = _Word(0)
    """How many frames were taken since the daemon started."""
    media_ns = _Word(1)
    """Position on the timeline of a recording after the last frame taken, plus one; 0 before the first."""
    _position, _since_mono_ns = _Word(2), _Word(3)
    beat_mono_ns = _Word(4)
    """When the process last showed that it runs."""
    pass_begun_ns = _Word(5)
    """Position at which the present pass over a looped recording began."""

    def take_seq(self) -> int:
        """The next frame's number; taken before the frame is moved."""
        seq = self.next_seq
        self.next_seq = seq + 1
        return seq

    def at(self, position: Position, now_mono_ns: int) -> None:
        """Say where the loop stands."""
        self._position, self._since_mono_ns = position, now_mono_ns

    @property
    def position(self) -> tuple[Position, int]:
        """Where the loop stands, and since when (CLOCK_MONOTONIC)."""
        return Position(self._position), self._since_mono_ns


class GroupPage(SharedWords):
    """One group's last emitted window, and what is known of each stream's frames; the receiver writes it."""

    WORDS = 2 * _WORDS
    CAPACITY = _WORDS - 1

    emitted_end_ns = _Word(0)
    """End of the last window that was emitted, UTC; 0 before the first."""

    def accounted(self, entry: int) -> int:
        """Frames of the stream with this entry that batches have accounted for."""
        return self.words[1 + entry]

    def account(self, entry: int, total: int) -> None:
        """Set that number."""
        self.words[1 + entry] = total

    def late(self, entry: int) -> int:
        """Frames of the stream that were late, and that no batch has counted yet."""
        return self.words[_WORDS + entry]

    def set_late(self, entry: int, count: int) -> None:
        """Set that number."""
        self.words[_WORDS + entry] = count
