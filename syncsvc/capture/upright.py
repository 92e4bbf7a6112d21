"""Which way up a picture is: by the display matrix of its recording, or by EXIF; turned where it is made of pixels."""

from math import atan2, pi
from typing import Any, NamedTuple

import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type
from numpy.typing import NDArray

from syncsvc.layout import Layout, Rotation
from syncsvc.nal import Orientation
from syncsvc.pictures import planes

_STRIP = 64
"""Rows that are turned at a time: so many lines of a processor's cache serve again (1080p: 31 to 6 ms)."""
_ROTATIONS: tuple[Rotation, ...] = (0, 90, 180, 270)


class Turn(NamedTuple):
    """What makes a picture upright: left and right change places, then quarters of a turn counter-clockwise."""

    quarters: int = 0
    is_mirrored: bool = False

    @property
    def rotation(self) -> Rotation:
        """In degrees."""
        return _ROTATIONS[self.quarters]

    def of_size(self, width: int, height: int) -> tuple[int, int]:
        """What a picture's sides become; and of a turned one, what they were."""
        return (height, width) if self.quarters % 2 else (width, height)


UPRIGHT = Turn()
_BY_EXIF = (UPRIGHT, Turn(0, True), Turn(2), Turn(2, True), Turn(1, True), Turn(3), Turn(3, True), Turn(1))


def turn_of_exif(orientation: int) -> Turn:
    """By EXIF's number, 1 to 8."""
    return _BY_EXIF[orientation - 1]


def turn_of_message(said: Orientation) -> Turn:
    """By what stands in H.264 or H.265 beside the picture, rounded to quarters."""
    half = 2 * said.flips_vertically  # what is mirrored upside down is mirrored, and turned by half a circle
    return Turn((half + round(said.angle / (1 << 14))) % 4, said.flips_horizontally != said.flips_vertically)


def turn_of(frame: Any) -> Turn:
    """Of a decoded ``VideoFrame``: decoders keep there what the container, the codec or EXIF said."""
    if isinstance(frame.opaque, Turn):
        return frame.opaque
    try:
        found = [bytes(side) for side in SideDataContainer(frame) if side.type is Type.DISPLAYMATRIX]  # type: ignore[call-arg]  # its stub lacks the argument
    except ValueError:  # side data of a kind that PyAV has no name for
        return Turn(round(frame.rotation / 90) % 4)
    return turn_of_matrix(found[0]) if found else UPRIGHT


def turn_of_matrix(matrix: bytes) -> Turn:
    """By a display matrix, rounded to quarters: nine numbers that place a point of the picture on the screen.

    Source: ISO/IEC 14496-12, 6.2.2.
    """
    a, b, _, c, d, *_ = (int(number) for number in np.frombuffer(matrix[:36], np.int32))
    if not a * d - b * c:
        return UPRIGHT
    return Turn(round(-atan2(-c, d) * 2 / pi) % 4, a * d < b * c)


def turned(layout: Layout, turn: Turn) -> Layout:
    """How a raw picture looks when it was turned."""
    width, height = turn.of_size(layout.width, layout.height)
    return Layout(layout.format, width, height, layout.range, layout.matrix)


def write_turned(raw: NDArray[np.uint8], layout: Layout, turn: Turn, slot: NDArray[np.uint8]) -> None:
    """Turn a raw payload, ``(layout.size_bytes,)`` uint8, plane by plane into another of as many bytes."""
    for plane, upright in zip(planes(raw, layout), planes(slot, turned(layout, turn)), strict=True):
        mirrored = plane[:, ::-1] if turn.is_mirrored else plane
        source = np.rot90(mirrored, turn.quarters)
        for at in range(0, source.shape[0], _STRIP):
            np.copyto(upright[at : at + _STRIP], source[at : at + _STRIP])
