"""What the README says to type after ``make demo`` works as printed, in a folder of its own."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.harness import processes_of, wait_for
from tests.project import texts

LIMIT_S = 120


def printed(heading: str, number: int) -> list[list[str]]:
    """The commands of a section's block."""
    section = texts()["README.md"].partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    block = re.findall(r"^```sh\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)[number]
    return [words for line in block.splitlines() if (words := shlex.split(line, comments=True))]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An activated environment: ``syncsvc`` is found by its name."""
    program = tmp_path / "bin" / "syncsvc"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m syncsvc "$@"\n')
    program.chmod(0o755)
    return {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}


def test_every_command_of_the_first_hour_works_as_printed(tmp_path: Path, environ: dict[str, str]) -> None:
    def run(words: list[str]) -> str:
        done = subprocess.run(
            words, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout

    activate, init, check, serve = printed("The first hour", 0)
    status, tail = printed("The first hour", 1)
    assert activate == [".", ".venv/bin/activate"]
    run(init)
    # Its ports are those of every service, and another one may be there.
    path = tmp_path / "first.yaml"
    path.write_text(
        re.sub(r"127\.0\.0\.1:(\d+)", lambda found: f"127.0.0.1:{int(found[1]) + 31_000}", path.read_text())
    )
    assert "in sum " in run(check)
    log = tmp_path / "log"
    with log.open("wb") as out:
        service = subprocess.Popen(serve, cwd=tmp_path, env=environ, stderr=out, stdout=out, start_new_session=True)
    try:
        wait_for(lambda: " ready " in log.read_text(), "the ready line")
        assert len(run(tail).splitlines()) == 5
        shown = run(status)
        assert "north" in shown
        assert "live" in shown
    finally:
        service.terminate()
        assert service.wait(LIMIT_S) == 0
    wait_for(lambda: not processes_of(service.pid), "the end of every process")


def test_the_readme_says_how_late_frames_are_and_what_a_stream_takes() -> None:
    section = texts()["README.md"].partition("\n## The first hour\n")[2].partition("\n## ")[0]
    for word in ("0.3 to 1.3 s", "`window_ms: null`", "70 ms", "148 MiB", "`check --probe`"):
        assert word in section
