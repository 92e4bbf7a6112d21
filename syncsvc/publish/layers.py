"""A history in memory with a longer one behind it, without a seam: what one let go of, the other has. Pure."""

from collections.abc import Collection
from typing import Protocol

from syncsvc.publish.store import Kept, MemoryStore, Store
from syncsvc.wire import Place


class DeepStore(Store, Protocol):
    """The longer one: it is told of every batch before the first is, and may have to be waited for at its start."""

    @property
    def is_open(self) -> bool:
        """Whether it can say what it has."""
        ...

    @property
    def keep_ns(self) -> int:
        """How far back it is to reach."""
        ...


class Layers:
    """The two as one store; what is new goes to each by itself.

    Guarantee: those of ``Store``, of all that either of them has.
    """

    def __init__(self, near: MemoryStore, deep: DeepStore) -> None:
        self._near, self._deep = near, deep

    @property
    def topics(self) -> Collection[bytes]:
        """See ``Store``."""
        return {*self._near.topics, *self._deep.topics}

    def append(self, batch: Kept) -> None:
        """See ``Store``."""
        self._near.append(batch)

    def after(self, topic: bytes, place: Place) -> Kept | None:
        """See ``Store``."""
        near = self._near.after(topic, place)
        if near is not None and not near.why_not and near.place == (place[0], place[1] + 1):
            return near
        return _first(near, self._deep.after(topic, place))

    def oldest(self, topic: bytes) -> Kept | None:
        """See ``Store``."""
        return _first(self._near.oldest(topic), self._deep.oldest(topic))

    def newest(self, topic: bytes) -> Kept | None:
        """See ``Store``."""
        near, deep = self._near.newest(topic), self._deep.newest(topic)
        if near is None or deep is None:
            return deep if near is None else near
        return near if near.place >= deep.place else deep

    def at(self, topic: bytes, time_ns: int) -> Kept | None:
        """See ``Store``."""
        return _first(self._near.at(topic, time_ns), self._deep.at(topic, time_ns))

    def fetch(self, batch: Kept) -> Kept:
        """See ``Store``."""
        return self._deep.fetch(batch)


def _first(near: Kept | None, deep: Kept | None) -> Kept | None:
    """The earlier of two; of one batch, what is here, and in memory if it is in both."""
    if near is None or deep is None:
        return deep if near is None else near
    if deep.place == near.place:
        return deep if near.why_not and not deep.why_not else near
    return deep if deep.place < near.place else near
