"""A service with keys, as its users meet it: commands make them, who has none is told so, who is revoked is out."""

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from syncsvc import Subscriber
from syncsvc.clock import SYSTEM_CLOCK
from syncsvc.errors import NoAnswer
from tests.e2e.harness import Service, wait_for

TOKEN = "canary-3f9c1b7a"
STREAMS = {"a": {"url": "synthetic:?size=320x180"}, "b": {"url": "synthetic:?size=320x180&seed=2"}}


def syncsvc(*words: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "syncsvc", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)


def answer_to(request: urllib.request.Request) -> int:
    """The code, of an answer without the token."""
    try:
        answer = urllib.request.urlopen(request, timeout=5)
    except HTTPError as error:
        answer = error
    with answer:
        assert TOKEN not in answer.read().decode()
        return int(answer.status)


def test_a_service_off_loopback_serves_who_has_keys_and_cuts_off_who_is_revoked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = tmp_path / "keys"
    assert syncsvc("keys", "new", keys).returncode == 0
    for name in ("alice", "bob"):
        assert syncsvc("keys", "client", keys, name).returncode == 0
        shutil.copytree(keys / name, tmp_path / name)
    service = Service(
        tmp_path, STREAMS, publish={"live": "tcp://0.0.0.0:0", "control": "tcp://0.0.0.0:0", "history": 1000},
        http={"bind": "0.0.0.0:0"},
        security={"keys": "keys", "clients": "keys/clients", "http_token": "${CANARY_TOKEN}"},
    )  # fmt: skip
    service.started_with = {"env": {**os.environ, "CANARY_TOKEN": TOKEN}}
    with service:
        live, http = (place.replace("0.0.0.0", "127.0.0.1") for place in (service.live, service.http))
        with Subscriber(live) as stranger, pytest.raises(NoAnswer, match="lets in who has keys"):
            stranger.wait_ready()
        with (
            Subscriber(live, keys=keys / "alice", mode="lossless") as alice,
            Subscriber(live, keys=tmp_path / "bob") as bob,
        ):
            alice.wait_ready(30)
            assert bob.receive(30).frames
            first = alice.receive(30)
            monkeypatch.setenv("SYNCSVC_KEYS", str(keys / "alice"))
            tail = syncsvc("tail", live, "--count", "1", "--json")
            assert json.loads(tail.stdout)["group"] == "all", tail.stderr
            assert json.loads(syncsvc("status", live, "--json").stdout)["pid"]
            monkeypatch.delenv("SYNCSVC_KEYS")

            assert syncsvc("keys", "revoke", keys, "bob").returncode == 0
            service.write(service.config | {"streams": {}})  # refused, and yet bob is out
            service.process.send_signal(signal.SIGHUP)
            wait_for(lambda: "live: 1 connections were cut off that are on the list" in service.log, "the end of bob's")
            assert "kept as it was" in service.log
            assert "clients that are no longer let in: bob" in service.log
            cut_ns, seq = SYSTEM_CLOCK.utc_ns(), first.seq
            while (batch := alice.receive(30)).window_start_ns < cut_ns:
                seq += 1
                assert batch.seq == seq, "who is on the list misses nothing"
            with Subscriber(live, keys=tmp_path / "bob") as again, pytest.raises(NoAnswer, match="was revoked"):
                again.wait_ready()
            while (item := bob.poll()) is not None:
                assert item.emitted_ns < cut_ns
        assert not syncsvc("tail", live, "--keys", keys / "alice", "--count", "1").returncode
        for path, token, code in (("/healthz", "", 200), ("/metrics", "", 401), ("/metrics", TOKEN, 200)):
            request = urllib.request.Request(http + path, headers={"Authorization": f"Bearer {token}"})
            assert answer_to(request) == code
        command_lines = [Path(f"/proc/{pid}/cmdline").read_text() for pid in service.survivors()]
        assert service.stop() == 0
    secret = (keys / "server.key_secret").read_text().rpartition('secret-key = "')[2][:40]
    for text in (service.log, *command_lines):
        assert TOKEN not in text
        assert secret not in text
