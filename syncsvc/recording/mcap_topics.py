"""What a recording's MCAP has on which topic: the two who write and read it agree here.

``video/STREAM``: pictures as Foxglove's messages; ``times``: what is told of the frames of each batch; ``sets``; and
``batch/GROUP``: the headers, and the gaps between them. Pictures lie at their times, all else at when a batch left.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Final

import msgspec
from msgspec import Struct

from syncsvc.layout import Codec, Layout
from syncsvc.mcap.mcap_records import McapChannel, McapSchema
from syncsvc.recording.foxglove import schema_of_pictures
from syncsvc.wire import GroupTerms

VIDEO, BATCH, TIMES_TOPIC, SETS_TOPIC = "video/", "batch/", "times", "sets"
_LAYOUT, _KIND, _IS_OURS, _GROUPS = "layout", "format", "is_ours", "groups"
_JSON: Final = McapSchema("syncsvc", "jsonschema", b'{"type":"object"}')
TIMES_CHANNEL: Final = McapChannel(TIMES_TOPIC, "json", _JSON)
SETS_CHANNEL: Final = McapChannel(SETS_TOPIC, "json", _JSON)


class TimeRow(Struct, frozen=True):
    """One frame that has a picture, as a line of ``times.csv``; ``frame`` counts in its stream's film."""

    stream: str
    frame: int
    time_ns: int
    seq: int
    uncertainty_ns: int
    clock: str
    arrival_ns: int
    is_key: bool


class TimeRows(Struct, frozen=True):
    """A message of ``times``."""

    frames: list[TimeRow]


class SetRow(Struct, frozen=True):
    """A message of ``sets``: by stream the number of its frame in its film."""

    set: int
    window_start_ns: int
    spread_ns: int
    frames: dict[str, int]


class FilmTerms(Struct, frozen=True):
    """What a channel of ``video/`` says of its pictures."""

    stream: str
    kind: str
    layout: Layout
    is_ours: bool

    @property
    def stored_layout(self) -> Layout:
        """The layout by which its pictures are decoded: that of a JPEG names its codec."""
        is_jpeg = self.layout.format == "jpeg"
        return replace(self.layout, format="encoded", codec=Codec("mjpeg")) if is_jpeg else self.layout


@lru_cache
def video_channel(film: FilmTerms) -> McapChannel:
    """The channel of a stream's pictures; another layout is another channel of its topic."""
    told = ((_KIND, film.kind), (_LAYOUT, msgspec.json.encode(film.layout).decode()), (_IS_OURS, str(film.is_ours)))
    return McapChannel(VIDEO + film.stream, "protobuf", schema_of_pictures(film.kind), told)


@lru_cache
def film_terms(channel: McapChannel) -> FilmTerms:
    """What ``video_channel`` was made of.

    Raises:
        ValueError, KeyError: it is none.
    """
    told = dict(channel.metadata)
    layout = msgspec.json.decode(told[_LAYOUT], type=Layout)
    return FilmTerms(channel.topic.removeprefix(VIDEO), told[_KIND], layout, told[_IS_OURS] == str(True))


def batch_channel(group: str, terms: Mapping[str, GroupTerms]) -> McapChannel:
    """The channel of a group's headers; each says what all groups promise."""
    return McapChannel(BATCH + group, "json", _JSON, ((_GROUPS, msgspec.json.encode(terms).decode()),))


def groups_of(channel: McapChannel) -> Mapping[str, GroupTerms]:
    """What ``batch_channel`` was made of; errors as of ``film_terms``."""
    return msgspec.json.decode(dict(channel.metadata)[_GROUPS], type=dict[str, GroupTerms])
