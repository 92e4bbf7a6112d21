"""Network cameras: RTSP with its sender reports, HTTP (MPEG-TS, MJPEG, HLS) without; every wait has a time-out.

Only an interrupt callback, which PyAV's ``timeout`` sets, catches a camera that keeps the session alive without video.
"""

from collections.abc import Iterator
from contextlib import ExitStack, closing

from syncsvc.capture.decode import Demuxer, OpenInput, open_container, with_side_data
from syncsvc.capture.hls import HlsReader, is_playlist
from syncsvc.capture.http_get import Answer, get
from syncsvc.capture.mjpeg import MjpegReader
from syncsvc.capture.picture import picture_of
from syncsvc.capture.readers import reader_of
from syncsvc.capture.rtsp_camera import open_rtsp
from syncsvc.capture.source import Loss, Pulse, Shot
from syncsvc.capture.spec import HttpSpec, RtspSpec
from syncsvc.clock import Clock
from syncsvc.errors import SourceUnavailable
from syncsvc.lifecycle import StopToken
from syncsvc.transport.page import Position

_HTTP_OPTIONS = {"max_redirects": "0", "protocol_whitelist": "http,https,tcp,tls,crypto"}


class NetworkSource:
    """A camera on the network."""

    def __init__(self, spec: RtspSpec | HttpSpec, clock: Clock, pulse: Pulse, stop: StopToken) -> None:
        """Connect.

        Raises:
            SourceUnavailable: refused, unknown, silent for the open timeout, or without video.
        """
        self._spec, self._clock, self._pulse, self._stop = spec, clock, pulse, stop
        with ExitStack() as opened:
            self._reader = self._connect(opened)
            self._opened = opened.pop_all()

    def _connect(self, opened: ExitStack) -> Demuxer | MjpegReader | HlsReader:
        """What answers decides who reads it: a file, which libav must be able to search, is libav's to ask for."""
        if isinstance(self._spec, RtspSpec):
            return open_rtsp(self._spec, self._clock, self._pulse, opened)
        self._pulse(Position.OPENING)
        answer = opened.enter_context(closing(get(self._spec.name, self._spec.url, self._clock)))
        if answer.headers.get_content_maintype() == "multipart":
            return MjpegReader(self._spec, answer, self._pulse, self._clock)
        if is_playlist(answer):
            reader = HlsReader(self._spec, answer, self._pulse, self._clock, self._stop)
            if reader.is_encrypted:
                return self._libav(_HTTP_OPTIONS, opened)
            opened.callback(reader.close)
            reader.open()
            return reader
        if answer.headers["Content-Length"] is None:
            return self._libav(_HTTP_OPTIONS, opened, answer)
        answer.close()
        return self._libav(_HTTP_OPTIONS, opened)

    def _libav(self, options: dict[str, str], opened: ExitStack, body: Answer | None = None) -> Demuxer:
        """What libavformat reads: from the URL by itself, or from the body of an answer."""

        def at(position: Position) -> None:
            if body is not None:
                body.wait_at_most(spec.read_timeout_s if position is Position.DEMUX else spec.open_timeout_s)
            self._pulse(position)

        spec, timeout = self._spec, None if body else self._spec.timeouts_s
        container = opened.enter_context(open_container(spec.name, body or spec.url, options, timeout, at))
        arrived_at = body.arrived_at if body else None
        return reader_of(spec, OpenInput(spec.name, container, at, self._clock, arrived_at))

    @property
    def fps(self) -> float:
        """The camera's declared rate, or a guess."""
        return self._reader.fps

    @property
    def declared_fps(self) -> float | None:
        """The camera's declared rate."""
        return self._reader.declared_fps

    def shots(self) -> Iterator[Shot | Loss]:
        """Frames as they arrive, with the stamps that H.264 and H.265 carry beside the picture.

        Raises:
            SourceUnavailable: the camera closed the connection, or sent no video for the read timeout.
        """
        for item in self._reader.frames():
            if isinstance(item, Loss):
                yield item
                continue
            unit, seen = item
            yield Shot(picture_of(unit, self._spec), with_side_data(unit, seen))
        raise SourceUnavailable(self._spec.name, "closed the connection")

    def close(self) -> None:
        """Disconnect; only ever from the thread that reads (libav crashes otherwise)."""
        self._opened.close()
