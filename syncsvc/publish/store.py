"""Batches that are kept for subscribers that come back: what a store of them is, and the one in memory. Pure."""

from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from heapq import merge
from typing import Any, Final, Protocol

from syncsvc.wire import Mark, Place

LOST: Final = "lost"
"""The history has passed it."""
TOO_BIG: Final = "too_big"
"""It alone is bigger than the history."""


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """A batch as it was sent, or what is known of it where ``why_not`` says why it is not here.

    ``order`` rises with every batch that is kept, whichever its group and topic.
    """

    topic: bytes
    group: str
    order: int
    mark: Mark
    header: bytes
    payloads: Sequence[Any]
    size_bytes: int
    why_not: str = ""
    is_stored: bool = False
    """It is on a disk, and its bytes come by ``Store.fetch``."""

    @property
    def place(self) -> Place:
        """Where it stands in its group."""
        return self.mark.place

    def gone(self, why_not: str) -> "Kept":
        """The same without its bytes."""
        return replace(self, header=b"", payloads=(), size_bytes=0, why_not=self.why_not or why_not)


class Store(Protocol):
    """Where batches lie, each in the order of its topic; a disk may be one too.

    Guarantee: what ``after`` gives, asked again with its place, is every batch that was appended, once, in order, each
    either here or said to be gone; of several that are gone in a row the last stands for all.
    """

    @property
    def topics(self) -> Collection[bytes]:
        """Those that batches lie under, or lay."""
        ...

    def append(self, batch: Kept) -> None:
        """Keep a batch, which is the newest of its topic; older ones may have to go."""
        ...

    def after(self, topic: bytes, place: Place) -> Kept | None:
        """The first one behind a place; None where there is none yet."""
        ...

    def oldest(self, topic: bytes) -> Kept | None:
        """The first one that is here."""
        ...

    def newest(self, topic: bytes) -> Kept | None:
        """The last one, whether it is here or not."""
        ...

    def at(self, topic: bytes, time_ns: int) -> Kept | None:
        """The first one that is not known to end before a time (UTC), as ``after`` gives them."""
        ...

    def fetch(self, batch: Kept) -> Kept:
        """One that ``after`` gave, with its bytes; it is gone from now on where they cannot be had."""
        ...


class MemoryStore:
    """A store in memory, of so many batches per topic, and so many bytes in all.

    Guarantees: never more than either; the oldest goes first, of whichever topic; a batch that is bigger than all of
    the room is not kept, costs no other one its place, and is said to be gone.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._lines: dict[bytes, list[Kept]] = {}
        self._gone: dict[bytes, Kept] = {}
        self.size_bytes = self.batches = 0
        """What is here takes so many bytes, and is so many."""

    @property
    def most(self) -> tuple[int, int]:
        """How many batches per topic, and how many bytes in all."""
        return self._most, self._most_bytes

    def __contains__(self, batch: Kept) -> bool:
        return batch in self._lines.get(batch.topic, ())

    @property
    def topics(self) -> Collection[bytes]:
        """See ``Store``."""
        return self._lines.keys()

    def displaced_by(self, batch: Kept) -> list[Kept]:
        """What must go for this one, the oldest first."""
        line = self._lines.get(batch.topic, [])
        going = line[: max(0, len(line) + 1 - self._most)]
        room_bytes = self._most_bytes - self.size_bytes + sum(one.size_bytes for one in going)
        if self._is_too_big(batch) or room_bytes >= batch.size_bytes:
            return going
        for one in merge(*self._lines.values(), key=lambda one: one.order):
            if room_bytes >= batch.size_bytes:
                break
            if one not in going:
                going.append(one)
                room_bytes += one.size_bytes
        return going

    def _is_too_big(self, batch: Kept) -> bool:
        return batch.size_bytes > self._most_bytes

    def append(self, batch: Kept) -> None:
        """See ``Store``."""
        for one in self.displaced_by(batch):
            self._drop(one.topic, one)
        if self._is_too_big(batch):
            batch = batch.gone(TOO_BIG)
        self._lines.setdefault(batch.topic, []).append(batch)
        self._count([batch], 1)

    def _drop(self, topic: bytes, batch: Kept) -> None:
        """Let go of a batch, and of what is known of those before it."""
        line = self._lines[topic]
        if batch in line:
            going = line[: line.index(batch) + 1]
            self._count(going, -1)
            del line[: len(going)]
            self._gone[topic] = batch.gone(LOST)

    def _count(self, some: Iterable[Kept], sign: int) -> None:
        for one in some:
            self.size_bytes += sign * one.size_bytes
            self.batches += sign * (not one.why_not)

    def forget(self, topics: Iterable[bytes]) -> None:
        """Let go of all that lies under these, as though nothing ever had."""
        for topic in topics:
            self._count(self._lines.pop(topic, ()), -1)
            self._gone.pop(topic, None)

    def after(self, topic: bytes, place: Place) -> Kept | None:
        """See ``Store``."""
        gone = self._gone.get(topic)
        if gone is not None and gone.place > place:
            return gone
        line = self._lines.get(topic, ())
        index = bisect_right(line, place, key=lambda one: one.place)
        return line[index] if index < len(line) else None

    def oldest(self, topic: bytes) -> Kept | None:
        """See ``Store``."""
        return next((one for one in self._lines.get(topic, ()) if not one.why_not), None)

    def newest(self, topic: bytes) -> Kept | None:
        """See ``Store``."""
        line = self._lines.get(topic)
        return line[-1] if line else self._gone.get(topic)

    def at(self, topic: bytes, time_ns: int) -> Kept | None:
        """See ``Store``."""
        gone = self._gone.get(topic)
        some = [*(() if gone is None else (gone,)), *self._lines.get(topic, ())]
        return next((one for one in some if one.mark.window is None or one.mark.window[1] > time_ns), None)

    def fetch(self, batch: Kept) -> Kept:
        """See ``Store``."""
        return batch
