"""The service with captures that give up rights: cameras of every kind come, go and come back, and none gets out."""

import os
import shutil
import socket
from collections import defaultdict
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from syncsvc.capture.sandbox import landlock
from tests.e2e.harness import LIMIT_S, Service, wait_for
from tests.e2e.httpcamera import FPS, PERIOD_US, Respond, answer, http_camera, video
from tests.e2e.rtspcamera import rtsp_camera

HOSTILE = Path(__file__).with_name("hostile_decoder.py")
CLIP = video({number: number * PERIOD_US for number in range(2 * FPS)})
PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{}\n#EXT-X-ENDLIST\n"
ATTEMPTS = {"write", "read", "connect", "exec", "fork", "kill", "unlink"}


def with_hostile_decoder(folder: Path, port: int, secret: Path) -> dict[str, str]:
    """The environment of a service whose captures run it."""
    site = folder / "hostile"
    site.mkdir()
    constants = f'PORT, SECRET, OUT = {port}, "{secret}", "{folder / "taken"}"'
    text = HOSTILE.read_text().replace('PORT, SECRET, OUT = 0, "", ""', constants)
    (site / "sitecustomize.py").write_text(text)
    shutil.copymode(HOSTILE, site / "sitecustomize.py")
    path = os.pathsep.join([str(site), os.getcwd(), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path}


def lists(place: str) -> Respond:
    return lambda handler: answer(handler, "application/vnd.apple.mpegurl", PLAYLIST.format(place).encode())


def outcomes(log: str) -> dict[str, dict[str, str]]:
    """By stream, what came of each attempt."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for line in log.splitlines():
        if line.startswith("hostile "):
            _, stream, what, came = line.split()
            found[stream][what] = came
    return found


def test_cameras_that_took_their_decoder_over_get_nowhere_and_all_kinds_go_on_and_come_back(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("canary")
    recording = tmp_path / "recordings" / "clip.ts"
    recording.parent.mkdir()
    recording.write_bytes(CLIP)

    def clip(handler: BaseHTTPRequestHandler) -> None:
        answer(handler, "video/mp2t", CLIP)

    with (
        socket.create_server(("127.0.0.1", 0)) as elsewhere,
        http_camera({"/clip.ts": clip, "/segment.ts": clip}) as home,
        http_camera({"/live.m3u8": lists(f"{home}/segment.ts")}) as other_host,
        rtsp_camera() as camera,
    ):
        streams = {
            "made": {"url": "synthetic:?fps=10"},
            "rec": {"url": f"file:{recording}", "loop": True},
            "ts": {"url": f"{home}/clip.ts".replace("127.0.0.1", "localhost")},
            "hls": {"url": f"{other_host}/live.m3u8"},
            "rtsp": {"url": camera.url()},
        }
        service = Service(tmp_path, streams)
        service.started_with = {"env": with_hostile_decoder(tmp_path, elsewhere.getsockname()[1], secret)}
        with service:
            told = wait_for(
                lambda: (
                    (found := outcomes(service.log)).keys() == streams.keys()
                    and all(one.keys() == ATTEMPTS for one in found.values())
                    and found
                ),
                "an attempt of every kind from every stream",
            )
            again = wait_for(
                lambda: (
                    (now := service.status()["streams"])["ts"]["restarts"] > 0
                    and all(one["captured"] > FPS for one in now.values())
                    and now
                ),
                "a camera that hung up to be back, and frames of all",
            )
        if landlock.version():
            went = {(stream, what) for stream, one in told.items() for what in one if one[what] != "PermissionError"}
            assert went == {("hls", "connect")}, "a playlist may name pictures anywhere"
        assert {"no_new_privs", "rlimits", "no_dump", "seccomp", "no_sockets"} <= set(again["rtsp"]["sandbox"])
        assert "no_sockets" not in again["ts"]["sandbox"]
    assert secret.read_text() == "canary"
    assert not (tmp_path / "taken").exists()


def test_the_sandbox_can_be_switched_off_and_its_lack_refuses_the_start(tmp_path: Path) -> None:
    with Service(tmp_path, {"made": {"url": "synthetic:?fps=10"}}, security={"sandbox": "off"}) as service:
        found = wait_for(lambda: (one := service.status()["streams"]["made"])["captured"] and one, "a frame")
        assert found["sandbox"] == []
    without = tmp_path / "without"
    (without / "site").mkdir(parents=True)
    (without / "site" / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'syncsvc.capture.nursery' in sys.orig_argv:\n"
        "    from syncsvc.capture.sandbox import landlock\n"
        "    landlock.version = lambda: 0\n"
    )
    lacking = Service(without, {"made": {"url": "synthetic:?fps=10"}}, security={"sandbox": "required"})
    path = os.pathsep.join([str(without / "site"), os.getcwd(), *filter(None, [os.environ.get("PYTHONPATH")])])
    lacking.started_with = {"env": {**os.environ, "PYTHONPATH": path}}
    with lacking:
        assert lacking.process.wait(LIMIT_S) == 78
    refusal = lacking.log.splitlines()[-1]
    assert all(words in refusal for words in ("streams.made", "landlock", "sandbox: auto"))
