"""Clocks over real RTSP: what lies is caught and harms nobody else, what cannot be caught is in the ±."""

from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice

import pytest

from syncsvc.cameras import CameraSpec
from syncsvc.clock import NS_PER_MS as MS
from syncsvc.demo.comparison import true_sets, truth_of
from syncsvc.demo.history import History, SeenFrame
from syncsvc.demo.trial import Scenario, Trial
from syncsvc.lifecycle import StopToken

pytestmark = pytest.mark.alone

TIE_MS = 0.2
"""Of two partners that are equally far but for this much, either will do: stamps are not exact to the nanosecond."""
SKIPPED = 4
"""Windows until every camera that lies was caught and has passed an edge."""


def watch(trial: Trial, seconds: float) -> History:
    """The whole run, which ends after so long."""
    deque(trial.watch(seconds, StopToken()), maxlen=0)
    deque(trial.finish(), maxlen=0)
    return trial.history()


def only(history: History, names: Iterable[str]) -> History:
    """What is left of a run when nobody looks at the other cameras."""
    kept = set(names)
    batches = [
        replace(
            batch,
            frames={name: frames for name, frames in batch.frames.items() if name in kept},
            sets=tuple(
                replace(one, members=members)
                for one in batch.sets
                if len(members := {name: seq for name, seq in one.members.items() if name in kept}) > 1
            ),
        )
        for batch in history.batches
    ]
    return replace(
        history,
        cameras={name: account for name, account in history.cameras.items() if name in kept},
        batches=tuple(batches),
    )


def frames(history: History, name: str, skip: int = 0) -> list[SeenFrame]:
    return [frame for batch in history.batches[skip:] for frame in batch.frames[name]]


def errors_ms(seen: Iterable[SeenFrame]) -> list[float]:
    return [abs(frame.time_ns - frame.true_ns) / MS for frame in seen if frame.true_ns is not None]


def covered(seen: list[SeenFrame]) -> float:
    """The share of the frames whose true time lies within their ±."""
    return sum(abs(f.time_ns - f.true_ns) <= f.uncertainty_ns for f in seen if f.true_ns is not None) / len(seen)


def test_cameras_that_lie_are_caught_and_change_no_set_of_the_others() -> None:
    honest = (
        CameraSpec("north", fps=25, latency_ms=20, jitter_ms=5, seed=1),
        CameraSpec("south", fps=30, phase_ms=9, latency_ms=60, jitter_ms=5, seed=2),
    )
    small = {"width": 320, "height": 180, "jitter_ms": 5.0, "latency_ms": 40.0}
    liars = (
        CameraSpec("ahead", fps=10, clock_offset_ms=10_000, **small),  # type: ignore[arg-type]
        CameraSpec("yesterday", fps=12, clock_offset_ms=-86_400_000, **small),  # type: ignore[arg-type]
        CameraSpec("boot", fps=25, sr_mode="uptime", **small),  # type: ignore[arg-type]
        CameraSpec("zero", fps=30, sr_mode="zero", **small),  # type: ignore[arg-type]
    )
    with Trial(Scenario((*honest, *liars))) as trial:
        history = watch(trial, 10)
    for liar in liars:
        later = frames(history, liar.name, SKIPPED)
        assert {frame.clock for frame in later} == {"model"}, liar.name
        assert covered(later) > 0.95, liar.name
    honest_part = only(history, ("north", "south"))
    judged = honest_part.batches[SKIPPED:-1]
    truth = truth_of(honest_part, judged)
    ours, best = true_sets(truth, judged)
    assert len(best) > 90
    assert len(ours) == len(best)
    others = [(one, two) for one, two in zip(ours, best, strict=True) if one != two]
    assert all(abs(truth.spread_ms(one) - truth.spread_ms(two)) < TIE_MS for one, two in others)
    assert len(others) < 0.02 * len(best)
    assert max(errors_ms(frames(history, "north", SKIPPED))) < 5


def test_a_clock_that_steps_keeps_its_times_and_reports_of_sending_show_in_the_uncertainty() -> None:
    cameras = (
        CameraSpec("steps", fps=25, latency_ms=50, jitter_ms=5, sr_interval_s=1),
        CameraSpec("sends", fps=20, latency_ms=80, jitter_ms=5, sr_interval_s=1, sr_mode="sendtime", phase_ms=7),
    )
    with Trial(Scenario(cameras)) as trial:
        watched = trial.watch(60, StopToken())
        believed = (batch for batch in watched if {frame.clock for frame in batch.frames["steps"]} == {"rtcp"})
        deque(islice(believed, 2), maxlen=0)
        trial.cameras.set("steps", clock_offset_ms=10_000)
        history = watch(trial, 7)
    seen = frames(history, "steps")
    assert list(dict.fromkeys(frame.clock for frame in seen))[-2:] == ["rtcp", "model"]
    assert sum(error < 10 for error in errors_ms(seen)) > 0.98 * len(seen)
    sent = frames(history, "sends", SKIPPED)
    assert {frame.clock for frame in sent} == {"rtcp"}
    assert min(errors_ms(sent)) > 70
    assert covered(sent) > 0.5, "how late it sends is the machine's too; the simulations are sharper"
