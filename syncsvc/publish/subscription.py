"""One lossless subscription: where it stands in each group, what it may be sent, and what it has done with. Pure."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from syncsvc import wire
from syncsvc.publish.store import LOST, Kept, Store
from syncsvc.wire import Continuation, Mark, Missing, Place, Resume

BEGINNING: Final = Mark("", 0, -1, None)
"""Before every batch."""


def before(batch: Kept, time_ns: int | None = None) -> Mark:
    """The mark before a batch or, where windows have one length, before the one whose window holds ``time_ns``.

    No batch before the first of its epoch is known.
    """
    mark = batch.mark
    if mark.window is None:
        return Mark(mark.run_id, mark.epoch, mark.seq - 1, None)
    start_ns, length_ns = mark.window[0], mark.window[1] - mark.window[0]
    earlier = 0
    if time_ns is not None and length_ns > 0 and start_ns > time_ns:
        earlier = min(mark.seq, -(-(start_ns - time_ns) // length_ns))
    end_ns = start_ns - earlier * length_ns
    return Mark(mark.run_id, mark.epoch, mark.seq - 1 - earlier, (end_ns - length_ns, end_ns))


@dataclass(slots=True)
class _Line:
    """Where a subscription stands in one group."""

    sent: Mark = BEGINNING
    acknowledged: Mark = BEGINNING
    pending: deque[Mark] = field(default_factory=deque)
    """Sent, and not acknowledged."""
    is_known: bool = True
    """Whether the subscriber knows ``sent``, or needs not to."""
    begins: int | Place | None = None
    """What was asked for, where nothing has come yet that it could be looked up in."""
    seen: Place = BEGINNING.place
    """Up to here a process before this one may have had batches in hand."""

    def stand(self, at: Mark) -> None:
        """Go on behind this one."""
        self.sent = self.acknowledged = at
        self.pending.clear()

    def acknowledge(self, place: Place) -> None:
        """All up to this one are done with."""
        while self.pending and self.pending[0].place <= place:
            self.acknowledged = self.pending.popleft()


class Subscription:
    """Its cursors and its credit; the socket is somebody else's.

    Guarantees: in each group it is given every batch behind its cursor, in order, or told that it is missing; never
    more batches than it gave credit for; one that its process before may have had in hand is told to be so.
    """

    def __init__(self, word: Resume, now_ns: int) -> None:
        """Begin; ``resume`` is next. ``now_ns`` is monotonic, as everywhere here."""
        self.name, self.groups, self.heard_ns = word.name, word.groups, now_ns
        self.route = b""
        """Where its subscriber is; empty while nobody is there."""
        self.descriptor = -1
        """Of the connection to it."""
        self.left_ns = now_ns
        """When it left."""
        self.progress = 0
        """Rises with all that is sent and acknowledged."""
        self._lines: dict[str, _Line] = {}
        self._begins: int | Place | None = None
        self._not_before_ns: int | None = None
        self._follow(word)

    def _follow(self, word: Resume) -> None:
        self.client, self.session, self._allowed, self._sent = word.client, word.session, word.credit, 0
        self.is_counted = word.counted
        self.prefix, self.groups = word.payload.encode() + b"/", word.groups

    @property
    def is_connected(self) -> bool:
        """Whether its subscriber is there, as far as anybody knows."""
        return bool(self.route)

    def wants(self, topic: bytes) -> bool:
        """Whether batches under a topic are for it."""
        return topic.startswith(self.prefix) and (self.groups is None or self._group_of(topic) in self.groups)

    def patterns(self) -> list[bytes]:
        """The topics that it wants; one that ends in a slash stands for all that begin so."""
        return [self.prefix] if self.groups is None else [self.prefix + group.encode() for group in self.groups]

    def _group_of(self, topic: bytes) -> str:
        return topic[len(self.prefix) :].decode()

    # What its subscriber says.

    def resume(self, word: Resume, store: Store, now_ns: int, *, is_new: bool) -> Mapping[str, Continuation]:
        """It begins, or its subscriber is back; how it goes on, by group."""
        is_other, self.heard_ns = word.client != self.client, now_ns
        self._follow(word)
        if is_new:
            self._not_before_ns = word.start if isinstance(word.start, int) else None
            for topic in self._topics(store):
                self._begin(self._line(topic), word.start, topic, store)
            self._begins = None if isinstance(word.start, str) else word.start
        for group, line in self._lines.items():
            if group not in word.received:
                line.seen = max(line.seen, line.sent.place) if is_other else line.seen
                line.sent = line.acknowledged
                line.pending.clear()
        for group, mark in word.received.items():
            newest = store.newest(self.prefix + group.encode())
            is_ours = newest is None or newest.mark.run_id == mark.run_id or newest.mark.epoch > mark.epoch
            at = mark if is_ours else BEGINNING  # of another service, whose epochs say nothing of ours
            self._go_on(self._lines.setdefault(group, _Line()), at, word.acknowledged.get(group, BEGINNING.place))
        return {self._group_of(topic): self._course(topic, store) for topic in self._topics(store)}

    @staticmethod
    def _go_on(line: _Line, received: Mark, acknowledged: Place) -> None:
        """The same process is back, and knows best."""
        line.acknowledge(acknowledged)
        if acknowledged > line.acknowledged.place:  # this is news to us: it was somewhere before
            line.acknowledged = received if acknowledged == received.place else Mark("", *acknowledged, None)
        pending = [mark for mark in line.pending if mark.place < received.place]
        if received.place > acknowledged:
            pending.append(received)
        line.pending, line.sent, line.is_known = deque(pending), received, True

    def _begin(self, line: _Line, start: str | int | Place | None, topic: bytes, store: Store) -> None:
        """Where a new one stands in a group that has batches."""
        found = self._found(start, topic, store)
        if isinstance(start, tuple):
            line.stand(self._before_place(topic, start, store))
        elif found is not None:
            line.stand(before(found, start if isinstance(start, int) else None))
        elif (newest := store.newest(topic)) is not None:
            line.stand(newest.mark)
            line.is_known = start is None  # what is before its time does not come, and is not missing

    @staticmethod
    def _found(start: str | int | Place | None, topic: bytes, store: Store) -> Kept | None:
        if start == "oldest":
            return store.oldest(topic)
        return store.at(topic, start) if isinstance(start, int) else None

    @staticmethod
    def _before_place(topic: bytes, start: Place, store: Store) -> Mark:
        """The mark before a batch of which only the numbers are known."""
        epoch, seq = start
        found = store.after(topic, (epoch, seq - 1))
        if found is None or found.mark.epoch != epoch:
            return Mark("", epoch, seq - 1, None)
        known = before(found)
        if known.window is None:
            return Mark(known.run_id, epoch, seq - 1, None)
        length_ns, missing = known.window[1] - known.window[0], known.seq - (seq - 1)
        end_ns = known.window[1] - missing * length_ns
        return Mark(known.run_id, epoch, seq - 1, (end_ns - length_ns, end_ns))

    def _course(self, topic: bytes, store: Store) -> Continuation:
        line, newest = self._lines[self._group_of(topic)], store.newest(topic)
        after = line.sent if line.is_known and line.sent is not BEGINNING else None
        return Continuation(after, newest.place if newest is not None and newest.place > line.sent.place else None)

    def credit(self, word: wire.Credit, now_ns: int) -> bool:
        """Batches are acknowledged, and others may be sent; whether that is news."""
        self.heard_ns = now_ns
        for group, place in word.acknowledged.items():
            if group in self._lines:
                self._lines[group].acknowledge(place)
        is_news, self._allowed = word.credit > self._allowed, max(self._allowed, word.credit)
        self.progress += is_news
        return is_news

    # What it is given.

    def next(self, store: Store) -> "tuple[Kept, Missing | None] | None":
        """What it is to be sent now, and ``sent`` is to be told of; None where there is nothing, or no credit.

        What is missing costs no credit, but waits for some: so it is told once, and not piece by piece.

        Returns:
            A batch, or what is missing up to that one, which then is not sent.
        """
        found = min((one for one in self._candidates(store)), key=lambda one: one.order, default=None)
        if found is None:
            return None
        return (found, self._missing(found)) if self._sent < self._allowed else None

    def _candidates(self, store: Store) -> Iterator[Kept]:
        for topic in self._topics(store):
            line = self._line(topic)
            if line.begins is not None:
                self._look_up(line, topic, store)
            found = store.after(topic, line.sent.place)
            while found is not None and self._is_too_early(found):
                line.stand(found.mark)
                found = store.after(topic, line.sent.place)
            if found is not None:
                if line.sent is BEGINNING:
                    line.stand(before(found))
                    line.is_known = False
                yield found

    def _topics(self, store: Store) -> list[bytes]:
        return [topic for topic in store.topics if self.wants(topic)]

    def _line(self, topic: bytes) -> _Line:
        new = _Line(is_known=self._begins is None, begins=self._begins)
        return self._lines.setdefault(self._group_of(topic), new)

    def _look_up(self, line: _Line, topic: bytes, store: Store) -> None:
        """The first batch is here: find out where it was to begin."""
        first = store.after(topic, BEGINNING.place)
        if first is not None:
            begins, line.begins = line.begins, None
            self._begin(line, begins, topic, store)

    def _is_too_early(self, batch: Kept) -> bool:
        window = batch.mark.window
        return self._not_before_ns is not None and window is not None and window[1] <= self._not_before_ns

    def _missing(self, found: Kept) -> Missing | None:
        """What is missing up to a batch, or before it, where its subscriber cannot tell by the numbers."""
        line = self._lines[found.group]
        after = None if line.is_known else line.sent
        if found.why_not:
            return Missing(1, found.group, found.why_not, found.mark, after)
        if after is None or (after.epoch, after.seq + 1) == found.place:
            return None
        return Missing(1, found.group, LOST, before(found), after)

    def header_of(self, batch: Kept) -> bytes:
        """The header that it is sent with."""
        return wire.as_redelivered(batch.header) if batch.place <= self._lines[batch.group].seen else batch.header

    def sent(self, batch: Kept, missing: Missing | None) -> None:
        """It was sent a batch, or told what is missing."""
        line = self._lines[batch.group]
        line.sent, line.is_known = batch.mark if missing is None else missing.last, True
        line.pending.append(line.sent)
        self._sent += missing is None
        self.progress += 1

    def needs(self, batch: Kept) -> bool:
        """Whether it may yet ask for a batch that was kept."""
        if not self.wants(batch.topic):
            return False
        return batch.place > self._line(batch.topic).acknowledged.place

    def is_done(self, store: Store) -> bool:
        """Whether it was given everything, and has done with it where it would come again otherwise."""
        if any(True for _ in self._candidates(store)):
            return False
        return self.name is None or not any(line.pending for line in self._lines.values())

    def leave(self, now_ns: int) -> None:
        """Its subscriber is gone."""
        if self.is_connected:
            self.route, self.left_ns = b"", now_ns
