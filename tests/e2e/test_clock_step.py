"""The host's clock steps under a running service: what it makes or plays itself follows, as cameras do.

Nobody sets the machine's clock for a test: libfaketime (Debian's package) shifts the service's CLOCK_REALTIME alone, at
the moment when its file says so.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncsvc import FrameBatch, Subscriber
from tests.e2e.harness import Service
from tests.e2e.test_untimed_recordings import record

HOUR_S = 3600
SHARED = Path("/dev/shm")
LIBRARY = os.environ.get("LIBFAKETIME") or next(map(str, Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)

pytestmark = pytest.mark.skipif(LIBRARY is None, reason="libfaketime, which shifts the clock of a process, is missing")


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file that says by how much the clock of what is started from now on is off."""
    path = tmp_path / "offset"
    path.write_text("+0\n")
    monkeypatch.setenv("LD_PRELOAD", str(LIBRARY))
    monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(path))
    for name in ("FAKETIME_NO_CACHE", "FAKETIME_DONT_FAKE_MONOTONIC"):
        monkeypatch.setenv(name, "1")
    before = set(SHARED.glob("*faketime_s*"))
    yield path
    for left in set(SHARED.glob("*faketime_s*")) - before:  # the library's own, which it leaves behind
        left.unlink(missing_ok=True)


def whole(batches: Subscriber, after_epoch: int = 0) -> FrameBatch:
    """The next batch of a later epoch that was heard from beginning to end."""
    while True:
        batch = batches.receive(60)
        assert isinstance(batch, FrameBatch)
        if batch.epoch > after_epoch and batch.complete and batch.seq > 0:
            return batch


@pytest.mark.parametrize("step_s", [-HOUR_S, HOUR_S])
@pytest.mark.parametrize("kind", ["synthetic", "file"])
def test_what_is_made_or_played_here_follows_a_step_of_the_hosts_clock(
    tmp_path: Path, clock: Path, kind: str, step_s: int
) -> None:
    url = "synthetic:?fps=10&size=320x180"
    if kind == "file":
        url = record(tmp_path, "a", "mp4")
    stream = {"url": url, "loop": True} if kind == "file" else {"url": url}
    with Service(tmp_path, {"a": stream}) as service, Subscriber(service.live) as batches:
        before = whole(batches)
        clock.write_text(f"{step_s:+d}\n")
        after = whole(batches, before.epoch)
        assert abs(after.window_start_ns / 1e9 - (time.time() + step_s)) < HOUR_S / 2
        assert after.counts["a"].late == 0
        assert after.counts["a"].captured == after.counts["a"].delivered > 0
        assert all(abs(frame.time_ns - frame.arrival_ns) < HOUR_S * 10**9 / 2 for frame in after.frames["a"])
        assert service.log.count("the host's clock jumped") == 1
