"""SIGHUP in every direction: what changed changes, what did not change loses nothing, and the daemon stays."""

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

from syncsvc.cameras import CameraSpec, VirtualCameras
from tests.e2e.harness import History, Service, wait_for

SMALL = "size=320x180"


def synthetic(fps: int, seed: int) -> dict[str, Any]:
    return {"url": f"synthetic:?fps={fps}&{SMALL}&seed={seed}"}


def reload(service: Service, **changes: Any) -> None:
    """Write the changed configuration, send SIGHUP and wait for the daemon's word on it."""
    told = service.log.count("reloaded:")
    service.write(service.config | changes)
    service.process.send_signal(signal.SIGHUP)
    wait_for(lambda: service.log.count("reloaded:") > told, "the reload")


def test_groups_come_and_go_and_another_loses_nothing(tmp_path: Path) -> None:
    streams = {"a": synthetic(100, 1), "b": synthetic(100, 2)}
    patience = {
        "streams": ["a", "b"],
        "max_latency_ms": 3000,
    }  # for a machine that stands still: that is no reload's loss
    both = {"g1": patience, "g2": patience | {"window_ms": 500}}
    with (
        Service(tmp_path, streams, groups=both) as service,
        service.subscribe(group="g1") as subscriber,
        service.subscribe(group="g2") as other,
    ):
        history, second = History(), History()
        history.read_until(subscriber, lambda batch: batch.complete)
        for _ in range(2):
            reload(service, groups={"g1": both["g1"]})
            history.read(subscriber, 1)
            os.kill(service.capture_pid("b"), signal.SIGKILL)
            reload(service, groups=both)
            history.read(subscriber, 1)
        second.read_until(other, lambda batch: batch.seq > 8 and batch.complete)
        history.read(subscriber, 3)
        assert service.stop() == 0
        assert "Traceback" not in service.log
    history.check()
    seqs = [frame.seq for frame in history.frames("a")]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    assert {batch.epoch for batch in (*history.batches, *second.batches)} == {history.batches[0].epoch}
    ids = [(batch.epoch, batch.seq) for batch in second.batches]
    assert len(ids) == len(set(ids))


def test_a_stream_that_returns_goes_on_with_its_numbers_and_owes_nothing(tmp_path: Path) -> None:
    streams = {"a": synthetic(25, 1), "b": synthetic(50, 2)}
    with Service(tmp_path, streams) as service, service.subscribe() as subscriber:
        history = History()
        history.read_until(subscriber, lambda batch: batch.complete)
        before = history.frames("b")[-1].seq
        reload(service, streams={"a": streams["a"]})
        history_without = History()
        history_without.read_until(subscriber, lambda batch: "b" not in batch.frames)
        reload(service, streams=streams)
        back = History()
        back.read_until(subscriber, lambda batch: bool(batch.frames.get("b")))
        assert back.batches[-1].frames["b"][0].seq > before
        assert not back.batches[-1].counts["b"].dropped, "what it took while it left is nobody's, and no receiver died"
        os.kill(service.status()["receiver"]["pid"], signal.SIGKILL)
        after = History()
        after.read_until(subscriber, lambda batch: batch.epoch > history.batches[0].epoch and batch.complete)
        assert after.dropped("b")["receiver_died"] <= 150
        assert service.stop() == 0


def rings_of(pid: int) -> int:
    """How many descriptors of rings a process has."""
    found = 0
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it was closed meanwhile
            found += "syncsvc-ring" in os.readlink(link)
    return found


def test_the_ring_of_a_stream_that_leaves_goes_with_its_capture(tmp_path: Path) -> None:
    streams = {"a": synthetic(25, 1), "b": synthetic(25, 2)}
    with Service(tmp_path, streams) as service, service.subscribe() as subscriber:
        History().read_until(subscriber, lambda batch: batch.complete)
        receiver = service.status()["receiver"]["pid"]
        both = rings_of(receiver)
        for _ in range(2):
            reload(service, streams={"a": streams["a"]})
            wait_for(lambda: rings_of(receiver) == both // 2, "the end of its ring")
            reload(service, streams=streams)
            wait_for(lambda: rings_of(receiver) == both, "its return")
        assert service.stop() == 0


def test_a_camera_that_is_to_be_stamped_otherwise_is_captured_anew(tmp_path: Path) -> None:
    with (
        VirtualCameras([CameraSpec("north", fps=25, width=320, height=180)]) as cameras,
        Service(tmp_path, {"north": {"url": cameras.urls["north"]}, "b": synthetic(25, 2)}) as service,
        service.subscribe() as subscriber,
    ):
        history = History()
        batch = history.read_until(subscriber, lambda batch: batch.complete)
        assert {frame.clock for frame in batch.frames["north"]} == {"rtcp"}
        reload(
            service, streams=service.config["streams"] | {"north": {"url": cameras.urls["north"], "clock": "arrival"}}
        )
        history.read_until(
            subscriber, lambda batch: batch.complete and {f.clock for f in batch.frames["north"]} == {"arrival"}
        )
        assert wait_for(lambda: service.status()["streams"]["north"]["clock"] == "arrival", "the status")
        assert service.stop() == 0
    history.check()
    assert not history.dropped("b")


def test_what_cannot_change_and_what_is_bad_leaves_the_service_running(tmp_path: Path) -> None:
    streams = {"a": synthetic(25, 1)}
    (tmp_path / "junk.mp4").write_bytes(b"this is no video at all" * 100)
    with Service(tmp_path, streams) as service, service.subscribe() as subscriber:
        history = History()
        history.read_until(subscriber, lambda batch: batch.complete)
        reload(service, streams=streams | {"junk": {"url": "file:junk.mp4"}})
        wait_for(lambda: "cannot be opened" in service.log, "the refusal of the recording")
        history.read_until(subscriber, lambda batch: "junk" in batch.missing)
        service.write(service.config | {"groups": {"all": {"streams": ["a"], "window_ms": 500}}})
        service.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "groups.all.window_ms: cannot change" in service.log, "the refusal of the window")
        history.read(subscriber, 2)
        assert service.stop() == 0
    seqs = [frame.seq for frame in history.frames("a")]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
