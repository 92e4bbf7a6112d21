"""Pictures over HTTP of other kinds than JPEG (PNG, WebP), one an answer: libav reads each whole, once it is here."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from io import BytesIO

from syncsvc.capture.decode import OpenInput, Sighting, open_container
from syncsvc.capture.http_get import Answer
from syncsvc.capture.multipart import MAX_PART_BYTES
from syncsvc.capture.readers import reader_of
from syncsvc.capture.source import Loss, Pulse
from syncsvc.capture.spec import CaptureSpec
from syncsvc.clock import Clock
from syncsvc.errors import SourceUnavailable
from syncsvc.transport.page import Position

_PNG, _RIFF, _WEBP = b"\x89PNG\r\n\x1a\n", b"RIFF", b"WEBP"
_OPTIONS = {"format_whitelist": "png_pipe,webp_pipe"}


def is_other_picture(first: bytes) -> bool:
    """Whether a body that begins so is a picture of a kind that is read here, whatever it is called."""
    return first.startswith(_PNG) or (first.startswith(_RIFF) and first[8:12] == _WEBP)


class OtherPictureReader:
    """The picture that an answer is."""

    def __init__(self, spec: CaptureSpec, pulse: Pulse, clock: Clock) -> None:
        self._spec, self._pulse, self._clock = spec, pulse, clock

    def pictures_of(self, answer: Answer) -> Iterator[Sighting]:
        """It, when all of it came; nothing where the answer has no body.

        Raises:
            SourceUnavailable: it did not come in time, or is bigger than any picture.
        """
        data = answer.read_all(MAX_PART_BYTES, self._spec.timeouts_s[1], partial(self._pulse, Position.DEMUX))
        if not data:
            return
        end_ns = self._clock.monotonic_ns()
        self._pulse(Position.DECODE)
        found = self._read(data)
        if isinstance(found, Loss):
            yield found
            return
        unit, seen = found
        start_ns = answer.arrived_at(0) or end_ns
        yield unit, replace(seen, pts_ns=None, arrival_mono_ns=end_ns, start_mono_ns=start_ns, is_key=True)

    def _read(self, data: bytes) -> Sighting:
        name = self._spec.name
        try:
            with open_container(name, BytesIO(data), _OPTIONS, None, self._pulse) as container:
                reader = reader_of(self._spec, OpenInput(name, container, self._pulse, self._clock))
                return next(reader.frames(), Loss("decode_error"))
        except SourceUnavailable:
            return Loss("decode_error")
