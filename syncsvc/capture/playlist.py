"""HLS playlists as values: libavformat reads them too, but keeps ``EXT-X-PROGRAM-DATE-TIME`` to itself; pure.

Source: RFC 8216, HTTP Live Streaming, sections 4.3 and 6.3.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from urllib.parse import urljoin, urlsplit

from syncsvc.capture.stamps import MediaStamp, fraction_of_second, of_date
from syncsvc.clock import NS_PER_S

_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^,]*)')
_DURATION = re.compile(r"([0-9]{1,4})(?:\.([0-9]{1,18}))?")
_NUMBER = re.compile("[0-9]{1,18}")
_RANGE = re.compile("([0-9]{1,12})(?:@([0-9]{1,15}))?")
_SHORTEST_TARGET_NS = NS_PER_S // 10


class PlaylistError(ValueError):
    """A text is no playlist that can be played."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A URL, or ``(offset, length)`` of what it has."""

    url: str
    range_bytes: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Segment:
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

    segments: tuple[Segment, ...] = ()
    target_ns: int = NS_PER_S
    is_ended: bool = False
    is_encrypted: bool = False
    variants: tuple[str, ...] = ()


def parse(text: str, url: str) -> Playlist:
    """Read a playlist that came from ``url``.

    Raises:
        PlaylistError: it is none, or names something that is not on the network.
    """
    lines = [line.strip() for line in text.removeprefix("\ufeff").splitlines()]
    if not lines or lines[0] != "#EXTM3U":
        raise PlaylistError("is no playlist")
    reader = _Reader(url)
    for line in lines[1:]:
        if line.startswith("#EXT"):
            reader.tag(*line.partition(":")[::2])
        elif line and not line.startswith("#"):
            reader.uri(line)
    return replace(reader.playlist, segments=tuple(_stamped(reader.segments)), variants=tuple(reader.variants))


class _Reader:
    """What was read of a playlist; ``_next`` gathers the tags of the segment whose URI comes."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.playlist = Playlist()
        self.segments: list[Segment] = []
        self.variants: list[str] = []
        self._next = self._blank = Segment(0, Resource(""))
        self._range: tuple[int | None, int] | None = None
        self._is_variant = False

    def tag(self, name: str, value: str) -> None:
        match name:
            case "#EXT-X-STREAM-INF":
                self._is_variant = True
            case "#EXT-X-TARGETDURATION":
                self.playlist = replace(self.playlist, target_ns=max(_SHORTEST_TARGET_NS, _duration(value)[0]))
            case "#EXT-X-ENDLIST":
                self.playlist = replace(self.playlist, is_ended=True)
            case "#EXT-X-KEY":
                is_open = _attributes(value).get("METHOD") == "NONE"
                self.playlist = replace(self.playlist, is_encrypted=self.playlist.is_encrypted or not is_open)
            case "#EXT-X-MEDIA-SEQUENCE" if _NUMBER.fullmatch(value):
                self._next = replace(self._next, number=int(value))
            case "#EXTINF":
                duration_ns, doubt_ns = _duration(value.partition(",")[0])
                self._next = replace(self._next, duration_ns=duration_ns, duration_doubt_ns=doubt_ns)
            case "#EXT-X-MAP":
                self._next = replace(self._next, head=self._head(_attributes(value)))
            case "#EXT-X-BYTERANGE":
                self._range = _range(value)
            case "#EXT-X-PROGRAM-DATE-TIME":
                self._next = replace(self._next, stamp=of_date(value))
            case "#EXT-X-DISCONTINUITY":
                self._next = replace(self._next, is_discontinuous=True)
            case "#EXT-X-GAP":
                self._next = replace(self._next, is_gap=True)

    def uri(self, text: str) -> None:
        url = self._absolute(text)
        if self._is_variant:
            self.variants.append(url)
            self._is_variant = False
            return
        segment = replace(self._next, media=Resource(url, self._place(url)))
        self.segments.append(segment)
        self._next = replace(self._blank, number=segment.number + 1, head=segment.head)
        self._range = None

    def _place(self, url: str) -> tuple[int, int] | None:
        """Offset and length of the segment in what ``url`` has; without an offset it follows the segment before."""
        if self._range is None:
            return None
        offset, length = self._range
        if offset is None:
            before = self.segments[-1].media if self.segments else None
            is_next = before is not None and before.url == url and before.range_bytes is not None
            offset = sum(before.range_bytes) if is_next and before and before.range_bytes else 0
        return offset, length

    def _head(self, attributes: dict[str, str]) -> Resource:
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


def _stamped(segments: list[Segment]) -> Iterable[Segment]:
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
