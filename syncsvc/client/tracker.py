"""Which batches are news, and what is missing before them: by their numbers and their windows. No socket, no clock."""

from dataclasses import dataclass, replace
from typing import Final

from syncsvc.model import FrameBatch, Gap
from syncsvc.wire import Mark

_NEVER_NS: Final = 2**62


@dataclass(frozen=True, slots=True)
class Marked:
    """A batch that is not here, as a lossless service names it."""

    group: str
    run_id: str
    epoch: int
    seq: int
    window_start_ns: int
    window_end_ns: int

    @classmethod
    def of(cls, group: str, mark: Mark) -> "Marked":
        """Where nobody knows the window any more it counts as one that is not over: what follows tells its times."""
        return cls(group, mark.run_id, mark.epoch, mark.seq, *(mark.window or (_NEVER_NS, _NEVER_NS)))


Numbered = FrameBatch | Marked


class SequenceTracker:
    """Follows ``(run_id, epoch, seq)`` of each group.

    Guarantees:
        * What is admitted rises in ``(epoch, seq)``, strictly, per group.
        * Within an epoch, admitted batches and gaps together name every ``seq`` from the first admitted one on, once.
        * A later epoch of a group is complete from ``seq`` 0 on, by batches and gaps.
        * Batches and gaps together cover every window from the first admitted one on, whoever should have emitted it.
        * The first batch of a group makes no gap.
    """

    def __init__(self) -> None:
        self._last: dict[str, Numbered] = {}

    def epoch_of(self, group: str) -> int:
        """The group's epoch; -1 before its first batch."""
        return self._last[group].epoch if group in self._last else -1

    def begin(self, after: Marked) -> None:
        """What comes of a group follows this one, unless something is known of the group already."""
        self._last.setdefault(after.group, after)

    def pass_over(self, last: Marked, reason: str) -> Gap | None:
        """All up to this one will not come; the gap that this is, if it is one."""
        start_ns, end_ns = last.window_start_ns, last.window_end_ns
        length_ns = end_ns - start_ns
        self.begin(replace(last, seq=last.seq - 1, window_start_ns=start_ns - length_ns, window_end_ns=start_ns))
        following = replace(last, seq=last.seq + 1, window_start_ns=end_ns, window_end_ns=end_ns + length_ns)
        refusal, gap = self.admit(following)
        if not refusal:
            self._last[last.group] = last
        return None if gap is None else replace(gap, reason=reason)

    def admit(self, batch: Numbered) -> tuple[str, Gap | None]:
        """Whether a batch is news, and what is missing before it.

        Returns:
            ``("", gap)`` when it is, with the gap before it or None; otherwise why not: ``duplicate`` or ``old_epoch``.
        """
        gap: Gap | None = None
        last = self._last.get(batch.group)
        if last is not None:
            if batch.epoch < last.epoch or (batch.epoch == last.epoch and batch.run_id != last.run_id):
                return "old_epoch", None  # two daemons never share an epoch: the one followed first keeps it
            is_new = batch.epoch > last.epoch
            if not is_new and batch.seq <= last.seq:
                return "duplicate", None
            first_seq = 0 if is_new else last.seq + 1
            if batch.seq > first_seq or batch.window_start_ns > last.window_end_ns:
                reason = "lost" if not is_new and batch.seq > first_seq else "restarted"
                windows = _windows_between(last, batch, batch.seq - first_seq)
                gap = Gap(first_seq, batch.seq - 1, reason, batch.group, *windows)
        self._last[batch.group] = _mark_of(batch)
        return "", gap


def _mark_of(batch: Numbered) -> Marked:
    """What is remembered of a batch."""
    return Marked(batch.group, batch.run_id, batch.epoch, batch.seq, batch.window_start_ns, batch.window_end_ns)


def _windows_between(before: Numbered, after: Numbered, missing: int) -> tuple[int, int]:
    """The first and the last window between two batches, by their starts; see ``Gap``.

    Where the clock was set back between them, it is the windows of the batches that are missing before the second.
    """
    start_ns, end_ns = before.window_end_ns, after.window_start_ns
    length_ns = after.window_end_ns - end_ns
    if end_ns <= start_ns:
        start_ns = end_ns - missing * length_ns
    has_one_length = length_ns > 0 and (end_ns - start_ns) % length_ns == 0
    return start_ns, end_ns - (length_ns if has_one_length else 1)
