"""HLS playlists as values: libavformat reads them too, but keeps ``EXT-X-PROGRAM-DATE-TIME`` to itself; pure.

As players do, it skips what it cannot read: one odd line ends no stream.
Source: RFC 8216, HTTP Live Streaming, sections 4.3 and 6.3.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urljoin, urlsplit

from syncsvc.capture.playlist_variables import Variables
from syncsvc.capture.stamps import MediaStamp, fraction_of_second, of_date
from syncsvc.clock import NS_PER_S

_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^,]*)')
_DURATION = re.compile(r"([0-9]{0,6})(?:\.([0-9]{0,18}))?(?![0-9])")
_NUMBER = re.compile("[0-9]{1,18}")
_RANGE = re.compile("([0-9]{1,12})(?:@([0-9]{1,15}))?")
_VIDEO = re.compile("avc|hvc|hev|dvh|mp4v|vp0?[89]|av01", re.IGNORECASE)
_SOUND = re.compile("mp4a|a[ce]-?[34]|ec-3|opus|flac|vorbis|mp3|dts|stpp|wvtt", re.IGNORECASE)
_IV = re.compile("0[xX]([0-9A-Fa-f]{1,32})")
_SIZE = re.compile("([0-9]{1,5})[xX]([0-9]{1,5})")
_SHORTEST_TARGET_NS = NS_PER_S // 10
_LONGEST_UNPROVEN_NS = 10 * NS_PER_S
HEADER = "#EXTM3U"
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
class Cipher:
    """How a segment is encrypted: by AES-128 with the 16 bytes at ``key_url``; ``iv`` has as many."""

    key_url: str
    iv: bytes


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
    cipher: Cipher | None = None


@dataclass(frozen=True, slots=True)
class Variant:
    """One of the playlists that a master playlist names, and what it says of it; 0 is nothing."""

    url: str
    bandwidth: int = 0
    size: tuple[int, int] = (0, 0)
    codecs: str = ""

    @property
    def rank(self) -> int:
        """2 where it has video, 1 where nobody says so, 0 where it has but sound or text."""
        codecs = [codec.strip() for codec in self.codecs.split(",") if codec.strip()]
        if any(map(_VIDEO.match, codecs)) or self.size[0]:
            return 2
        return 0 if codecs and all(map(_SOUND.match, codecs)) else 1


@dataclass(frozen=True, slots=True)
class Playlist:
    """A media playlist, or a master playlist: that has ``variants`` and no segments."""

    segments: tuple[MediaSegment, ...] = ()
    target_ns: int = NS_PER_S
    is_ended: bool = False
    is_encrypted: bool = False
    """Otherwise than segments say it themselves."""
    variants: tuple[Variant, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    """What playlists that this one names may import."""

    def best_first(self, wanted: tuple[int, int] | None) -> list[Variant]:
        """The variants, those with video first: the smallest that is as big as ``wanted``, else the most bandwidth."""

        def order(variant: Variant) -> tuple[int, int, int, int]:
            pixels, is_enough = variant.size[0] * variant.size[1], False
            if wanted is not None and pixels:
                is_enough = variant.size[0] >= wanted[0] and variant.size[1] >= wanted[1]
            return -variant.rank, not is_enough, pixels if is_enough else -pixels * bool(wanted), -variant.bandwidth

        return sorted(self.variants, key=order)

    @property
    def turn_ns(self) -> int:
        """The target duration; where that is more than ten seconds, no more than the longest segment bears out."""
        longest_ns = max((segment.duration_ns for segment in self.segments), default=0)
        return min(self.target_ns, max(longest_ns, _LONGEST_UNPROVEN_NS))


def parse(text: str, url: str, above: Mapping[str, str] | None = None) -> Playlist:
    """Read a playlist that came from ``url``; ``above`` are the variables of the one that named it.

    Raises:
        PlaylistError: it is none, or names nothing but what is not on the network, or is locked with keys that are
            handed out to certified players alone.
    """
    lines = [line for line in map(str.strip, text.removeprefix("\ufeff").splitlines()) if line]
    if not lines or not lines[0].startswith(HEADER):
        raise PlaylistError("is no playlist")
    reader, variables = _PlaylistReader(url, _segments_before_the_last(lines)), Variables(url, above or {})
    for line in map(variables.put_into, lines[1:]):
        if line.startswith("#EXT-X-DEFINE:"):
            variables.define(_attributes(line.partition(":")[2]))
        elif line.startswith("#EXT"):
            reader.tag(*line.partition(":")[::2])
        elif not line.startswith("#"):
            reader.uri(line)
    return replace(reader.result(), variables=variables.values)


def _segments_before_the_last(lines: list[str]) -> int:
    """How many segments of a live playlist are over: of the oldest ones, a day's worth may be listed."""
    count = sum(1 for line in lines if not line.startswith("#"))
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
        self._variants: list[Variant] = []
        self._has_stranger = False
        self._number = 0
        self._head: Resource | None = None
        self._is_headless = False
        self._key: tuple[str, bytes | None] | None = None
        self._lock = ""
        self._range: tuple[int | None, int] | None = None
        self._variant: Variant | None = None
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
                self._date = value.strip()
            case "#EXT-X-BYTERANGE":
                self._range = _range(value)
            case "#EXT-X-DISCONTINUITY":
                self._is_discontinuous = True
            case "#EXT-X-GAP":
                self._is_gap = True
            case "#EXT-X-STREAM-INF":
                self._variant = _variant(_attributes(value))
            case "#EXT-X-TARGETDURATION" if target_ns := _duration(value)[0]:
                self._said["target_ns"] = max(_SHORTEST_TARGET_NS, target_ns)
            case "#EXT-X-ENDLIST":
                self._said["is_ended"] = True
            case "#EXT-X-KEY":
                self._encrypt(_attributes(value))
            case "#EXT-X-MEDIA-SEQUENCE" if _NUMBER.fullmatch(value.strip()):
                self._number = int(value)
            case "#EXT-X-MAP":
                self._head = self._resource(_attributes(value))
                self._is_headless = self._head is None

    def _encrypt(self, attributes: dict[str, str]) -> None:
        """What follows is encrypted so, or not at all."""
        key_url, iv = self._absolute(attributes.get("URI", "")), _IV.fullmatch(attributes.get("IV", ""))
        method, is_plain = attributes.get("METHOD", "NONE"), attributes.get("KEYFORMAT", "identity") == "identity"
        if method == "AES-128" and key_url and is_plain:
            self._key = key_url, bytes.fromhex(iv[1].zfill(32)) if iv else None
            self._lock = ""
        elif method == "NONE":
            self._key, self._lock = None, ""
        elif method == "SAMPLE-AES" and key_url and is_plain:
            self._said["is_encrypted"] = True
        elif self._key is None:  # else it is offered in several forms, of which we know one
            self._lock = " ".join(filter(None, (method, attributes.get("KEYFORMAT", ""))))

    def uri(self, text: str) -> None:
        url = None if self._is_headless else self._absolute(text)
        self._has_stranger = self._has_stranger or url is None
        if self._variant is not None:
            if url is not None:
                self._variants.append(replace(self._variant, url=url))
            self._variant = None
            return
        if self._passed_over:
            self._passed_over -= 1
            self._pass_over()
        else:
            self._segments.append(self._segment(url or ""))
        self._number, self._range = self._number + 1, None
        self._begin_segment()

    def _segment(self, url: str) -> MediaSegment:
        duration_ns, doubt_ns = _duration(self._duration)
        cipher = Cipher(self._key[0], self._key[1] or self._number.to_bytes(16, "big")) if self._key else None
        if cipher is not None and self._head is not None:
            self._said["is_encrypted"] = True
        return MediaSegment(
            self._number, Resource(url, self._place(url)), duration_ns, doubt_ns, of_date(self._date or ""),
            self._head, self._is_discontinuous, self._is_gap or bool(self._lock) or not url, cipher,
        )  # fmt: skip

    def _pass_over(self) -> None:
        if self._date is not None or self._is_discontinuous:
            self._dated, self._since = self._date, []
        if self._dated is not None:
            self._since.append(self._duration)

    def result(self) -> Playlist:
        """The playlist, every segment with its date."""
        if self._has_stranger and not self._variants and not any(one.media.url for one in self._segments):
            raise PlaylistError("names something that is not on the network")
        if self._lock and not self._said.get("is_encrypted") and all(one.is_gap for one in self._segments):
            raise PlaylistError(
                f"is encrypted ({self._lock[:80]}), with a key that is not to be had over HTTP: let whoever makes it "
                "leave that out, or take AES-128"
            )
        durations = [_duration(text) for text in self._since]
        span_ns, doubt_ns = (sum(some) for some in zip((0, 0), *durations, strict=True))
        is_known = all(length_ns for length_ns, _ in durations)
        before = MediaSegment(-1, Resource(""), span_ns, doubt_ns, of_date(self._dated or "") if is_known else None)
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

    def _resource(self, attributes: dict[str, str]) -> Resource | None:
        span, url = _range(attributes.get("BYTERANGE", "")), self._absolute(attributes.get("URI", ""))
        return Resource(url, (span[0] or 0, span[1]) if span else None) if url else None

    def _absolute(self, text: str) -> str | None:
        """The whole URL of what is named so; None where that is not on the network."""
        try:
            url = urljoin(self._url, text)
            if (parts := urlsplit(url)).scheme in ("http", "https") and parts.hostname:
                return url
        except ValueError:
            pass  # half an address, or a port that is none
        return None


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
        expected = None
        if stamp is not None and segment.duration_ns:
            expected = MediaStamp(stamp.utc_ns + segment.duration_ns, stamp.doubt_ns + doubt_ns)


def _attributes(text: str) -> dict[str, str]:
    return {name: value.strip().strip('"') for name, value in _ATTRIBUTE.findall(text)}


def _variant(attributes: dict[str, str]) -> Variant:
    """What is said of a variant, before its URL comes."""
    bandwidth, size = attributes.get("BANDWIDTH", ""), _SIZE.fullmatch(attributes.get("RESOLUTION", ""))
    sides = (int(size[1]), int(size[2])) if size else (0, 0)
    return Variant("", int(bandwidth) if _NUMBER.fullmatch(bandwidth) else 0, sides, attributes.get("CODECS", ""))


def _duration(text: str) -> tuple[int, int]:
    """Nanoseconds, and one of the last digit; 0 is none, or none that can be read."""
    match = _DURATION.match(text.strip())
    whole, part = match.groups() if match else ("", None)
    fraction_ns, doubt_ns = fraction_of_second(part or None)
    return int(whole or 0) * NS_PER_S + fraction_ns, doubt_ns


def _range(text: str) -> tuple[int | None, int] | None:
    """``(offset, length)`` of ``length@offset``."""
    match = _RANGE.fullmatch(text.strip())
    return (int(match[2]) if match[2] else None, int(match[1])) if match and int(match[1]) else None
