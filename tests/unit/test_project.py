"""What the project's own files promise: version, licence, image, unit, tasks, and no trace of one machine."""

import configparser
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import syncsvc
from syncsvc import cli
from syncsvc.config.loader import loads
from tests.project import ROOT, parse, texts

COMPOSE = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]["syncsvc"]


def test_the_changelog_names_the_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert version == syncsvc.__version__
    assert re.search(
        rf"^## \[{re.escape(version)}\] - (unreleased|\d{{4}}-\d\d-\d\d)$", texts()["CHANGELOG.md"], re.MULTILINE
    )


def test_the_licence_is_apache_2() -> None:
    text = texts()["LICENSE"]
    assert text.lstrip().startswith("Apache License\n")
    assert "Version 2.0, January 2004" in text
    assert text.rstrip().endswith("limitations under the License.")
    assert (ROOT / "syncsvc" / "py.typed").exists()


FORBIDDEN = {
    "a path of one machine": re.compile("/" + r"(work|root|farm)/"),
    "a package registry's host": re.compile(
        r"://[^/\s]*(pypi|registry|artifactory|nexus|mirror)|(extra-)?index" + r"-url"
    ),
    "something left to do": re.compile(r"\b(TO" + "DO|FIX" + "ME|XX" + r"X)\b"),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_holds(what: str) -> None:
    pattern = FORBIDDEN[what]
    found = [f"{name}: {match[0]}" for name, text in texts().items() for match in pattern.finditer(text)]
    assert not found, f"{what}: {found}"


def test_compose_runs_a_valid_command_line_on_a_file_that_exists() -> None:
    parse(COMPOSE["command"])
    source, target, mode = re.fullmatch(r"\$\{SYNCSVC_CONFIG:-(.+?)\}:(.+?):(ro)", COMPOSE["volumes"][0]).groups()  # type: ignore[union-attr]
    assert mode == "ro"
    assert target == COMPOSE["command"][-1]
    text = (ROOT / "docker" / source).read_text()
    named = set(re.findall(r"\$\{(\w+)", text))
    assert named <= set(COMPOSE["environment"])
    assert loads(text, source, environ={}).http is not None


def test_compose_keeps_the_container_small_and_lets_it_drain() -> None:
    assert COMPOSE["read_only"] is True
    assert COMPOSE["cap_drop"] == ["ALL"]
    assert COMPOSE["restart"] == "unless-stopped"
    assert COMPOSE["stop_grace_period"] == "30s"
    assert "shm_size" not in COMPOSE
    assert (ROOT / "docker" / COMPOSE["build"]["context"]).resolve() == ROOT
    assert (ROOT / COMPOSE["build"]["dockerfile"]).is_file()


def test_the_image_runs_what_compose_runs_as_somebody_without_rights() -> None:
    text = texts()["docker/Dockerfile"].replace("\\\n", " ")
    instructions = dict(line.split(" ", 1) for line in text.splitlines() if re.match(r"[A-Z]+ ", line))
    assert json.loads(instructions["ENTRYPOINT"]) == ["syncsvc"]
    assert json.loads(instructions["CMD"]) == COMPOSE["command"]
    healthcheck = json.loads(instructions["HEALTHCHECK"].partition("CMD ")[2])
    assert ["CMD", *healthcheck] == COMPOSE["healthcheck"]["test"]
    compile(healthcheck[-1], "healthcheck", "exec")
    assert instructions["USER"] not in ("root", "0")
    assert f"useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin {instructions['USER']}" in text


def test_the_image_is_built_from_files_that_the_package_needs() -> None:
    lines = texts()[".dockerignore"].splitlines()
    kept = {line[1:] for line in lines if line.startswith("!")}
    project = tomllib.loads(texts()["pyproject.toml"])["project"]
    assert {project["readme"], *project["license-files"], "pyproject.toml", "syncsvc"} == kept
    assert all((ROOT / name).exists() for name in kept)


def test_the_systemd_unit() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]  # keys keep their case
    unit.read_string(texts()["docs/systemd/syncsvc.service"])
    service = unit["Service"]
    assert service["Type"] == "notify"
    assert service["NotifyAccess"] == "main"
    assert service["RestartPreventExitStatus"] == str(cli.EXIT_CONFIG)
    assert service["KillMode"] == "mixed"
    assert int(service["WatchdogSec"]) == 30
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert {"network-online.target", "time-sync.target"} <= set(unit["Unit"]["After"].split())
    program, *arguments = shlex.split(service["ExecStart"])
    assert Path(program).is_absolute()
    assert Path(program).name in tomllib.loads(texts()["pyproject.toml"])["project"]["scripts"]
    parse(arguments)
    assert service.get("ProcSubset", "all") == "all", "rings are sized by /proc/meminfo"


def test_the_makefile_has_a_recipe_for_every_task_that_the_readme_names() -> None:
    named = set(re.findall(r"`?make ([a-z]+)", texts()["README.md"]))
    assert {"demo", "test", "lint", "check"} <= named
    for task in sorted(named | {"bench", "clean"}):
        done = subprocess.run(
            ["make", "-n", "-C", str(ROOT), task], capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 0, done.stderr


def refusal_of_make(folder: Path, task: str, interpreter: str) -> str:
    """What is printed in a new clone where that shell script is the interpreter."""
    python = folder / "python"
    python.write_text(f"#!/bin/sh\n{interpreter}")
    python.chmod(0o755)
    (folder / "pyproject.toml").touch()
    done = subprocess.run(
        ["make", "-f", str(ROOT / "Makefile"), task, f"PYTHON={python}"],
        cwd=folder, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    return done.stderr


def test_an_interpreter_that_is_too_old_is_refused_by_name(tmp_path: Path) -> None:
    pretend = "import sys; sys.version_info = (3, 10, 9); exec(sys.argv[1])"
    asked = "[ \"$1\" = --version ] && echo 'Python 3.10.9' && exit 0"
    told = refusal_of_make(tmp_path, "demo", f"{asked}\nexec {sys.executable} -c '{pretend}' \"$2\"\n")
    assert "Python 3.10.9 is too old: syncsvc needs 3.11 or newer" in told
    assert not (tmp_path / ".venv").exists()


def test_an_interpreter_without_venv_names_the_package(tmp_path: Path) -> None:
    told = refusal_of_make(tmp_path, "test", 'case "$2" in *version_info*) exit 0;; esac\nexit 1\n')
    assert "apt-get install python3-venv" in told


def test_ci_runs_make_check_and_can_be_started() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", str(script)], timeout=30, check=False).returncode == 0
    last = script.read_text().rstrip().splitlines()[-1]
    assert last.startswith("make check ")
    assert "pipefail" in script.read_text()
