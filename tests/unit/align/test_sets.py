"""When a group without windows lets its sets go, who drives them, what their batches say, what happens around them."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from msgspec import structs

from syncsvc.align.group import first_window
from syncsvc.layout import Layout
from syncsvc.model import Counts, FrameBatch, StreamState
from syncsvc.observe.events import Draining, Expect, Reconfigure
from syncsvc.testing import MS, T0, TINY, GroupBench, S
from tests.unit.align.test_group import at, seqs

LIVE, STALLED, ABSENT, ENDED = StreamState.LIVE, StreamState.STALLED, StreamState.ABSENT, StreamState.ENDED


def bench_of(streams: str, *, is_live: bool = True, **options: object) -> GroupBench:
    bench = GroupBench(streams, window_ms=None, **options)  # type: ignore[arg-type]
    if is_live:
        bench.states(LIVE)
    return bench


def take(bench: GroupBench, times_ms: dict[str, Sequence[float]]) -> None:
    """Frames come as they are taken."""
    seen = sorted((ms, name, seq) for name, some in times_ms.items() for seq, ms in enumerate(some))
    for ms, name, seq in seen:
        bench.pass_to(max(bench.clock.utc_ns(), T0 + round(ms * MS)), step_ns=MS)
        bench.add(at(name, seq, ms))


def sets(batches: Sequence[FrameBatch]) -> list[dict[str, int]]:
    return [{name: f.seq for name, f in some.frames.items()} for batch in batches for some in batch.sets]


def drivers(batches: Sequence[FrameBatch]) -> list[str]:
    """Whose frame each set's reference is."""
    times = [(batch.window_end_ns - 1, some.frames) for batch in batches for some in batch.sets]
    return [name for end_ns, some in times for name, f in some.items() if f.time_ns == end_ns]


def grid(phase_ms: float, fps: float, until_ms: float) -> list[float]:
    return [phase_ms + n * 1000 / fps for n in range(int((until_ms - phase_ms) * fps / 1000) + 1)]


def test_a_set_leaves_as_soon_as_everybody_was_heard_up_to_its_reference() -> None:
    bench = bench_of("abc", reference="a")
    bench.add(at("a", 0, 100), at("b", 0, 95), at("c", 0, 110))
    assert bench.batches == [], "a frame of b may come that is nearer"
    bench.add(at("b", 1, 135))
    [batch] = bench.batches
    assert sets([batch]) == [{"a": 0, "b": 0, "c": 0}]
    assert (batch.window_start_ns, batch.window_end_ns) == (T0, T0 + 100 * MS + 1)
    assert batch.complete


def test_the_first_frame_from_the_reference_on_decides_even_at_its_very_time() -> None:
    bench = bench_of("ab", reference="a")
    bench.add(at("b", 0, 99), at("a", 0, 100), at("b", 1, 100))
    assert sets(bench.batches) == [{"a": 0, "b": 1}]
    assert seqs(bench.batches[0], "b") == [0, 1], "what is in no set goes with the batch"


def test_frames_that_wait_for_a_stamp_are_waited_for_until_none_can_be_in_reach() -> None:
    bench = bench_of("ab", reference="a", max_skew_ms=40)
    bench.add(at("b", 0, 90), at("a", 0, 100))
    bench.group.tell(Expect("b", T0 + 140 * MS))
    assert bench.batches == []
    bench.group.tell(Expect("b", T0 + 140 * MS + 1))
    bench.settle()
    assert sets(bench.batches) == [{"a": 0, "b": 0}]


@pytest.mark.parametrize("state", [StreamState.STARTING, STALLED, ABSENT, ENDED])
def test_streams_that_are_not_live_hold_nothing_back(state: StreamState) -> None:
    bench = bench_of("abc")
    take(bench, {"a": [0, 40], "b": [5, 45], "c": [5]})
    bench.states(state, "c")
    take(bench, {"a": [], "b": []})
    bench.add(at("a", 2, 80), at("b", 2, 85))
    assert sets(bench.batches)[-1] == {"a": 2, "b": 2}
    assert bench.batches[-1].missing == {"c": state.value}


def test_the_first_set_waits_for_who_is_starting_until_its_deadline() -> None:
    together, alone = (bench_of("abc", is_live=False) for _ in range(2))
    together.add(at("b", 0, 3), at("a", 0, 0), at("c", 0, 5))
    assert sets(together.batches) == [{"a": 0, "b": 0, "c": 0}]
    take(alone, {"a": grid(0, 25, 1000), "b": grid(3, 25, 1000)})
    assert alone.left_at_ns[0] == T0 + 500 * MS
    assert sets(alone.batches) == [{"a": n, "b": n} for n in range(25)]
    assert alone.left_at_ns[-1] == T0 + 963 * MS, "whoever is still starting then holds nothing back"
    assert {why for batch in alone.batches for why in batch.missing.values()} == {"starting"}


def test_a_silent_stream_is_waited_for_until_the_deadline_to_the_nanosecond() -> None:
    bench = bench_of("abc", max_latency_ms=100)
    take(bench, {"a": [0], "b": [0], "c": [0]})
    bench.add(at("a", 1, 40), at("b", 1, 45))
    bench.clock.advance_to_utc(T0 + 140 * MS - 1)
    bench.settle()
    assert len(bench.batches) == 1
    bench.clock.advance(1)
    bench.settle()
    assert sets(bench.batches[1:]) == [{"a": 1, "b": 1}]
    assert bench.batches[1].missing == {"c": "deadline"}


def test_a_partner_before_the_reference_is_not_sent_alone_at_its_own_deadline() -> None:
    bench = bench_of("abc", max_latency_ms=100, reference="b")
    bench.add(at("a", 0, 20), at("b", 0, 30), at("a", 1, 60))
    bench.pass_to(T0 + 120 * MS, step_ns=MS)
    assert (sets(bench.batches), bench.left_at_ns) == ([{"a": 0, "b": 0}], [T0 + 120 * MS])


def test_frames_without_a_partner_go_with_the_next_batch_or_at_their_deadline() -> None:
    bench = bench_of("ab", reference="a", max_latency_ms=200)
    take(bench, {"a": [0, 100, 400], "b": [50, 110, 300, 500]})
    assert [(seqs(one, "a"), seqs(one, "b"), len(one.sets)) for one in bench.batches] == [
        ([0, 1], [0, 1], 1),
        ([], [2], 0),
    ]
    assert bench.left_at_ns == [T0 + 110 * MS, T0 + 500 * MS]
    bench.pass_to(T0 + 600 * MS, step_ns=MS)
    assert [(seqs(one, "a"), one.window_end_ns - T0) for one in bench.batches[2:]] == [([2], 400 * MS + 1)]


def test_silence_is_an_empty_batch_per_second() -> None:
    bench = bench_of("ab", max_latency_ms=300)
    take(bench, {"a": [200], "b": [200]})
    bench.pass_to(T0 + 2600 * MS)
    assert bench.left_at_ns[1:] == [T0 + 1510 * MS, T0 + 2510 * MS], "looked at every 10 ms"
    first, second = bench.batches[1:]
    assert (first.window_start_ns, first.window_end_ns) == (T0 + 200 * MS + 1, T0 + 1200 * MS + 1)
    assert (second.window_start_ns, dict(second.missing)) == (first.window_end_ns, {"a": "deadline", "b": "deadline"})


def test_a_frame_before_the_end_of_the_last_window_is_late() -> None:
    bench = bench_of("ab", max_latency_ms=100)
    take(bench, {"a": [0], "b": [0]})
    bench.add(at("a", 1, 40))
    bench.pass_to(T0 + 140 * MS)
    late = at("b", 1, 40)
    bench.add(late, at("b", 2, 41))
    assert bench.late == [(late, 2, (T0 + 40 * MS, T0 + 40 * MS + 1))]
    bench.add(at("a", 2, 80), at("b", 3, 80))
    assert [one.counts["b"].late for one in bench.batches] == [0, 0, 1]
    assert seqs(bench.batches[-1], "b") == [2, 3]


def test_the_stream_with_the_fewest_frames_drives_once_a_second_is_known() -> None:
    bench = bench_of("ab")
    take(bench, {"a": grid(0, 30, 3000), "b": grid(4, 15, 3000)})
    early = drivers([batch for batch in bench.batches if batch.window_end_ns < T0 + 900 * MS])
    late = [batch for batch in bench.batches if batch.window_end_ns > T0 + 1200 * MS]
    assert (set(early), set(drivers(late))) == ({"a"}, {"b"})
    assert {(len(batch.frames["a"]), len(batch.frames["b"])) for batch in late[1:]} == {(2, 1)}
    assert sets(late) == [{"a": 2 * one["b"], "b": one["b"]} for one in sets(late)]


def test_equal_rates_do_not_make_drivers_alternate() -> None:
    bench = bench_of("ab")
    lossy = [ms for n, ms in enumerate(grid(15, 25, 4000)) if n % 25 != 13]
    take(bench, {"a": grid(0, 25, 4000), "b": lossy})
    assert drivers(bench.batches) == ["a"] * len(drivers(bench.batches))
    assert len(drivers(bench.batches)) >= 95


@pytest.mark.parametrize("state", [STALLED, ABSENT, ENDED])
def test_a_driver_that_falls_away_is_replaced_after_its_last_frame(state: StreamState) -> None:
    bench = bench_of("abc")
    take(bench, {"a": [0, 40], "b": [5, 45, 85], "c": [7, 47]})
    bench.states(state, "a")
    bench.add(at("c", 2, 87))
    assert sets(bench.batches) == [{"a": 0, "b": 0, "c": 0}, {"a": 1, "b": 1, "c": 1}, {"b": 2, "c": 2}]


def test_a_driver_that_is_silent_past_the_deadline_is_replaced_until_it_is_heard_again() -> None:
    bench = bench_of("abc", max_latency_ms=100)
    take(bench, {"a": [0, 40], "b": grid(5, 25, 600), "c": grid(7, 25, 600)})
    assert sets(bench.batches)[2:] == [{"b": n, "c": n} for n in range(2, 12)]
    assert {why for batch in bench.batches[2:] for why in batch.missing.values()} == {"deadline"}
    bench.add(*(at("a", 2 + n, 600 + 40 * n) for n in range(3)), at("b", 15, 645), at("c", 15, 647))
    assert sets(bench.batches)[-1].keys() == {"a", "b", "c"}


def test_a_configured_reference_is_never_replaced() -> None:
    bench = bench_of("abc", reference="a", max_latency_ms=100)
    bench.states(ABSENT, "a")
    take(bench, {"b": grid(5, 25, 600), "c": grid(7, 25, 600)})
    assert sets(bench.batches) == []
    assert sum(len(batch.frames["b"]) for batch in bench.batches) == 12, "they leave at their deadlines"


def test_a_lost_frame_moves_no_other_set() -> None:
    """Every reference would take the next one's partner, if what it needs were not foreseen."""
    bench = bench_of("ab", reference="a", max_skew_ms=40)
    lossy = [ms for n, ms in enumerate(grid(25, 25, 2000)) if n != 20]
    take(bench, {"a": grid(40, 25, 2000), "b": lossy})
    spreads = [some.spread_ns for batch in bench.batches for some in batch.sets]
    assert set(spreads[2:]) == {15 * MS}
    assert len(spreads) == 48


def test_patience_waits_for_everybody_and_lets_lonely_frames_go_in_time() -> None:
    bench = bench_of("ab", is_live=False, is_patient=True, reference="a", max_latency_ms=200)
    bench.add(*(at("a", n, 100 * n) for n in range(5)))
    bench.pass_to(T0 + 60 * S, step_ns=S)
    assert bench.batches == []
    bench.add(at("b", 0, 205), at("b", 1, 1000))
    assert [(seqs(one, "a"), seqs(one, "b"), len(one.sets)) for one in bench.batches] == [([0, 1, 2], [0], 1)]
    bench.states(ENDED, "a")
    bench.settle()
    assert [seqs(one, "a") for one in bench.batches[1:]] == [[3], [4]], "nobody's: they left 200 ms of pictures later"
    bench.states(ENDED, "b")
    assert [seqs(one, "b") for one in bench.finish()] == [[0], [], [], [1]]


def test_a_drain_emits_the_sets_there_are_and_the_time_up_to_the_present() -> None:
    bench = bench_of("abc")
    bench.add(at("a", 0, 100), at("b", 0, 110), at("a", 1, 140), at("b", 1, 150), at("a", 2, 180))
    bench.pass_to(T0 + 300 * MS)
    bench.group.tell(Draining())
    batches = bench.finish()
    assert sets(batches) == [{"a": 0, "b": 0}, {"a": 1, "b": 1}]
    assert [one.window_end_ns - T0 for one in batches] == [100 * MS + 1, 140 * MS + 1, 300 * MS]
    assert (seqs(batches[2], "a"), dict(batches[2].missing)) == ([2], dict.fromkeys("abc", "draining"))


def test_a_jump_begins_a_new_epoch_and_no_time_comes_twice_after_one_forward() -> None:
    for jump in (3600 * S, 600 * MS, -3600 * S):
        bench = bench_of("ab")
        take(bench, {"a": [0, 40], "b": [5, 45]})
        bench.jump(jump, epoch=2)
        now_ms = (bench.utc.now_utc() - T0) / MS
        bench.add(*(at(n, 2 + k, now_ms - 50 + 40 * k) for k in range(3) for n in "ab"))
        bench.states(ENDED)
        batches = bench.finish()
        assert [(one.epoch, one.seq) for one in batches] == [(1, 0), (1, 1), (2, 0), (2, 1), (2, 2)]
        assert bench.late == []
        assert jump < 0 or all(b.window_start_ns >= a.window_end_ns for a, b in pairwise(batches))


def test_a_change_of_size_costs_no_frame() -> None:
    bench, other = bench_of("ab", reference="a"), Layout("gray8", 8, 8)
    old = [at("b", 0, 10), at("b", 1, 50)]
    bench.add(*old, replace(at("b", 2, 90), layout=other), at("a", 0, 100), replace(at("b", 3, 130), layout=other))
    [batch] = bench.batches
    assert [one.layout for one in batch.frames["b"]] == [TINY, TINY, other]
    assert batch.counts["b"] == Counts(3, 3)
    assert [one.payload.releases for one in old] == [0, 0]


def test_a_reload_gives_back_the_frames_of_streams_that_left_and_loses_no_others() -> None:
    bench = bench_of("abc")
    left = at("c", 0, 10)
    bench.add(at("a", 0, 0), at("b", 0, 5), left, at("c", 1, 50), at("a", 1, 40))
    assert len(bench.batches) == 1, "c went with the first set"
    bench.group.tell(Reconfigure(structs.replace(bench.rules, streams=("b", "a"))))
    bench.add(at("b", 1, 45))
    assert sets(bench.batches) == [{"a": 0, "b": 0, "c": 0}, {"b": 1, "a": 1}]
    assert list(bench.batches[1].frames) == ["b", "a"]


def test_no_batch_is_made_for_a_frame_whose_stream_left() -> None:
    bench = bench_of("abc")
    bench.add(at("c", 0, 10), at("a", 0, 200))
    bench.group.tell(Reconfigure(structs.replace(bench.rules, streams=("a", "b"))))
    bench.pass_to(T0 + 690 * MS)
    assert bench.batches == [], "a's frame is the oldest now"
    bench.pass_to(T0 + 700 * MS)
    assert [seqs(batch, "a") for batch in bench.batches] == [[0]]


def test_the_first_batch_begins_with_the_second_of_ready_and_never_before_what_was_emitted() -> None:
    assert first_window(T0 + 10, 0, 0, T0 + 20) == T0
    assert first_window(T0 + 10, T0 + 5, 0, T0 + 20) == T0 + 5
    assert first_window(T0, T0 + S, 0, T0 + 100 * S) == T0 + 90 * S, "not more than ten seconds are made up for"


def test_a_slow_stream_that_was_not_waited_for_is_not_said_to_lag() -> None:
    """Its pace tells that nothing of it is to come: with a frame in the batch it is here, else it took no picture."""
    bench = bench_of("abc")
    take(bench, {"a": grid(1, 25, 8000), "b": grid(3, 25, 8000), "c": grid(0, 2, 8000)})
    known = [batch for batch in bench.batches if batch.window_start_ns > T0 + 5000 * MS]
    assert {(bool(batch.frames["c"]), batch.missing.get("c")) for batch in known} == {(True, None), (False, "stalled")}
    assert [batch.complete for batch in known if any(not some.missing for some in batch.sets)] == [True] * 5


def test_a_slow_stream_that_goes_away_is_named_for_that_at_once() -> None:
    bench = bench_of("abc")
    take(bench, {"a": grid(1, 25, 5000), "b": grid(3, 25, 5000), "c": grid(0, 2, 5000)})
    bench.states(ABSENT, "c")
    take(bench, {"a": [5041], "b": [5043]})
    assert bench.batches[-1].missing == {"c": "absent"}


def test_pairs_leave_as_fast_beside_a_slow_stream_as_without_it() -> None:
    pairs = {"a": grid(0, 25, 8000), "b": grid(9, 25, 8000)}
    beside, apart = bench_of("abc"), bench_of("ab")
    take(beside, pairs | {"c": grid(27, 2, 8000)})
    take(apart, pairs)

    def left_after(bench: GroupBench) -> dict[int, int]:
        """How long after its reference each pair left, once the slow one's pace is known."""
        left = zip(bench.batches, bench.left_at_ns, strict=True)
        settled = [(batch, ns) for batch, ns in left if batch.sets and batch.window_end_ns > T0 + 5 * S]
        return {
            batch.sets[0].frames["a"].seq: ns - batch.window_end_ns
            for batch, ns in settled
            if len(batch.sets[0].frames) == 2
        }

    waits, alone = left_after(beside), left_after(apart)
    may_come = {seq for seq in waits if (40 * seq - 27) % 500 > 400}
    assert {seq: ns for seq, ns in waits.items() if seq not in may_come} == {
        seq: ns for seq, ns in alone.items() if seq in waits and seq not in may_come
    }
    assert len(waits) >= 68
    assert len(may_come) <= 14, "who is soon to come is waited for"
    assert beside.late == []


def test_a_stream_that_speeds_up_is_waited_for_again() -> None:
    bench = bench_of("abc")
    fast = [5000 + ms for ms in grid(20, 25, 3000)]
    take(bench, {"a": grid(0, 25, 8000), "b": grid(9, 25, 8000), "c": [*grid(27, 2, 5000), *fast]})
    last = [batch.sets[0] for batch in bench.batches if batch.window_end_ns > T0 + 6 * S and batch.sets]
    assert len(last) >= 48
    assert all(some.missing == () for some in last)


def test_the_frames_of_a_group_of_one_stream_leave_at_once() -> None:
    bench = bench_of("a")
    take(bench, {"a": grid(3, 25, 1000)})
    assert [seqs(batch, "a") for batch in bench.batches] == [[n] for n in range(25)]
    assert bench.left_at_ns == [f.time_ns for batch in bench.batches for f in batch.frames["a"]]
    assert all(batch.sets == [] and batch.complete for batch in bench.batches)


def test_a_set_has_as_many_streams_as_are_asked_for() -> None:
    bench = bench_of("abc", min_streams=3)
    take(bench, {"a": grid(0, 25, 1000), "b": grid(5, 25, 1000), "c": grid(7, 5, 1000)})
    bench.states(ENDED)
    assert sets(bench.finish()) == [{"a": n, "b": n, "c": n // 5} for n in range(0, 25, 5)]
