"""Names, variables and text of a first configuration."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncsvc.config.draft import drafted, names_of, text_of
from syncsvc.config.loader import loads
from syncsvc.config.urls import RefusedError


@pytest.mark.parametrize(
    ("urls", "names"),
    [
        (["rtsp://h/north", "rtsp://h/South Gate"], ["north", "south-gate"]),
        (["rtsp://10.0.0.11/stream1", "rtsp://10.0.0.12/stream1"], ["cam-10-0-0-11", "cam-10-0-0-12"]),
        (["rtsp://gate.lan/h264", "rtsp://10.0.0.12/"], ["gate-lan", "cam-10-0-0-12"]),
        (["rtsp://10.0.0.1/ch1", "rtsp://10.0.0.1/ch2"], ["ch1", "ch2"]),
        (["rtsp://10.0.0.1/", "rtsp://10.0.0.1/"], ["cam-10-0-0-1-1", "cam-10-0-0-1-2"]),
        (["rtsp://10.0.0.1/c/101", "rtsp://10.0.0.1/c/201"], ["cam-10-0-0-1-101", "cam-10-0-0-1-201"]),
        (["rtsp://a/ch1", "rtsp://a/ch2", "rtsp://b/ch1"], ["a-ch1", "ch2", "b"]),
        (["rtsp://a/live.sdp", "rtsp://north.lan"], ["a", "north-lan"]),
        (["synthetic:", "synthetic:?fps=5"], ["cam-1", "cam-2"]),
        (["file:clips/left.mp4", "file:clips/right.mp4"], ["left", "right"]),
        (["rtsp://a/x", "rtsp://b/x"], ["a", "b"]),
    ],
)
def test_a_stream_is_called_by_what_its_url_says_of_it(urls: list[str], names: list[str]) -> None:
    assert names_of(urls) == names


@given(
    st.lists(
        st.sampled_from(["rtsp://a/x", "rtsp://b/x", "synthetic:", "rtsp://1.2.3.4/", "rtsp://a-2/", "rtsp://c/a"])
    )
)
def test_names_are_valid_and_unique_whatever_the_urls(urls: list[str]) -> None:
    streams = drafted(urls)
    text = text_of(streams, {}, 0.0, file="f.yaml", written="now")
    assert set(loads(text, "f.yaml").streams) == {stream.name for stream in streams}
    assert len(streams) == (len(urls) or 2)


@pytest.mark.parametrize(
    ("url", "expected", "values"),
    [
        ("rtsp://admin:s3cret@h/north", "rtsp://admin:${NORTH_PASSWORD}@h/north", {"NORTH_PASSWORD": "s3cret"}),
        ("rtsp://token@h/north", "rtsp://${NORTH_TOKEN}@h/north", {"NORTH_TOKEN": "token"}),
        ("http://h/north?pwd=abc&x=1", "http://h/north?pwd=${NORTH_SECRET}&x=1", {"NORTH_SECRET": "abc"}),
        ("rtsp://u:a@b@h/north", "rtsp://u:${NORTH_PASSWORD}@h/north", {"NORTH_PASSWORD": "a@b"}),
        ("rtsp://u:a%40%2Fb@h/north", "rtsp://u:${NORTH_PASSWORD}@h/north", {"NORTH_PASSWORD": "a@/b"}),
        ("rtsp://h/a_pwd=abc_n=1/north", "rtsp://h/a_pwd=${NORTH_SECRET}_n=1/north", {"NORTH_SECRET": "abc"}),
        ("rtsp://u:${MINE}@h/north", "rtsp://u:${MINE}@h/north", {}),
        ("rtsp://h/north", "rtsp://h/north", {}),
    ],
)
def test_passwords_become_variables(url: str, expected: str, values: dict[str, str]) -> None:
    (stream,) = drafted([url])
    assert (stream.url, stream.values) == (expected, values)
    assert "s3cret" not in repr(stream)


def test_the_slowest_camera_says_how_wide_a_set_may_be() -> None:
    for fps, skew_ms in ((0.0, 40), (25.0, 40), (10.0, 100), (1.0, 500)):
        text = text_of(drafted([]), {}, fps, file="f.yaml", written="now")
        assert loads(text, "f.yaml").groups["all"].max_skew_ms == skew_ms


def test_urls_that_are_none_are_refused() -> None:
    with pytest.raises(RefusedError):
        drafted(["ftp://h/a"])
