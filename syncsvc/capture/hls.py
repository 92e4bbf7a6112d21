"""HLS: follows the playlist here and gives libav one segment at a time, so that each keeps the date that it came with.

libavformat plays HLS too, but tells neither dates nor which segment a packet is of, and its waits for the next segment
look like a camera that died.
"""

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from io import BytesIO
from typing import NamedTuple

from syncsvc.capture.decode import UNKNOWN_FPS, Demuxer, OpenInput, Sighting, open_container
from syncsvc.capture.http_get import PART, Answer, Client
from syncsvc.capture.playlist import HEADER, Cipher, MediaSegment, Playlist, PlaylistError, Resource, Variant, parse
from syncsvc.capture.readers import reader_of
from syncsvc.capture.source import Loss, Pulse
from syncsvc.capture.spec import CaptureSpec
from syncsvc.capture.stamps import MediaStamp
from syncsvc.clock import NS_PER_S, Clock
from syncsvc.errors import AccessRefused, SourceUnavailable
from syncsvc.lifecycle import StopToken
from syncsvc.model import Observation
from syncsvc.transport.page import Position

MAX_PLAYLIST_BYTES = 8 << 20
"""A day of two-second segments that is listed from its start takes five, with long names and dates."""
LONGEST_PAUSE_S = 60.0
MAX_SEGMENT_BYTES = 64 << 20
MOST_LEVELS = 4
"""Of master playlists: servers put a second one, with who asks in its URLs, behind the first."""
FROM_END = 3
"""A live playlist is entered this many segments before its end (RFC 8216, 6.3.3)."""

_OPTIONS = {"protocol_whitelist": "data", "format_whitelist": "mpegts,mov,mp4"}
_KEY_BYTES = 16
_WRAP_NS = (1 << 33) * NS_PER_S // 90_000
"""MPEG-TS counts 33 bits of 90 kHz: its pts begin anew after 26.5 hours."""


def is_playlist(first: bytes) -> bool:
    """Whether a body that begins so is an HLS playlist, whatever it is called."""
    return first.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(HEADER.encode())


class Timeline:
    """One pts for the whole stream, and what the segments' dates say of it; pure."""

    def __init__(self) -> None:
        self._shift_ns = 0
        self._last_ns: int | None = None
        self._anchor: tuple[int, MediaStamp] | None = None

    def interrupt(self) -> None:
        """Segments were missed: a break of the pts may have been among them."""
        self._last_ns = None

    def begin(self, segment: MediaSegment, first_pts_ns: int, *, is_mpegts: bool) -> None:
        """A segment begins, whose first frame has this pts."""
        if segment.is_discontinuous or self._last_ns is None:
            self._shift_ns, self._anchor = 0, None
        elif is_mpegts:
            self._shift_ns = round((self._last_ns - first_pts_ns) / _WRAP_NS) * _WRAP_NS
        stamp = segment.stamp
        if stamp is not None and (self._anchor is None or stamp.doubt_ns <= self._anchor[1].doubt_ns):
            self._anchor = first_pts_ns + self._shift_ns, stamp

    def place(self, seen: Observation) -> Observation:
        """The observation with its pts on the stream's timeline, and its stamp."""
        if seen.pts_ns is None:
            return seen
        self._last_ns = pts_ns = seen.pts_ns + self._shift_ns
        if self._anchor is None:
            return replace(seen, pts_ns=pts_ns)
        anchor_ns, stamp = self._anchor
        stamp_ns = stamp.utc_ns + pts_ns - anchor_ns
        return replace(seen, pts_ns=pts_ns, stamp_ns=stamp_ns, stamp_kind="playlist", doubt_ns=stamp.doubt_ns)


class _Loaded(NamedTuple):
    """A segment that is here, and when its last byte came."""

    segment: MediaSegment
    demuxer: Demuxer
    arrival_mono_ns: int


class HlsReader:
    """The frames of a playlist's segments, one after the other."""

    def __init__(
        self, spec: CaptureSpec, client: Client, answer: Answer, pulse: Pulse, clock: Clock, stop: StopToken
    ) -> None:
        """Read the playlist that ``answer`` has, or the best variant that it names.

        Raises:
            SourceUnavailable: it is none, or is not there.
        """
        self._spec, self._source_id, self._client = spec, spec.name, client
        self._pulse, self._clock, self._stop = pulse, clock, stop
        _, self._read_timeout_s = spec.timeouts_s
        self._tick = partial(pulse, Position.DEMUX)
        self._timeline = Timeline()
        self._loaded: _Loaded | None = None
        self.fps = UNKNOWN_FPS
        self.declared_fps: float | None = None
        """The first segment's declared rate, once it is open."""
        self._url = answer.url
        self._key_url, self._key = "", b""
        self._variables: Mapping[str, str] = {}
        self._trouble: SourceUnavailable | None = None
        self._playlist = self._take(answer)
        self._choose()
        segments = self._playlist.segments
        first = 0 if self._playlist.is_ended else max(0, len(segments) - FROM_END)
        self._next = segments[first].number if segments else 0
        self._has_changed = True

    def _choose(self) -> None:
        """Go down from master playlists to one with segments; a server may put one behind the other."""
        for _ in range(MOST_LEVELS):
            variants = self._playlist.best_first(self._spec.size)
            if not variants:
                return
            self._variables = self._playlist.variables
            self._playlist = self._first_of([one for one in variants if one.rank] or variants)
        raise SourceUnavailable(self._source_id, "cannot be read: its playlists name one another, and no segments")

    def _first_of(self, variants: Sequence[Variant]) -> Playlist:
        """The playlist of the first variant that is there, of those that may have video; players do so too."""
        troubles = list[SourceUnavailable]()
        for variant in variants:
            self._url = variant.url
            try:
                return self._take(self._client.get(self._url))
            except AccessRefused:
                raise
            except SourceUnavailable as error:
                troubles.append(error)
        raise troubles[0]

    @property
    def is_encrypted(self) -> bool:
        """Whether segments are encrypted in a way that is libavformat's to play, without stamps."""
        return self._playlist.is_encrypted

    def open(self) -> None:
        """Fetch the first segment that is to be had.

        Raises:
            SourceUnavailable: there is none yet, or none with video.
        """
        for segment in self._fresh():
            self._loaded = self._try_to_load(segment)
            if self._loaded is not None:
                self.fps, self.declared_fps = self._loaded.demuxer.fps, self._loaded.demuxer.declared_fps
                return
        raise self._trouble or SourceUnavailable(self._source_id, "has no segment yet")

    def frames(self) -> Iterator[Sighting]:
        """Segments as they appear, until the playlist says that it ended; one that is not to be had is a loss.

        Raises:
            SourceUnavailable: no new segment for three of its durations.
        """
        if self._loaded is not None:
            yield from self._play(self._loaded)
        last_new_ns = self._clock.monotonic_ns()
        while not self._stop.is_set:
            for segment in self._fresh():
                loaded = self._try_to_load(segment)
                if loaded is None:
                    yield Loss("network_loss", f"lacked a segment of its playlist: {self._trouble_in_words}")
                    continue
                yield from self._play(loaded)
                last_new_ns, self._trouble = self._clock.monotonic_ns(), None
            if self._playlist.is_ended:
                if self._trouble is not None:
                    raise self._trouble
                return
            silent_ns = self._clock.monotonic_ns() - last_new_ns
            if silent_ns > max(self._read_timeout_s * NS_PER_S, 3 * self._playlist.turn_ns):
                why = f": {self._trouble_in_words}" if self._trouble is not None else ""
                raise SourceUnavailable(self._source_id, f"has no new segment for {silent_ns / NS_PER_S:.1f} s{why}")
            self._reload()

    def _try_to_load(self, segment: MediaSegment) -> _Loaded | None:
        """The segment; None where the server has it no more, or has something else in its place."""
        try:
            return self._load(segment)
        except AccessRefused:
            raise
        except SourceUnavailable as error:
            self._trouble = error
            self._timeline.interrupt()
            return None

    @property
    def _trouble_in_words(self) -> str:
        return self._trouble.problem if self._trouble is not None else ""

    def _fresh(self) -> Iterator[MediaSegment]:
        """What was not played yet."""
        segments = self._playlist.segments
        if segments and segments[-1].number < self._next - 1:
            raise SourceUnavailable(self._source_id, "began its playlist anew")
        for segment in segments:
            if segment.number < self._next or segment.is_gap or self._stop.is_set:
                continue
            if segment.number > self._next:
                self._timeline.interrupt()
            self._next = segment.number + 1
            yield segment

    def _play(self, loaded: _Loaded) -> Iterator[Sighting]:
        (segment, demuxer, arrival_ns), self._loaded = loaded, None
        with demuxer.container as container:
            has_begun = False
            for item in self._readable(demuxer):
                if isinstance(item, Loss):
                    yield item
                    continue
                unit, seen = item
                if not has_begun and seen.pts_ns is not None:
                    # Its first frame may have been lost before the first that was decoded.
                    first_ns = seen.pts_ns if demuxer.first_ns is None else demuxer.first_ns
                    self._timeline.begin(segment, first_ns, is_mpegts=container.format.name == "mpegts")
                    has_begun = True
                # No frame was here before all of its segment was.
                seen = self._timeline.place(replace(seen, arrival_mono_ns=arrival_ns, start_mono_ns=arrival_ns))
                yield unit, seen

    def _readable(self, demuxer: Demuxer) -> Iterator[Sighting]:
        """What can be read of a segment; where it is damaged, the next one goes on."""
        try:
            yield from demuxer.frames()
        except SourceUnavailable as error:
            self._timeline.interrupt()
            yield Loss("decode_error", f"had a segment that is damaged: {error.problem}")

    def _reload(self) -> None:
        """Fetch the playlist again, when it is time: a target duration after it changed, half of one after it did not.

        A server that has no playlist for once, for it writes it anew, is asked again.
        Source: RFC 8216, section 6.3.4.
        """
        before = self._playlist
        self._pulse(Position.WAITING)
        turn_s = min(self._playlist.turn_ns / NS_PER_S, LONGEST_PAUSE_S)
        self._stop.sleep(turn_s if self._has_changed else turn_s / 2)
        if self._stop.is_set:
            return
        try:
            self._playlist = self._take(self._client.get(self._url))
        except AccessRefused:
            raise
        except SourceUnavailable as error:
            self._trouble = error
        self._has_changed = self._playlist.segments != before.segments

    def _take(self, answer: Answer) -> Playlist:
        text = answer.read_all(MAX_PLAYLIST_BYTES, 2 * self._read_timeout_s, self._tick)
        try:
            return parse(text.decode(errors="replace"), answer.url, self._variables)
        except PlaylistError as error:
            raise SourceUnavailable(self._source_id, f"cannot be read: its playlist {error}") from error

    def _load(self, segment: MediaSegment) -> _Loaded:
        data = b"".join(self._fetch(resource) for resource in (segment.head, segment.media) if resource)
        arrival_ns = self._clock.monotonic_ns()
        source: BytesIO | str = BytesIO(data)
        options = _OPTIONS
        if segment.cipher is not None:
            source, options = self._deciphered(data, segment.cipher)
        container = open_container(self._source_id, source, options, None, self._pulse)
        opened = OpenInput(self._source_id, container, self._pulse, self._clock)
        return _Loaded(segment, reader_of(self._spec, opened), arrival_ns)

    def _deciphered(self, data: bytes, cipher: Cipher) -> tuple[str, dict[str, str]]:
        """The segment as a URL that libav deciphers, and the options for that: it is the only cipher that we have."""
        if cipher.key_url != self._key_url:
            self._key_url, self._key = cipher.key_url, self._fetch(Resource(cipher.key_url))
        if len(self._key) != _KEY_BYTES:
            raise SourceUnavailable(self._source_id, f"has a key of {len(self._key)} bytes, and not {_KEY_BYTES}")
        url = f"crypto+data:application/octet-stream;base64,{b64encode(data).decode()}"
        secrets = {"decryption_key": self._key.hex(), "decryption_iv": cipher.iv.hex()}
        return url, {**_OPTIONS, **secrets, "protocol_whitelist": "crypto,data"}

    def _fetch(self, resource: Resource) -> bytes:
        self._tick()
        answer = self._client.get(resource.url, resource.range_bytes)
        limit_s = max(self._read_timeout_s, 2 * self._playlist.turn_ns / NS_PER_S)
        data = answer.read_all(MAX_SEGMENT_BYTES, limit_s, self._tick)
        if resource.range_bytes is None or answer.status == PART:
            return data
        offset, length = resource.range_bytes  # the server gives no pieces
        return data[offset : offset + length]

    def close(self) -> None:
        """Let go of a segment that was not played."""
        if self._loaded is not None:
            self._loaded.demuxer.container.close()
            self._loaded = None
