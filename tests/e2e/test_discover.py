"""``syncsvc discover`` finds ONVIF cameras, asks them for their streams, and believes none of what strangers say."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from tests.e2e.onvifcamera import OnvifCamera, envelope, onvif_camera


def discover(*words: str, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "syncsvc", "discover", *words],
        capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **(environ or {})},
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def ask(camera: OnvifCamera, *words: str, password: str = "pass<word") -> dict[str, Any]:
    with onvif_camera(camera) as port:
        done = discover(
            "--address", f"127.0.0.1:{port}", "--seconds", "1", "--json", "--user", "admin", *words,
            environ={"SYNCSVC_ONVIF_PASSWORD": password},
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert password not in done.stdout + done.stderr
    (line,) = done.stdout.splitlines()
    return dict(json.loads(line))


def test_a_camera_is_found_by_multicast_with_name_and_address() -> None:
    camera = OnvifCamera()
    with onvif_camera(camera, in_group=True):
        done = discover("--seconds", "1.5", "--json")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    (one,) = (one for one in found if one["device_url"].startswith(camera.url))
    assert (one["address"], one["name"], one["hardware"]) == ("127.0.0.1", "Yard Cam", "X100")
    assert one["streams"] == []
    assert camera.asked == ["GetSystemDateAndTime"], "without a user nothing else is asked"


@pytest.mark.parametrize("login", ["token", "digest", "none"])
def test_with_a_password_the_streams_are_told_however_the_camera_wants_it(login: str) -> None:
    found = ask(OnvifCamera(login=login))
    assert found["problem"] == ""
    assert [(one["name"], one["url"]) for one in found["streams"]] == [
        ("main", "rtsp://192.0.2.7:554/stream1?profile=p1"),
        ("sub", "rtsp://192.0.2.7:554/stream2?profile=p2"),
    ]
    assert [found["streams"][0][key] for key in ("encoding", "width", "height", "fps")] == ["H264", 1920, 1080, 25.0]


@pytest.mark.parametrize("login", ["token", "digest"])
def test_a_camera_that_has_the_second_media_service_alone_tells_its_streams_too(login: str) -> None:
    camera = OnvifCamera(login=login, media=(2,))
    found = ask(camera)
    assert found["problem"] == ""
    assert [(one["name"], one["url"]) for one in found["streams"]] == [
        ("main", "rtsp://192.0.2.7:554/stream1?profile=p1"),
        ("sub", "rtsp://192.0.2.7:554/stream2?profile=p2"),
    ]
    assert [found["streams"][0][key] for key in ("encoding", "width", "height", "fps")] == ["H265", 1920, 1080, 25.0]


def test_where_the_first_media_service_is_there_and_broken_the_second_is_asked() -> None:
    found = ask(OnvifCamera(media=(1, 2), answers={"GetCapabilities": b"no XML"}))
    assert (found["problem"], len(found["streams"])) == ("", 2)
    camera = OnvifCamera(media=(1, 2))
    assert [one["encoding"] for one in ask(camera)["streams"]] == ["H264", "H264"]
    assert "GetServices" not in camera.asked, "one that works is enough"


def test_a_camera_with_a_wrong_clock_is_logged_in_to_by_its_own_time_and_told() -> None:
    camera = OnvifCamera(clock_off=timedelta(hours=-3))
    found = ask(camera)
    assert len(found["streams"]) == 2
    assert found["clock_off_s"] == pytest.approx(-3 * 3600, abs=5)
    with onvif_camera(OnvifCamera(clock_off=timedelta(hours=-3))) as port:
        done = discover("--address", f"127.0.0.1:{port}", "--seconds", "1")
    assert "behind: set its NTP server" in done.stdout


@pytest.mark.parametrize("login", ["token", "digest"])
def test_a_wrong_password_is_the_cameras_problem_and_nobody_elses(login: str) -> None:
    found = ask(OnvifCamera(login=login), password="wrong-one")
    assert found["streams"] == []
    assert "user or password" in found["problem"]


def test_services_are_asked_at_the_address_that_answered_wherever_the_answer_points() -> None:
    found = ask(OnvifCamera(media_host="198.51.100.9"))
    assert found["device_url"].startswith("http://127.0.0.1:")
    assert len(found["streams"]) == 2


@pytest.mark.parametrize(
    ("question", "answer", "problem"),
    [
        ("GetProfiles", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "document type"),
        ("GetProfiles", b"<a>" * 100, "nested deeper"),
        ("GetProfiles", b"\xff\xfe\x00", "no XML"),
        ("GetProfiles", b"x" * (2 << 20), "at most"),
        ("GetCapabilities", envelope("<t:GetCapabilitiesResponse/>"), "no media service"),
    ],
)
def test_what_strangers_send_is_bounded_and_said_in_one_line(question: str, answer: bytes, problem: str) -> None:
    found = ask(OnvifCamera(answers={question: answer}))
    assert problem in found["problem"]
    assert found["streams"] == []


def test_urls_that_are_none_are_left_out() -> None:
    assert ask(OnvifCamera(uri="javascript:alert(1)"))["streams"] == []
    assert ask(OnvifCamera(uri="rtsp://192.0.2.7/a\nb"))["streams"] == []


def test_nobody_is_one_line_and_code_1() -> None:
    with onvif_camera(OnvifCamera()) as port:
        pass
    done = discover("--address", f"127.0.0.1:{port}", "--seconds", "0.3")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"syncsvc: no ONVIF camera answered from 127.0.0.1:{port} within 0.3 s\n"


def test_a_user_without_a_password_is_refused_where_nobody_can_be_asked() -> None:
    done = discover("--user", "admin")
    assert (done.returncode, done.stdout) == (2, "")
    assert "SYNCSVC_ONVIF_PASSWORD" in done.stderr
