"""SIGHUP in every direction: what changed changes, what did not change loses nothing, and the daemon stays."""

import os
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from syncsvc import FrameBatch
from syncsvc.cameras import CameraSpec, VirtualCameras
from syncsvc.clock import SYSTEM_CLOCK
from tests.e2e.harness import PATIENCE, Service, is_any, patient, wait_for

SMALL = "size=320x180"


def synthetic(fps: int, seed: int) -> dict[str, Any]:
    return {"url": f"synthetic:?fps={fps}&{SMALL}&seed={seed}"}


def test_groups_come_and_go_and_another_loses_nothing(tmp_path: Path) -> None:
    streams = {"a": synthetic(100, 1), "b": synthetic(100, 2)}
    both = {"g1": {"streams": ["a", "b"], **PATIENCE}, "g2": {"streams": ["a", "b"], **PATIENCE, "window_ms": 500}}
    with (
        Service(tmp_path, streams, groups=both) as service,
        service.follow("g1") as history,
        service.follow("g2") as second,
    ):
        history.read_until()
        with service.costing("b", group="g1"):
            for _ in range(2):
                history.read_until(is_any, since_ns=service.reload(groups={"g1": both["g1"]}))
                wait_for(lambda: list(service.status()["groups"]) == ["g1"], "a status without the other")
                service.kill_capture("b")
                history.read_until(is_any, since_ns=service.reload(groups=both))
            back = second.read_until(since_ns=SYSTEM_CLOCK.utc_ns())
            history.read_until(since_ns=back.window_end_ns)
        assert service.stop() == 0
        assert "Traceback" not in service.log
    history.check()
    assert history.holes("a") == 0
    assert {batch.epoch for batch in (*history.batches, *second.batches)} == {history.batches[0].epoch}
    ids = [(batch.epoch, batch.seq) for batch in second.batches]
    assert len(ids) == len(set(ids))


def test_a_stream_that_returns_goes_on_with_its_numbers_and_owes_nothing(tmp_path: Path) -> None:
    streams = {"a": synthetic(25, 1), "b": synthetic(50, 2)}
    with Service(tmp_path, streams) as service, service.follow() as history:
        before = history.read_until().frames["b"][-1].seq
        service.reload(streams={"a": streams["a"]})
        history.read_until(lambda batch: "b" not in batch.frames)
        service.reload(streams=streams)
        back = history.read_until(lambda batch: bool(batch.frames.get("b")))
        assert back.frames["b"][0].seq > before
        assert not back.counts["b"].dropped, "what it took while it left is nobody's, and no receiver died"
        again = history.read_until(since_ns=service.kill_receiver())
        assert again.epoch > back.epoch
        died = [batch.counts["b"].dropped.get("receiver_died", 0) for batch in history.batches if "b" in batch.frames]
        taken = again.frames["b"][-1].seq - back.frames["b"][0].seq + 1
        assert sum(died) <= taken, "nothing of what it took before it returned"
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
    with Service(tmp_path, streams) as service, service.follow() as history:
        history.read_until()
        receiver = service.status()["receiver"]["pid"]
        both = rings_of(receiver)
        for _ in range(2):
            service.reload(streams={"a": streams["a"]})
            wait_for(lambda: rings_of(receiver) == both // 2, "the end of its ring")
            service.reload(streams=streams)
            wait_for(lambda: rings_of(receiver) == both, "its return")
        assert service.stop() == 0


def test_a_camera_that_is_to_be_stamped_otherwise_is_captured_anew(tmp_path: Path) -> None:
    def clocks(batch: FrameBatch) -> set[str]:
        return {frame.clock for frame in batch.frames["north"]}

    with VirtualCameras([CameraSpec("north", fps=25, width=320, height=180)]) as cameras:
        streams = {"north": {"url": cameras.urls["north"]}, "b": synthetic(25, 2)}
        with Service(tmp_path, streams, groups=patient("north", "b")) as service, service.follow() as history:
            history.read_until(lambda batch: batch.complete and clocks(batch) == {"rtcp"})
            with service.costing("north"):
                service.reload(streams=streams | {"north": streams["north"] | {"clock": "arrival"}})
                history.read_until(lambda batch: batch.complete and clocks(batch) == {"arrival"})
                assert wait_for(lambda: service.status()["streams"]["north"]["clock"] == "arrival", "the status")
            assert service.stop() == 0
    history.check()
    assert not history.dropped("b")


def test_what_cannot_change_and_what_is_bad_leaves_the_service_running(tmp_path: Path) -> None:
    streams = {"a": synthetic(25, 1)}
    (tmp_path / "junk.mp4").write_bytes(b"this is no video at all" * 100)
    with Service(tmp_path, streams, groups=patient("a")) as service, service.follow() as history:
        history.read_until()
        service.reload(streams=streams | {"junk": {"url": "file:junk.mp4"}}, groups=patient("a", "junk"))
        wait_for(lambda: "cannot be opened" in service.log, "the refusal of the recording")
        history.read_until(lambda batch: "junk" in batch.missing)
        service.write(service.config | {"groups": patient("a", window_ms=500)})
        service.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "groups.all.window_ms: cannot change" in service.log, "the refusal of the window")
        many = streams | {f"more-{number}": synthetic(1, number) for number in range(600)}
        service.write(service.config | {"streams": many, "groups": patient(*many)})
        service.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "groups.all: found more than 511 streams" in service.log, "the refusal of so many streams")
        history.read_until(is_any, since_ns=SYSTEM_CLOCK.utc_ns())
        assert service.stop() == 0
    assert history.holes("a") == 0


def test_a_fast_subscriber_to_all_groups_loses_nothing_when_groups_are_added(tmp_path: Path) -> None:
    few, many = {"g0": {"streams": ["a"]}}, {f"g{number}": {"streams": ["a"]} for number in range(12)}
    with Service(tmp_path, {"a": synthetic(5, 1)}, groups=few) as service, service.subscribe() as batches:
        next(batches)
        reloaded = service.reload(groups=many)
        seen = Counter[str]()
        while len(seen) < len(many) or min(seen.values()) < 4:
            batch = next(batches)
            seen[batch.group] += batch.window_start_ns > reloaded
        assert batches.stats.missed == 0
        assert service.stop() == 0
