"""Which part of a recording is played: by the clock, or by seconds after its beginning."""

import pytest

from syncsvc.errors import UsageError
from syncsvc.replay.span import ReplaySpan, first_played, span_of
from tests.batches import T0, batch
from tests.recordings import MemorySegment, of_batch

S = 1_000_000_000


def segments() -> list[MemorySegment]:
    """Windows 0 to 2, and 3 to 5."""
    return [MemorySegment([of_batch(batch(seq)) for seq in range(first, first + 3)], {}) for first in (0, 3)]


def played(begin: str | None, end: str | None) -> list[int]:
    span = span_of(begin, end, segments())
    batches = [item.batch for one in span.segments(segments()) for item in one.items]
    return [one.seq for one in batches if span.has(one)]


@pytest.mark.parametrize(
    ("begin", "end", "expected"),
    [
        (None, None, [0, 1, 2, 3, 4, 5]),
        ("2", None, [2, 3, 4, 5]),
        ("2.5", "4", [2, 3]),
        ("2026-01-01T00:00:04Z", None, [4, 5]),
        ("2026-01-01T01:00:01+01:00", "3", [1, 2]),
        (None, "2026-01-01T00:00:00.5Z", [0]),
    ],
)
def test_windows_that_lie_in_it_or_partly(begin: str | None, end: str | None, expected: list[int]) -> None:
    assert played(begin, end) == expected


def test_segments_that_end_before_are_not_read() -> None:
    ours = segments()
    assert list(ReplaySpan(T0 + 4 * S).segments(ours)) == ours[1:]
    first = first_played(ReplaySpan(T0 + 4 * S), ours)
    assert first is not None
    assert first.seq == 4


@pytest.mark.parametrize(
    ("begin", "end", "words"),
    [
        ("noon", None, "--from: found 'noon'; allowed: seconds after the beginning"),
        (None, "2026-01-31T12:00:00", "--to: found '2026-01-31T12:00:00'; allowed"),  # in which zone?
        ("9", None, "nothing was recorded from 9 to the end: the recording begins at 2026-01-01T00:00:00"),
        ("4", "2", "nothing was recorded from 4 to 2"),
    ],
)
def test_a_part_that_is_none_is_refused_in_one_line(begin: str | None, end: str | None, words: str) -> None:
    with pytest.raises(UsageError, match=words.replace("(", r"\(")) as refusal:
        span_of(begin, end, segments())
    assert "\n" not in str(refusal.value)


def test_a_recording_without_a_batch_is_refused() -> None:
    with pytest.raises(UsageError, match="nothing was recorded"):
        span_of(None, None, [MemorySegment([], {})])
