"""What a service logs: lines that say when, in UTC with a zone, as text or as JSON, from every one of its processes."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.e2e.harness import Service, wait_for

STREAMS = {"a": {"url": "synthetic:?fps=25&size=320x180"}}


def test_lines_of_text_have_a_time_of_day_with_a_zone(tmp_path: Path) -> None:
    with Service(tmp_path, STREAMS) as service:
        wait_for(lambda: "capture a:" in service.log, "a line of the capture")
        assert service.stop(signal.SIGTERM) == 0
        lines = service.log.splitlines()
    assert lines
    for line in lines:
        assert re.match(r"syncsvc: |\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (info|warning|error) \w", line), line


def test_with_json_every_line_of_every_process_is_an_object(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    free = "tcp://127.0.0.1:0"
    path.write_text(json.dumps({"streams": STREAMS, "publish": {"live": free, "control": free}, "http": None}))
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "syncsvc", "run", str(path), "--log-format", "json", "--log-level", "debug"],
            stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip
    try:
        wait_for(lambda: "ready live=" in log.read_text() and '"capture a"' in log.read_text(), "every process's line")
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {"syncsvc", "daemon", "receiver", "capture a"} <= {line["process"] for line in lines}
    assert all(line["time"].endswith("Z") and set(line) == {"time", "level", "process", "message"} for line in lines)


def test_the_environment_says_it_too_and_a_level_that_is_none_is_refused(tmp_path: Path) -> None:
    def run(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "syncsvc", "run", *words],
            capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **environ},
        )  # fmt: skip

    refused = run(str(tmp_path / "none.yaml"), SYNCSVC_LOG_FORMAT="json")
    assert refused.returncode == 78
    assert json.loads(refused.stderr)["level"] == "error"
    wrong = run("--log-level", "loud", str(tmp_path / "none.yaml"))
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "--log-level" in wrong.stderr


def test_every_command_takes_it_before_its_name_and_a_commands_own_word_is_right(tmp_path: Path) -> None:
    def run(*words: str, code: int = 78) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "syncsvc", *words], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == code
        return done.stderr

    missing = str(tmp_path / "none.yaml")
    assert json.loads(run("--log-format", "json", "check", missing))["level"] == "error"
    assert json.loads(run("--log-format", "json", "--log-level", "debug", "run", missing))["process"] == "syncsvc"
    assert run("--log-format", "json", "run", "--log-format", "text", missing).startswith("syncsvc: ")
    silent = run("--log-format", "json", "tail", f"ipc://{tmp_path}/nobody", "--timeout", "0.5", code=1)
    assert json.loads(silent)["level"] == "error"
    unknown = run("--log-format", "json", "discover", "--address", "a..b", code=1)
    assert json.loads(unknown)["message"] == "a..b: this can be no name of a host"
