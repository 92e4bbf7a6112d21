"""Long turns of the processor are a wish: a sandbox that forbids to say it stops no capture."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NUMBERS = {
    "x86_64": {"setpriority": 141, "sched_getscheduler": 145, "sched_setattr": 314, "getpriority": 140},
    "aarch64": {"setpriority": 140, "sched_getscheduler": 120, "sched_setattr": 274, "getpriority": 141},
}.get(os.uname().machine, {})


@pytest.mark.parametrize("call", NUMBERS)
def test_a_sandbox_that_refuses_a_call_of_the_scheduler_changes_nothing(call: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.process.confined", str(NUMBERS[call])],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr, done.returncode) == ("woken\n", "", 0)
