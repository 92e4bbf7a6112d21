"""A recording of two streams of JPEGs, whose sizes may differ from set to set."""

from collections.abc import Sequence

import cv2
import numpy as np

from syncsvc.layout import Codec, Layout
from syncsvc.recording.contents import StoredPicture
from syncsvc.wire import GroupTerms
from tests.batches import MS, T0, batch, frame, together
from tests.recordings import MemoryRecording, MemorySegment, of_batch

NAMES = ("north", "south")


def jpeg_of(number: int, size: tuple[int, int], colour: tuple[int, int, int] | None) -> bytes:
    """A picture of one colour, by default a grey that tells which one it is."""
    width, height = size
    picture = np.full((height, width, 3), colour or (40 + 10 * number,) * 3, np.uint8)
    return cv2.imencode(".jpg", picture)[1].tobytes()


def jpeg_recording(sizes: Sequence[tuple[int, int]], colour: tuple[int, int, int] | None = None) -> MemoryRecording:
    """A set every 40 ms, of these sizes."""
    frames, shown = {name: [] for name in NAMES}, {name: [] for name in NAMES}
    for number, size in enumerate(sizes):
        for name in NAMES:
            data, time_ns = jpeg_of(number, size, colour), T0 + 40 * number * MS
            layout = Layout("jpeg", *size, "full")
            frames[name].append(frame(name, number, time_ns, layout, keyframe=True, payload=b""))
            coded = Layout("encoded", *size, "full", codec=Codec("mjpeg"))
            shown[name].append(StoredPicture(name, number, number, time_ns, True, coded, data))
    sets = [together(*some, group=NAMES) for some in zip(*frames.values(), strict=True)]
    segment = MemorySegment([of_batch(batch(0, frames=frames, sets=sets))], shown)
    return MemoryRecording({"lobby": GroupTerms(NAMES, 1000, 40.0, 500.0)}, [segment])
