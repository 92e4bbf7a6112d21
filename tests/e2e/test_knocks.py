"""Hard knocks from the machine: too few descriptors, too little memory, slow starts, many signals."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.e2e.harness import Service, patient

FEW = 150
"""Open files: what a service of a few streams needs."""


def limited(soft: int, hard: int) -> list[str]:
    """A command that runs another with so few open files."""
    return ["sh", "-c", f'ulimit -Sn {soft} && ulimit -Hn {hard} && exec "$0" "$@"']


def streams(number: int) -> dict[str, Any]:
    return {f"c{one}": {"url": f"synthetic:?fps=10&size=160x120&seed={one}"} for one in range(1, number + 1)}


def test_more_streams_than_descriptors_are_refused_in_one_line(tmp_path: Path) -> None:
    service = Service(tmp_path, streams(30))
    command = [*limited(64, 128), sys.executable, "-m", "syncsvc", "run", str(service.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 78
    [line] = done.stderr.splitlines()
    assert "streams: found 30 streams" in line
    assert "128 (RLIMIT_NOFILE)" in line


def test_a_limit_made_for_shells_is_raised_and_more_streams_than_the_host_allows_leave_the_service_as_it_was(
    tmp_path: Path,
) -> None:
    with (
        Service(tmp_path, streams(2), groups=patient("c1", "c2"), under=limited(32, FEW)) as service,
        service.subscribe(group="all") as batches,
    ):
        while not next(batches).sets:
            pass
        service.reload_in_vain("streams: found 30 streams", streams=streams(30))
        while not next(batches).sets:
            pass
        assert service.stop() == 0
