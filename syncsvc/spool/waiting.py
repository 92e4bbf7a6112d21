"""Batches that are on their way to the disk: so many, and readable until they are there."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from syncsvc.publish.store import Kept

MOST: Final = 256
MOST_BYTES: Final = 64 << 20


class Waiting:
    """A queue between who sends and who writes; from any thread. The first stays in it until it is done with.

    Guarantee: never more than ``MOST`` batches, nor more than ``MOST_BYTES`` but for one alone that is bigger.
    """

    def __init__(self, most: int = MOST, most_bytes: int = MOST_BYTES) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._line: deque[Kept] = deque()
        self._news = threading.Condition()
        self._size_bytes = 0
        self._is_over = False

    def __len__(self) -> int:
        return len(self._line)

    def __iter__(self) -> Iterator[Kept]:
        with self._news:
            return iter(tuple(self._line))

    def has_room(self, batch: Kept) -> bool:
        """Whether it is taken now."""
        with self._news:
            return self._has_room(batch)

    def _has_room(self, batch: Kept) -> bool:
        fits = len(self._line) < self._most and self._size_bytes + batch.size_bytes <= self._most_bytes
        return fits or not self._line

    def offer(self, batch: Kept) -> bool:
        """Take it, or not where there is no room."""
        with self._news:
            if not self._has_room(batch):
                return False
            self._line.append(batch)
            self._size_bytes += batch.size_bytes
            self._news.notify()
            return True

    def first(self, timeout_s: float) -> Kept | None:
        """The one that waited longest; None where none came in that time, or all are done and it is over."""
        with self._news:
            self._news.wait_for(lambda: bool(self._line) or self._is_over, timeout_s)
            return self._line[0] if self._line else None

    def done(self) -> None:
        """The first one is on the disk, or never will be."""
        with self._news:
            self._size_bytes -= self._line.popleft().size_bytes

    def end(self) -> None:
        """Nothing more comes."""
        with self._news:
            self._is_over = True
            self._news.notify()

    @property
    def is_over(self) -> bool:
        """Whether all are done with, and no more come."""
        return self._is_over and not self._line

    def find(self, suits: Callable[[Kept], bool]) -> Kept | None:
        """The first of those that wait which suits."""
        return next(filter(suits, self), None)
