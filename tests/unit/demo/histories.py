"""Runs as they should be, made up, for tests to break in one place."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from syncsvc.clock import NS_PER_MS, NS_PER_S
from syncsvc.demo.history import CameraAccount, History, SeenBatch, SeenFrame, SeenSet
from syncsvc.model import Counts

CAMERAS = {"fast": (20, 0), "slow": (10, 7)}
"""Frames per window, and phase in milliseconds."""
WINDOWS = 6
FIRST_COUNTER = 40
"""Of the first picture of the session, and the first that was delivered."""


def frame(camera: str, number: int) -> SeenFrame:
    """Frame ``number`` of a camera, stamped 0.1 ms off."""
    rate, phase_ms = CAMERAS[camera]
    true_ns = 1000 * NS_PER_S + number * NS_PER_S // rate + phase_ms * NS_PER_MS
    return SeenFrame(
        seq=number,
        time_ns=true_ns + NS_PER_MS // 10,
        uncertainty_ns=NS_PER_MS,
        clock="rtcp",
        arrival_ns=true_ns + 50 * NS_PER_MS,
        true_ns=true_ns,
        counter=FIRST_COUNTER + number,
        camera=list(CAMERAS).index(camera),
    )


def batch(window: int) -> SeenBatch:
    """Window ``window``: every frame of it, and a set per frame of the slow camera."""
    frames = {
        name: tuple(frame(name, window * rate + place) for place in range(rate)) for name, (rate, _) in CAMERAS.items()
    }
    start = (1000 + window) * NS_PER_S
    return SeenBatch(
        seq=window,
        epoch=5,
        window_start_ns=start,
        window_end_ns=start + NS_PER_S,
        emitted_ns=start + NS_PER_S + 200 * NS_PER_MS,
        received_ns=start + NS_PER_S + 210 * NS_PER_MS,
        missing={},
        frames=frames,
        sets=tuple(SeenSet(7 * NS_PER_MS, {"fast": slow.seq * 2, "slow": slow.seq}) for slow in frames["slow"]),
        counts={name: Counts(len(some), len(some)) for name, some in frames.items()},
    )


def history() -> History:
    """A run in which everything went well."""
    accounts = {
        name: CameraAccount(((FIRST_COUNTER, FIRST_COUNTER + WINDOWS * rate + 3),))
        for name, (rate, _) in CAMERAS.items()
    }
    return History(40 * NS_PER_MS, 500 * NS_PER_MS, accounts, tuple(batch(window) for window in range(WINDOWS)))


def with_batch(place: int, change: Callable[[SeenBatch], SeenBatch]) -> History:
    """The same run with one batch changed."""
    good = history()
    return replace(good, batches=tuple(change(b) if b.seq == place else b for b in good.batches))


def with_frames(place: int, camera: str, change: Callable[[SeenFrame], SeenFrame], *, only: int = 0) -> History:
    """The same run with frame ``only`` of a camera in one batch changed."""

    def changed(seen: SeenBatch) -> SeenBatch:
        frames = list(seen.frames[camera])
        frames[only] = change(frames[only])
        return replace(seen, frames={**seen.frames, camera: tuple(frames)})

    return with_batch(place, changed)


def recounted(seen: SeenBatch, camera: str, **counts: Any) -> SeenBatch:
    """A batch whose account of a camera says something else."""
    return replace(seen, counts={**seen.counts, camera: replace(seen.counts[camera], **counts)})


def without(seen: SeenBatch, camera: str, place: int) -> SeenBatch:
    """A batch that lacks a frame which no set needs, with an account that fits what is left."""
    frames = [some for index, some in enumerate(seen.frames[camera]) if index != place]
    lacking = replace(seen, frames={**seen.frames, camera: tuple(frames)})
    return recounted(lacking, camera, captured=len(frames), delivered=len(frames))
