"""When a group's windows close, what their batches say is missing, what a jump, a reload or the end does to them."""

from collections.abc import Callable
from random import Random

import pytest

from syncsvc.align.decider import NOTHING, Now
from syncsvc.align.deciders import decider_for
from syncsvc.align.group import first_window
from syncsvc.align.window_aligner import WindowAligner
from syncsvc.align.windows import GroupWindows
from syncsvc.bench.rules import ApproximateTime
from syncsvc.layout import Layout
from syncsvc.model import Counts, Frame, FrameBatch, StreamState
from syncsvc.observe.events import Draining, Drop, End, Expect, GroupRules, Open, Reconfigure, Skip
from syncsvc.pairing.policy import Fixed, FrameT, Policy, Window
from syncsvc.testing import MS, T0, TINY, GroupBench, S, frame

LIVE, STALLED, ABSENT, ENDED = StreamState.LIVE, StreamState.STALLED, StreamState.ABSENT, StreamState.ENDED


def at(stream: str, seq: int, ms: float) -> Frame:
    """A frame taken so many milliseconds after T0; it arrived long ago."""
    return frame(stream, seq, T0 + round(ms * MS), arrival_ns=T0 - 7200 * S)


def every(bench: GroupBench, stream: str, first_ms: int, until_ms: int, step_ms: int = 100, seq: int = 0) -> int:
    """Frames that come as they are taken, while time passes; returns the next number."""
    for ms in range(first_ms, until_ms, step_ms):
        bench.pass_to(T0 + ms * MS)
        bench.add(at(stream, seq, ms))
        seq += 1
    return seq


def seqs(batch: FrameBatch, stream: str) -> list[int]:
    return [one.seq for one in batch.frames[stream]]


def test_a_window_closes_when_everybody_was_heard_two_skews_past_its_end() -> None:
    bench = GroupBench("ab", max_skew_ms=40)
    bench.states(LIVE)
    bench.add(at("a", 0, 500), at("b", 0, 500), at("a", 1, 1080), at("b", 1, 1079))
    assert bench.batches == []
    bench.add(at("b", 2, 1080))
    assert [one.missing for one in bench.batches] == [{}]
    assert bench.batches[0].complete


def test_the_window_of_a_single_stream_waits_for_nobody() -> None:
    bench = GroupBench("a", max_skew_ms=40)
    bench.states(LIVE)
    bench.add(at("a", 0, 500), at("a", 1, 999))
    assert bench.batches == []
    bench.add(at("a", 2, 1000))
    assert [seqs(one, "a") for one in bench.batches] == [[0, 1]]


def test_the_deadline_is_kept_to_the_nanosecond_and_not_used_before() -> None:
    bench = GroupBench("ab", max_latency_ms=500)
    bench.states(LIVE)
    bench.add(at("a", 0, 10), at("b", 0, 10), at("a", 1, 1400))
    bench.clock.advance_to_utc(T0 + 1500 * MS - 1)
    bench.settle()
    assert bench.batches == []
    bench.clock.advance(1)
    bench.settle()
    assert [(one.seq, dict(one.missing)) for one in bench.batches] == [(0, {"b": "deadline"})]


def test_the_deadline_runs_on_monotonic_time_while_the_host_is_slewed() -> None:
    bench = GroupBench("a", max_latency_ms=500)
    bench.states(LIVE)
    bench.clock.step_utc(-400 * MS)
    bench.pass_to(T0 + 1600 * MS, step_ns=MS)
    [left_at] = bench.left_at_ns
    passed_ms = (left_at - (T0 - 400 * MS)) / MS
    assert 1500 <= passed_ms <= 1502, "500 ppm of a second and a half, not the 400 ms that the host was set back by"


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (StreamState.STARTING, "starting"),
        (LIVE, "deadline"),
        (STALLED, "stalled"),
        (ABSENT, "absent"),
        (ENDED, "ended"),
    ],
)
def test_why_a_silent_stream_is_missing(state: StreamState, reason: str) -> None:
    bench = GroupBench("ab")
    bench.states(LIVE, "a")
    bench.states(state, "b")
    every(bench, "a", 0, 1600)
    assert bench.batches[0].missing == {"b": reason}
    assert not bench.batches[0].complete
    waits = state is LIVE
    assert (bench.left_at_ns[0] == T0 + 1500 * MS) == waits, "only a live stream holds the group back"


def test_a_stream_that_ends_while_draining_is_missing_for_that() -> None:
    bench = GroupBench("ab")
    bench.add(at("a", 0, 10), at("b", 0, 10))
    bench.pass_to(T0 + 300 * MS)
    bench.group.tell(Draining())
    bench.states(ABSENT, "a")
    bench.states(ENDED, "b")
    [batch] = bench.finish()
    assert batch.missing == {"a": "draining"}


def test_a_stream_heard_past_the_window_but_not_in_it() -> None:
    bench = GroupBench("ab")
    bench.add(at("a", 0, 100), at("a", 1, 1500), at("b", 0, 1100), at("a", 2, 2600), at("b", 1, 3000))
    assert [dict(one.missing) for one in bench.batches] == [{"b": "starting"}, {}]
    bench.add(at("a", 3, 4000), at("a", 4, 4100), at("b", 2, 4100))
    assert [dict(one.missing) for one in bench.batches[2:]] == [{"b": "stalled"}, {"a": "stalled"}]


def test_a_stream_that_was_announced_and_has_no_frame_yet_is_starting_and_not_stalled() -> None:
    bench = GroupBench("ab")
    bench.group.tell(Expect("b", T0 + 300 * MS))
    bench.add(at("a", 0, 100), at("a", 1, 1500))
    bench.group.tell(Expect("b", T0 + 1200 * MS))
    bench.settle()
    assert [dict(one.missing) for one in bench.batches] == [{"b": "starting"}]


def test_windows_without_anything_are_emitted_too() -> None:
    bench = GroupBench("ab")
    bench.pass_to(T0 + 3600 * MS)
    assert [(one.seq, one.window_start_ns - T0) for one in bench.batches] == [(0, 0), (1, S), (2, 2 * S)]
    assert bench.left_at_ns == [T0 + 1500 * MS, T0 + 2500 * MS, T0 + 3500 * MS]
    assert [dict(one.missing) for one in bench.batches] == [{"a": "starting", "b": "starting"}] * 3
    assert all(not one.sets and not any(one.frames.values()) for one in bench.batches)


def test_a_late_frame_is_counted_in_the_next_batch_and_told_with_the_window_that_it_missed() -> None:
    bench = GroupBench("ab")
    bench.add(at("a", 0, 100))
    bench.pass_to(T0 + 1500 * MS)
    late = at("b", 0, 990)
    bench.add(late)
    assert bench.late == [(late, 1, (T0, T0 + S))]
    assert late.payload.releases == 0, "whoever sends the late frame gives it back"
    bench.pass_to(T0 + 2500 * MS)
    assert [one.counts["b"].late for one in bench.batches] == [0, 1]
    assert bench.batches[1].counts["b"].captured == 1


def test_a_partner_across_the_edge_travels_with_its_reference() -> None:
    bench = GroupBench("ab", reference="a")
    bench.add(at("a", 0, 990), at("b", 0, 1005), at("a", 1, 2010), at("b", 1, 1995), at("a", 2, 3500), at("b", 2, 3500))
    first, second, third = bench.batches[:3]
    assert [(seqs(one, "a"), seqs(one, "b")) for one in (first, second, third)] == [([0], [0]), ([], []), ([1], [1])]
    assert [one.sets[0].spread_ns // MS for one in (first, third)] == [15, 15]


def test_the_driver_is_the_stream_with_the_fewest_frames() -> None:
    bench = GroupBench("abc", max_skew_ms=40)
    bench.states(LIVE)
    for n, ms in enumerate((0, 30, 60, 500)):
        bench.add(at("a", n, ms))
    bench.add(at("b", 0, 30), at("b", 1, 500), at("c", 0, 10), at("c", 1, 490))
    bench.pass_to(T0 + 1600 * MS)
    sets = [{name: one.seq for name, one in some.frames.items()} for some in bench.batches[0].sets]
    assert sets == [{"a": 1, "b": 0, "c": 0}, {"a": 3, "b": 1, "c": 1}]


def test_without_a_frame_of_the_configured_reference_there_is_no_set() -> None:
    bench = GroupBench("abc", reference="a")
    bench.add(at("b", 0, 100), at("c", 0, 100))
    bench.pass_to(T0 + 1600 * MS)
    assert bench.batches[0].sets == []
    assert (seqs(bench.batches[0], "b"), seqs(bench.batches[0], "c")) == ([0], [0])


def test_a_stalled_stream_comes_back_and_holds_the_group_again() -> None:
    bench = GroupBench("ab")
    bench.states(STALLED, "b")
    every(bench, "a", 0, 1200)
    assert len(bench.batches) == 1
    bench.add(at("b", 0, 1190))
    every(bench, "a", 1200, 2200, seq=12)
    assert len(bench.batches) == 1, "it is live again: its frames are waited for"
    bench.pass_to(T0 + 2500 * MS)
    assert bench.batches[1].missing == {"b": "deadline"}


def test_a_stream_whose_frames_wait_for_a_stamp_is_waited_for() -> None:
    bench = GroupBench("ab")
    bench.group.tell(Expect("b", T0 - S))
    every(bench, "a", 0, 1300)
    assert bench.batches == []
    bench.add(*(at("b", n, 100 * n) for n in range(13)))
    assert seqs(bench.batches[0], "b") == list(range(10))


def test_patience_waits_for_whoever_has_not_ended() -> None:
    bench = GroupBench("ab", is_patient=True)
    bench.add(*(at("a", n, 100 * n) for n in range(50)))
    bench.states(ENDED, "a")
    bench.pass_to(T0 + 60 * S, step_ns=S)
    assert bench.batches == []
    bench.add(*(at("b", n, 100 * n) for n in range(30)))
    assert len(bench.batches) == 2
    bench.states(ENDED, "b")
    bench.settle()
    assert len(bench.batches) == 5
    assert [dict(one.missing) for one in bench.batches] == [{}, {}, {}, {"b": "ended"}, {"b": "ended"}]
    assert bench.finish() == bench.batches[:5]


def test_when_every_stream_ended_the_rest_leaves_at_once_and_nothing_after_it() -> None:
    bench = GroupBench("ab")
    bench.add(at("a", 0, 100), at("b", 0, 2100))
    bench.states(ENDED)
    bench.settle()
    assert [one.window_start_ns - T0 for one in bench.batches] == [0, S, 2 * S]
    assert len(bench.finish()) == 3


def test_a_drain_emits_every_open_window_up_to_the_present_in_order() -> None:
    bench = GroupBench("ab", max_latency_ms=5000)
    bench.add(at("a", 0, 100), at("b", 0, 100))
    bench.pass_to(T0 + 3300 * MS)
    bench.group.tell(Draining())
    batches = bench.finish()
    assert [(one.seq, one.window_start_ns - T0) for one in batches] == [(n, n * S) for n in range(4)]
    assert seqs(batches[0], "a") == [0]
    assert batches[3].missing == {"a": "draining", "b": "draining"}


@pytest.mark.parametrize("hours", [1, -1])
def test_a_jump_of_the_host_begins_a_new_epoch_and_makes_nothing_late(hours: int) -> None:
    bench = GroupBench("ab")
    number = 23
    for n in range(number):
        bench.pass_to(T0 + 100 * n * MS)
        bench.add(at("a", n, 100 * n), at("b", n, 100 * n))
    bench.jump(hours * 3600 * S, epoch=2)
    before = list(bench.batches)
    assert [(one.epoch, one.seq) for one in before] == [(1, 0), (1, 1), (1, 2)]
    assert sum(len(one.frames["a"]) for one in before) == number
    now_ms = (bench.utc.now_utc() - T0) // MS
    for n in range(30):
        bench.pass_to(T0 + (now_ms + 100 * n) * MS)
        bench.add(at("a", number + n, now_ms + 100 * n), at("b", number + n, now_ms + 100 * n))
    bench.states(ENDED)
    after = bench.finish()[len(before) :]
    assert bench.late == []
    assert [(one.epoch, one.seq) for one in after] == [(2, n) for n in range(len(after))]
    assert [one.window_start_ns - after[0].window_start_ns for one in after] == [n * S for n in range(4)]
    assert after[0].window_start_ns == (T0 + now_ms * MS) // S * S
    assert sum(len(one.frames["a"]) for one in after) == 30
    assert all(one.complete for one in after)


def test_frames_and_deadlines_between_the_jump_and_its_notice_wait_for_the_new_windows() -> None:
    for jump in (3600 * S, -3600 * S):
        bench = GroupBench("ab")
        bench.add(at("a", 0, 100), at("b", 0, 100))
        bench.clock.step_utc(jump)
        bench.utc.update()
        bench.settle()
        assert bench.batches == [], "no window is closed by a deadline of the wrong epoch"
        early = frame("a", 1, T0 + jump + 200 * MS, arrival_ns=T0 + jump + 200 * MS)
        bench.add(early)
        bench.group.jump(2)
        assert [(one.epoch, one.window_start_ns) for one in bench.batches] == [(1, T0)]
        bench.pass_to(T0 + jump + 1500 * MS)
        assert seqs(bench.batches[1], "a") == [1]
        assert bench.late == []


def test_a_frame_stamped_before_the_clock_went_back_is_late_and_holds_nothing() -> None:
    bench = GroupBench("ab")
    bench.jump(-3600 * S, epoch=2)
    stray = frame("a", 0, T0 + 10 * MS, arrival_ns=T0 + 10 * MS)
    bench.add(stray)
    assert [entry[0] for entry in bench.late] == [stray]
    now_ms = (bench.utc.now_utc() - T0) // MS
    for n in range(13):
        bench.pass_to(T0 + (now_ms + 100 * n) * MS)
        bench.add(at("a", n + 1, now_ms + 100 * n), at("b", n, now_ms + 100 * n))
    assert [one.complete for one in bench.batches if one.epoch == 2] == [True]


def test_after_a_small_jump_forward_no_window_comes_twice() -> None:
    bench = GroupBench("a")
    every(bench, "a", 0, 1300)
    bench.jump(600 * MS, epoch=2)
    bench.pass_to(T0 + 4600 * MS)
    starts = [one.window_start_ns for one in bench.batches]
    assert starts == sorted(set(starts))


def test_jumping_back_does_not_leave_an_hour_of_windows_to_emit() -> None:
    bench = GroupBench("a")
    bench.add(at("a", 0, 100))
    bench.jump(-3600 * S, epoch=2)
    bench.states(ENDED)
    assert len(bench.finish()) == 1


def test_reload_adds_and_removes_streams() -> None:
    bench, other = GroupBench("ab"), GroupBench("ac")
    held = [at("b", 0, 500), at("b", 1, 990)]
    bench.add(at("a", 0, 500), *held, at("a", 1, 1005))
    bench.group.tell(Reconfigure(other.rules))
    assert [one.payload.releases for one in held] == [1, 1]
    bench.add(at("b", 2, 1100), at("c", 0, 500), at("c", 1, 1100), at("a", 2, 1100))
    [batch] = bench.batches
    assert list(batch.frames) == ["a", "c"]
    assert (seqs(batch, "a"), seqs(batch, "c")) == ([0], [0])


def test_what_a_removed_stream_held_over_the_edge_is_given_back_and_its_partner_is_delivered() -> None:
    bench, other = GroupBench("ab", reference="a"), GroupBench("ac", reference="a")
    before_edge, reference = at("b", 0, 990), at("a", 0, 1010)
    bench.add(before_edge, reference, at("a", 1, 1100), at("b", 1, 1100))
    assert len(bench.batches) == 1
    assert seqs(bench.batches[0], "b") == [], "it is held for the reference after the edge"
    bench.group.tell(Reconfigure(other.rules))
    assert before_edge.payload.releases == 1
    bench.pass_to(T0 + 2600 * MS)
    assert seqs(bench.batches[1], "a") == [0, 1]
    assert bench.batches[1].sets == []


def test_losses_of_a_stream_that_left_are_not_told_when_it_comes_back() -> None:
    bench = GroupBench("ab")
    bench.group.tell(Drop("b", "ring_full", 3))
    bench.group.tell(Reconfigure(GroupBench("a").rules))
    bench.group.tell(Reconfigure(GroupBench("ab").rules))
    bench.pass_to(T0 + 1600 * MS)
    assert bench.batches[0].counts["b"].captured == 0


def test_a_size_that_changed_while_its_frame_was_held_over_the_edge() -> None:
    """The held frame is all that is left of the old size: it leaves with frames of the new one."""
    bench = GroupBench("ab", reference="a")
    bench.add(at("b", 0, 990), at("a", 0, 1010), at("a", 1, 1100), at("b", 1, 1100))
    [first] = bench.batches
    assert seqs(first, "b") == []
    for n, ms in enumerate((1200, 1300), start=2):
        bench.add(frame("b", n, T0 + ms * MS, arrival_ns=T0, layout=Layout("gray8", 8, 8)))
    bench.pass_to(T0 + 2600 * MS)
    second = bench.batches[1]
    assert [one.layout for one in second.frames["b"]] == [TINY, TINY, *[Layout("gray8", 8, 8)] * 2]
    assert second.counts["b"] == Counts(4, 4)
    assert {one.layout for one in second.frames["a"]} == {TINY}
    assert seqs(second, "a") == [0, 1], "the other stream loses nothing"


def test_the_first_window_is_the_one_that_became_ready() -> None:
    assert first_window(T0 + 10, 0, S, T0 + 20) == T0 // S
    assert first_window(T0 + 10, T0 + 5 * S, S, T0 + 4 * S) == T0 // S + 5, "never one that was emitted before"
    assert first_window(T0 + 10, T0 + 5 * S // 2, S, T0 + 4 * S) == T0 // S + 3, "nor a part of one"
    assert first_window(T0, T0 + S, S, T0 + 100 * S) == T0 // S + 90, "not more than ten seconds are made up for"


def test_pairing_ahead_of_the_close_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight cameras that jitter about different phases want each other's frames: much to solve, the same sets."""
    random = Random(7)
    names = tuple(f"c{number}" for number in range(8))
    frames = sorted(
        (T0 + (5 * stream + 40 * number) * MS + random.randrange(-MS, MS), name, number)
        for stream, name in enumerate(names)
        for number in range(75)
        if random.random() > 0.02
    )

    def sets() -> list[list[tuple[int, dict[str, int]]]]:
        rules = GroupRules(names, S, 40 * MS, 500 * MS)
        decider = decider_for("g", Open(rules, 1, T0 // S, 0, is_patient=False), clock_epoch=0)
        found = []
        for time_ns, name, seq in frames:
            decider.handle(frame(name, seq, time_ns, arrival_ns=time_ns), Now(time_ns, 0))
            while (batch := decider.close_due(Now(time_ns, 0))) is not None:
                found.append([(one.spread_ns, {n: f.seq for n, f in one.frames.items()}) for one in batch.sets])
        return found

    ahead = sets()
    assert len(ahead) == 2
    foreseen = 0

    def foresee(self: WindowAligner) -> None:
        nonlocal foreseen
        foreseen += 1

    monkeypatch.setattr(WindowAligner, "foresee", foresee)
    assert sets() == ahead
    assert foreseen >= 2


def test_what_was_foreseen_is_void_when_the_skew_changes() -> None:
    bench = GroupBench("ab", max_skew_ms=40)
    bench.states(LIVE)
    every(bench, "a", 480, 1000, 500)
    every(bench, "b", 500, 1001, 500)
    bench.group.tell(Reconfigure(GroupBench("ab", max_skew_ms=10).rules))
    bench.add(at("a", 2, 1480), at("b", 2, 1500))
    assert [len(batch.sets) for batch in bench.batches] == [0], "20 ms apart, and 10 ms are allowed"


class BySeq:
    """Another rule: the frames of a window with the same number."""

    def sets(self, window: Window[FrameT]) -> list[Fixed[FrameT]]:
        frames = [(name, frame) for name, some in window.frames.items() for frame in some]
        rows = [{name: frame for name, frame in frames if frame.seq == n} for n in range(2)]
        return [Fixed(window.start_ns, row) for row in rows if len(row) > 1]


@pytest.mark.parametrize("make_policy", [lambda rules: BySeq(), lambda rules: ApproximateTime(rules.max_skew_ns)])
def test_another_rule_is_another_class_and_touches_nothing_else(make_policy: Callable[[GroupRules], Policy]) -> None:
    opening = Open(GroupRules(("a", "b"), S, 40 * MS, 500 * MS), 1, T0 // S, 0, is_patient=False)
    group = GroupWindows("g", opening, make_policy, S, clock_epoch=0)
    for n in range(3):
        for name, ms in (("a", 300), ("b", 310)):
            group.handle(at(name, n, 400 * n + ms), Now(T0 + 400 * n * MS, 0))
    batch = group.close_due(Now(T0 + 1500 * MS, 0))
    assert batch is not None
    found = [{name: one.seq for name, one in some.frames.items()} for some in batch.sets]
    assert found == [{"a": 0, "b": 0}, {"a": 1, "b": 1}][: len(found)]
    assert found, "ROS says nothing of the second set before a third one has begun"
    assert seqs(batch, "a") == seqs(batch, "b") == [0, 1]


def test_a_decider_says_what_is_to_be_let_go_and_lets_go_of_nothing() -> None:
    rules = GroupRules(("a", "b"), S, 40 * MS, 500 * MS)
    group, now = decider_for("g", Open(rules, 1, T0 // S, 0, is_patient=False), clock_epoch=0), Now(T0 + S, 0)
    frames = [at("z", 0, 10), at("a", 0, 10), at("a", 1, -10), at("b", 0, 10)]
    stranger, taken, late, left = [group.handle(one, now) for one in frames]
    assert (stranger.unused, taken) == ((frames[0],), NOTHING)
    assert [one.frame for one in late.late] == [frames[2]]
    assert left is NOTHING
    assert group.handle(Reconfigure(GroupRules(("a",), S, 40 * MS, 500 * MS)), now).unused == [frames[3]]
    [batch] = group.handle(End(), now).batches
    assert batch.frames["a"] == [frames[1]]
    assert group.handle(after := at("a", 2, 2000), now).unused == (after,)
    assert not any(one.payload.releases for one in [*frames, after])


@pytest.mark.parametrize("window_ms", [1000, None])
def test_frames_that_never_came_are_in_the_next_account_and_outside_of_what_was_captured(window_ms: int | None) -> None:
    bench = GroupBench("ab", window_ms=window_ms)
    bench.states(StreamState.LIVE)
    bench.group.tell(Skip("a", 3))
    bench.group.tell(Skip("stranger", 3))
    bench.add(*(frame(stream, half, T0 + half * S // 2) for half in range(6) for stream in "ab"))
    batches = bench.finish()
    assert next(one.counts["a"].skipped for one in batches) == sum(one.counts["a"].skipped for one in batches) == 3
    for one in batches:
        for counts in one.counts.values():
            assert counts.captured == counts.delivered + counts.late + sum(counts.dropped.values())
    assert {one.counts["b"].skipped for one in batches} == {0}
