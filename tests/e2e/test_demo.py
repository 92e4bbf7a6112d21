"""The demo as a user starts it: a real process, with cameras, daemon and captures behind it."""

import json
import os
import select
import signal
import subprocess
import sys

import pytest

from syncsvc.clock import NS_PER_S, SYSTEM_CLOCK
from tests.e2e.harness import command, processes_of, wait_for

CAMERAS = {"north", "gate", "yard"}


def first_line(process: subprocess.Popen[str], words: str) -> str:
    """The first line with these words."""
    assert process.stdout is not None
    end_ns = SYSTEM_CLOCK.monotonic_ns() + 30 * NS_PER_S
    while SYSTEM_CLOCK.monotonic_ns() < end_ns:
        if select.select([process.stdout], [], [], 1.0)[0]:
            line = process.stdout.readline()
            if words in line or not line:
                return line
    return ""


@pytest.mark.alone  # the contract has bounds in time, which a busy machine may break
def test_it_keeps_the_contract_and_says_so_in_one_object() -> None:
    with command("demo", "--seconds", "6", "--json") as process:
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, ""), output
    verdict = json.loads(output)
    assert verdict["kept"] is True
    assert verdict["interrupted"] is False
    assert verdict["problems"] == []
    assert verdict["batches"] >= 5
    assert verdict["cameras"].keys() == CAMERAS
    for camera in verdict["cameras"].values():
        assert camera["captured"] == camera["delivered"] + camera["late"] + camera["dropped"] > 60
        assert camera["lost"] == camera["twice"] == 0
        assert camera["clocks"].keys() == {"rtcp"}
        assert camera["stamp_error_ms"]["p99"] < 5
    assert verdict["compared"] > 20
    assert verdict["identical_pct"] > 90
    assert verdict["spread_ms"]["max"] <= verdict["max_skew_ms"] == 40


def test_ctrl_c_ends_it_early_with_lines_and_the_verdict_so_far() -> None:
    with command("demo", "--seconds", "60") as process:
        # The second whole window: a terminal's Ctrl-C reaches the whole foreground group.
        assert "  #2  " in first_line(process, "  #2  ")
        os.killpg(process.pid, signal.SIGINT)
        output, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, ""), output
    last = output.splitlines()[-1]
    assert last.startswith("contract kept: ")
    assert last.endswith(f"; next: {sys.executable} -m syncsvc init RTSP-URL... --out cameras.yaml")
    assert "  age -" not in output


def test_a_pipe_gets_the_legend_the_header_and_a_start_that_is_one() -> None:
    with command("demo", "--seconds", "3") as process:
        output, errors = process.communicate(timeout=60)
    assert errors == ""
    lines = output.splitlines()
    assert lines[1].startswith("complete: ")
    assert lines[3].startswith("window (UTC)  batch  sets  complete  spread p50/max  age  ")
    assert ":stalled" not in lines[4]


def test_a_killed_demo_leaves_no_process() -> None:
    with command("demo", "--seconds", "60") as process:
        assert "  #0  " in first_line(process, "  #0  ")
        assert len(processes_of(process.pid)) >= 7  # demo, cameras, daemon, receiver, three captures
        process.kill()
        process.wait(10)
        wait_for(lambda: not processes_of(process.pid), "the end of every process", 10.0)


@pytest.mark.parametrize("options", [("--seconds", "1"), ("--seconds", "x"), ("--nonsense",)])
def test_a_wrong_word_is_one_line_and_exit_code_2(options: tuple[str, ...]) -> None:
    with command("demo", *options) as process:
        output, errors = process.communicate(timeout=30)
    assert (process.returncode, output) == (2, "")
    assert errors.startswith("syncsvc: ")
    assert errors.count("\n") == 1
