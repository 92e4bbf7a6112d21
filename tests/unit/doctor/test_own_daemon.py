"""What the doctor changes of a configuration before it runs it, and what it leaves."""

from pathlib import Path

from syncsvc.config.loader import loads
from syncsvc.doctor.own_daemon import with_private_endpoints

TEXT = """
streams:
  north: {url: "rtsp://user:${PASSWORD}@camera/1", latency_ms: 30}
groups:
  lobby: {streams: [north], max_skew_ms: 15}
publish: {live: "tcp://127.0.0.1:5555", wait_for: 3, history: 4}
http: {bind: "127.0.0.1:8080"}
"""


def test_only_the_endpoints_are_the_doctors_own() -> None:
    theirs = loads(TEXT, "x.yaml", environ={"PASSWORD": "secret"})
    ours = with_private_endpoints(theirs, Path("/tmp/somewhere"), 1)
    assert (ours.publish.live, ours.publish.control) == ("ipc:///tmp/somewhere/live", "ipc:///tmp/somewhere/control")
    assert ours.publish.wait_for == 1
    assert ours.http is None
    assert (ours.streams, ours.groups) == (theirs.streams, theirs.groups)
    assert ours.variables == theirs.variables == {"PASSWORD"}
    assert ours.secrets == theirs.secrets
