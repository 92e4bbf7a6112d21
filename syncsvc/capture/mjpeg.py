"""MJPEG over HTTP, read here rather than by libavformat, which drops the parts' headers and makes up 25 frames/s."""

from collections.abc import Iterator

import av
from av import VideoFrame
from av.codec.context import CodecContext

from syncsvc.capture import stamps
from syncsvc.capture.decode import MAX_PIXELS, UNKNOWN_FPS
from syncsvc.capture.http import READ_TIMEOUT_S, Answer
from syncsvc.capture.multipart import Part, PartReader
from syncsvc.capture.source import Loss, Pulse
from syncsvc.clock import Clock
from syncsvc.model import Observation
from syncsvc.transport.page import Position


def is_multipart(answer: Answer) -> bool:
    """Whether the body is a row of parts."""
    return answer.headers.get_content_maintype() == "multipart"


class MjpegReader:
    """The pictures of one answer; ``X-Timestamp`` of a part is its stamp."""

    fps = UNKNOWN_FPS

    def __init__(self, source_id: str, answer: Answer, pulse: Pulse, clock: Clock) -> None:
        self._source_id, self._answer, self._pulse, self._clock = source_id, answer, pulse, clock
        self._parts = PartReader(answer.headers.get_boundary() or "")
        self._codec = CodecContext.create("mjpeg", "r")
        self._codec.thread_type, self._codec.thread_count = "NONE", 1
        self._codec.options = {"max_pixels": str(MAX_PIXELS)}

    def frames(self) -> Iterator[tuple[VideoFrame, Observation] | Loss]:
        """Pictures as they are complete, until the camera closes the connection.

        Raises:
            SourceUnavailable: no picture for three seconds, or the connection broke.
        """
        self._await()
        while data := self._answer.read():
            for part in self._parts.feed(data, self._clock.monotonic_ns()):
                if part.headers.get("content-type", "image/").lower().startswith(("image/", "application/octet")):
                    self._pulse(Position.DECODE)
                    yield self._decode(part)
                    self._await()
            if self._parts.is_over:
                return

    def _await(self) -> None:
        self._pulse(Position.DEMUX)
        self._answer.wait_at_most(READ_TIMEOUT_S)

    def _decode(self, part: Part) -> tuple[VideoFrame, Observation] | Loss:
        try:
            decoded = [frame for frame in self._codec.decode(av.Packet(part.body)) if isinstance(frame, VideoFrame)]
        except (av.error.FFmpegError, ValueError):
            return Loss("decode_error")
        if not decoded or decoded[0].is_corrupt:
            return Loss("decode_error")
        stamp = stamps.of_seconds(part.headers.get("x-timestamp", ""))
        return decoded[0], Observation(
            -1,
            part.end_mono_ns,
            is_key=True,
            stamp_ns=stamp.utc_ns if stamp else None,
            stamp_kind="media" if stamp else "",
            doubt_ns=stamp.doubt_ns if stamp else 0,
            start_mono_ns=part.start_mono_ns,
        )

    def close(self) -> None:
        """Disconnect."""
        self._answer.close()
