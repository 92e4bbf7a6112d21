"""Numbers for memory that is lent to us, such as a slot of the service's ring: workers map it under that number."""

import threading
import weakref
from collections import deque

from syncsvc.borrowed import Lent


class Lending:
    """Which memory of others has which number; from any thread. Blocks of ours have positive numbers, these negative.

    A number is used again for the same place as long as its owner lives: so a ring's slot is mapped once by each
    worker, however many frames come in it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers: dict[int, dict[int, int]] = {}
        self._last = 0
        self._gone: deque[int] = deque()  # by finalizers
        self._forgotten: list[int] = []

    def number_of(self, lent: Lent) -> int:
        """The number of a place."""
        with self._lock:
            self._collect()
            owner = id(lent.owner)
            if owner not in self._numbers:
                self._numbers[owner] = {}
                weakref.finalize(lent.owner, self._gone.append, owner).atexit = False
            places = self._numbers[owner]
            if lent.offset not in places:
                self._last -= 1
                places[lent.offset] = self._last
            return places[lent.offset]

    def _collect(self) -> None:
        while self._gone:
            self._forgotten += self._numbers.pop(self._gone.popleft()).values()

    def forgotten(self) -> list[int]:
        """The numbers that will not be used again, since the last call."""
        with self._lock:
            self._collect()
            found, self._forgotten = self._forgotten, []
            return found
