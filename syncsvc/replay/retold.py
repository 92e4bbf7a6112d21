"""A recorded batch as it is served again: at its place, with payloads, and an account of those that it lacks; pure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from msgspec import structs

from syncsvc.model import Counts, Frame, FrameBatch, FrameSet, MissingReason
from syncsvc.replay.course import ReplayPlace
from syncsvc.replay.played_payload import PlayedPayload

Found = Mapping[tuple[str, int], PlayedPayload | str]
"""By stream and recorded number: a frame's payload, or why it has none."""


def retold(batch: FrameBatch, place: ReplayPlace, found: Found) -> FrameBatch:
    """The batch at its place.

    A frame without a picture is left out of frames and sets, and counted as dropped for the reason that ``found``
    gives: ``captured`` stays what it was, and nothing is lost in silence.
    """
    lost: dict[str, Counter[str]] = {name: Counter() for name in batch.frames}
    kept: dict[tuple[str, int], Frame] = {}
    for name, frames in batch.frames.items():
        for frame in frames:
            payload = found[name, frame.seq]
            if isinstance(payload, str):
                lost[name][payload] += 1
            else:
                kept[name, frame.seq] = structs.replace(
                    frame, seq=frame.seq + place.offsets[name], time_ns=frame.time_ns + place.shift_ns,
                    arrival_ns=frame.arrival_ns + place.shift_ns, keyframe=payload.is_key, layout=payload.layout,
                    payload=payload,
                )  # fmt: skip
    left = {
        name: [kept[name, one.seq] for one in some if (name, one.seq) in kept] for name, some in batch.frames.items()
    }
    gone: dict[str, MissingReason] = {name: "absent" for name, some in left.items() if lost[name] and not some}
    return replace(
        batch,
        epoch=place.epoch,
        seq=place.seq,
        window_start_ns=batch.window_start_ns + place.shift_ns,
        window_end_ns=batch.window_end_ns + place.shift_ns,
        missing={**gone, **batch.missing},
        frames=left,
        sets=[one for some in batch.sets if (one := _set_of(some, kept)) is not None],
        counts={name: _account(counts, lost.get(name, Counter())) for name, counts in batch.counts.items()},
    )


def _set_of(some: FrameSet, kept: Mapping[tuple[str, int], Frame]) -> FrameSet | None:
    """The set of what is left of it; None where that is none."""
    frames = {name: kept[name, frame.seq] for name, frame in some.frames.items() if (name, frame.seq) in kept}
    if len(frames) < 2:
        return None
    times = [frame.time_ns for frame in frames.values()]
    missing = (*some.missing, *(name for name in some.frames if name not in frames))
    return FrameSet(max(times) - min(times), frames, missing)


def _account(counts: Counts, lost: Mapping[str, int]) -> Counts:
    return counts + Counts(delivered=-sum(lost.values()), dropped=lost) if lost else counts
