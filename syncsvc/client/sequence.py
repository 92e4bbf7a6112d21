"""Decides what a received message means for the user: a batch, a gap, the end, or nothing. No socket, no clock."""

import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from syncsvc.client.decoder import Decoders
from syncsvc.client.tracker import Marked, SequenceTracker
from syncsvc.errors import UsageError, WireError
from syncsvc.model import FrameBatch, Gap, LateFrame
from syncsvc.wire import (
    BATCH_PREFIX,
    CODED_PREFIX,
    GAP_PREFIX,
    HEAD_PREFIX,
    LATE_PREFIX,
    RESUMED_TOPIC,
    STATUS_TOPIC,
    decode_batch,
    decode_coded,
    decode_head,
    decode_header,
    decode_late,
    decode_missing,
    decode_resumed,
    decode_status,
)

_GROUP = re.compile(r"[a-z0-9_-]{1,64}")
Item = FrameBatch | Gap | LateFrame
"""What a subscriber hands out."""
Groups = str | Sequence[str] | None
"""Which groups somebody may ask for: one, several, or all of them."""
Wanted = Literal["pixels", "coded"] | None
"""What frames are to have for a payload."""
_PREFIXES: Mapping[Wanted, bytes] = {"pixels": BATCH_PREFIX, "coded": CODED_PREFIX, None: HEAD_PREFIX}
_DECODERS: Mapping[Wanted, Callable[[Sequence[Any]], FrameBatch]] = {
    "pixels": decode_batch, "coded": decode_coded, None: decode_head,
}  # fmt: skip


@dataclass(slots=True)
class SubscriberStats:
    """What one subscriber has seen so far; but for the two ages the numbers only rise."""

    received: int = 0
    """Batches handed out."""
    gaps: Counter[str] = field(default_factory=Counter)
    """Holes by reason: ``lost`` within an epoch, ``restarted`` from the end of one to the start of another."""
    missed: int = 0
    """Batches in those holes, as far as they can be counted: those of an epoch that is over cannot."""
    missed_of: Counter[str] = field(default_factory=Counter)
    """The same by group."""
    skipped: int = 0
    """Batches that were here, and that ``latest`` passed over for newer ones."""
    age_ns: int = 0
    """Of the batch handed out last: the time from its window's end until then."""
    lag_ns: int = 0
    """Of the same: the time since it left the service, so what it waited on its way and here."""
    epochs: int = 0
    """Epochs met, over all groups."""
    invalid: int = 0
    """Messages that do not follow the protocol."""
    late: int = 0
    """Late frames handed out."""
    reclaimed: int = 0
    """Frames that were held for longer than their lease, and lost (mode ``local``)."""
    ignored: Counter[str] = field(default_factory=Counter)
    """Messages set aside: ``duplicate``, ``old_epoch``, ``other_group``."""


def group_names(group: Groups) -> tuple[str, ...] | None:
    """The groups that somebody asks for, each once; None: all.

    Raises:
        UsageError: one cannot be a name, or there is none.
    """
    if group is None:
        return None
    names = tuple(group) if isinstance(group, Iterable) and not isinstance(group, str) else (group,)
    if not names:
        raise UsageError("group []: at least one name, or None for all groups")
    for name in names:
        if not isinstance(name, str) or not _GROUP.fullmatch(name):
            raise UsageError(f"group {name!r}: a name matches [a-z0-9_-]{{1,64}}")
    return tuple(dict.fromkeys(names))


class Inbox:
    """Messages in, batches and gaps out, in order; the core that both subscribers share.

    Args:
        group: the one to keep, or several; None keeps all. ZeroMQ matches prefixes, so others' messages come in too.
        yields_gaps: hand gaps out; otherwise they are only counted.
        payload: what the frames are to have: their pixels, their coded pictures, or nothing.
        yields_late: hand out late frames, each as it comes.
    """

    def __init__(
        self, group: Groups, yields_gaps: bool, payload: Wanted = "pixels", *, yields_late: bool = False
    ) -> None:
        self.groups = group_names(group)
        """Those to keep; None keeps all."""
        self.stats = SubscriberStats()
        self.has_begun = False
        """Whether any batch accounts for a frame, that is, whether the streams have begun."""
        if payload not in _PREFIXES:
            raise UsageError(f"payload {payload!r}: allowed are 'pixels', 'coded' and None")
        self._has_payloads, self._decode = payload is not None, _DECODERS[payload]
        names = [name.encode() for name in self.groups or ("",)]
        self.topics = tuple(_PREFIXES[payload] + name for name in names)
        """The subscriptions to make at first, one per group."""
        self.topics_later = (STATUS_TOPIC, *(LATE_PREFIX + name for name in names if yields_late))
        """Those to make once the service has begun: one that waits for N subscriptions counts the first ones alone."""
        self._yields_gaps = yields_gaps
        self._tracker = SequenceTracker()
        self._decoders = Decoders()
        self._ready: deque[tuple[Item, bytes]] = deque()
        self._epoch = -1
        self._is_over = False
        self._header = b""

    @property
    def has_ended(self) -> bool:
        """Whether the service has ended: nothing will come any more."""
        return self._is_over

    @property
    def is_over(self) -> bool:
        """Whether the service has ended and everything before its end was taken."""
        return self._is_over and not self._ready

    def feed(self, parts: Sequence[Any]) -> str | None:
        """Take in one message: ``[topic, header, *payloads]``, each a readable buffer. Never raises for its content.

        Returns:
            The group that it is news of; None where it gives the user nothing.
        """
        topic = bytes(parts[0])
        try:
            if topic == STATUS_TOPIC:
                self._feed_status(parts)
            elif topic == RESUMED_TOPIC:
                self._feed_resumed(parts)
            elif topic.startswith(GAP_PREFIX):
                return self._feed_missing(parts)
            elif self.groups is not None and topic not in (*self.topics, *self.topics_later):
                self.stats.ignored["other_group"] += 1
            elif topic.startswith(LATE_PREFIX):
                return self._feed_late(parts)
            else:
                return self._feed_batch(parts)
        except WireError:
            self.stats.invalid += 1
        return None

    def take(self) -> Item | None:
        """The next item; None when nothing is there."""
        if not self._ready:
            return None
        item, header = self._ready.popleft()
        self._header = header or self._header
        if isinstance(item, FrameBatch):
            self.stats.received += 1
        elif isinstance(item, LateFrame):
            self.stats.late += 1
        return item

    def skip(self, is_outdated: Callable[[FrameBatch], bool]) -> FrameBatch | None:
        """Pass over all but the newest batch of each group, and let outdated ones stand back; the next one, if any."""
        batches = [(item, header) for item, header in self._ready if isinstance(item, FrameBatch)]
        newest = {batch.group: (batch, header) for batch, header in batches}
        self.stats.skipped += len(batches) - len(newest)
        kept = sorted(newest.values(), key=lambda one: is_outdated(one[0]))
        self._ready = deque[tuple[Item, bytes]](kept)
        return kept[0][0] if kept else None

    def header(self) -> dict[str, Any]:
        """The header of the batch or late frame that was taken last; empty before the first."""
        return decode_header(self._header) if self._header else {}

    def _feed_status(self, parts: Sequence[Any]) -> None:
        if len(parts) != 2:
            raise WireError(f"status: {len(parts)} parts, not 2")
        status = decode_status(parts[1])
        if status.epoch < self._epoch:
            self.stats.ignored["old_epoch"] += 1
        elif status.state == "ended":
            self._is_over = True

    def _feed_resumed(self, parts: Sequence[Any]) -> None:
        """A lossless subscription goes on; what came before it need not have come to this process."""
        for group, course in decode_resumed(parts[-1]).groups.items():
            if course.after is not None:
                self._tracker.begin(Marked.of(group, course.after))

    def _feed_missing(self, parts: Sequence[Any]) -> str:
        """A lossless service says what it has not any more."""
        missing = decode_missing(parts[-1])
        if missing.after is not None:
            self._tracker.begin(Marked.of(missing.group, missing.after))
        gap = self._tracker.pass_over(Marked.of(missing.group, missing.last), missing.reason)
        if gap is not None:
            self._note_gap(gap)
        return missing.group

    def _note_gap(self, gap: Gap) -> None:
        self.stats.gaps[gap.reason] += 1
        self.stats.missed += gap.batches
        self.stats.missed_of[gap.group] += gap.batches
        if self._yields_gaps:
            self._ready.append((gap, b""))

    def _feed_late(self, parts: Sequence[Any]) -> str | None:
        late = decode_late(parts)
        if late.epoch < self._tracker.epoch_of(late.group):
            self.stats.ignored["old_epoch"] += 1
            return None
        self._decoders.learn_late(late)
        self._ready.append((late, bytes(parts[1])))
        return late.group

    def _feed_batch(self, parts: Sequence[Any]) -> str | None:
        batch = self._decode(parts)
        known = self._tracker.epoch_of(batch.group)
        refusal, gap = self._tracker.admit(batch)
        if refusal:
            self.stats.ignored[refusal] += 1
            return None
        if self._has_payloads:
            self._decoders.learn(batch)
        self.stats.epochs += batch.epoch > known
        self._epoch = max(self._epoch, batch.epoch)
        self.has_begun = self.has_begun or any(counts.captured for counts in batch.counts.values())
        if gap is not None:
            self._note_gap(gap)
        self._ready.append((batch, bytes(parts[1])))
        return batch.group
