"""A recorded batch at its place, and what becomes of frames that have no picture."""

from syncsvc.clock import NS_PER_S as S
from syncsvc.model import Counts, FrameBatch
from syncsvc.replay.course import ReplayPlace
from syncsvc.replay.played_payload import PlayedPayload
from syncsvc.replay.retold import retold
from tests.batches import MS, T0, TINY, batch, frame, together

NAMES = ("north", "south", "east")


def payload() -> PlayedPayload:
    return PlayedPayload(8, TINY, False, lambda target: None, None, b"", lambda: None)


def recorded() -> FrameBatch:
    frames = {
        name: [frame(name, 5, T0 + at * MS), frame(name, 6, T0 + (40 + at) * MS)] for at, name in enumerate(NAMES)
    }
    sets = [together(*(frames[name][at] for name in NAMES), group=NAMES) for at in range(2)]
    counts = {name: Counts(3, 2, 0, {"ring_full": 1}) for name in NAMES}
    return batch(4, frames=frames, sets=sets, counts=counts)


def everything(one: FrameBatch) -> dict[tuple[str, int], PlayedPayload | str]:
    return {(name, each.seq): payload() for name, some in one.frames.items() for each in some}


def test_everything_moves_together_and_nothing_else_changes() -> None:
    live, found = recorded(), everything(recorded())
    ours = retold(live, ReplayPlace(77, 9, 3 * S, dict.fromkeys(NAMES, 100)), found)
    assert (ours.epoch, ours.seq) == (77, 9)
    assert (ours.window_start_ns, ours.window_end_ns) == (live.window_start_ns + 3 * S, live.window_end_ns + 3 * S)
    for name in NAMES:
        for before, after in zip(live.frames[name], ours.frames[name], strict=True):
            assert after.seq == before.seq + 100
            assert (after.time_ns, after.arrival_ns) == (before.time_ns + 3 * S, before.arrival_ns + 3 * S)
            assert (after.uncertainty_ns, after.clock, after.layout) == (
                before.uncertainty_ns,
                before.clock,
                before.layout,
            )
            assert after.payload is found[name, before.seq]
    assert [one.spread_ns for one in ours.sets] == [one.spread_ns for one in live.sets]
    assert [one.frames["south"].seq for one in ours.sets] == [105, 106]
    assert (ours.counts, ours.missing, ours.late_ns) == (live.counts, live.missing, live.late_ns)


def test_a_frame_without_a_picture_is_dropped_with_its_cause_and_leaves_its_set() -> None:
    found = everything(recorded()) | {("east", 5): "not_recorded"}
    ours = retold(recorded(), ReplayPlace(1, 4, 0, dict.fromkeys(NAMES, 0)), found)
    assert [one.seq for one in ours.frames["east"]] == [6]
    assert ours.counts["east"] == Counts(3, 1, 0, {"ring_full": 1, "not_recorded": 1})
    first, second = ours.sets
    assert (set(first.frames), first.missing, first.spread_ns) == ({"north", "south"}, ("east",), 1 * MS)
    assert set(second.frames) == set(NAMES)
    assert ours.complete


def test_a_stream_that_has_no_picture_at_all_is_missing_and_a_set_of_one_is_none() -> None:
    found = everything(recorded()) | {(name, seq): "no_key" for name in ("south", "east") for seq in (5, 6)}
    ours = retold(recorded(), ReplayPlace(1, 4, 0, dict.fromkeys(NAMES, 0)), found)
    assert ours.sets == []
    assert ours.missing == {"south": "absent", "east": "absent"}
    assert ours.counts["south"] == Counts(3, 0, 0, {"ring_full": 1, "no_key": 2})
