"""The ways to hand a picture from one process to another that the transport benchmark compares.

Every way has two ends. The sender's takes a frame, ``(bytes,)`` uint8; the receiver's waits for the next frame and
returns its first eight bytes, in which the sender put the time. No way loses a frame: each waits when it is full.
"""

from importlib.util import find_spec

from syncsvc.bench.ways import peers, shared_ring, standard, zeromq
from syncsvc.bench.ways.shared_ring import COPY, HAND_OVER, PACING, RING, SLOTS
from syncsvc.bench.ways.way import Send, Way
from syncsvc.layout import PixelFormat

__all__ = ["COPY", "HAND_OVER", "PACING", "RING", "SLOTS", "WAYS", "Send", "absent", "available"]

WAYS: dict[str, Way] = shared_ring.WAYS | standard.WAYS | zeromq.WAYS | peers.WAYS


def available(pixels: PixelFormat) -> tuple[str, ...]:
    """The ways that carry such pictures and whose packages are installed, ours first."""
    return tuple(name for name, way in WAYS.items() if pixels in way.formats and not absent(way))


def absent(way: Way) -> str:
    """The first package that the way needs and that is not installed; empty when all are."""
    return next((package for package in way.needs if find_spec(package) is None), "")
