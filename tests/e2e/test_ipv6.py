"""Everything over IPv6: cameras, what is published, subscribers of every mode, and the commands that ask."""

import json
import socket
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from syncsvc import Subscriber
from syncsvc.client.addresses import is_ipv6
from tests.e2e.harness import LIMIT_S, Service, command, patient


def has_ipv6() -> bool:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


pytestmark = pytest.mark.skipif(not has_ipv6(), reason="the host has no IPv6")


def test_cameras_batches_and_questions_travel_over_ipv6(tmp_path: Path) -> None:
    with command("cameras", "north:fps=10", "south:fps=10", "--host", "::1", "--port", "0", "--json") as cameras:
        assert cameras.stdout is not None
        urls = json.loads(cameras.stdout.readline())["urls"]
        assert urls["north"].startswith("rtsp://[::1]:")
        streams = {"north": {"url": urls["north"]}, "south": {"url": urls["south"], "transport": "udp"}}
        publish = {"live": "tcp://[::1]:0", "control": "tcp://[::1]:0"}
        with Service(tmp_path, streams, groups=patient(*streams), publish=publish, http={"bind": "[::1]:0"}) as service:
            for mode in ("live", "local", "auto"):
                with Subscriber(service.live, group="all", mode=mode) as batches:
                    while not (batch := batches.receive(LIMIT_S)).sets:
                        pass
                    assert set(batch.frames) == set(streams)
            with command("tail", service.live, "--count", "2", "--json") as tail:
                assert tail.stdout is not None
                assert json.loads(tail.stdout.readline())["group"] == "all"
            for place in (service.control, service.live):
                with command("status", place, "--json") as status:
                    assert status.stdout is not None
                    assert json.loads(status.stdout.read())["groups"]["all"]["batches"] > 0
            with urllib.request.urlopen(f"{service.http}/healthz", timeout=LIMIT_S) as answer:
                assert answer.read() == b"ok\n"
            assert service.stop() == 0


def test_a_name_of_both_families_is_the_one_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        port = listener.getsockname()[1]
        both = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
        ]

        def look_up(host: str, *_: Any, **__: Any) -> list[Any]:
            return [one for one in both if host in (one[4][0], "both")]

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        assert is_ipv6(f"tcp://both:{port}")
        assert is_ipv6(f"tcp://[::1]:{port}")
        assert not is_ipv6(f"tcp://127.0.0.1:{port}")
        assert not is_ipv6("ipc:///run/live")
    assert not is_ipv6(f"tcp://both:{port}"), "where nobody answers it is what services bind by default"
