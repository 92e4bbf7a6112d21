"""The guarantees of a group without windows: one batch per set, as a group composes them, on a clock with hands."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from syncsvc.model import FrameBatch, StreamState
from syncsvc.observe.events import Doubt, Draining
from syncsvc.testing import MS, T0, TINY, GroupBench, S, frame
from tests.properties import test_aligner
from tests.properties.test_aligner import (
    LATENCY,
    OTHER,
    SKEW,
    STREAMS,
    Recording,
    captured,
    check_account,
    check_reload,
    delivered,
    good_and_doubtful,
    mixed,
    play,
    play_late,
    randoms,
    recordings,
    told,
)

references = st.sampled_from([None, *STREAMS])


def bench(**more: Any) -> GroupBench:
    """A group that has heard of every stream already, so that each holds the group back."""
    return test_aligner.bench(window_ms=None, **more)


@st.composite
def cameras(draw: st.DrawFn, streams: Sequence[str] = STREAMS) -> Recording:
    """Cameras of one rate or several that run freely for a fifth of a second, with lost frames and some jitter."""
    random = draw(randoms)
    found: Recording = {}
    for name in streams:
        period = draw(st.sampled_from([10, 16, 17, 33]))
        phase, loss = random.randrange(period), random.choice([0, 0.1, 0.3])
        times = (phase + n * period + random.choice([0, 0, 1]) for n in range(200 // period))
        kept = sorted({time for time in times if random.random() >= loss})
        found[name] = [frame(name, n, T0 + time * MS) for n, time in enumerate(kept)]
    return found


anything = recordings() | cameras()


def sets_of(batches: Sequence[FrameBatch]) -> list[dict[str, int]]:
    return [{name: f.seq for name, f in s.frames.items()} for batch in batches for s in batch.sets]


@given(anything, randoms, references, st.booleans())
def test_arrival_order_within_the_lateness_is_irrelevant(
    recording: Recording, random: Random, ref: str | None, is_patient: bool
) -> None:
    first, second = (mixed(recording, random) for _ in range(2))
    options = {"reference": ref, "is_patient": is_patient}
    assert told(play(bench(**options), first)) == told(play(bench(**options), second))


@given(anything, randoms, references, st.booleans())
def test_without_a_deadline_every_frame_is_delivered_exactly_once(
    recording: Recording, random: Random, ref: str | None, is_patient: bool
) -> None:
    one = bench(reference=ref, is_patient=is_patient)
    assert delivered(play(one, mixed(recording, random))) == captured(recording)
    assert one.late == []


@given(anything, randoms, references)
def test_recordings_played_as_fast_as_can_be_have_the_sets_of_those_played_at_their_own_pace(
    recording: Recording, random: Random, ref: str | None
) -> None:
    """Where no deadline cuts in, and all of them end."""
    prompt, patient = (bench(reference=ref, max_latency_ms=S // MS, is_patient=is_so) for is_so in (False, True))
    for f in sorted((f for some in recording.values() for f in some), key=lambda f: f.time_ns):
        prompt.pass_to(f.time_ns)
        prompt.add(f)
    patient.add(*mixed(recording, random))
    for one in (prompt, patient):
        one.states(StreamState.ENDED)
        one.settle()
    assert told(prompt.finish()) == told(patient.finish())


@given(anything, randoms, references)
def test_windows_tile_and_each_ends_with_the_reference_of_its_only_set(
    recording: Recording, random: Random, ref: str | None
) -> None:
    batches = play(bench(reference=ref), mixed(recording, random))
    assert [one.seq for one in batches] == list(range(len(batches)))
    edges = [one.window_start_ns for one in batches] + [one.window_end_ns for one in batches[-1:]]
    assert edges[:1] in ([], [T0])
    assert all(before < after for before, after in pairwise(edges))
    assert [one.window_end_ns for one in batches] == edges[1:]
    for batch in batches:
        assert len(batch.sets) <= 1
        for some in batch.sets:
            drivers = [name for name, f in some.frames.items() if f.time_ns == batch.window_end_ns - 1]
            assert ref in drivers if ref else drivers
        partners = {f.seq for some in batch.sets for f in some.frames.values()}
        for frames in batch.frames.values():
            for f in frames:
                assert batch.window_start_ns <= f.time_ns
                assert f.time_ns < batch.window_end_ns or f.seq in partners, "only partners lie after the reference"


@given(anything, randoms, references)
def test_sets_are_narrow_whole_and_never_cross(recording: Recording, random: Random, ref: str | None) -> None:
    batches = play(bench(reference=ref), mixed(recording, random))
    used: dict[str, list[int]] = {name: [] for name in STREAMS}
    for batch in batches:
        present = {(f.stream, f.seq) for some in batch.frames.values() for f in some}
        for some in batch.sets:
            assert some.spread_ns <= SKEW * MS
            assert {*some.frames, *some.missing} == set(STREAMS)
            assert {(f.stream, f.seq) for f in some.frames.values()} <= present
            for name, f in some.frames.items():
                used[name].append(f.seq)
    assert all(seqs == sorted(set(seqs)) for seqs in used.values())


@given(recordings(apart=2 * SKEW + 1), recordings(("b", "c")), randoms)
def test_where_no_reference_contests_a_frame_the_sets_are_those_of_one_window(
    apart: Recording, others: Recording, random: Random
) -> None:
    """The last frame before the reference and the first from it on are all that a set needs."""
    order = mixed({"a": apart["a"], **others}, random)
    whole = GroupBench(STREAMS, window_ms=50_000, max_skew_ms=SKEW, reference="a")
    assert sets_of(play(bench(reference="a"), order)) == sets_of(play(whole, order))


@given(anything, randoms, st.lists(st.sampled_from(STREAMS), max_size=6), references)
def test_with_delays_every_frame_is_delivered_or_late_and_counted(
    recording: Recording, random: Random, losses: list[str], ref: str | None
) -> None:
    one = bench(reference=ref)
    play_late(one, recording, random, losses)
    one.group.tell(Draining())
    one.pass_to(T0 + 600 * MS)
    check_account(one, recording, losses)
    assert all(start <= f.time_ns < end for f, _, (start, end) in one.late)


@given(anything, randoms, references, st.sets(st.sampled_from(STREAMS), max_size=2))
def test_no_frame_waits_longer_than_the_latency_whoever_is_silent(
    recording: Recording, random: Random, ref: str | None, silent: set[str]
) -> None:
    one = bench(reference=ref)
    arrived: dict[tuple[str, int], int] = {}
    for f in sorted((f for n, some in recording.items() if n not in silent for f in some), key=lambda f: f.time_ns):
        arrived[f.stream, f.seq] = at_ns = f.time_ns + random.choice([0, 0, 7, 20]) * MS
        one.pass_to(max(at_ns, one.clock.utc_ns()), step_ns=MS)
        one.add(f)
    one.pass_to(T0 + S, step_ns=MS)
    assert one.late == []
    for batch, left_ns in zip(one.batches, one.left_at_ns, strict=True):
        assert left_ns <= batch.window_end_ns + LATENCY * MS
        for some in batch.frames.values():
            assert all(left_ns <= f.time_ns + (LATENCY + 1) * MS for f in some)
    assert len(delivered(one.batches)) == len(arrived)


@given(anything, recordings(("d",)) | cameras(("d",)), randoms, references)
def test_a_doubtful_stream_changes_no_set_of_the_others(
    recording: Recording, doubtful: Recording, random: Random, ref: str | None
) -> None:
    order = mixed(recording | doubtful, random)
    with_it, without = (bench(streams=names, reference=ref) for names in (("d", *STREAMS), STREAMS))
    with_it.group.tell(Doubt("d", True))
    batches = play(with_it, order)
    good, joined = good_and_doubtful(batches)
    assert good == good_and_doubtful(play(without, [f for f in order if f.stream != "d"]))[0]
    assert delivered(batches) == captured(recording | doubtful)
    assert all(s.spread_ns <= SKEW * MS for batch in batches for s in batch.sets)
    used = [one["d"] for one in joined]
    assert used == sorted(set(used)), "each frame once, and no sets that cross"


@given(recordings(("b", "c")), recordings(("a",)), st.data())
def test_a_change_of_size_costs_no_frame_and_changes_no_set(others: Recording, changing: Recording, data: Any) -> None:
    layouts, order = st.sampled_from([TINY, OTHER]), data.draw(randoms)
    recording = {"a": [replace(f, layout=data.draw(layouts)) for f in changing["a"]], **others}
    one, same = mixed(recording, order), bench()
    batches = play(bench(), one)
    assert delivered(batches) == captured(recording)
    assert told(batches) == told(play(same, [replace(f, layout=TINY) for f in one]))
    assert not any(f.payload.releases for some in recording.values() for f in some)


@given(anything, randoms, st.integers(0, 30), st.sets(st.sampled_from(["a", "b", "c", "d"]), min_size=1))
def test_a_reload_loses_nothing_of_the_streams_that_stay(
    recording: Recording, random: Random, place: int, streams: set[str]
) -> None:
    check_reload(bench(), mixed(recording, random), place, streams)
