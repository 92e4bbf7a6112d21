"""Variables inside URLs: a password has any characters, and none of them moves the host."""

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncsvc.camera_http import address_of
from syncsvc.config.loader import loads
from syncsvc.errors import ConfigError


def url_of(written: str, **environ: str) -> str:
    return loads(f"streams: {{a: {{url: '{written}'}}}}", "site.yaml", "/", environ).streams["a"].url


@given(st.sampled_from(["rtsp", "http"]), st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_a_password_arrives_as_it_was_and_the_host_stays(scheme: str, password: str) -> None:
    url = url_of(f"{scheme}://ann:${{PW}}@10.0.0.1:81/s?x=1", PW=password)
    parts = urlsplit(url)
    assert (parts.hostname, parts.port, parts.path, parts.query) == ("10.0.0.1", 81, "/s", "x=1")
    assert (parts.username, unquote(parts.password or "")) == ("ann", password)


@pytest.mark.parametrize(
    ("written", "expanded"),
    [
        ("http://${U}:${PW}@h/", "http://a%3Ab:p%40%2F%23%3F%3A%25@h/"),
        ("http://ann:pre${PW}post@h/", "http://ann:prep%40%2F%23%3F%3A%25post@h/"),
        ("http://ann:${NONE:-p@/ss}@h/", "http://ann:p%40%2Fss@h/"),
        ("http://ann:x@${PW}@h/", "http://ann:x@p%40%2F%23%3F%3A%25@h/"),
        ("http://${BOTH}@h/", "http://ann:p%40%3A@h/"),
        ("http://ann:${PLAIN}@${HOST}:${PORT}/${PATH_}?x=${PATH_}", "http://ann:it's-so!@cam:81/a/b%20c?x=a/b%20c"),
        ("${WHOLE}", "http://ann:p%40@h/"),
    ],
)
def test_values_are_encoded_where_a_user_or_a_password_stands_and_nowhere_else(written: str, expanded: str) -> None:
    environ = {
        "U": "a:b", "PW": "p@/#?:%", "BOTH": "ann:p@:", "PLAIN": "it's-so!", "HOST": "cam", "PORT": "81",
        "PATH_": "a/b%20c", "WHOLE": "http://ann:p%40@h/",
    }  # fmt: skip
    assert url_of(written, **environ) == expanded


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
@pytest.mark.parametrize("host", ["%31%30.0.0.1", "a\\b", "a;b", "a*b", "[::1%25x/y]"])
def test_a_host_that_others_might_read_otherwise_is_refused(scheme: str, host: str) -> None:
    with pytest.raises(ConfigError, match="with a host"):
        url_of(f"{scheme}://ann:secret@{host}/s")


@pytest.mark.parametrize("host", ["cam", "10.0.0.1", "[fe80::1%eth0]", "[::1]", "my_cam.local", "камера.рф"])
def test_hosts_of_all_kinds_are_taken(host: str) -> None:
    assert address_of(url_of(f"http://{host}:81/s")).origin[2] == 81


@pytest.mark.parametrize(
    ("query", "every_s"),
    [
        ("", 1.0), ("?every=1s", 1.0), ("?every=500ms", 0.5), ("?every=0.2", 0.2), ("?x=1&every=.5s&y=2", 0.5),
        ("?everyone=1", 1.0), ("?a=every=1", 1.0),
    ],
)  # fmt: skip
def test_every_says_how_often_a_single_picture_is_asked_for(query: str, every_s: float) -> None:
    stream = loads(f"streams: {{a: {{url: 'http://h/a.jpg{query}'}}}}", "site.yaml").streams["a"]
    assert stream.kind == "http"
    assert stream.every_s == every_s


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("url: 'http://h/?every=often'", "streams.a.url: found every=often; allowed: a number with ms, s or min"),
        ("url: 'http://h/?every='", "streams.a.url: found every="),
        ("url: 'http://h/?every=1ms'", "streams.a.url: found every 0.001; allowed: every: a number from 0.01 to 3600"),
        ("url: 'http://h/?every=1min'", "streams.a.stall_after_ms: found 3000; allowed: more than the 60 s of `every`"),
        ("url: 'http://h/', every_s: 1", "every_s"),
    ],
)
def test_a_pace_that_is_none_is_refused_in_words(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loads(f"streams: {{a: {{{text}}}}}", "site.yaml")
    assert problem in str(caught.value)
