"""One stream's recorded pictures, found for its frames and decoded for those who want pixels.

A file has them in the order of their numbers; batches, nearly: a set's partner from across a window's edge travels
ahead. So what is passed over is kept for a while.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from syncsvc import decoded
from syncsvc.capture.upright import UPRIGHT, Turn, turned, write_turned
from syncsvc.client.decoder import CodedFrame, RecoveringFrame, StreamDecoder
from syncsvc.clock import NS_PER_S
from syncsvc.layout import Layout
from syncsvc.model import Frame
from syncsvc.recording.contents import StoredPicture

PASSED_OVER_NS = 120 * NS_PER_S
"""Twice the longest window: no frame travels ahead of another by more."""
NOT_RECORDED, NO_KEY, DAMAGED = "not_recorded", "no_key", "decode_error"
"""Why a frame of a recorded batch has no picture: none is in the files; it refers to one that is not; it is damaged."""


class FoundPicture(NamedTuple):
    """A picture, and what decodes it; ``problem`` says why it cannot be decoded, as far as that is known before."""

    stored: StoredPicture
    learnt: CodedFrame | RecoveringFrame
    problem: str


class StreamPictures:
    """The pictures of one stream over all segments, each taken by its frame, nearly in order.

    Args:
        stream: its name.
        pictures: in the order of the files.
        users: how many groups ask for each.
    """

    def __init__(self, stream: str, pictures: Iterator[StoredPicture], users: int = 1) -> None:
        self._pictures, self._decoder, self._users = pictures, StreamDecoder(stream), users
        self._passed: dict[tuple[int, int], tuple[FoundPicture, int]] = {}
        self._number, self._last_seq = -1, -1
        self._whole_from: int | None = None
        self._newest: StoredPicture | None = None

    def find(self, frame: Frame) -> FoundPicture | None:
        """The picture of a frame, by its recorded number and time; None where there is none."""
        key = frame.seq, frame.time_ns
        while key not in self._passed and not self._is_beyond(frame):
            stored = next(self._pictures, None)
            if stored is None:
                break
            self._newest = stored
            self._passed[stored.seq, stored.time_ns] = self.learn(stored), self._users
        found, users = self._passed.pop(key, (None, 0))
        if found is not None and users > 1:
            self._passed[key] = found, users - 1
        for passed in [one for one in self._passed if one[1] < frame.time_ns - PASSED_OVER_NS]:
            del self._passed[passed]
        return found

    def _is_beyond(self, frame: Frame) -> bool:
        """Whether the files are past the place where the frame would be: numbers and times rise together."""
        newest = self._newest
        return newest is not None and newest.seq >= frame.seq and newest.time_ns >= frame.time_ns

    def learn(self, stored: StoredPicture) -> FoundPicture:
        """Let the decoder know of the next picture of the files: numbers of its own tell it what refers to what."""
        is_next = stored.is_ours or stored.seq == self._last_seq + 1
        self._number, self._last_seq = self._number + (1 if is_next else 2), stored.seq
        learnt = self._decoder.learn(
            Frame(stored.stream, self._number, stored.time_ns, 0, "pts", 0, stored.is_key, stored.layout, stored.data)
        )
        if not is_next:
            self._whole_from = None
        if stored.is_key:
            whole_from = self._number + _coded(learnt).recovers_in
            self._whole_from = whole_from if self._whole_from is None else min(self._whole_from, whole_from)
        is_whole = self._whole_from is not None and self._number >= self._whole_from
        return FoundPicture(stored, learnt, "" if is_whole else NO_KEY)

    def picture(self, found: FoundPicture) -> Any:
        """A picture as libav has it, an ``av.VideoFrame``; errors as for ``write``."""
        return self._decoder.picture(_coded(found.learnt))

    def write(self, found: FoundPicture, layout: Layout, target: NDArray[np.uint8]) -> None:
        """A picture's pixels as a payload of a raw layout, ``(layout.size_bytes,)`` uint8.

        Raises:
            FrameUndecodable: it is damaged, or what it refers to.
        """
        picture, turn = self.picture(found), Turn(found.stored.layout.rotation // 90)
        if turn == UPRIGHT:
            decoded.write(picture, layout, target)
            return
        raw = np.empty(layout.size_bytes, np.uint8)
        lying = turned(layout, turn)
        decoded.write(picture, lying, raw)
        write_turned(raw, lying, turn, target)


def _coded(learnt: CodedFrame | RecoveringFrame) -> CodedFrame:
    return learnt.coded if isinstance(learnt, RecoveringFrame) else learnt
