"""Probes of many streams at once: each has its own time, and a slow one condemns nobody."""

import os
import subprocess

import pytest

from syncsvc.capture import probe
from syncsvc.capture.probe import Sight, probe_streams
from syncsvc.capture.spec import AnySpec, RingPlan, SyntheticSpec

FOUND = """printf '%s' '{"is_there": true, "text": "640x360"}'"""


def spec(name: str) -> SyntheticSpec:
    return SyntheticSpec(name=name, pixels="i420", ring=RingPlan(1_000_000_000))


def test_a_stream_that_hangs_condemns_none_and_one_that_starts_late_has_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go_on, told = os.pipe()
    programs = {
        "hangs": "echo; exec sleep 3600",
        "late": f"head -c 1 /dev/fd/{go_on} >&2; echo; {FOUND}",
        "quick": f"echo; {FOUND}",
        "broken": "exit 3",
    }

    def start(spec: AnySpec, _: dict[str, str]) -> "subprocess.Popen[bytes]":
        words = ["sh", "-c", programs[spec.name]]
        return subprocess.Popen(words, stdout=subprocess.PIPE, pass_fds=[go_on], process_group=0)

    monkeypatch.setattr(probe, "_start", start)
    monkeypatch.setattr(probe, "patience_s", lambda spec: 5.0)
    found = probe_streams([spec(name) for name in programs])
    assert next(found) == ("hangs", Sight(False, "no answer in 5 s"))
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
