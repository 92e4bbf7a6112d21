"""Lines about lost frames: at most one a second, and none of the frames is left out."""

import re

from hypothesis import given
from hypothesis import strategies as st

from syncsvc.ingest.tally import Losses
from syncsvc.observe.pace import EVERY_NS
from syncsvc.testing import MS, ManualClock, S


def test_the_first_loss_is_told_at_once_and_the_others_when_the_second_is_over() -> None:
    clock, losses = ManualClock(), Losses()
    assert losses.due(clock.monotonic_ns()) == ""
    losses.add("ring_full", 1)
    assert losses.due(clock.monotonic_ns()) == "1 frame lost: 1 ring_full"
    for _ in range(9):
        clock.advance(100 * MS)
        losses.add("decode_error", 1)
        losses.add("ring_full", 2)
        assert losses.due(clock.monotonic_ns()) == ""
    clock.advance(100 * MS)
    assert losses.due(clock.monotonic_ns()) == "27 frames lost: 18 ring_full, 9 decode_error"
    clock.advance(10 * S)
    assert losses.due(clock.monotonic_ns()) == "", "nothing was lost since"
    losses.add("capture_died", 3)
    assert losses.due(clock.monotonic_ns()) == "3 frames lost: 3 capture_died"


def test_the_end_does_not_wait_for_the_second() -> None:
    clock, losses = ManualClock(), Losses()
    losses.add("ring_full", 1)
    losses.due(clock.monotonic_ns())
    assert losses.rest() == ""
    losses.add("ring_full", 4)
    assert losses.due(clock.monotonic_ns()) == ""
    assert losses.rest() == "4 frames lost: 4 ring_full"
    assert losses.rest() == ""


@given(st.lists(st.tuples(st.integers(1, 1000), st.sampled_from(["ring_full", "decode_error"]), st.integers(0, S))))
def test_all_lines_together_tell_of_every_frame_and_no_two_within_a_second(
    steps: list[tuple[int, str, int]],
) -> None:
    clock, losses, told, last_ns = ManualClock(), Losses(), 0, None
    for count, cause, pause_ns in steps:
        clock.advance(pause_ns)
        losses.add(cause, count)
        line = losses.due(now_ns := clock.monotonic_ns())
        if line:
            assert last_ns is None or now_ns - last_ns >= EVERY_NS
            last_ns = now_ns
            told += int(line.split()[0])
            assert sum(map(int, re.findall(r"(\d+) [a-z_]+(?:,|$)", line.split(": ")[1]))) == int(line.split()[0])
    told += int((losses.rest() or "0 ").split()[0])
    assert told == sum(count for count, _, _ in steps)
