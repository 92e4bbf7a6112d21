"""What the first packets of a recording show before it is read: which way up it is, and how its times are ordered."""

from contextlib import suppress
from fractions import Fraction
from itertools import islice
from typing import NamedTuple

from av.container import InputContainer
from av.error import FFmpegError

from syncsvc.capture.decode import confine, video_of
from syncsvc.capture.source import Pulse
from syncsvc.capture.upright import UPRIGHT, Turn, turn_of
from syncsvc.transport.page import Position

LOOKED_THROUGH = 250
"""Packets in which B-frames show themselves; later ones are lost as ``b_frame``."""
_LOOKED_AT = 24
"""Pictures that are decoded to see whether they are shown in the order of their packets."""


class FirstLook(NamedTuple):
    """What the first packets show."""

    turn: Turn = UPRIGHT
    is_decoding_order: bool = False
    """Times are those of packets in their order, although pictures are shown in another."""
    has_b_frames: bool = False


def look_through(container: InputContainer, pulse: Pulse, *, is_coded: bool, max_pixels: int) -> FirstLook:
    """Look through the first packets: coded pictures leave in their order, and their times must rise in it.

    Where the packets' times do and the decoder speaks of B-frames, pictures are shown in another order than these say,
    or there are no B-frames after all: what is decoded tells, and only where it matters.
    """
    stream = video_of(container)
    assert stream is not None, "it was opened before"
    context, second = stream.codec_context, 1 / (stream.time_base or Fraction(1))
    confine(context, max_pixels)
    times: list[int] = []
    shown: list[int] = []
    turn: Turn | None = None
    with suppress(FFmpegError, OSError, ValueError):
        for packet in islice(container.demux(stream), LOOKED_THROUGH):
            pulse(Position.OPENING)
            time = packet.pts if packet.pts is not None else packet.dts
            if time is not None:
                if times and -second < time - times[-1] < 0:
                    return FirstLook(turn or UPRIGHT, has_b_frames=True)
                if times and time < times[-1]:  # another timeline
                    times, shown = [], []
                times.append(time)
            if not is_coded or (turn is not None and (not context.has_b_frames or len(shown) > _LOOKED_AT)):
                continue
            for frame in packet.decode():
                turn = turn_of(frame) if turn is None else turn
                shown += [] if frame.pts is None else [frame.pts]
    is_decoding_order = bool(context.has_b_frames and times)
    has_b_frames = shown != sorted(shown) if times else bool(context.has_b_frames)
    return FirstLook(turn or UPRIGHT, is_decoding_order, has_b_frames)
