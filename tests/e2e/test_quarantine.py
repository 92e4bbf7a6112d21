"""A camera that breaks its capture again and again, and what becomes of the service."""

import os
from pathlib import Path

from tests.e2e.harness import Service, patient, wait_for

BREAKS = """
import os, sys
if "syncsvc.capture.nursery" in sys.orig_argv:
    from syncsvc.capture import feed
    take = feed.Feed.take
    def breaks(self, item):
        if self._spec.name == "bad":
            os.abort()
        return take(self, item)
    feed.Feed.take = breaks
"""


def test_it_is_left_alone_for_long_and_said_to_be_while_the_others_lose_nothing(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(BREAKS)
    path = os.pathsep.join([str(tmp_path / "site"), os.getcwd(), *filter(None, [os.environ.get("PYTHONPATH")])])
    streams = {name: {"url": "synthetic:?fps=5&size=160x90"} for name in ("good", "bad")}
    service = Service(tmp_path, streams, groups=patient("good", "bad"))
    service.started_with = {"env": {**os.environ, "PYTHONPATH": path}}
    with service:
        found = wait_for(lambda: (one := service.status()["streams"]["bad"])["quarantined"] and one, "the quarantine")
        counts = service.status()["groups"]["all"]["counts"]["good"]
    assert found["restarts"] == 6
    assert found["pid"] is None
    assert "quarantined" in found["problem"]
    assert "more than 5 times in 60 s" in service.log
    assert not sum(counts["dropped"].values())
