"""How much one source may write to the log in a second, and that nothing is left out without a number."""

import logging
from collections.abc import Sequence
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncsvc.observe import log_limit
from syncsvc.observe.log_limit import MOST_LINES, LimitedHandler, LogLimit
from syncsvc.testing import MS, ManualClock, S


def record(template: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("x", logging.WARNING, "", 1, template, arguments, None)


@given(st.lists(st.integers(0, 3_000), max_size=200))
def test_every_line_is_written_or_counted_and_no_second_has_more_than_may_be(at_ms: Sequence[int]) -> None:
    limit, written, told = LogLimit(), list[int](), 0
    for now_ms in sorted(at_ms):
        told += sum(count for _, count in limit.due(now_ms * MS))
        if limit.admits(record("a stranger sent nonsense"), now_ms * MS):
            written.append(now_ms)
    told += sum(count for _, count in limit.due())
    assert len(written) + told == len(at_ms)
    assert not limit.has_more
    for one, more in zip(written, written[2 * MOST_LINES :], strict=False):
        assert more - one >= 1000, "a second that begins anywhere reaches into two of the limit's"


def test_a_source_that_is_loud_hides_no_other() -> None:
    limit = LogLimit()
    loud = [limit.admits(record("stream %s: %s", "north", number), 0) for number in range(100)]
    assert sum(loud) == MOST_LINES
    assert limit.admits(record("stream %s: %s", "south", "closed the connection"), 0)
    assert limit.admits(record("draining"), 0)
    [(last, count)] = limit.due(S)
    assert (last.getMessage(), count) == ("stream north: 99", 100 - MOST_LINES)


@pytest.mark.parametrize("speaks_again", [True, False])
def test_what_was_left_out_is_told_with_its_number_when_somebody_speaks_or_at_the_end(
    *, speaks_again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_limit, "TELL_AFTER_S", 3600.0)  # a slow machine takes a second for these lines
    clock, shown = ManualClock(), StringIO()
    handler = LimitedHandler(shown, clock)
    for number in range(5_700):
        handler.handle(record("nonsense %d", number))
    lines = shown.getvalue().splitlines()
    assert lines == [f"nonsense {number}" for number in range(MOST_LINES)]
    clock.advance(S)
    if speaks_again:
        handler.handle(record("draining"))
    handler.close()
    more = shown.getvalue().splitlines()[MOST_LINES:]
    assert more == ["5,695 more lines in a second, the last of them: nonsense 5699", *["draining"] * speaks_again]
