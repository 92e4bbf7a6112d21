"""Which host a camera's URL means, and what is sent to it."""

import pytest

from syncsvc.camera_http import HttpTrouble, address_of


@pytest.mark.parametrize(
    ("url", "asked", "origin"),
    [
        ("http://cam", "http://cam/", ("http", "cam", 80)),
        ("HTTP://CAM:80/A?b=c#d", "http://cam:80/A?b=c", ("http", "cam", 80)),
        ("https://ann:pw@cam/a b", "https://cam/a%20b", ("https", "cam", 443)),
        ("http://[::1]:8080/", "http://[::1]:8080/", ("http", "::1", 8080)),
        ("http://камера.рф/ö", "http://xn--80aaoslz.xn--p1ai/%C3%B6", ("http", "xn--80aaoslz.xn--p1ai", 80)),
        (f"http://{63 * 'a'}:8080/", f"http://{63 * 'a'}:8080/", ("http", 63 * "a", 8080)),
        ("http://cam/a/../b?x=%2F", "http://cam/a/../b?x=%2F", ("http", "cam", 80)),
        ("http://ann:p@w@cam/", "http://cam/", ("http", "cam", 80)),
        ("http://cam\\@other/", "http://other/", ("http", "other", 80)),
    ],
)
def test_what_is_asked_for_names_the_host_that_was_checked_and_nobody(
    url: str, asked: str, origin: tuple[str, str, int]
) -> None:
    assert address_of(url)[:2] == (asked, origin)


@pytest.mark.parametrize(
    ("url", "user", "password"),
    [
        ("http://cam/", None, ""),
        ("http://ann@cam/", "ann", ""),
        ("http://ann:p%C3%A4%2F%40%3Aw@cam/", "ann", "pä/@:w"),
        ("http://a%3Ab:%25@cam/", "a:b", "%"),
    ],
)
def test_user_and_password_are_what_they_were_before_they_were_encoded(
    url: str, user: str | None, password: str
) -> None:
    assert address_of(url)[2:] == (user, password)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://ann%0d%0aX-Added:%201:secret@cam/", "control characters"),
        ("http://ann:secret%00@cam/", "control characters"),
        ("http://cam:secret/", "an address that is none"),
        ("http://[::1/secret", "an address that is none"),
        ("http:///secret", "no address of HTTP"),
        ("ftp://cam/secret", "no address of HTTP"),
        (f"http://{64 * 'a'}/secret", "an address that is none"),
    ],
)
def test_what_is_no_address_is_refused_in_words_that_show_nothing_of_it(url: str, problem: str) -> None:
    with pytest.raises(HttpTrouble, match=problem) as caught:
        address_of(url)
    assert "secret" not in str(caught.value)
