"""When a batch was to leave: a function of the batch and the bounds of its group."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncsvc.align.deadline import deadline_of
from syncsvc.observe.events import GroupRules
from syncsvc.testing import MS, T0, GroupBench, S, frame
from tests.batches import batch

WINDOWS = GroupRules(("north",), S, 40 * MS, 500 * MS)
SETS = GroupRules(("north",), None, 40 * MS, 500 * MS)


def test_with_windows_it_is_the_windows_end_and_the_longest_latency() -> None:
    assert deadline_of(batch(3), WINDOWS) == T0 + 4500 * MS


def test_without_windows_it_is_that_of_the_oldest_frame_or_of_the_silence() -> None:
    some = batch(3, frames={"north": [frame("north", 1, T0 + 3900 * MS)], "south": [frame("south", 1, T0 + 3880 * MS)]})
    assert deadline_of(some, SETS) == T0 + 4380 * MS
    assert deadline_of(batch(3, frames={"north": []}), SETS) == T0 + 4500 * MS


@pytest.mark.parametrize("window_ms", [1000, None])
@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3_000), st.integers(0, 800)), max_size=40))
def test_no_batch_of_a_group_that_looks_at_its_clock_is_late(
    window_ms: int | None, frames: list[tuple[str, int, int]]
) -> None:
    """Each frame with the time that it took to come: the longest of these are longer than the group waits."""
    bench = GroupBench("ab", window_ms=window_ms)
    last_ms = {"a": -1, "b": -1}
    for seq, (stream, time_ms, delay_ms) in enumerate(sorted(frames, key=lambda one: one[1])):
        last_ms[stream] = max(last_ms[stream] + 1, time_ms)
        bench.pass_to(T0 + (last_ms[stream] + delay_ms) * MS, 5 * MS)
        bench.add(frame(stream, seq, T0 + last_ms[stream] * MS, arrival_ns=bench.clock.utc_ns()))
    bench.pass_to(T0 + 6 * S, 5 * MS)
    assert bench.batches
    for one, left_ns in zip(bench.batches, bench.left_at_ns, strict=True):
        came_ns = max((some.arrival_ns for frames in one.frames.values() for some in frames), default=0)
        assert left_ns <= max(deadline_of(one, bench.rules) + 5 * MS, came_ns), (
            "it waits for nobody beyond its deadline"
        )
