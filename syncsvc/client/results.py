"""Decides what a message of ``syncsvc process`` means for the user: a result, a gap, the end, or nothing."""

from collections import deque
from collections.abc import Sequence
from typing import Any

from syncsvc.client.sequence import Groups, SubscriberStats, group_names
from syncsvc.errors import WireError
from syncsvc.model import Gap
from syncsvc.wire import STATUS_TOPIC, decode_status
from syncsvc.wire.result import RESULT_PREFIX, Result, decode_result, decode_result_header


class ResultInbox:
    """Messages in, results and gaps out, in order; no socket, no clock.

    Results are numbered by group: a hole in ``number`` is what this subscriber lost, and a new ``pool_id`` is another
    start of the command, of which it lost all before the first.
    """

    topics_later: tuple[bytes, ...] = ()
    has_begun = False

    def __init__(self, group: Groups, yields_gaps: bool) -> None:
        self.groups = group_names(group)
        self.stats = SubscriberStats()
        self.topics = (*(RESULT_PREFIX + name.encode() for name in self.groups or ("",)), STATUS_TOPIC)
        self._yields_gaps = yields_gaps
        self._last: dict[str, Result] = {}
        self._ready: deque[tuple[Result | Gap, bytes]] = deque()
        self._header, self._epoch, self.has_ended = b"", -1, False

    @property
    def is_over(self) -> bool:
        """Whether the pool has ended and everything before its end was taken."""
        return self.has_ended and not self._ready

    def feed(self, parts: Sequence[Any]) -> str | None:
        """Take in one message; returns the group that it is news of. Never raises for its content."""
        try:
            if bytes(parts[0]) == STATUS_TOPIC:
                self._feed_status(parts)
            else:
                return self._feed_result(parts)
        except WireError:
            self.stats.invalid += 1
        return None

    def _feed_status(self, parts: Sequence[Any]) -> None:
        if len(parts) != 2:
            raise WireError(f"status: {len(parts)} parts, not 2")
        status = decode_status(parts[1])
        if status.epoch < self._epoch:
            self.stats.ignored["old_epoch"] += 1
            return
        self._epoch, self.has_ended = status.epoch, status.state == "ended"

    def _feed_result(self, parts: Sequence[Any]) -> str | None:
        result = decode_result(parts)
        if self.groups is not None and result.group not in self.groups:
            self.stats.ignored["other_group"] += 1
            return None
        last = self._last.get(result.group)
        if last is not None and last.pool_id == result.pool_id and result.number <= last.number:
            self.stats.ignored["duplicate"] += 1
            return None
        self._last[result.group] = result
        if last is not None:
            self._note_hole(last, result)
        self._ready.append((result, bytes(parts[1])))
        return result.group

    def _note_hole(self, last: Result, result: Result) -> None:
        is_new = last.pool_id != result.pool_id
        first = 0 if is_new else last.number + 1
        if result.number == first and not is_new:
            return
        windows = last.window_start_ns, result.window_start_ns
        gap = Gap(first, result.number - 1, "restarted" if is_new else "lost", result.group, *windows)
        self.stats.gaps[gap.reason] += 1
        self.stats.missed += gap.batches
        self.stats.missed_of[gap.group] += gap.batches
        if self._yields_gaps:
            self._ready.append((gap, b""))

    def take(self) -> Result | Gap | None:
        """The next item; None when nothing is there."""
        if not self._ready:
            return None
        item, header = self._ready.popleft()
        self._header = header or self._header
        self.stats.received += isinstance(item, Result)
        return item

    def header(self) -> dict[str, Any]:
        """The header of the result that was taken last; empty before the first."""
        return decode_result_header(self._header) if self._header else {}
