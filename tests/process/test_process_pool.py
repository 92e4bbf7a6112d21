"""Frames and batches in the hands of worker processes: the pools of the standard library take them as they are."""

import subprocess
import sys

import pytest

from tests.project import ROOT


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_frames_and_batches_go_to_a_pool_and_come_back(method: str) -> None:
    subprocess.run([sys.executable, "-m", "tests.process.pool_host", method], check=True, timeout=120, cwd=ROOT)
