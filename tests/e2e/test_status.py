"""``syncsvc status`` shows a running service, by whichever endpoint somebody knows, and says who is there instead."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec import structs

from syncsvc.cli.service_status import parts
from syncsvc.observe.status import IngestStatus, LocalStatus, ReceiverStatus
from tests.e2e.harness import Service, wait_for
from tests.e2e.strangers import Stranger, another_program, nobody, silent, web_server


def status(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "syncsvc", "status", *words], capture_output=True, text=True, timeout=60, check=False
    )


STREAMS = {
    "a": {"url": "synthetic:?fps=25&size=320x180", "pixels": "gray8"},
    "b": {"url": "synthetic:?fps=25&size=320x180", "pixels": "gray8"},
}


def test_a_service_is_shown_by_its_control_its_live_or_its_configuration(tmp_path: Path) -> None:
    with Service(tmp_path, STREAMS) as service:
        wait_for(lambda: service.status()["groups"].get("all", {}).get("batches", 0) > 1, "batches")
        by_control, by_live = (status(endpoint, "--json") for endpoint in (service.control, service.live))
        ports = service.config | {"publish": {"live": service.live, "control": service.control}}
        (tmp_path / "known.yaml").write_text(json.dumps(ports))
        by_file = status(str(tmp_path / "known.yaml"), "--json")
        unknown = status(str(service.path))
        table = status(service.control).stdout
        for done in (by_control, by_live, by_file):
            assert (done.returncode, done.stderr) == (0, "")
            told = json.loads(done.stdout)
            assert told["streams"]["a"]["state"] == "live"
            assert told["groups"]["all"]["streams"] == ["a", "b"]
            assert told["run_id"] == service.status()["run_id"]
    assert unknown.returncode == 2
    assert "its `ready` line says which" in unknown.stderr
    for word in ("stream", "live", "pts", "320x180 gray8", "spread ms", "full: sets of all streams", "serving since "):
        assert word in table


def test_a_question_at_control_counts_for_nobody_who_waits_for_subscribers(tmp_path: Path) -> None:
    with Service(tmp_path, STREAMS, publish={"wait_for": 1}) as service:
        assert status(service.control).returncode == 0
        assert service.status()["subscriptions"] == 0


@pytest.mark.parametrize(
    ("who", "word"),
    [
        (nobody, "no service is there (Connection refused); `syncsvc run CONFIG` starts one"),
        (web_server, "an HTTP server is there"),
        (silent, "who is there says nothing"),
        (another_program, "it is no syncsvc service"),
    ],
)
def test_who_is_there_instead_is_said_in_one_line(who: Stranger, word: str) -> None:
    with who() as endpoint:
        done = status(endpoint)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(f"syncsvc: {endpoint}: ")
    assert word in done.stderr


def test_what_is_no_endpoint_is_code_2() -> None:
    done = status("nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert "allowed are tcp://HOST:PORT" in done.stderr


def test_beside_the_doubt_of_a_cameras_clock_stands_what_it_is() -> None:
    stream = IngestStatus(clock="rtcp", uncertainty_ms=101.0)
    service = ReceiverStatus("r", 1_767_225_590_000, 10, 0, LocalStatus(), {"a": stream}, {})
    shown = [part for part in parts(service) if isinstance(part, str)]
    assert any("what nobody can tell one way" in line for line in shown)
    assert shown[0].startswith("serving since 2025-12-31 23:59:50Z")
    vouched = structs.replace(service, streams={"a": structs.replace(stream, uncertainty_ms=1.0)})
    assert not any("what nobody can tell" in line for line in parts(vouched) if isinstance(line, str))


def test_a_guessed_clock_has_a_mark_and_the_mark_has_words() -> None:
    stream = IngestStatus(clock="arrival", uncertainty_ms=160.0, doubtful=True)
    service = ReceiverStatus("r", 1_767_225_590_000, 10, 0, LocalStatus(), {"a": stream}, {})
    shown = list(parts(service))
    assert any("arrival ?" in str(part) for part in shown)
    assert any(isinstance(part, str) and part.startswith("  ?: a guess") for part in shown)
    sure = structs.replace(service, streams={"a": structs.replace(stream, doubtful=False)})
    assert not any(isinstance(part, str) and part.startswith("  ?:") for part in parts(sure))
