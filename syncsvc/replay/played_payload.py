"""Payloads of recorded frames: made of their pictures when somebody wants them, and let go of when they were sent."""

import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from syncsvc.layout import Layout
from syncsvc.model import Payload
from syncsvc.transport.payload import BufferPool, CodedPart


class PlayedPayload(Payload):
    """One frame's, for the publisher; ``make`` writes ``(nbytes,)`` uint8, once.

    Args:
        nbytes: of the payload.
        layout: what it is.
        is_key: whether it refers to no other.
        make: writes it; may raise FrameUndecodable.
        coded: how the coded picture beside it looks, where the service had one.
        data: that picture.
        on_release: called when the frame was sent.
    """

    __slots__ = ("_copy", "_data", "_lock", "_make", "_on_release", "coded", "is_key", "layout",
                 "nbytes")  # fmt: skip

    def __init__(
        self,
        nbytes: int,
        layout: Layout,
        is_key: bool,
        make: Callable[[NDArray[np.uint8]], None],
        coded: CodedPart | None,
        data: bytes,
        on_release: Callable[[], None],
    ) -> None:
        self.nbytes, self.layout, self.is_key, self.coded = nbytes, layout, is_key, coded
        self._make, self._data, self._on_release = make, data, on_release
        self._copy: NDArray[np.uint8] | None = None
        self._lock = threading.Lock()

    def copy_out(self, pool: BufferPool, *, keeps_slot: bool = False) -> NDArray[np.uint8]:
        """The payload in a shared buffer, ``(nbytes,)`` uint8, always the same one.

        Raises:
            FrameUndecodable: its picture is damaged.
        """
        with self._lock:
            if self._copy is None:
                buffer = pool.take(self.nbytes)
                self._make(buffer)
                self._copy = buffer
            return self._copy

    def copy_coded(self, pool: BufferPool) -> NDArray[np.uint8] | None:
        """The coded picture beside it; None where there is none."""
        return np.frombuffer(self._data, np.uint8) if self.coded is not None else None

    def release(self) -> None:
        """It was sent."""
        self._copy = None
        self._on_release()
