"""A recorder of few words: what two subscribers of a service saw, as a folder."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from syncsvc.layout import RAW_FORMATS, Codec, Layout
from syncsvc.model import Frame, FrameBatch
from syncsvc.recording.contents import StoredPicture
from tests.recordings import write_folder

TICK = Fraction(1, 90_000)


def record_by_hand(folder: Path, decoded: Sequence[FrameBatch], coded: Sequence[FrameBatch]) -> list[FrameBatch]:
    """Write the batches that both saw: the camera's own pictures from a key frame on, others coded without loss.

    Args:
        folder: where.
        decoded: what came under ``batch/``.
        coded: what came under ``coded/``.

    Returns:
        Those batches.
    """
    seen = {one.seq: one for one in coded}
    batches = [one for one in decoded if one.seq in seen]
    shown: dict[str, list[StoredPicture]] = {}
    for name in batches[0].frames:
        frames = sorted((one for batch in batches for one in batch.frames[name]), key=lambda one: one.seq)
        beside = {one.seq: one for batch in seen.values() for one in batch.frames.get(name, ())}
        own = [beside.get(one.seq) for one in frames]
        if all(one is not None and one.format == "encoded" for one in own):
            shown[name] = _remuxed([one for one in own if one is not None])
        else:
            shown[name] = _coded_here(frames)
    write_folder(folder, batches, shown)
    return batches


def _remuxed(frames: Sequence[Frame]) -> list[StoredPicture]:
    first = next(at for at, one in enumerate(frames) if one.keyframe)
    return [
        StoredPicture(one.stream, at, one.seq, one.time_ns, one.keyframe, one.layout, bytes(one.pixels))
        for at, one in enumerate(frames[first:])
    ]


def _coded_here(frames: Sequence[Frame]) -> list[StoredPicture]:
    """Raw pictures in H.264 that loses nothing."""
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = frames[0].width, frames[0].height, "yuv420p"
    context.time_base, context.framerate, context.max_b_frames = TICK, Fraction(25), 0
    context.thread_count = 1
    context.options = {"preset": "ultrafast", "tune": "zerolatency", "qp": "0", "g": "10"}
    packets = []
    for number, one in enumerate(frames):
        assert one.format in RAW_FORMATS
        rows = np.asarray(one.pixels).reshape(one.height * 3 // 2, one.width)
        picture = av.VideoFrame.from_ndarray(rows, "yuv420p")
        picture.pts = number
        packets += context.encode(picture)
    packets += context.encode(None)
    layout = Layout("encoded", frames[0].width, frames[0].height, codec=Codec("h264"))
    return [
        StoredPicture(one.stream, at, one.seq, one.time_ns, packet.is_keyframe, layout, bytes(packet), True)
        for at, (one, packet) in enumerate(zip(frames, packets, strict=True))
    ]


def frames_of(batches: Sequence[FrameBatch]) -> Mapping[tuple[str, int], Frame]:
    """Every frame, by stream and number."""
    return {(one.stream, one.seq): one for batch in batches for some in batch.frames.values() for one in some}
