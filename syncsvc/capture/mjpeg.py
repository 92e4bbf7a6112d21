"""JPEGs over HTTP, read here rather than by libavformat, which drops the parts' headers and makes up 25 frames/s."""

from collections.abc import Iterator

import av
from av import VideoFrame
from av.codec.context import CodecContext

from syncsvc.capture import stamps
from syncsvc.capture.decode import UNKNOWN_FPS, Accompanied, Sighting, Unit, confine, with_stamp
from syncsvc.capture.http_get import Answer
from syncsvc.capture.jpeg import coded, jpeg_layout, note_turn, plain_jpeg
from syncsvc.capture.multipart import Part, PartReader
from syncsvc.capture.size_limit import too_big
from syncsvc.capture.source import Loss, Picture, Pulse
from syncsvc.capture.spec import CaptureSpec
from syncsvc.clock import Clock
from syncsvc.decoded import packet_of
from syncsvc.layout import Codec, jpeg_header
from syncsvc.model import Observation
from syncsvc.transport.page import Position


class MjpegReader:
    """The pictures of one answer; ``X-Timestamp`` of a part is its stamp."""

    fps = UNKNOWN_FPS
    declared_fps = None

    def __init__(self, spec: CaptureSpec, answer: Answer, pulse: Pulse, clock: Clock) -> None:
        self._spec, self._answer, self._pulse, self._clock = spec, answer, pulse, clock
        self._codec = CodecContext.create("mjpeg", "r")
        confine(self._codec, spec.max_pixels)

    def frames(self) -> Iterator[Sighting]:
        """Pictures as they are complete, until the camera closes the connection.

        Raises:
            SourceUnavailable: no picture for three seconds, or the connection broke.
        """
        yield from self.pictures_of(self._answer)

    def pictures_of(self, answer: Answer) -> Iterator[Sighting]:
        """The same of another answer."""
        parts = PartReader()
        self._await(answer)
        while data := answer.read():
            for part in parts.feed(data, self._clock.monotonic_ns()):
                if part.is_picture:
                    self._pulse(Position.DECODE)
                    yield self._take(part)
                    self._await(answer)
        if (cut := parts.rest(self._clock.monotonic_ns())) is not None:
            yield self._take(cut)

    def _await(self, answer: Answer) -> None:
        self._pulse(Position.DEMUX)
        answer.wait_at_most(self._spec.timeouts_s[1])

    def _take(self, part: Part) -> Sighting:
        header = jpeg_header(part.body)
        if header is not None and (loss := too_big((header.width, header.height), self._spec.max_pixels)) is not None:
            return loss
        unit: Unit | None = self._coded(part.body) or self._decode(part.body)
        if unit is None:
            return Loss("decode_error")
        if self._spec.coded and isinstance(unit, VideoFrame) and (own := self._as_it_is(part.body)) is not None:
            unit = Accompanied(unit, own)
        seen = Observation(-1, part.end_mono_ns, is_key=True, start_mono_ns=part.start_mono_ns)
        stamp = stamps.of_seconds(part.headers.get("x-timestamp", ""))
        return unit, with_stamp(seen, stamp)

    def _coded(self, body: bytes) -> Picture | None:
        """The picture as the camera coded it, where that is what is wanted."""
        if self._spec.pixels == "jpeg" and self._spec.size is None:
            return plain_jpeg(body)
        return self._as_it_is(body) if self._spec.pixels == "encoded" else None

    @staticmethod
    def _as_it_is(body: bytes) -> Picture | None:
        header = jpeg_header(body)
        if header is None:
            return None
        return coded(jpeg_layout(header, Codec("mjpeg")), body)

    def _decode(self, body: bytes) -> VideoFrame | None:
        if self._spec.pixels == "encoded":
            return None
        try:
            found = [one for one in self._codec.decode(packet_of(av.Packet, body)) if isinstance(one, VideoFrame)]
        except (av.error.FFmpegError, ValueError):
            return None
        if not found or found[0].is_corrupt:
            return None
        note_turn(found[0], body)
        return found[0]
