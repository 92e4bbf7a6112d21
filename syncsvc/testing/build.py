"""Frames and observations in one line, whose pixels know whether they were given back."""

from typing import Any

from syncsvc.clock import NS_PER_MS as MS
from syncsvc.clock import NS_PER_S as S
from syncsvc.layout import Layout
from syncsvc.model import ClockClass, Frame, Observation, StampKind

T0 = 1_767_225_600 * S
"""2026-01-01T00:00:00Z: the edge of a window of any usual length."""

TINY = Layout("gray8", 4, 2)


class HeldPixels:
    """Stands for a payload in a slot; ``releases`` counts how often it was given back."""

    coded = None

    def __init__(self) -> None:
        self.releases = 0

    def release(self) -> None:
        """One group is done with it."""
        self.releases += 1


def frame(
    stream: str,
    seq: int,
    time_ns: int,
    *,
    arrival_ns: int = T0,
    layout: Layout = TINY,
    clock: ClockClass = "pts",
    payload: Any = None,
) -> Frame:
    """A frame taken at ``time_ns``; its pixels are ``HeldPixels`` unless others are given."""
    pixels = HeldPixels() if payload is None else payload
    return Frame(stream, seq, time_ns, MS, clock, arrival_ns, True, layout, pixels)


def observation(
    seq: int,
    arrival_mono_ns: int,
    stamp_ns: int | None = None,
    kind: StampKind = "",
    pts_ns: int | None = None,
    ntp_ns: int | None = None,
) -> Observation:
    """What a capture saw of one frame."""
    return Observation(seq, arrival_mono_ns, pts_ns, stamp_ns, kind if stamp_ns is not None else "", ntp_ns=ntp_ns)
