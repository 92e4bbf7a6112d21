"""Network cameras: RTSP with its sender reports, HTTP (MPEG-TS, MJPEG, HLS) without; every wait has a time-out.

Options and traps were measured: ``probesize=32`` opens in 66 ms instead of 1.1 s and loses no key frame;
``allowed_media_types=video`` keeps pts a pure oscillator; only an interrupt callback, which PyAV's ``timeout`` sets,
catches a camera that keeps the session alive without video.
"""

from collections.abc import Iterator
from contextlib import ExitStack

from syncsvc.capture.decode import OpenInput, Unit, open_container, with_side_data
from syncsvc.capture.hls import HlsReader, is_playlist
from syncsvc.capture.http_get import Answer, get
from syncsvc.capture.mjpeg import MjpegReader, is_multipart
from syncsvc.capture.passthrough import reader_of
from syncsvc.capture.picture import picture_of
from syncsvc.capture.source import Loss, Pulse, Shot
from syncsvc.capture.spec import OPEN_TIMEOUT_S, READ_TIMEOUT_S, HttpSpec, RtspSpec
from syncsvc.clock import Clock
from syncsvc.errors import SourceUnavailable
from syncsvc.lifecycle import StopToken
from syncsvc.model import Observation
from syncsvc.transport.page import Position

_RTSP_OPTIONS = {"allowed_media_types": "video", "probesize": "32", "analyzeduration": "0"}
_HTTP_OPTIONS = {"max_redirects": "0", "protocol_whitelist": "http,https,tcp,tls,crypto"}


class LibavReader:
    """What libavformat reads: from a URL by itself, or from the body of an answer."""

    def __init__(
        self,
        spec: RtspSpec | HttpSpec,
        options: dict[str, str],
        pulse: Pulse,
        clock: Clock,
        body: Answer | None = None,
    ) -> None:
        self._body, self._pulse = body, pulse
        if body is not None:
            body.wait_at_most(OPEN_TIMEOUT_S)
        timeout = None if body else (OPEN_TIMEOUT_S, READ_TIMEOUT_S)
        self._container = open_container(spec.name, body or spec.url, options, timeout, self._at)
        opened = OpenInput(spec.name, self._container, self._at, clock, body.arrived_at if body else None)
        self._decoder = reader_of(spec, opened)

    def _at(self, position: Position) -> None:
        if self._body is not None and position is Position.DEMUX:
            self._body.wait_at_most(READ_TIMEOUT_S)
        self._pulse(position)

    @property
    def fps(self) -> float:
        """The camera's declared rate."""
        return self._decoder.fps

    def frames(self) -> Iterator[tuple[Unit, Observation] | Loss]:
        """Frames, with the stamps that H.264 and H.265 carry beside the picture.

        Raises:
            SourceUnavailable: it broke, or was silent for three seconds.
        """
        for item in self._decoder.frames():
            yield item if isinstance(item, Loss) else (item[0], with_side_data(*item))

    def close(self) -> None:
        """Disconnect; only ever from the thread that reads (libav crashes otherwise)."""
        self._container.close()
        if self._body is not None:
            self._body.close()


Reader = LibavReader | MjpegReader | HlsReader
"""Frames of one connection, however it speaks."""


class NetworkSource:
    """A camera on the network."""

    def __init__(self, spec: RtspSpec | HttpSpec, clock: Clock, pulse: Pulse, stop: StopToken) -> None:
        """Connect.

        Raises:
            SourceUnavailable: refused, unknown, silent for five seconds, or without video.
        """
        self._spec, self._clock, self._pulse, self._stop = spec, clock, pulse, stop
        self._reader: Reader
        if isinstance(spec, RtspSpec):
            self._reader = self._libav({**_RTSP_OPTIONS, "rtsp_transport": spec.transport})
        else:
            self._reader = self._http()

    def _libav(self, options: dict[str, str], body: Answer | None = None) -> Reader:
        return LibavReader(self._spec, options, self._pulse, self._clock, body)

    def _http(self) -> Reader:
        self._pulse(Position.OPENING)
        answer = get(self._spec.name, self._spec.url, self._clock)
        with ExitStack() as unless_read:
            unless_read.callback(answer.close)
            reader = self._reader_for(answer)
            unless_read.pop_all()
        return reader

    def _reader_for(self, answer: Answer) -> Reader:
        """What answers decides who reads it: a file, which libav must be able to search, is libav's to ask for."""
        if is_multipart(answer):
            return MjpegReader(self._spec, answer, self._pulse, self._clock)
        if is_playlist(answer):
            reader = HlsReader(self._spec, answer, self._pulse, self._clock, self._stop)
            if reader.is_encrypted:
                return self._libav(_HTTP_OPTIONS)
            reader.open()
            return reader
        if answer.headers["Content-Length"] is None:
            return self._libav(_HTTP_OPTIONS, answer)
        answer.close()
        return self._libav(_HTTP_OPTIONS)

    @property
    def fps(self) -> float:
        """The camera's declared rate."""
        return self._reader.fps

    def shots(self) -> Iterator[Shot | Loss]:
        """Frames as they arrive.

        Raises:
            SourceUnavailable: the camera closed the connection, or sent no video for three seconds.
        """
        for item in self._reader.frames():
            if isinstance(item, Loss):
                yield item
                continue
            unit, seen = item
            yield Shot(picture_of(unit, self._spec), seen)
        raise SourceUnavailable(self._spec.name, "closed the connection")

    def close(self) -> None:
        """Disconnect; only ever from the thread that reads (libav crashes otherwise)."""
        self._reader.close()
