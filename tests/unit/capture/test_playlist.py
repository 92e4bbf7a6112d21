"""HLS playlists: what their tags say, and which date each segment gets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncsvc.capture.playlist import KEPT_SEGMENTS, MOST_SEGMENTS, Cipher, PlaylistError, Resource, Variant, parse
from syncsvc.capture.stamps import MediaStamp
from syncsvc.testing import MS, S

URL = "http://camera/live/index.m3u8?token=1"
AT = 1_795_266_000 * S  # 2026-11-21T13:00:00Z


def listed(*lines: str) -> str:
    return "\n".join(["#EXTM3U", "#EXT-X-TARGETDURATION:2", *lines, ""])


def dated(*lines: str) -> list[MediaStamp | None]:
    return [segment.stamp for segment in parse(listed(*lines), URL).segments]


def test_a_live_playlist() -> None:
    text = listed(
        "#EXT-X-VERSION:6", "#EXT-X-MEDIA-SEQUENCE:41", '#EXT-X-MAP:URI="init.mp4",BYTERANGE="700@0"',
        "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T14:00:00.500+01:00", "#EXTINF:2.002,title, with a comma", "a.m4s",
        "# a comment", "#EXTINF:1.5,", "/b.m4s", "#EXT-X-DISCONTINUITY", '#EXT-X-MAP:URI="other.mp4"', "#EXT-X-GAP",
        "#EXTINF:2,", "http://other/c.m4s",
    )  # fmt: skip
    playlist = parse(text, URL)
    first, second, third = playlist.segments
    assert (playlist.target_ns, playlist.is_ended, playlist.is_encrypted, playlist.variants) == (
        2 * S,
        False,
        False,
        (),
    )
    assert [segment.number for segment in playlist.segments] == [41, 42, 43]
    assert first.media == Resource("http://camera/live/a.m4s")
    assert second.media == Resource("http://camera/b.m4s")
    assert third.media == Resource("http://other/c.m4s")
    assert first.head == second.head == Resource("http://camera/live/init.mp4", (0, 700))
    assert third.head == Resource("http://camera/live/other.mp4")
    assert (second.is_discontinuous, third.is_discontinuous, second.is_gap, third.is_gap) == (False, True, False, True)
    assert first.stamp == MediaStamp(AT + 500 * MS, MS)


def test_dates_between_follow_from_the_durations_and_are_less_exact() -> None:
    half = "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T13:00:00.500Z"
    assert dated("#EXTINF:2,", "a", half, "#EXTINF:2.25,", "b", "#EXTINF:2,", "c", "#EXTINF:2.000,", "d") == [
        None,
        (AT + 500 * MS, MS),
        (AT + 2750 * MS, 11 * MS),
        (AT + 4750 * MS, 11 * MS + S),
    ]


def test_a_discontinuity_ends_what_a_date_says() -> None:
    date = "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T13:00:00Z"
    other = "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T15:00:00Z"
    lines = [date, "#EXTINF:1,", "a", "#EXT-X-DISCONTINUITY", "#EXTINF:1,", "b"]
    assert dated(*lines) == [(AT, S), None]
    assert dated(*lines[:4], other, *lines[4:]) == [(AT, S), (AT + 7200 * S, S)]


def test_zeros_that_were_left_out_cost_no_exactness() -> None:
    lines = []
    for text in ("00.12", "02", "04.345"):
        lines += [f"#EXT-X-PROGRAM-DATE-TIME:2026-11-21T13:00:{text}Z", "#EXTINF:2,", "x"]
    assert dated(*lines) == [(AT + 120 * MS, MS), (AT + 2 * S, MS), (AT + 4345 * MS, MS)]


def test_ranges_of_one_file() -> None:
    text = listed(
        "#EXTINF:1,", "#EXT-X-BYTERANGE:100@50", "all.ts", "#EXTINF:1,", "#EXT-X-BYTERANGE:30", "all.ts",
        "#EXTINF:1,", "#EXT-X-BYTERANGE:7", "new.ts", "#EXTINF:1,", "plain.ts", "#EXT-X-ENDLIST",
    )  # fmt: skip
    playlist = parse(text, URL)
    assert [segment.media.range_bytes for segment in playlist.segments] == [(50, 100), (150, 30), (0, 7), None]
    assert playlist.is_ended


def test_a_master_playlist_names_variants() -> None:
    low = '#EXT-X-STREAM-INF:BANDWIDTH=1, CODECS="avc1.42c01e, mp4a.40.2",RESOLUTION=640x360'
    text = "\r\n".join(["\ufeff#EXTM3U", low, "# a remark", "low.m3u8", "#EXT-X-STREAM-INF:", "x/hi.m3u8", ""])
    playlist = parse(text, URL)
    assert playlist.variants == (
        Variant("http://camera/live/low.m3u8", 1, (640, 360), "avc1.42c01e, mp4a.40.2"),
        Variant("http://camera/live/x/hi.m3u8"),
    )
    assert playlist.segments == ()


SOUND = '#EXT-X-STREAM-INF:BANDWIDTH=999999,CODECS="mp4a.40.2"'
SMALL = '#EXT-X-STREAM-INF:BANDWIDTH=300,RESOLUTION=640x360,CODECS="mp4a.40.2,avc1.42c01e"'
BIG = '#EXT-X-STREAM-INF:BANDWIDTH=900,RESOLUTION=1920x1080,CODECS="hvc1.1"'
BIGGER = "#EXT-X-STREAM-INF:BANDWIDTH=800,RESOLUTION=2560x1440"
UNKNOWN = "#EXT-X-STREAM-INF:BANDWIDTH=5000"


@pytest.mark.parametrize(
    ("variants", "size", "best"),
    [
        ([SOUND, SMALL], None, SMALL),
        ([SOUND, UNKNOWN], None, UNKNOWN),
        ([UNKNOWN, SMALL], None, SMALL),
        ([SOUND], None, SOUND),
        ([SMALL, BIG, BIGGER], None, BIG),
        ([SMALL, BIG, BIGGER], (640, 360), SMALL),
        ([BIGGER, BIG, SMALL], (800, 450), BIG),
        ([SMALL, BIG, BIGGER], (4000, 3000), BIGGER),
        ([SOUND, UNKNOWN], (64, 48), UNKNOWN),
    ],
)
def test_the_best_variant_has_video_and_suits_the_size_that_is_wanted(
    variants: list[str], size: tuple[int, int] | None, best: str
) -> None:
    text = "\n".join(["#EXTM3U", *(f"{line}\n{at}" for at, line in enumerate(variants))])
    assert parse(text, URL).best_first(size)[0].url == f"http://camera/live/{variants.index(best)}"


def of_a_day(*dated: int, more: str = "") -> str:
    """A playlist of ten-second segments since the day began, with dates at these."""
    entries = []
    for number in range(8_640):
        if number in dated:
            entries.append(f"#EXT-X-PROGRAM-DATE-TIME:2026-11-21T{number // 360:02}:{number // 6 % 60:02}:00.500Z")
        entries += ["#EXTINF:10.000,", f"a-rather-long-name-of-a-segment-{number}.ts"]
    return listed("#EXT-X-MEDIA-SEQUENCE:7", '#EXT-X-MAP:URI="init.mp4"', *entries, more)


@pytest.mark.parametrize("dated", [(0,), (0, 6_000)])
def test_of_a_whole_day_the_end_is_kept_as_the_whole_would_have_it(dated: tuple[int, ...]) -> None:
    text = of_a_day(*dated)
    end, whole = parse(text, URL), parse(text + "#EXT-X-ENDLIST\n", URL)
    assert (len(end.segments), len(whole.segments)) == (KEPT_SEGMENTS, 8_640)
    assert end.segments == whole.segments[-KEPT_SEGMENTS:]
    assert end.segments[-1].number == 8_646
    day = end.segments[-1].stamp
    assert day is not None
    assert day.utc_ns - AT == (8_639 * 10 - 13 * 3600) * S + 500 * MS


def test_what_follows_a_break_has_no_date_of_what_was_passed_over() -> None:
    lines = ["#EXT-X-PROGRAM-DATE-TIME:2026-11-21T13:00:00Z", "#EXTINF:1,", "a", "#EXT-X-DISCONTINUITY"]
    lines += ["#EXTINF:1,", "b"] * (KEPT_SEGMENTS + 1)
    assert dated(*lines) == [None] * KEPT_SEGMENTS


def test_a_recording_of_too_many_segments_is_refused() -> None:
    text = listed(*["x"] * (MOST_SEGMENTS + 1), "#EXT-X-ENDLIST")
    with pytest.raises(PlaylistError, match="has more than 50000 segments"):
        parse(text, URL)


@pytest.mark.parametrize(
    ("target", "duration", "turn_s"), [("9999", "2", 10), ("9999", "30", 30), ("6", "2", 6), ("2", "5", 2)]
)
def test_a_target_duration_counts_as_far_as_segments_bear_it_out(target: str, duration: str, turn_s: int) -> None:
    text = f"#EXTM3U\n#EXT-X-TARGETDURATION:{target}\n#EXTINF:{duration},\na\n#EXTINF:1,\nb\n"
    assert parse(text, URL).turn_ns == turn_s * S


@pytest.mark.parametrize(
    ("said", "duration_ms"),
    [
        ("2", 2000), ("2.5,a title", 2500), (".5,", 500), (" 2.000 ,", 2000), ("2.,", 2000), ("2e0,", 2000),
        ("2.0 tvg-id=1,cam", 2000), ("-1,", 0), ("soon,", 0), ("", 0), ("99999999999,", 0),
    ],
)  # fmt: skip
def test_a_duration_is_the_number_that_it_begins_with_and_an_odd_one_ends_nothing(said: str, duration_ms: int) -> None:
    date = "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T13:00:00Z"
    playlist = parse(listed(date, f"#EXTINF:{said}", "a", "#EXTINF:1,", "b"), URL)
    assert [one.duration_ns for one in playlist.segments] == [duration_ms * MS, S]
    stamp = playlist.segments[1].stamp
    assert (stamp and stamp.utc_ns) == (AT + duration_ms * MS if duration_ms else None), "nobody knows when b was taken"


@pytest.mark.parametrize(
    "text",
    [
        '#EXTM3U x-tvg-url="http://x/"\n#EXTINF:1,\na\n',
        "\n\n #EXTM3U\n#EXTINF:1,\n\n# a remark\na\n",
        "#EXTM3U\r#EXT-X-TARGETDURATION:soon\r#EXTINF:1,\ra\r",
        "#EXTM3U\n#EXT-X-VERSION\n#EXT-X-UNHEARD-OF:1\n#EXT-X-KEY\n#EXT-X-MEDIA-SEQUENCE: 0 \n#EXTINF:1\na\n",
        "#EXTM3U\n#EXT-X-PART:DURATION=0.5,URI=p\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=q\n#EXTINF:1,\na\n",
    ],
)
def test_odd_lines_are_skipped(text: str) -> None:
    playlist = parse(text, URL)
    assert [(one.number, one.media.url, one.duration_ns) for one in playlist.segments] == [
        (0, "http://camera/live/a", S)
    ]
    assert (playlist.target_ns, playlist.is_encrypted) == (S, False)


def test_a_segment_that_is_not_on_the_network_is_a_gap_among_others() -> None:
    playlist = parse(listed("#EXTINF:1,", "file:///etc/passwd", "#EXTINF:1,", "b"), URL)
    assert [(one.number, one.is_gap) for one in playlist.segments] == [(0, True), (1, False)]
    variants = parse("#EXTM3U\n#EXT-X-STREAM-INF:\nfile:///x\n#EXT-X-STREAM-INF:\nb\n", URL).variants
    assert [one.url for one in variants] == ["http://camera/live/b"]


IV = bytes(range(16))


@pytest.mark.parametrize(
    ("said", "cipher", "is_encrypted"),
    [
        ("METHOD=NONE", None, False),
        ('METHOD=AES-128,URI="k"', Cipher("http://camera/live/k", (7).to_bytes(16, "big")), False),
        (f'METHOD=AES-128,URI="http://keys/k?a",IV=0x{IV.hex()}', Cipher("http://keys/k?a", IV), False),
        ('METHOD=AES-128,URI="k",IV=0X1F', Cipher("http://camera/live/k", (31).to_bytes(16, "big")), False),
        ('METHOD=SAMPLE-AES,URI="k"', None, True),
    ],
)
def test_keys_are_noticed(said: str, cipher: Cipher | None, is_encrypted: bool) -> None:
    text = listed("#EXT-X-MEDIA-SEQUENCE:7", f"#EXT-X-KEY:{said}", "#EXTINF:1,", "a", "#EXT-X-KEY:METHOD=NONE", "b")
    playlist = parse(text, URL)
    assert [one.cipher for one in playlist.segments] == [cipher, None]
    assert playlist.is_encrypted is is_encrypted


LOCKED = (
    '#EXT-X-KEY:METHOD=SAMPLE-AES,URI="skd://k",KEYFORMAT="com.apple.streamingkeydelivery"',
    '#EXT-X-KEY:METHOD=SAMPLE-AES-CTR,URI="data:text/plain;base64,AAAA",KEYFORMAT="urn:uuid:edef8ba9"',
    '#EXT-X-KEY:METHOD=SAMPLE-AES-CTR,URI="k"',
    '#EXT-X-KEY:METHOD=AES-128,URI="k",KEYFORMAT="com.apple"',
    '#EXT-X-KEY:METHOD=AES-128,URI="file:///k"',
)


@pytest.mark.parametrize("lock", LOCKED)
def test_what_only_certified_players_can_play_is_said_in_words_and_what_is_open_among_it_is_played(lock: str) -> None:
    with pytest.raises(PlaylistError, match=r"^is encrypted \((SAMPLE-)?AES[^)]*\), with a key that is not to be had"):
        parse(listed(lock, "#EXTINF:1,", "a"), URL)
    some = parse(listed("#EXTINF:1,", "before", lock, "a", "#EXT-X-KEY:METHOD=NONE", "after"), URL)
    assert [one.is_gap for one in some.segments] == [False, True, False]
    assert not some.is_encrypted


def test_of_a_key_in_several_forms_the_plain_one_is_taken() -> None:
    plain = '#EXT-X-KEY:METHOD=AES-128,URI="k"'
    for keys in ((LOCKED[3], plain), (plain, LOCKED[3])):
        [segment] = parse(listed("#EXT-X-MEDIA-SEQUENCE:7", *keys, "#EXTINF:1,", "a"), URL).segments
        assert segment.cipher == Cipher("http://camera/live/k", (7).to_bytes(16, "big"))
        assert not segment.is_gap


def test_variables_stand_for_what_is_defined_in_the_playlist_in_its_url_and_in_the_one_above() -> None:
    text = listed(
        '#EXT-X-DEFINE:NAME="dir",VALUE="2026/11"',
        '#EXT-X-DEFINE:NAME="dir",VALUE="another"',
        '#EXT-X-DEFINE:QUERYPARAM="token"',
        '#EXT-X-DEFINE:QUERYPARAM="none"',
        '#EXT-X-DEFINE:IMPORT="auth"',
        "#EXT-X-DEFINE:",
        '#EXT-X-MAP:URI="{$dir}/head.mp4"',
        "#EXTINF:1,",
        "{$dir}/{$none}{$}1.mp4?token={$token}&auth={$auth}",
    )
    [segment] = parse(text, URL, {"auth": "x=1"}).segments
    assert segment.head == Resource("http://camera/live/2026/11/head.mp4")
    assert segment.media == Resource("http://camera/live/2026/11/{$none}{$}1.mp4?token=1&auth=x=1")
    assert parse(text, URL, {"auth": "x=1"}).variables == {"dir": "2026/11", "token": "1", "auth": "x=1"}


def test_what_stands_before_encrypted_media_is_not_ours_to_decipher() -> None:
    assert parse(listed('#EXT-X-KEY:METHOD=AES-128,URI="k"', '#EXT-X-MAP:URI="m"', "#EXTINF:1,", "a"), URL).is_encrypted


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is no playlist"),
        ("<html>", "is no playlist"),
        (listed("#EXTINF:1,", "file:///etc/passwd"), "not on the network"),
        (listed("#EXTINF:1,", "ftp://camera/a.ts"), "not on the network"),
        (listed('#EXT-X-MAP:URI="file:///etc/passwd"', "#EXTINF:1,", "a"), "not on the network"),
    ],
)
def test_what_is_no_playlist_is_refused(text: str, problem: str) -> None:
    with pytest.raises(PlaylistError, match=problem):
        parse(text, URL)


ODD_LINES = [
    "#EXTM3U", "#EXT-X-KEY:METHOD=NONE", "#EXT-X-MAP:URI", "#EXT-X-BYTERANGE:x", "#EXT-X-BYTERANGE:5", "#EXTINF:1,",
    "#EXT-X-MEDIA-SEQUENCE:no", "#EXT-X-PROGRAM-DATE-TIME:today", "#EXT-X-TARGETDURATION:0", "[::1", "http://[", "a b",
    "http://camera:port/", "", "#", "http:",
]  # fmt: skip


@given(st.lists(st.sampled_from(ODD_LINES)))
def test_nothing_but_a_refusal_comes_of_any_lines(lines: list[str]) -> None:
    try:
        playlist = parse("\n".join(["#EXTM3U", *lines]), URL)
    except PlaylistError:
        return
    numbers = [segment.number for segment in playlist.segments]
    assert numbers == list(range(len(numbers)))
