"""What comes as an answer to a probe, and what is made of it; XML from strangers."""

import pytest

from syncsvc.errors import OnvifError
from syncsvc.onvif.asking import stream_url
from syncsvc.onvif.elements import MAX_DEPTH, MAX_ELEMENTS, parse
from syncsvc.onvif.finding import Found, answers_in, at_host, find
from tests.e2e.onvifcamera import envelope, probe_match

ID = "0a1b2c3d-0000-4000-8000-000000000000"


def test_an_answer_to_our_question_is_a_camera_at_the_senders_address() -> None:
    data = probe_match(f"urn:uuid:{ID.upper()}", "http://10.0.0.5:8000/onvif/device_service")
    assert list(answers_in(data, "10.0.0.5", [ID])) == [
        Found("10.0.0.5", "http://10.0.0.5:8000/onvif/device_service", "Yard Cam", "X100")
    ]


def test_an_answer_to_somebody_elses_question_is_none() -> None:
    assert list(answers_in(probe_match("uuid:other", "http://10.0.0.5/"), "10.0.0.5", [ID])) == []


def test_what_is_no_camera_is_left_out() -> None:
    match = "<d:ProbeMatch><d:Types>wprt:PrintDeviceType</d:Types><d:XAddrs>http://10.0.0.5/</d:XAddrs></d:ProbeMatch>"
    data = envelope(f"<d:ProbeMatches>{match}</d:ProbeMatches>", f"<d:RelatesTo>uuid:{ID}</d:RelatesTo>")
    assert list(answers_in(data, "10.0.0.5", [ID])) == []


@pytest.mark.parametrize("url", ["ftp://h/x", "http://[::1", "http://h:99999999/", "no url", "http://h/\x07"])
def test_what_is_no_service_is_left_out(url: str) -> None:
    assert at_host(url, "10.0.0.5") is None


@pytest.mark.parametrize("host", ["a..b", "a" * 64])
def test_who_is_asked_by_a_name_that_no_host_has_is_an_error_like_others(host: str) -> None:
    with pytest.raises(OnvifError, match=f"^{host}: this can be no name of a host$"):
        find(0.1, [(host, 3702)])


def test_users_in_urls_are_left_out() -> None:
    assert stream_url("rtsp://admin:12345@10.0.0.5:554/s1?a=b") == "rtsp://10.0.0.5:554/s1?a=b"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<a>" * (MAX_DEPTH + 2),
        b"<a>" + b"<b/>" * MAX_ELEMENTS + b"</a>",
        b"<!DOCTYPE a><a/>",
        b'<?xml version="1.0" encoding="x-none"?><a/>',
        b"<a>\x00</a>",
        b"a" * ((1 << 20) + 1),
    ],
)
def test_xml_that_is_none_or_too_much_is_refused(data: bytes) -> None:
    with pytest.raises(OnvifError):
        parse(data)


def test_a_tree_is_read_by_local_names() -> None:
    root = parse(b'<x:a xmlns:x="u"><x:b t="1"> one </x:b><c xmlns="v"><b>two</b></c></x:a>')
    assert root.text_at("a", "b") == "one"
    assert [one.text for one in root.every("b")] == ["one", "two"]
    assert root.at("a", "no", "b") is None
