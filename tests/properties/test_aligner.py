"""The guarantees of aligner, buckets and watermarks together, as a group composes them, on a clock with hands."""

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from syncsvc.layout import Layout
from syncsvc.model import Frame, FrameBatch
from syncsvc.observe.events import Doubt, Drop, Expect, Reconfigure
from syncsvc.pairing.policy import Window
from syncsvc.pairing.turns import Turns
from syncsvc.testing import MS, T0, TINY, GroupBench, HeldPixels, frame

STREAMS = ("a", "b", "c")
WINDOW = 100
SKEW = 15
LATENCY = 60
OTHER = Layout("gray8", 8, 2)

Recording = dict[str, list[Frame]]
randoms = st.randoms(use_true_random=False)


@st.composite
def recordings(draw: st.DrawFn, streams: Sequence[str] = STREAMS, apart: int = 1, until: int = 390) -> Recording:
    """Frames of each stream, at least ``apart`` milliseconds from one to the next, many of them close to an edge."""
    edges = [t // apart for edge in range(WINDOW, until, WINDOW) for t in range(edge - SKEW, edge + SKEW)]
    instants = st.lists(st.integers(0, until // apart) | st.sampled_from(edges), unique=True, max_size=14)
    return {
        name: [frame(name, seq, T0 + t * apart * MS) for seq, t in enumerate(sorted(draw(instants)))]
        for name in streams
    }


def mixed(recording: Recording, random: Random) -> list[Frame]:
    """An order of arrival: any, but within a stream the order of capture."""
    left = {name: list(frames) for name, frames in recording.items() if frames}
    order = []
    while left:
        name = random.choice(sorted(left))
        order.append(left[name].pop(0))
        if not left[name]:
            del left[name]
    return order


def bench(**more: Any) -> GroupBench:
    """A group that has heard of every stream already, so that each holds the group back."""
    options = {"window_ms": WINDOW, "max_skew_ms": SKEW, "max_latency_ms": LATENCY} | more
    one = GroupBench(options.pop("streams", STREAMS), **options)
    for name in one.rules.streams:
        one.group.tell(Expect(name, T0 - 1))
    return one


def play(one: GroupBench, frames: Sequence[Frame]) -> list[FrameBatch]:
    one.add(*frames)
    return one.finish()


def told(batches: Sequence[FrameBatch]) -> list[Any]:
    """Everything that a subscriber learns, pixels apart."""
    return [
        (
            one.seq,
            one.window_start_ns,
            dict(one.missing),
            {name: [f.seq for f in some] for name, some in one.frames.items()},
            [({name: f.seq for name, f in s.frames.items()}, s.spread_ns, s.missing) for s in one.sets],
            dict(one.counts),
        )
        for one in batches
    ]


def delivered(batches: Sequence[FrameBatch]) -> Counter[tuple[str, int]]:
    return Counter((f.stream, f.seq) for one in batches for some in one.frames.values() for f in some)


def captured(recording: Recording) -> Counter[tuple[str, int]]:
    return Counter((f.stream, f.seq) for some in recording.values() for f in some)


def play_late(one: GroupBench, recording: Recording, random: Random, losses: Sequence[str]) -> None:
    """Frames come in order, some later than the group waits; two more of each stream in ``losses`` are lost."""
    arrivals = []
    for some in recording.values():
        earliest = 0
        for f in some:  # a delay that may be longer than the group waits
            earliest = max(earliest, f.time_ns + random.choice([0, 5, 30, 150]) * MS)
            arrivals.append((earliest, f))
    for arrival_ns, f in sorted(arrivals, key=lambda entry: entry[0]):
        one.pass_to(arrival_ns, step_ns=5 * MS)
        one.add(f)
    for name in losses:
        one.group.tell(Drop(name, "ring_full", 2))


def check_account(one: GroupBench, recording: Recording, losses: Sequence[str]) -> None:
    """Everything is delivered once, or late, or dropped; each batch says so, and the right one of each late frame."""
    batches = one.finish()
    late = Counter((f.stream, f.seq) for f, _, _ in one.late)
    assert delivered(batches) + late == captured(recording)
    total = Counter[str]()
    for batch in batches:
        for name, counts in batch.counts.items():
            assert counts.captured == counts.delivered + counts.late + sum(counts.dropped.values())
            assert counts.delivered == len(batch.frames[name])
            total[name] += counts.captured
    assert total == Counter({name: len(some) for name, some in recording.items()}) + Counter(losses) + Counter(losses)
    in_batch = {batch.seq: sum(counts.late for counts in batch.counts.values()) for batch in batches}
    assert {seq: count for seq, count in in_batch.items() if count} == Counter(seq for _, seq, _ in one.late)


def check_reload(one: GroupBench, order: Sequence[Frame], place: int, streams: Set[str]) -> None:
    """After so many frames the group has these streams: every frame is accounted for, once, and no number left out."""
    names = tuple(sorted(streams))
    one.add(*order[:place])
    one.group.tell(Reconfigure(structs.replace(one.rules, streams=names)))
    for name in names:
        one.group.tell(Expect(name, T0 - 1))
    batches = play(one, order[place:])
    found, was_late = delivered(batches), {(f.stream, f.seq) for f, _, _ in one.late}
    for f in order:
        times_found = found[f.stream, f.seq] + ((f.stream, f.seq) in was_late)
        assert isinstance(f.payload, HeldPixels)
        assert times_found + f.payload.releases == 1, "delivered, late, or given back with the stream that left"
        assert times_found == 1 or f.stream not in streams
    assert [batch.seq for batch in batches] == list(range(len(batches)))


@given(recordings(), randoms, st.sampled_from([None, *STREAMS]))
def test_arrival_order_within_the_lateness_is_irrelevant(recording: Recording, random: Random, ref: str | None) -> None:
    first, second = mixed(recording, random), mixed(recording, random)
    assert told(play(bench(reference=ref), first)) == told(play(bench(reference=ref), second))


@given(recordings(), randoms)
def test_without_a_deadline_every_frame_is_delivered_exactly_once(recording: Recording, random: Random) -> None:
    one = bench()
    assert delivered(play(one, mixed(recording, random))) == captured(recording)
    assert one.late == []


@given(recordings(), randoms, st.lists(st.sampled_from(STREAMS), max_size=6))
def test_with_delays_every_frame_is_delivered_or_late_and_counted(
    recording: Recording, random: Random, losses: list[str]
) -> None:
    one = bench()
    play_late(one, recording, random, losses)
    one.pass_to(T0 + 600 * MS)
    check_account(one, recording, losses)


@given(recordings(), randoms)
def test_windows_leave_in_order_none_left_out(recording: Recording, random: Random) -> None:
    batches = play(bench(), mixed(recording, random))
    newest = max((f.time_ns for some in recording.values() for f in some), default=T0 - WINDOW * MS)
    assert [one.seq for one in batches] == list(range(len(batches)))
    assert [one.window_start_ns for one in batches] == [T0 + k * WINDOW * MS for k in range(len(batches))]
    assert all(one.window_end_ns - one.window_start_ns == WINDOW * MS for one in batches)
    assert len(batches) == (newest - T0) // (WINDOW * MS) + 1


@given(recordings(), randoms, st.sampled_from(STREAMS))
def test_a_set_leaves_whole_with_the_window_of_its_reference(recording: Recording, random: Random, ref: str) -> None:
    for batch in play(bench(reference=ref), mixed(recording, random)):
        present = {(f.stream, f.seq) for some in batch.frames.values() for f in some}
        for one in batch.sets:
            assert batch.window_start_ns <= one.frames[ref].time_ns < batch.window_end_ns
            assert {(f.stream, f.seq) for f in one.frames.values()} <= present
            assert one.spread_ns <= SKEW * MS
            assert {*one.frames, *one.missing} == set(STREAMS)


@given(recordings(apart=2 * SKEW + 1), recordings(("b", "c")), randoms, st.sampled_from([50, 100, 250, 1000]))
def test_no_set_is_cut_by_an_edge(apart: Recording, others: Recording, random: Random, window: int) -> None:
    """References too far apart to contest a frame: where the edges lie must not matter at all."""
    recording = {"a": apart["a"], **others}

    def sets(window_ms: int) -> list[dict[str, int]]:
        batches = play(bench(reference="a", window_ms=window_ms), mixed(recording, random))
        return [{name: f.seq for name, f in s.frames.items()} for batch in batches for s in batch.sets]

    assert sets(window) == sets(100_000)


@given(recordings(), randoms, st.lists(st.integers(0, 60), unique=True, max_size=5))
def test_what_is_held_over_an_edge_is_fixed(recording: Recording, random: Random, more: list[int]) -> None:
    """Frames taken after a window's horizon must not change any set that touches what was before its end."""
    end, horizon = T0 + WINDOW * MS, T0 + (WINDOW + 2 * SKEW) * MS
    early = {name: [f for f in some if f.time_ns < horizon] for name, some in recording.items()}
    later = {
        name: some + [frame(name, 100 + place, horizon + t * MS) for place, t in enumerate(sorted(more))]
        for name, some in early.items()
    }

    def touching(batches: Sequence[FrameBatch]) -> list[dict[str, int]]:
        sets = [s.frames for batch in batches for s in batch.sets]
        return [{n: f.seq for n, f in some.items()} for some in sets if min(f.time_ns for f in some.values()) < end]

    assert touching(play(bench(), mixed(later, random))) == touching(play(bench(), mixed(early, random)))


@given(recordings(), randoms, st.sampled_from([None, *STREAMS]), st.integers(2, 3))
def test_with_one_window_for_everything_the_sets_are_the_rules(
    recording: Recording, random: Random, ref: str | None, fewest: int
) -> None:
    batches = play(bench(window_ms=10_000, reference=ref, min_streams=fewest), mixed(recording, random))
    counts = {name: len(some) for name, some in recording.items()}
    end_ns = T0 + 10_000 * MS
    rule = Turns(SKEW * MS, ref, fewest)
    found = rule.sets(Window(T0, end_ns, end_ns + 2 * SKEW * MS, recording, counts, {}))
    assert [some.frames for batch in batches for some in batch.sets] == [one.frames for one in found]


@settings(max_examples=200)
@given(recordings(("b", "c")), recordings(("a",)), st.data())
def test_a_change_of_size_costs_no_frame_and_changes_no_set(others: Recording, changing: Recording, data: Any) -> None:
    layouts, order = st.sampled_from([TINY, OTHER]), data.draw(randoms)
    recording = {"a": [replace(f, layout=data.draw(layouts)) for f in changing["a"]], **others}
    one, same = mixed(recording, order), bench()
    batches = play(bench(), one)
    assert delivered(batches) == captured(recording)
    assert told(batches) == told(play(same, [replace(f, layout=TINY) for f in one]))
    assert not any(f.payload.releases for some in recording.values() for f in some)


def good_and_doubtful(batches: Sequence[FrameBatch]) -> tuple[list[dict[str, int]], list[dict[str, int]]]:
    """The sets as they would be without stream ``d``, and as they are where ``d`` is in them."""
    sets = [{name: f.seq for name, f in s.frames.items()} for batch in batches for s in batch.sets]
    good = [{name: seq for name, seq in one.items() if name != "d"} for one in sets]
    return [one for one in good if len(one) > 1], [one for one in sets if "d" in one]


@settings(max_examples=300)
@given(recordings(), recordings(("d",)), randoms, st.sampled_from([None, *STREAMS]), st.sampled_from([30, 100, 10_000]))
def test_a_doubtful_stream_changes_no_set_of_the_others(
    recording: Recording, doubtful: Recording, random: Random, ref: str | None, window: int
) -> None:
    order = mixed(recording | doubtful, random)
    # Its place in the group must not matter either: it is the first, so it would win every tie.
    with_it, without = (bench(streams=names, reference=ref, window_ms=window) for names in (("d", *STREAMS), STREAMS))
    with_it.group.tell(Doubt("d", True))
    batches = play(with_it, order)
    good, joined = good_and_doubtful(batches)
    assert good == good_and_doubtful(play(without, [f for f in order if f.stream != "d"]))[0]
    assert delivered(batches) == captured(recording | doubtful)
    for batch in batches:
        assert all(s.spread_ns <= SKEW * MS for s in batch.sets)
    for name in ("d", *STREAMS):
        used = [one[name] for one in joined if name in one]
        assert used == sorted(set(used)), "each frame once, and no sets that cross"


def test_a_doubtful_stream_alone_in_a_window_takes_no_frame_of_the_next() -> None:
    one = bench(streams=("a", "b", "d"))
    one.group.tell(Doubt("d", True))
    times = {"d": (95,), "a": (101, 150), "b": (102, 150)}
    batches = play(one, [frame(name, n, T0 + t * MS) for name, some in times.items() for n, t in enumerate(some)])
    assert [[{n: f.seq for n, f in s.frames.items()} for s in batch.sets] for batch in batches] == [
        [],
        [{"a": 0, "b": 0}, {"a": 1, "b": 1}],
    ]


@given(recordings(apart=2 * SKEW + 1), randoms)
def test_a_doubtful_stream_joins_wherever_it_fits(recording: Recording, random: Random) -> None:
    """Frames at the very times of the reference's: every set, and every reference without a partner, gets one."""
    twins = [replace(f, stream="d") for f in recording["a"]]
    one = bench(streams=("d", *STREAMS), reference="a")
    one.group.tell(Doubt("d", True))
    batches = play(one, mixed({**recording, "d": twins}, random))
    sets = [s.frames for batch in batches for s in batch.sets]
    assert [some["a"].seq for some in sets] == [f.seq for f in recording["a"]]
    assert all(some["d"].time_ns == some["a"].time_ns for some in sets)


@given(recordings(), randoms)
def test_where_all_are_doubtful_they_are_paired_as_if_none_were(recording: Recording, random: Random) -> None:
    order, one = mixed(recording, random), bench()
    for name in STREAMS:
        one.group.tell(Doubt(name, True))
    assert told(play(one, order)) == told(play(bench(), order))


@given(recordings(), randoms)
def test_a_doubtful_stream_that_is_the_reference_drives(recording: Recording, random: Random) -> None:
    order, one = mixed(recording, random), bench(reference="a")
    one.group.tell(Doubt("a", True))
    assert told(play(one, order)) == told(play(bench(reference="a"), order))


@given(recordings(), randoms)
def test_a_stream_in_good_standing_again_is_paired_like_the_others(recording: Recording, random: Random) -> None:
    order, one = mixed(recording, random), bench()
    one.group.tell(Doubt("a", True))
    one.group.tell(Doubt("a", False))
    assert told(play(one, order)) == told(play(bench(), order))


@settings(max_examples=200)
@given(recordings(), randoms, st.integers(0, 30), st.sets(st.sampled_from(["a", "b", "c", "d"]), min_size=1))
def test_a_reload_loses_nothing_of_the_streams_that_stay(
    recording: Recording, random: Random, place: int, streams: set[str]
) -> None:
    check_reload(bench(), mixed(recording, random), place, streams)
