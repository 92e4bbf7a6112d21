"""The image's entry command, run without Docker: it becomes ready, answers its healthcheck, and drains on SIGTERM."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.e2e.harness import LIMIT_S, wait_for

DOCKERFILE = Path(__file__).parents[2] / "docker" / "Dockerfile"


def words_of(instruction: str) -> list[str]:
    """The words of the last such instruction of the image, which is in the exec form."""
    lines = DOCKERFILE.read_text().replace("\\\n", " ").splitlines()
    last = next(line for line in reversed(lines) if line.startswith(f"{instruction} "))
    words: list[str] = json.loads(last[last.index("[") :])
    return words


@contextmanager
def running(command: list[str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("wb") as stderr:
        process = subprocess.Popen(command, stderr=stderr, start_new_session=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_the_images_entry_command_gets_ready_answers_its_healthcheck_and_drains(tmp_path: Path) -> None:
    config, log = tmp_path / "syncsvc.yaml", tmp_path / "log"
    config.write_text(
        "streams:\n"
        '  a: {url: "synthetic:?fps=10&size=160x90"}\n'
        '  b: {url: "synthetic:?fps=10&size=160x90&seed=2"}\n'
        "publish: {live: tcp://127.0.0.1:0, control: tcp://127.0.0.1:0}\n"
        'http: {bind: "127.0.0.1:0"}\n'
    )
    command, *arguments = [*words_of("ENTRYPOINT"), *words_of("CMD")]
    assert arguments[-1] == "/config/syncsvc.yaml"
    here = str(Path(sys.executable).with_name(command))
    with running([here, *arguments[:-1], str(config)], log) as process:
        line = wait_for(lambda: next(filter(is_ready, log.read_text().splitlines()), None), "the ready line")
        http = next(word.removeprefix("http=") for word in line.split() if word.startswith("http="))
        wait_for(lambda: healthcheck(http).returncode == 0, "a healthy container")
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 0, log.read_text()
    assert healthcheck(http).returncode != 0, "a stopped container cannot be healthy"


def is_ready(line: str) -> bool:
    return " ready " in line


def healthcheck(http: str) -> "subprocess.CompletedProcess[bytes]":
    """The image's own healthcheck, at the port that the daemon took."""
    python, *arguments = words_of("HEALTHCHECK")
    assert python == "python"
    assert "8080" in arguments[-1]
    port = str(urlsplit(http).port)
    command = [sys.executable, *arguments[:-1], arguments[-1].replace("8080", port)]
    return subprocess.run(command, capture_output=True, timeout=LIMIT_S, check=False)
