"""The containers that recordings lie in, written piece by piece: each piece plays as soon as it is on the disk.

libavformat keeps a fragment back until the next one begins, so what was acknowledged would not be on the disk. It makes
the head of an MP4 from the first picture; the fragments behind it, and Matroska, whose head is a few lines, are ours.
Source: ISO/IEC 14496-12:2022, 8.8 (movie fragments); RFC 9559 (Matroska), RFC 8794 (EBML).
"""

import struct
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import chain, pairwise
from typing import Any, Final, NamedTuple, Protocol

import av

from syncsvc import nal
from syncsvc.clock import NS_PER_MS, NS_PER_S
from syncsvc.layout import Codec, Layout

TICKS_PER_S: Final = 1_000_000
"""Of an MP4's times."""
_NS_PER_TICK: Final = NS_PER_S // TICKS_PER_S
_NOMINAL_TICKS: Final = TICKS_PER_S // 25
_MP4_CODECS: Final = frozenset({"h264", "hevc", "mjpeg", "vp9", "av1"})
_MKV_CODECS: Final[Mapping[str, str]] = {
    "ffv1": "V_FFV1", "vp8": "V_VP8", "mpeg4": "V_MPEG4/ISO/ASP", "mpeg2video": "V_MPEG2", "mpeg1video": "V_MPEG1",
}  # fmt: skip
_KEY_SAMPLE, _OTHER_SAMPLE = 0x02000000, 0x01010000
_MATRICES: Final = {"bt601": 6, "bt709": 1, "bt2020": 9}
"""Numbers of ITU-T H.273."""
_CLUSTER_MS: Final = 30_000
"""A block's time counts from its cluster's, in 16 bits."""
_DELIMITER = b"\x12\x00"
"""AV1's temporal delimiter, which no container keeps."""


class Sample(NamedTuple):
    """One coded picture: ``at_ns`` is from the file's zero on, not below 0, and rises."""

    at_ns: int
    is_key: bool
    data: bytes


class Container(Protocol):
    """Makes the bytes of one file."""

    suffix: str

    def piece(self, samples: Sequence[Sample]) -> bytes:
        """What to append for so many pictures, at least one; before the first ones stands the file's head."""
        ...


def container_of(layout: Layout) -> Container | None:
    """What pictures of a codec are kept in; None where nothing here takes them."""
    codec = Codec("mjpeg") if layout.format == "jpeg" else layout.codec
    if codec is None:
        return None
    if codec.name in _MP4_CODECS:
        return Mp4(codec.name, layout.width, layout.height)
    return Matroska(codec, layout) if codec.name in _MKV_CODECS else None


class Mp4:
    """Fragmented MP4: a fragment per piece."""

    suffix = "mp4"

    def __init__(self, codec: str, width: int, height: int) -> None:
        self._codec, self._size = codec, (width, height)
        self._fragments = 0

    def piece(self, samples: Sequence[Sample]) -> bytes:
        """See ``Container``."""
        head = b"" if self._fragments else self._head(samples[0])
        self._fragments += 1
        stored = [self._stored(sample.data) for sample in samples]
        sizes = [sum(map(len, pieces)) for pieces in stored]
        ticks = [sample.at_ns // _NS_PER_TICK for sample in samples]
        steps = [after - before for before, after in pairwise(ticks)]
        steps.append(steps[-1] if steps else _NOMINAL_TICKS)
        rows = b"".join(
            struct.pack(">III", step, size, _KEY_SAMPLE if sample.is_key else _OTHER_SAMPLE)
            for sample, size, step in zip(samples, sizes, steps, strict=True)
        )
        moof = self._moof(ticks[0], len(samples), rows)
        return b"".join((head, moof, struct.pack(">I", 8 + sum(sizes)), b"mdat", *chain.from_iterable(stored)))

    def _moof(self, at: int, count: int, rows: bytes) -> bytes:
        header = _box(b"mfhd", struct.pack(">II", 0, self._fragments))
        track = _box(b"tfhd", struct.pack(">II", 0x020000, 1)) + _box(b"tfdt", struct.pack(">IQ", 1 << 24, at))
        size = 8 + len(header) + 8 + len(track) + 8 + 12 + len(rows)
        run = _box(b"trun", struct.pack(">III", 0x000701, count, size + 8) + rows)  # the data begins behind mdat's head
        return _box(b"moof", header + _box(b"traf", track + run))

    def _head(self, first: Sample) -> bytes:
        """Type and movie boxes, as libavformat makes them of the first picture."""
        out = _Memory()
        options = {"movflags": "empty_moov+delay_moov+default_base_moof+frag_custom"}
        with av.open(out, "w", format="mp4", options=options) as sink:
            stream = sink.add_mux_stream(self._codec, rate=25, width=self._size[0], height=self._size[1])
            stream.time_base = Fraction(1, TICKS_PER_S)
            packet = av.Packet(first.data)
            packet.stream, packet.time_base, packet.is_keyframe = stream, stream.time_base, True
            packet.pts = packet.dts = 0
            sink.mux(packet)
        data = bytes(out.data)
        at = 0
        while data[at + 4 : at + 8] != b"moof":
            at += int.from_bytes(data[at : at + 4], "big")
        return data[:at]

    def _stored(self, data: bytes) -> Sequence[bytes | memoryview]:
        """A picture as it lies there, in pieces: of H.264 and H.265 with lengths instead of start codes."""
        if self._codec in nal.CODECS:
            return nal.with_lengths(data)
        return (data.removeprefix(_DELIMITER) if self._codec == "av1" else data,)


class Matroska:
    """Matroska with a cluster per piece."""

    suffix = "mkv"

    def __init__(self, codec: Codec, layout: Layout) -> None:
        self._codec, self._layout, self._has_begun = codec, layout, False

    def piece(self, samples: Sequence[Sample]) -> bytes:
        """See ``Container``."""
        parts = [] if self._has_begun else [self._head()]
        self._has_begun = True
        blocks: list[bytes] = []
        begun_ms = samples[0].at_ns // NS_PER_MS
        for sample in samples:
            at_ms = sample.at_ns // NS_PER_MS
            if at_ms - begun_ms >= _CLUSTER_MS:
                parts.append(_cluster(begun_ms, blocks))
                blocks, begun_ms = [], at_ms
            block = struct.pack(">BhB", 0x81, at_ms - begun_ms, 0x80 if sample.is_key else 0) + sample.data
            blocks.append(_element(0xA3, block))
        return b"".join((*parts, _cluster(begun_ms, blocks)))

    def _head(self) -> bytes:
        """Up to where the clusters begin; the segment has no known end."""
        kind = (
            (0x4286, 1), (0x42F7, 1), (0x42F2, 4), (0x42F3, 8), (0x4282, b"matroska"), (0x4287, 4), (0x4285, 2),
        )  # fmt: skip
        colour_range = 2 if self._layout.range == "full" else 1
        colours = _elements((0x55B1, _MATRICES[self._layout.matrix]), (0x55B9, colour_range))
        picture = _elements((0xB0, self._layout.width), (0xBA, self._layout.height), (0x55B0, colours))
        private = self._codec.extradata
        track = _elements(
            (0xD7, 1), (0x73C5, 1), (0x83, 1), (0x9C, 0), (0x86, _MKV_CODECS[self._codec.name].encode()),
            *([(0x63A2, private)] if private else []), (0xE0, picture),
        )  # fmt: skip
        info = _elements((0x2AD7B1, NS_PER_MS), (0x4D80, b"syncsvc"), (0x5741, b"syncsvc"))
        tracks = _element(0xAE, track)
        segment = _element(0x1549A966, info) + _element(0x1654AE6B, tracks)
        return _element(0x1A45DFA3, _elements(*kind)) + b"\x18\x53\x80\x67" + b"\x01" + b"\xff" * 7 + segment


class _Memory:
    """What PyAV writes into."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: Any) -> int:
        """Take more."""
        self.data += data
        return len(data)


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def _cluster(at_ms: int, blocks: Sequence[bytes]) -> bytes:
    return _element(0x1F43B675, _elements((0xE7, at_ms)) + b"".join(blocks))


def _elements(*pairs: tuple[int, int | bytes]) -> bytes:
    return b"".join(_element(name, value) for name, value in pairs)


def _element(name: int, value: int | bytes) -> bytes:
    """An EBML element; its size always takes eight bytes."""
    data = value if isinstance(value, bytes) else value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")
    head = name.to_bytes((name.bit_length() + 7) // 8, "big")
    return head + (1 << 56 | len(data)).to_bytes(8, "big") + data
