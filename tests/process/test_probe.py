"""Streams are looked at all at once, and each is judged by what it said itself."""

import os
import subprocess

import msgspec
import pytest

from syncsvc.capture import probe
from syncsvc.capture.probe import Sight, probe_streams
from syncsvc.capture.spec import AnySpec, RingPlan, RtspSpec
from syncsvc.testing import S


def test_a_camera_that_hangs_condemns_no_other_one(monkeypatch: pytest.MonkeyPatch) -> None:
    sight = Sight(True, "640x360", 25.0, 640, 360)

    def start(spec: AnySpec, _: dict[str, str]) -> "subprocess.Popen[bytes]":
        if spec.name == "hangs":
            return subprocess.Popen(["sleep", "3600"], stdout=subprocess.PIPE, start_new_session=True)
        said = msgspec.json.encode(sight).decode()
        answered = subprocess.Popen(["printf", "%s", said], stdout=subprocess.PIPE)
        os.waitid(os.P_PID, answered.pid, os.WEXITED | os.WNOWAIT)  # before anybody's time is over
        return answered

    monkeypatch.setattr(probe, "_start", start)
    monkeypatch.setattr(probe, "PROBE_TIMEOUT_S", 0.05)
    specs = [RtspSpec(name=name, url="", pixels="i420", ring=RingPlan(S)) for name in ("hangs", "south", "north")]
    seen = dict(probe_streams(specs))
    assert not seen["hangs"].is_there
    assert (seen["south"], seen["north"]) == (sight, sight)
