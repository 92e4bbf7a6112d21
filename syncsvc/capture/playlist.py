"""HLS playlists as values: libavformat reads them too, but keeps ``EXT-X-PROGRAM-DATE-TIME`` to itself; pure.

Source: RFC 8216, HTTP Live Streaming, sections 4.3 and 6.3.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urljoin, urlsplit

from syncsvc.capture.stamps import MediaStamp, fraction_of_second, of_date
from syncsvc.clock import NS_PER_S

_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^,]*)')
_DURATION = re.compile(r"([0-9]{1,4})(?:\.([0-9]{1,18}))?")
_NUMBER = re.compile("[0-9]{1,18}")
_RANGE = re.compile("([0-9]{1,12})(?:@([0-9]{1,15}))?")
_SHORTEST_TARGET_NS = NS_PER_S // 10
_LONGEST_UNPROVEN_NS = 10 * NS_PER_S
KEPT_SEGMENTS = 1000
"""Of a live playlist's end, which alone is played: reading a day of them again every two seconds takes half a core."""
MOST_SEGMENTS = 50_000
"""Of a recording: more than a day in pieces of two seconds."""


class PlaylistError(ValueError):
    """A text is no playlist that can be played."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A URL, or ``(offset, length)`` of what it has."""

    url: str
    range_bytes: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class MediaSegment:
    """One media segment.

    ``stamp`` is when its first frame was taken: as its own tag says, else what follows from the one before it and the
    durations between. ``head`` is what must stand before the media (EXT-X-MAP).
    """

    number: int
    media: Resource
    duration_ns: int = 0
    duration_doubt_ns: int = 0
    stamp: MediaStamp | None = None
    head: Resource | None = None
    is_discontinuous: bool = False
    is_gap: bool = False


@dataclass(frozen=True, slots=True)
class Playlist:
    """A media playlist, or a master playlist: that has ``variants`` and no segments."""

    segments: tuple[MediaSegment, ...] = ()
    target_ns: int = NS_PER_S
    is_ended: bool = False
    is_encrypted: bool = False
    variants: tuple[str, ...] = ()

    @property
    def turn_ns(self) -> int:
        """The target duration; where that is more than ten seconds, no more than the longest segment bears out."""
        longest_ns = max((segment.duration_ns for segment in self.segments), default=0)
        return min(self.target_ns, max(longest_ns, _LONGEST_UNPROVEN_NS))


def parse(text: str, url: str) -> Playlist:
    """Read a playlist that came from ``url``.

    Raises:
        PlaylistError: it is none, or names something that is not on the network.
    """
    lines = [line.strip() for line in text.removeprefix("\ufeff").splitlines()]
    if not lines or lines[0] != "#EXTM3U":
        raise PlaylistError("is no playlist")
    reader = _PlaylistReader(url, _segments_before_the_last(lines))
    for line in lines[1:]:
        if line.startswith("#EXT"):
            reader.tag(*line.partition(":")[::2])
        elif line and not line.startswith("#"):
            reader.uri(line)
    return reader.result()


def _segments_before_the_last(lines: list[str]) -> int:
    """How many segments of a live playlist are over: of the oldest ones, a day's worth may be listed."""
    count = sum(1 for line in lines if line and not line.startswith("#"))
    if not any(line.startswith(("#EXT-X-ENDLIST", "#EXT-X-BYTERANGE", "#EXT-X-STREAM-INF")) for line in lines):
        return max(0, count - KEPT_SEGMENTS)
    if count > MOST_SEGMENTS:
        raise PlaylistError(f"has more than {MOST_SEGMENTS} segments")
    return 0


class _PlaylistReader:
    """What was read of a playlist; what tags said of the segment whose URI comes waits until then.

    Of the first ``passed_over`` segments only what later ones need is kept: the last date, and the durations since.
    """

    def __init__(self, url: str, passed_over: int) -> None:
        self._url, self._passed_over = url, passed_over
        self._said: dict[str, Any] = {}
        self._segments: list[MediaSegment] = []
        self._variants: list[str] = []
        self._number = 0
        self._head: Resource | None = None
        self._range: tuple[int | None, int] | None = None
        self._is_variant = False
        self._dated: str | None = None
        self._since: list[str] = []
        self._begin_segment()

    def _begin_segment(self) -> None:
        self._date: str | None = None
        self._duration = "0"
        self._is_discontinuous = self._is_gap = False

    def tag(self, name: str, value: str) -> None:
        match name:
            case "#EXTINF":
                self._duration = value.partition(",")[0]
            case "#EXT-X-PROGRAM-DATE-TIME":
                self._date = value
            case "#EXT-X-BYTERANGE":
                self._range = _range(value)
            case "#EXT-X-DISCONTINUITY":
                self._is_discontinuous = True
            case "#EXT-X-GAP":
                self._is_gap = True
            case "#EXT-X-STREAM-INF":
                self._is_variant = True
            case "#EXT-X-TARGETDURATION":
                self._said["target_ns"] = max(_SHORTEST_TARGET_NS, _duration(value)[0])
            case "#EXT-X-ENDLIST":
                self._said["is_ended"] = True
            case "#EXT-X-KEY" if _attributes(value).get("METHOD") != "NONE":
                self._said["is_encrypted"] = True
            case "#EXT-X-MEDIA-SEQUENCE" if _NUMBER.fullmatch(value):
                self._number = int(value)
            case "#EXT-X-MAP":
                self._head = self._resource(_attributes(value))

    def uri(self, text: str) -> None:
        if self._is_variant:
            self._variants.append(self._absolute(text))
            self._is_variant = False
            return
        if self._passed_over:
            self._passed_over -= 1
            self._pass_over()
        else:
            self._segments.append(self._segment(self._absolute(text)))
        self._number, self._range = self._number + 1, None
        self._begin_segment()

    def _segment(self, url: str) -> MediaSegment:
        duration_ns, doubt_ns = _duration(self._duration)
        return MediaSegment(
            self._number, Resource(url, self._place(url)), duration_ns, doubt_ns, of_date(self._date or ""),
            self._head, self._is_discontinuous, self._is_gap,
        )  # fmt: skip

    def _pass_over(self) -> None:
        if self._date is not None or self._is_discontinuous:
            self._dated, self._since = self._date, []
        if self._dated is not None:
            self._since.append(self._duration)

    def result(self) -> Playlist:
        """The playlist, every segment with its date."""
        durations = [_duration(text) for text in self._since]
        span_ns, doubt_ns = (sum(some) for some in zip((0, 0), *durations, strict=True))
        before = MediaSegment(-1, Resource(""), span_ns, doubt_ns, of_date(self._dated or ""))
        segments = tuple(_stamped([before, *self._segments]))[1:]
        return Playlist(segments, variants=tuple(self._variants), **self._said)

    def _place(self, url: str) -> tuple[int, int] | None:
        """Offset and length of the segment in what ``url`` has; without an offset it follows the segment before."""
        if self._range is None:
            return None
        offset, length = self._range
        if offset is None:
            before = self._segments[-1].media if self._segments else Resource("")
            offset = sum(before.range_bytes or ()) if before.url == url else 0
        return offset, length

    def _resource(self, attributes: dict[str, str]) -> Resource:
        span = _range(attributes.get("BYTERANGE", ""))
        return Resource(self._absolute(attributes.get("URI", "")), (span[0] or 0, span[1]) if span else None)

    def _absolute(self, text: str) -> str:
        try:
            url = urljoin(self._url, text)
            ours, theirs = urlsplit(self._url), urlsplit(url)
            if theirs.scheme in ("http", "https") and theirs.hostname:
                if (theirs.scheme, theirs.netloc) != (ours.scheme, ours.netloc.rpartition("@")[2]):
                    return url
                return theirs._replace(netloc=ours.netloc).geturl()  # the same server wants the same password
        except ValueError:
            pass  # half an address, or a port that is none
        raise PlaylistError("names something that is not on the network")


def _stamped(segments: list[MediaSegment]) -> Iterable[MediaSegment]:
    """Every stamp as exact as the finest of them: writers leave out zeros at the end; and the stamps between."""
    finest_ns = min((segment.stamp.doubt_ns for segment in segments if segment.stamp), default=0)
    expected: MediaStamp | None = None
    for segment in segments:
        stamp = None if segment.is_discontinuous else expected
        if segment.stamp is not None:
            stamp = MediaStamp(segment.stamp.utc_ns, finest_ns)
        yield replace(segment, stamp=stamp)
        doubt_ns = segment.duration_doubt_ns
        expected = stamp and MediaStamp(stamp.utc_ns + segment.duration_ns, stamp.doubt_ns + doubt_ns)


def _attributes(text: str) -> dict[str, str]:
    return {name: value.strip('"') for name, value in _ATTRIBUTE.findall(text)}


def _duration(text: str) -> tuple[int, int]:
    """Nanoseconds, and one of the last digit."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise PlaylistError("has a duration that is no number")
    fraction_ns, doubt_ns = fraction_of_second(match[2])
    return int(match[1]) * NS_PER_S + fraction_ns, doubt_ns


def _range(text: str) -> tuple[int | None, int] | None:
    """``(offset, length)`` of ``length@offset``."""
    match = _RANGE.fullmatch(text.strip())
    return (int(match[2]) if match[2] else None, int(match[1])) if match and int(match[1]) else None
