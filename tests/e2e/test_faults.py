"""Kills, absences and freezes, for real: a batch every window whatever happens, and every frame accounted for."""

import os
import signal
from pathlib import Path

import pytest

from syncsvc import FrameBatch
from syncsvc.cameras import CameraSpec, VirtualCameras
from tests.e2e.harness import History, Service, wait_for

SMALL = "size=320x180"


def synthetic(fps: float = 25, seed: int = 1, more: str = "") -> dict[str, object]:
    return {"url": f"synthetic:?fps={fps}&{SMALL}&seed={seed}{more}"}


def names_in_shm() -> set[str]:
    return {name for name in os.listdir("/dev/shm") if "syncsvc" in name}


def test_a_killed_capture_costs_the_others_nothing(tmp_path: Path) -> None:
    with (
        VirtualCameras([CameraSpec("north", fps=25, width=320, height=180)]) as cameras,
        Service(
            tmp_path, {"north": {"url": cameras.urls["north"]}, "b": synthetic(), "c": synthetic(30, 2)}
        ) as service,
        service.subscribe() as subscriber,
    ):
        history = History()
        history.read_until(subscriber, lambda batch: batch.complete)
        for stream in ("north", "b", "north"):
            pid = service.capture_pid(stream)
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda pid=pid, stream=stream: service.capture_pid(stream) != pid, "the next capture")
            history.read(subscriber, 1)
            history.read_until(subscriber, lambda batch: batch.complete)
        assert service.stop() == 0
    history.check()
    assert len({batch.epoch for batch in history.batches}) == 1
    seqs = [frame.seq for frame in history.frames("c")]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    assert not history.dropped("c")
    assert set(history.dropped("north")) | set(history.dropped("b")) <= {"capture_died"}


def test_numbers_go_on_across_captures_and_the_lost_are_counted(tmp_path: Path) -> None:
    with Service(tmp_path, {"a": synthetic(200)}) as service, service.subscribe() as subscriber:
        history = History()
        history.read(subscriber, 1)
        for _ in range(4):
            pid = service.capture_pid("a")
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda pid=pid: service.capture_pid("a") != pid, "the next capture")
            history.read(subscriber, 2)
        history.read(subscriber, 1)
        frames = history.frames("a")
        holes = frames[-1].seq - frames[0].seq + 1 - len(frames)
        assert holes == sum(history.dropped("a").values())
    history.check()


def test_a_killed_receiver_comes_back_with_a_higher_epoch(tmp_path: Path) -> None:
    with Service(tmp_path, {"a": synthetic(), "b": synthetic(30, 2)}) as service, service.subscribe() as subscriber:
        history = History()
        history.read_until(subscriber, lambda batch: batch.complete)
        first = history.batches[-1]
        os.kill(service.status()["receiver"]["pid"], signal.SIGKILL)
        again = history.read_until(subscriber, lambda batch: batch.epoch > first.epoch and batch.complete)
        assert again.window_start_ns > first.window_start_ns
        history.check()
        for stream in ("a", "b"):
            frames = history.frames(stream)
            holes = frames[-1].seq - frames[0].seq + 1 - len(frames)
            # Frames of a batch that the old receiver counted and could not send any more are the only ones untold.
            assert not history.is_whole or holes - sum(history.dropped(stream).values()) in (0, *range(20, 32))
        assert service.stop() == 0


def test_an_absent_camera_joins_and_a_stopped_one_is_missing(tmp_path: Path) -> None:
    spec = CameraSpec("north", fps=25, width=320, height=180)
    with VirtualCameras([spec]) as cameras:
        cameras.stop("north")
        with (
            Service(tmp_path, {"north": {"url": cameras.urls["north"]}, "b": synthetic()}) as service,
            service.subscribe() as subscriber,
        ):
            history = History()
            history.read_until(subscriber, lambda batch: batch.missing == {"north": "absent"})
            cameras.start("north")
            history.read_until(subscriber, lambda batch: batch.complete)
            cameras.stop("north")
            history.read_until(subscriber, lambda batch: batch.missing.get("north") in ("absent", "stalled"))
            cameras.start("north")
            history.read_until(subscriber, lambda batch: batch.complete)
            assert service.stop() == 0
    history.check()
    assert not history.dropped("b")


def test_a_frozen_capture_is_killed_and_replaced(tmp_path: Path) -> None:
    with Service(tmp_path, {"a": synthetic(), "b": synthetic(25, 2)}) as service, service.subscribe() as subscriber:
        history = History()
        history.read_until(subscriber, lambda batch: batch.complete)
        pid = service.capture_pid("a")
        os.kill(pid, signal.SIGSTOP)
        wait_for(lambda: service.status()["streams"]["a"]["pid"] not in (None, pid), "the next capture")
        history.read(subscriber, 1)
        history.read_until(subscriber, lambda batch: batch.complete)
        assert "is killed: no heartbeat" in service.log
    history.check()
    assert not history.dropped("b")


def test_a_stopped_subscriber_costs_another_nothing(tmp_path: Path) -> None:
    with (
        Service(tmp_path, {"a": synthetic()}) as service,
        service.subscribe() as lazy,
        service.subscribe() as eager,
    ):
        history = History()
        history.read(eager, 8)  # the lazy one reads nothing meanwhile, and its high-water mark is two batches
        seqs = [batch.seq for batch in history.batches]
        assert seqs == list(range(seqs[0], seqs[0] + 8))
        assert isinstance(lazy.receive(timeout_s=5), FrameBatch)
        assert service.stop() == 0
    history.check()


def test_nothing_survives_a_killed_daemon(tmp_path: Path) -> None:
    before = names_in_shm()
    with Service(tmp_path, {"a": synthetic(), "b": synthetic(30, 2)}) as service, service.subscribe() as subscriber:
        History().read_until(subscriber, lambda batch: batch.complete)
        service.process.kill()
        service.process.wait()
        wait_for(lambda: not service.survivors(), "the end of every process", 5)
    assert names_in_shm() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_drain_emits_the_window_under_way_and_exits_0(tmp_path: Path, number: int) -> None:
    with Service(tmp_path, {"a": synthetic(), "b": synthetic(30, 2)}) as service, service.subscribe() as subscriber:
        history = History()
        history.read_until(subscriber, lambda batch: batch.complete)
        service.process.send_signal(number)
        last = history.read_until(subscriber, lambda batch: "draining" in batch.missing.values())
        assert last.window_end_ns - last.window_start_ns == 1_000_000_000
        assert last.frames["a"]
        assert service.process.wait(20) == 0
    history.check()


def test_a_reload_leaves_unchanged_streams_alone(tmp_path: Path) -> None:
    with Service(tmp_path, {"a": synthetic(), "b": synthetic(30, 2)}) as service, service.subscribe() as subscriber:
        history = History()
        history.read_until(subscriber, lambda batch: batch.complete)
        pid = service.capture_pid("a")
        service.write(service.config | {"streams": {"a": synthetic(), "c": synthetic(15, 3)}})
        service.process.send_signal(signal.SIGHUP)
        history.read_until(subscriber, lambda batch: list(batch.frames) == ["a", "c"] and len(batch.frames["c"]) == 15)
        service.path.write_text("streams: {}\n")
        service.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "kept as it was" in service.log, "the refusal")
        history.read(subscriber, 2)
        assert service.capture_pid("a") == pid
        assert service.stop() == 0
    seqs = [frame.seq for batch in history.batches for frame in batch.frames["a"]]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    assert {batch.epoch for batch in history.batches} == {history.batches[0].epoch}
    assert [batch.seq for batch in history.batches] == list(range(history.batches[0].seq, history.batches[-1].seq + 1))


def test_the_first_window_is_the_one_in_which_ready_was_printed(tmp_path: Path) -> None:
    with (
        Service(
            tmp_path, {"a": {"url": "rtsp://127.0.0.1:1/none"}}, publish={"live": f"ipc://{tmp_path}/live"}
        ) as service,
        service.subscribe() as subscriber,
    ):
        history = History()
        history.read(subscriber, 3)
        assert history.batches[0].seq <= 1
        assert all(batch.missing["a"] in ("starting", "absent") and not batch.frames["a"] for batch in history.batches)
        assert service.stop() == 0
    history.check()
