"""Probes of many streams at once: each has its own time, and a slow one condemns nobody."""

import os
import subprocess

import pytest

from syncsvc.capture import probe
from syncsvc.capture.probe import Sight, probe_streams
from syncsvc.capture.spec import AnySpec, RingPlan, SyntheticSpec
from syncsvc.programs import start_leashed

READY, FOUND = "print(flush=True)", """print('{"is_there": true, "text": "640x360"}')"""


def spec(name: str) -> SyntheticSpec:
    return SyntheticSpec(name=name, pixels="i420", ring=RingPlan(1_000_000_000))


def test_a_stream_that_hangs_condemns_none_and_one_that_starts_late_has_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go_on, told = os.pipe()
    programs = {
        "hangs": f"{READY}; input()",
        "late": f"import os; os.read({go_on}, 1); {READY}; {FOUND}",
        "quick": f"{READY}; {FOUND}",
        "broken": "raise SystemExit(3)",
    }

    def start(spec: AnySpec, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "pass_fds": [go_on]}
        return start_leashed(["-c", programs[spec.name]], env=environment, **pipes)

    monkeypatch.setattr(probe, "_start", start)
    monkeypatch.setattr(probe, "PROBE_TIMEOUT_S", 3.0)
    found = probe_streams([spec(name) for name in programs])
    assert next(found) == ("hangs", Sight(False, "no answer in 3 s"))
    os.write(told, b"!")  # long after the time of the first was over
    assert dict(found) == {
        "late": Sight(True, "640x360"),
        "quick": Sight(True, "640x360"),
        "broken": Sight(False, "broke with exit code 3"),
    }
    os.close(go_on)
    os.close(told)


def test_a_real_probe_says_what_is_there() -> None:
    assert dict(probe_streams([spec("a"), spec("b")])) == {
        name: Sight(True, "640x360, 25.000 frames/s declared", 25.0, 640, 360) for name in ("a", "b")
    }
