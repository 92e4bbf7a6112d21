"""Which part of a recording is played; pure but for the recording's own reading."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from syncsvc.capture.stamps import of_date
from syncsvc.clock import NS_PER_S, utc_text
from syncsvc.errors import UsageError
from syncsvc.model import FrameBatch
from syncsvc.recording.contents import StoredBatch, StoredSegment

_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
ALLOWED = "seconds after the beginning, or a time with its zone such as 2026-01-31T12:00:00Z"


@dataclass(frozen=True, slots=True)
class ReplaySpan:
    """From one moment to another, both UTC of the live run; a window belongs to it that lies in it, or partly."""

    from_ns: int | None = None
    to_ns: int | None = None

    def has(self, batch: FrameBatch) -> bool:
        """Whether a batch is played."""
        is_early = self.from_ns is not None and batch.window_end_ns <= self.from_ns
        return not is_early and (self.to_ns is None or batch.window_start_ns < self.to_ns)

    def segments(self, segments: Sequence[StoredSegment]) -> Sequence[StoredSegment]:
        """The segments that are read: those are left out that end before, as the beginning of the next one says."""
        if self.from_ns is None:
            return segments
        first = 0
        for at, segment in enumerate(segments):
            beginning = first_batch(segment)
            if beginning is not None and beginning.window_end_ns <= self.from_ns:
                first = at
        return segments[first:]


def first_batch(segment: StoredSegment) -> FrameBatch | None:
    """The first batch of a segment; None where it has none."""
    return next((item.batch for item in segment.batches() if isinstance(item, StoredBatch)), None)


def first_played(span: ReplaySpan, segments: Sequence[StoredSegment]) -> FrameBatch | None:
    """The first batch of a part; None where it has none."""
    parts = (item for segment in span.segments(segments) for item in segment.batches())
    return next((item.batch for item in parts if isinstance(item, StoredBatch) and span.has(item.batch)), None)


def span_of(begin: str | None, end: str | None, segments: Sequence[StoredSegment]) -> ReplaySpan:
    """The part that somebody asks for.

    Args:
        begin: as ``ALLOWED`` says; None is the recording's beginning.
        end: likewise; None is its end.
        segments: all that there are.

    Raises:
        UsageError: a text is no time, or nothing was recorded then.
    """
    start = first_played(ReplaySpan(), segments)
    if start is None:
        raise UsageError("nothing was recorded: there is no batch to play")
    zero_ns = start.window_start_ns
    span = ReplaySpan(_moment(begin, zero_ns, "--from"), _moment(end, zero_ns, "--to"))
    if first_played(span, segments) is None:
        raise UsageError(f"nothing was recorded from {begin or 'the beginning'} to {end or 'the end'}: "
                         f"the recording begins at {utc_text(zero_ns)}")  # fmt: skip
    return span


def _moment(text: str | None, zero_ns: int, option: str) -> int | None:
    if text is None:
        return None
    if _SECONDS.fullmatch(text):
        whole, _, fraction = text.partition(".")
        return zero_ns + int(whole) * NS_PER_S + int(fraction.ljust(9, "0"))
    stamp = of_date(text)
    if stamp is None:
        raise UsageError(f"{option}: found {text!r}; allowed: {ALLOWED}")
    return stamp.utc_ns
