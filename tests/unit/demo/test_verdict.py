"""A verdict is worth what it refuses: each way to break the contract, in a run that is otherwise fine."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from syncsvc.clock import NS_PER_MS, NS_PER_S
from syncsvc.demo.history import CameraAccount, History, SeenBatch, SeenSet
from syncsvc.demo.verdict import judge
from syncsvc.model import Gap
from tests.unit.demo import histories as make


def test_a_good_run_keeps_the_contract_and_its_figures_are_right() -> None:
    verdict = judge(make.history())
    assert verdict.problems == ()
    assert verdict.is_kept
    assert (verdict.batches, verdict.complete, verdict.sets) == (6, 6, 60)
    assert (verdict.compared, verdict.identical) == (30, 30)  # two windows warm up, the last is cut
    assert verdict.spread_ms.max == verdict.true_spread_ms.p99 == verdict.oracle_spread_ms.p50 == 7.0
    assert verdict.lateness_ms.max == 200.0
    assert verdict.over_deadline == 0
    fast = verdict.cameras["fast"]
    assert (fast.captured, fast.delivered, fast.lost, fast.twice) == (120, 120, 0, 0)
    assert fast.stamp_error_ms.p99 == pytest.approx(0.1)
    assert fast.clocks == {"rtcp": 120}


def test_frames_that_are_late_or_dropped_and_counted_keep_the_contract() -> None:
    def one_late_one_dropped(seen: SeenBatch) -> SeenBatch:
        lacking = make.without(make.without(seen, "fast", 3), "fast", 1)
        return make.recounted(lacking, "fast", captured=20, late=1, dropped={"ring_full": 1})

    verdict = judge(make.with_batch(3, one_late_one_dropped))
    assert verdict.problems == ()
    assert (verdict.cameras["fast"].late, verdict.cameras["fast"].dropped) == (1, 1)


def test_a_batch_a_little_over_its_latency_is_told_and_not_held_against_a_shared_machine() -> None:
    late = make.with_batch(2, lambda b: replace(b, emitted_ns=b.window_end_ns + 510 * NS_PER_MS))
    later = make.with_batch(2, lambda b: replace(b, emitted_ns=b.window_end_ns + 750 * NS_PER_MS))
    assert [(v.is_kept, v.over_deadline, v.over_target) for v in map(judge, (late, later))] == [
        (True, 1, 0),
        (True, 1, 1),
    ]


def test_pictures_that_a_camera_was_told_to_lose_are_not_lost_by_us() -> None:
    def numbered_through(seen: SeenBatch) -> SeenBatch:  # the service never saw number 63, and leaves no hole for it
        fast = tuple(replace(frame, seq=frame.seq - (frame.seq > 63)) for frame in seen.frames["fast"])
        return replace(seen, frames={**seen.frames, "fast": fast})

    lacking = make.with_batch(3, lambda b: make.without(b, "fast", 3))
    lacking = replace(lacking, batches=tuple(map(numbered_through, lacking.batches)))
    assert judge(lacking).cameras["fast"].lost == 1
    told = replace(lacking.cameras["fast"], dropped=1)
    assert judge(replace(lacking, cameras={**lacking.cameras, "fast": told})).cameras["fast"].lost == 0


def test_the_first_windows_may_have_wrong_stamps() -> None:
    wrong = make.with_frames(0, "fast", lambda f: replace(f, time_ns=f.time_ns - 30 * NS_PER_MS), only=1)
    assert judge(wrong).is_kept


def test_frames_on_their_way_when_the_run_ended_are_not_lost() -> None:
    good = make.history()
    more = CameraAccount(((make.FIRST_COUNTER, make.FIRST_COUNTER + 400),))
    assert judge(replace(good, cameras={**good.cameras, "fast": more})).is_kept


def test_a_subscriber_that_came_late_loses_nothing() -> None:
    good = make.history()
    verdict = judge(replace(good, batches=good.batches[2:]))
    assert verdict.is_kept
    assert verdict.cameras["fast"].lost == 0


def test_a_set_that_is_not_the_oracles_is_counted_and_breaks_nothing() -> None:
    def worse(seen: SeenBatch) -> SeenBatch:
        slow = seen.frames["slow"][4]
        other = SeenSet(43 * NS_PER_MS, {"fast": slow.seq * 2 + 1, "slow": slow.seq})
        return replace(seen, sets=(*seen.sets[:4], other, *seen.sets[5:]))

    wide = replace(make.with_batch(3, worse), max_skew_ns=50 * NS_PER_MS)
    verdict = judge(wide)
    assert verdict.is_kept
    assert (verdict.compared, verdict.identical) == (30, 29)
    assert verdict.identical_pct == pytest.approx(100 * 29 / 30)
    assert verdict.excess_p99_ms == pytest.approx(36.0)


def gap() -> History:
    good = make.history()
    return replace(good, batches=(*good.batches[:3], *good.batches[4:]), gaps=(Gap(3, 3, "lost", "all"),))


def skewed() -> History:
    return replace(make.history(), max_skew_ns=6 * NS_PER_MS)


def two_sets_with_one_frame() -> History:
    def change(seen: SeenBatch) -> SeenBatch:
        again = replace(seen.sets[0], members={**seen.sets[1].members, "slow": seen.sets[0].members["slow"]})
        times = {("fast", f.seq): f.time_ns for f in seen.frames["fast"]}
        times |= {("slow", f.seq): f.time_ns for f in seen.frames["slow"]}
        stamps = [times[member] for member in again.members.items()]
        return replace(seen, sets=(replace(again, spread_ns=max(stamps) - min(stamps)), *seen.sets[1:]))

    return make.with_batch(3, change)


def nothing_from(camera: str) -> History:
    good = make.history()
    empty = [
        make.recounted(replace(b, frames={**b.frames, camera: ()}, sets=()), camera, captured=0, delivered=0)
        for b in good.batches
    ]
    return replace(good, batches=tuple(empty))


def stamps_off(by_ms: float) -> History:
    good = make.history()

    def moved(seen: SeenBatch) -> SeenBatch:
        frames = {
            name: tuple(replace(f, time_ns=f.time_ns + round(by_ms * NS_PER_MS)) for f in some)
            for name, some in seen.frames.items()
        }
        return replace(seen, frames=frames)

    return replace(good, batches=tuple(map(moved, good.batches)))


BROKEN: dict[str, tuple[Callable[[], History], str]] = {
    "no batch": (lambda: replace(make.history(), batches=()), "no batch came"),
    "no set": (
        lambda: replace(make.history(), batches=tuple(replace(b, sets=()) for b in make.history().batches)),
        "no set was formed",
    ),
    "a batch that never came": (gap, "batches 3 to 3 never came (lost)"),
    "a window left out": (
        lambda: make.with_batch(
            5, lambda b: replace(b, window_start_ns=b.window_start_ns + NS_PER_S, emitted_ns=b.emitted_ns + NS_PER_S)
        ),
        "the window of batch 5 begins +1000 ms from the end",
    ),
    "a window twice": (
        lambda: make.with_batch(
            3, lambda b: replace(b, window_start_ns=b.window_start_ns - NS_PER_S, emitted_ns=b.emitted_ns)
        ),
        "the window of batch 3 begins -1000 ms",
    ),
    "a number left out": (lambda: make.with_batch(5, lambda b: replace(b, seq=6)), "batch 6 came after batch 4"),
    "an old epoch": (lambda: make.with_batch(5, lambda b: replace(b, epoch=4)), "epoch 4 came after epoch 5"),
    "a set too wide": (skewed, "has a set that spreads 7.0 ms, allowed are 6 ms"),
    "a spread that is not the stamps'": (
        lambda: make.with_batch(2, lambda b: replace(b, sets=(replace(b.sets[0], spread_ns=1), *b.sets[1:]))),
        "its stamps say 7000000 ns",
    ),
    "a set without its frames": (
        lambda: make.with_batch(
            2, lambda b: replace(b, sets=(replace(b.sets[0], members={"fast": 9, "slow": 20}), *b.sets[1:]))
        ),
        "frames that it did not bring",
    ),
    "one frame in two sets": (two_sets_with_one_frame, "in 2 sets"),
    "an account that does not add up": (
        lambda: make.with_batch(2, lambda b: make.recounted(b, "fast", captured=21)),
        "the account of fast does not add up",
    ),
    "an account of frames that are not there": (
        lambda: make.with_batch(2, lambda b: make.recounted(b, "fast", captured=21, delivered=21)),
        "counts 21 frames of fast and brings 20",
    ),
    "a camera that is not there": (lambda: nothing_from("slow"), "slow delivered nothing"),
    "a frame lost in silence": (
        lambda: make.with_batch(2, lambda b: make.without(b, "fast", 5)),
        "fast lost 1 frames in silence",
    ),
    "a frame twice": (
        lambda: make.with_frames(4, "fast", lambda f: replace(make.frame("fast", 61), time_ns=f.time_ns), only=1),
        "fast delivered 1 frames twice",
    ),
    "a picture twice, with a number of its own": (
        lambda: make.with_frames(4, "fast", lambda f: replace(f, counter=make.FIRST_COUNTER + 61), only=1),
        "fast delivered 1 frames twice",
    ),
    "a damaged picture": (
        lambda: make.with_frames(4, "fast", lambda f: replace(f, counter=None, true_ns=None, camera=None), only=1),
        "fast delivered 1 pictures that cannot be read",
    ),
    "another camera's picture": (
        lambda: make.with_frames(4, "fast", lambda f: replace(f, camera=1), only=1),
        "fast delivered 1 pictures of another camera",
    ),
    "frames out of order": (
        lambda: make.with_batch(
            4, lambda b: replace(b, frames={**b.frames, "fast": (*b.frames["fast"][1::-1], *b.frames["fast"][2:])})
        ),
        "fast delivered frames out of order",
    ),
    "stamps that are wrong": (lambda: stamps_off(5.0), "fast has stamps off by 5.1 ms (p99)"),
    "stamps that are early": (lambda: stamps_off(-6.0), "slow has stamps off by 5.9 ms (p99)"),
    "a batch far too late": (
        lambda: make.with_batch(2, lambda b: replace(b, emitted_ns=b.window_end_ns + 751 * NS_PER_MS)),
        "a batch left 751 ms after its window, allowed are 500 ms",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_contract_is_noticed_and_named(case: str) -> None:
    broken, words = BROKEN[case]
    verdict = judge(broken())
    assert not verdict.is_kept
    assert any(words in problem for problem in verdict.problems), verdict.problems


def test_a_frame_that_the_capture_never_numbered_is_missed_by_its_picture() -> None:
    """The numbers have no hole; only the counter that the camera burned in tells."""
    good = make.history()
    shifted = tuple(
        replace(
            b,
            frames={
                **b.frames,
                "fast": tuple(replace(f, counter=f.counter + (f.seq >= 50)) for f in b.frames["fast"] if f.counter),
            },
        )
        for b in good.batches
    )
    assert "fast lost 1 frames in silence" in judge(replace(good, batches=shifted)).problems
