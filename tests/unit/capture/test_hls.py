"""The timeline of a segmented stream: one pts for all segments, and the dates laid onto it."""

from collections.abc import Callable
from dataclasses import replace
from typing import cast

import pytest

from syncsvc.capture.hls import HlsReader, Timeline
from syncsvc.capture.http_get import Answer, Client
from syncsvc.capture.playlist import MediaSegment, Resource
from syncsvc.capture.spec import HttpSpec, RingPlan
from syncsvc.capture.stamps import MediaStamp
from syncsvc.lifecycle import StopToken
from syncsvc.model import Observation
from syncsvc.testing import MS, T0, ManualClock, S

PLAIN = MediaSegment(7, Resource("http://camera/7.ts"))
WRAP_NS = (1 << 33) * S // 90_000


def stamped(utc_ns: int, doubt_ns: int = MS, *, is_discontinuous: bool = False) -> MediaSegment:
    return replace(PLAIN, stamp=MediaStamp(utc_ns, doubt_ns), is_discontinuous=is_discontinuous)


def at(timeline: Timeline, pts_ns: int | None) -> tuple[int | None, int | None, int]:
    seen = timeline.place(Observation(-1, 5 * S, pts_ns))
    assert seen.stamp_kind == ("" if seen.stamp_ns is None else "playlist")
    return seen.pts_ns, seen.stamp_ns, seen.doubt_ns


class Listed:
    """An answer that is a playlist without segments."""

    url = "http://camera/live.m3u8"

    def __init__(self, target_s: int, duration_s: int) -> None:
        self._text = f"#EXTM3U\n#EXT-X-TARGETDURATION:{target_s}\n#EXTINF:{duration_s},\n#EXT-X-GAP\nlost\n"

    def read_all(self, limit_bytes: int, limit_s: float, tick: Callable[[], None]) -> bytes:
        assert limit_bytes >= 43_200 * 120, "a day in pieces of two seconds"
        return self._text.encode()

    def close(self) -> None:
        pass


class Sleeper(StopToken):
    """Notes how long it is to sleep, and stops."""

    seconds = 0.0

    def sleep(self, seconds: float) -> bool:
        self.seconds = seconds
        self.set()
        return True


@pytest.mark.parametrize(("target_s", "duration_s", "pause_s"), [(2, 2, 2), (9999, 2, 10), (9999, 9999, 60)])
def test_no_playlist_makes_its_reader_sleep_for_hours(target_s: int, duration_s: int, pause_s: float) -> None:
    stop = Sleeper()
    answer = cast(Answer, Listed(target_s, duration_s))
    spec = HttpSpec(name="a", url="", pixels="i420", ring=RingPlan(S))
    reader = HlsReader(spec, cast(Client, None), answer, lambda position: None, ManualClock(), stop)
    assert list(reader.frames()) == []
    assert stop.seconds == pause_s


def test_frames_count_from_their_segments_first() -> None:
    timeline = Timeline()
    timeline.begin(stamped(T0), 10 * S, is_mpegts=True)
    assert at(timeline, 10 * S) == (10 * S, T0, MS)
    assert at(timeline, 11 * S + 7) == (11 * S + 7, T0 + S + 7, MS)
    assert at(timeline, None) == (None, None, 0)


def test_every_date_of_the_same_exactness_counts_anew() -> None:
    timeline = Timeline()
    timeline.begin(stamped(T0), 0, is_mpegts=True)
    at(timeline, S)
    timeline.begin(stamped(T0 + 2 * S + 3 * MS), 2 * S, is_mpegts=True)
    assert at(timeline, 2 * S) == (2 * S, T0 + 2 * S + 3 * MS, MS)


def test_a_rougher_date_and_none_leave_the_one_before_in_force() -> None:
    for later in (stamped(T0 + 3 * S, S), PLAIN):
        timeline = Timeline()
        timeline.begin(stamped(T0), 0, is_mpegts=True)
        at(timeline, S)
        timeline.begin(later, 2 * S, is_mpegts=True)
        assert at(timeline, 2 * S) == (2 * S, T0 + 2 * S, MS)


def test_without_a_date_there_is_no_stamp() -> None:
    timeline = Timeline()
    timeline.begin(PLAIN, 0, is_mpegts=True)
    assert at(timeline, S) == (S, None, 0)


def test_a_break_voids_the_date_before_it() -> None:
    timeline = Timeline()
    timeline.begin(stamped(T0), 0, is_mpegts=True)
    at(timeline, S)
    timeline.begin(replace(PLAIN, is_discontinuous=True), 90 * S, is_mpegts=True)
    assert at(timeline, 90 * S) == (90 * S, None, 0)
    timeline.begin(stamped(T0 + 9 * S, S), 91 * S, is_mpegts=True)
    assert at(timeline, 91 * S) == (91 * S, T0 + 9 * S, S)
    timeline.interrupt()
    timeline.begin(PLAIN, 95 * S, is_mpegts=True)
    assert at(timeline, 95 * S) == (95 * S, None, 0)


def test_pts_go_on_when_33_bits_are_over_but_only_where_they_are_33() -> None:
    timeline = Timeline()
    timeline.begin(stamped(T0), WRAP_NS - S, is_mpegts=True)
    at(timeline, WRAP_NS - 40 * MS)
    timeline.begin(PLAIN, 0, is_mpegts=True)
    assert at(timeline, 80 * MS) == (WRAP_NS + 80 * MS, T0 + S + 80 * MS, MS)
    timeline.begin(stamped(T0 + 60 * S), S, is_mpegts=True)
    assert at(timeline, S) == (WRAP_NS + S, T0 + 60 * S, MS)
    timeline.begin(stamped(T0 + 61 * S, is_discontinuous=True), 3 * S, is_mpegts=True)
    assert at(timeline, 3 * S) == (3 * S, T0 + 61 * S, MS)
