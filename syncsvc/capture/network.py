"""Network cameras: RTSP with its sender reports, HTTP (JPEGs, HLS, MPEG-TS, FLV) without; every wait has a time-out.

Only an interrupt callback, which PyAV's ``timeout`` sets, catches a camera that keeps the session alive without video.
"""

from collections.abc import Iterator
from contextlib import ExitStack, closing

from syncsvc.capture.decode import Demuxer, OpenInput, open_container, with_side_data
from syncsvc.capture.hls import HlsReader, is_playlist
from syncsvc.capture.http_get import Answer, Client, Searchable
from syncsvc.capture.mjpeg import MjpegReader
from syncsvc.capture.multipart import SOI
from syncsvc.capture.other_picture import OtherPictureReader, is_other_picture
from syncsvc.capture.picture import picture_of
from syncsvc.capture.readers import reader_of
from syncsvc.capture.rtsp_camera import open_rtsp
from syncsvc.capture.source import Loss, Pulse, Shot
from syncsvc.capture.spec import HttpSpec, RtspSpec
from syncsvc.capture.stills import StillsReader
from syncsvc.clock import Clock
from syncsvc.errors import SourceUnavailable
from syncsvc.lifecycle import StopToken
from syncsvc.transport.page import Position

_FLV_OPTIONS = {"analyzeduration": "1"}
"""Streams of FLV may begin at any time, so libav looks for more of them, for five seconds, unless it is told not to."""
_CIPHERED_OPTIONS = {"max_redirects": "0", "protocol_whitelist": "http,https,tcp,tls,crypto"}
_SNIFFED_BYTES = 64


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

    def _connect(self, opened: ExitStack) -> Demuxer | MjpegReader | StillsReader | HlsReader:
        """What answers decides who reads it, by what it sends more than by what it calls that."""
        spec = self._spec
        if isinstance(spec, RtspSpec):
            return open_rtsp(spec, self._clock, self._pulse, opened)
        ours = self._pulse, self._clock
        self._pulse(Position.OPENING)
        client = opened.enter_context(closing(Client(spec.name, spec.url, self._clock, spec.timeouts_s)))
        answer = client.get(spec.url)
        if answer.kind.startswith("multipart/"):
            return MjpegReader(spec, answer, *ours)
        first = answer.begins_with(_SNIFFED_BYTES)
        if is_playlist(first):
            reader = HlsReader(spec, client, answer, *ours, self._stop)
            if reader.is_encrypted:
                return self._libav(_CIPHERED_OPTIONS, opened)
            opened.callback(reader.close)
            reader.open()
            return reader
        if first.startswith(SOI) or is_other_picture(first):
            of_jpeg, of_other = MjpegReader(spec, answer, *ours), OtherPictureReader(spec, *ours)
            return StillsReader(spec, client, answer, of_jpeg if first.startswith(SOI) else of_other, *ours, self._stop)
        if answer.kind == "text/html":
            raise SourceUnavailable(spec.name, "answers with a page for people (text/html), and no video")
        if first.lstrip(b"\r\n").startswith(b"--"):
            return MjpegReader(spec, answer, *ours)
        if first.startswith(b"FLV"):
            try:
                return self._libav(_FLV_OPTIONS, opened, answer)
            except SourceUnavailable:  # sound may come first, for long
                return self._libav({}, opened, client.get(spec.url))
        return self._libav({}, opened, Searchable(client, answer) if answer.is_searchable else answer)

    def _libav(self, options: dict[str, str], opened: ExitStack, body: Answer | Searchable | None = None) -> Demuxer:
        """What libavformat reads: from the URL by itself, or from the body of an answer."""

        def at(position: Position) -> None:
            if body is not None:
                body.wait_at_most(spec.timeouts_s[position is Position.DEMUX])
            self._pulse(position)

        spec, timeout = self._spec, None if body else self._spec.timeouts_s
        container = opened.enter_context(open_container(spec.name, body or spec.url, options, timeout, at))
        arrived_at = body.arrived_at if isinstance(body, Answer) else None
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
        if not self._stop.is_set:
            raise SourceUnavailable(self._spec.name, "closed the connection")

    def close(self) -> None:
        """Disconnect; only ever from the thread that reads (libav crashes otherwise)."""
        self._opened.close()
