"""What every way of handing frames over looks like, so that one benchmark can drive them all."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syncsvc.layout import Layout, PixelFormat

Pixels = NDArray[np.uint8]
Send = Callable[[Pixels], None]
RAW: tuple[PixelFormat, ...] = ("bgr24", "i420")
IMAGES: tuple[PixelFormat, ...] = ("bgr24",)
"""What libraries for images carry: arrays of height, width and three colours."""


def stamp_of(pixels: Any) -> int:
    """The time that the sender put into the first eight bytes of a buffer."""
    return int(np.frombuffer(pixels, np.int64, 1)[0])


def image(frame: Pixels, layout: Layout) -> Pixels:
    """As a program without a ring would hand it over: the image as an array."""
    return frame.reshape(layout.height, layout.width, 3) if layout.format == "bgr24" else frame


@dataclass(frozen=True)
class SendingEnd:
    """A way, opened: the sender's function, what the other process is given, and what to close afterwards."""

    send: Send
    remote: Any
    close: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class ReceivingEnd:
    """The other end, in the other process: waits for a frame and returns its stamp."""

    receive: Callable[[], int]
    close: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Way:
    """One way.

    Args:
        open: makes the ends; gets the frames' layout and the context of ``multiprocessing``.
        receiver: makes the other end of what ``SendingEnd.remote`` was.
        formats: the pictures that it carries.
        needs: modules that must be installed.
    """

    open: Callable[[Layout, Any], SendingEnd]
    receiver: Callable[[Any, Layout], ReceivingEnd] | None
    """None: nobody receives."""
    formats: tuple[PixelFormat, ...] = RAW
    needs: tuple[str, ...] = ()
