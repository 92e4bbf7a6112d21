"""Decoded pictures together with the coded ones that they were made of: ``coded: true``.

The camera's own pictures are here anyway; they cost a copy of some kilobytes, and whoever records needs no encoder. A
source with B-frames has none to hand on: its pictures do not come in the order of their times.
"""

import logging
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from av import VideoFrame

from syncsvc.capture.decode import KEPT_PACKETS, Accompanied, Decoder, OpenInput, Sighting, Unit
from syncsvc.capture.passthrough import B_FRAMES, PassThrough
from syncsvc.capture.source import Loss, Picture
from syncsvc.capture.upright import turn_of

log = logging.getLogger(__name__)


def tell_of_b_frames(source_id: str) -> None:
    """Say why there are no coded pictures."""
    log.warning("source %s %s", source_id, B_FRAMES.replace("`pixels: encoded`", "`coded: true`"))


class CodedBeside(Decoder):
    """A decoder that hands on what it was fed."""

    def __init__(self, opened: OpenInput) -> None:
        super().__init__(opened)
        self._coder: PassThrough | None = PassThrough(opened)
        self._coded: OrderedDict[int | None, Picture] = OrderedDict()
        """By pts; the first picture of an RTSP session has none."""
        self._turn = opened.turn

    def _take(self, packet: Any, arrival_mono_ns: int) -> Iterator[Sighting]:
        sightings = list(super()._take(packet, arrival_mono_ns))  # first: the coder's filter takes the packet away
        self._keep(packet.pts, packet)
        for item in sightings:
            yield item if isinstance(item, Loss) else (self._with_coded(item[0]), item[1])

    def _with_coded(self, unit: Unit) -> Unit:
        if not isinstance(unit, VideoFrame):
            return unit
        coded = self._coded.pop(unit.pts, None)
        if coded is None:
            return unit
        if unit.key_frame:
            self._turn = turn_of(unit)
        if coded.layout.rotation != self._turn.rotation:  # who reads packets alone cannot tell what a container says
            if self._coder is not None:
                self._coder.show_by(self._turn)
            coded = Picture(replace(coded.layout, rotation=self._turn.rotation), coded.size_bytes, coded.write)
        return Accompanied(unit, coded)

    def _keep(self, pts: int | None, packet: Any) -> None:
        """Keep a packet's coded picture until the decoder has made its own of it."""
        if self._coder is None:
            return
        coded = self._coder.coded_of(packet)
        if coded is None and self._coder.has_b_frames:
            self._coder = None
            tell_of_b_frames(self._input.source_id)
            self._coded.clear()
        elif coded is not None:
            self._coded[pts] = coded
            if len(self._coded) > KEPT_PACKETS:
                self._coded.popitem(last=False)
